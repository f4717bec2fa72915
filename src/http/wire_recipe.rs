//! A recipe as a client would write it, from the recipe as resolved.
//!
//! It deliberately leaves out what is at its default, and allocates almost nothing.

use std::time::Duration;

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use crate::domain::ask_lab::ItemAsk;
use crate::domain::draw::Spread;
use crate::domain::recipe::{Equipment, Fault, Recipe, Step, Work};

/// Writes a recipe as a client would.
pub struct RecipeView<'a>(pub &'a Recipe);

impl Serialize for RecipeView<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("name", &self.0.name)?;
        if !self.0.equipment.is_empty() {
            map.serialize_entry("equipment", &EquipmentView(&self.0.equipment))?;
        }
        map.serialize_entry("steps", &StepsView(self.0))?;
        map.end()
    }
}

struct StepsView<'a>(&'a Recipe);
struct StepView<'a>(&'a Recipe, usize);
struct AfterView<'a>(&'a Recipe, u128);
struct NeedsView<'a>(&'a Recipe, &'a [u8]);
struct EquipmentView<'a>(&'a [Equipment]);
struct SpreadView(Spread);
struct WorkView<'a>(&'a Step);

impl Serialize for StepsView<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq((0..self.0.steps.len()).map(|i| StepView(self.0, i)))
    }
}

impl Serialize for StepView<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let step = &self.0.steps[self.1];
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("name", &step.name)?;
        map.serialize_entry("work", &WorkView(step))?;
        if !step.needs.is_empty() {
            map.serialize_entry("needs", &NeedsView(self.0, &step.needs))?;
        }
        if step.hold_while_waiting {
            map.serialize_entry("hold_while_waiting", &true)?;
        }
        if step.after != 0 {
            map.serialize_entry("after", &AfterView(self.0, step.after))?;
        }
        map.end()
    }
}

impl Serialize for AfterView<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let names = self.0.steps.iter().enumerate().filter(|(i, _)| self.1 >> i & 1 == 1);
        serializer.collect_seq(names.map(|(_, step)| &step.name))
    }
}

impl Serialize for NeedsView<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.1.iter().map(|i| &self.0.equipment[usize::from(*i)].name))
    }
}

impl Serialize for EquipmentView<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let ask =
            |item: &Equipment| ItemAsk { capacity: Some(item.capacity.into()), shared: item.shared.then_some(true) };
        serializer.collect_map(self.0.iter().map(|item| (&item.name, ask(item))))
    }
}

impl Serialize for SpreadView {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        let ms = |d: Duration| d.as_millis() as u64;
        let (kind, fields): (_, [Option<(&str, Duration)>; 2]) = match self.0 {
            Spread::Constant => ("constant", [None, None]),
            Spread::Uniform { low, high } => ("uniform", [Some(("min_ms", low)), Some(("max_ms", high))]),
            Spread::LogNormal { median, p95 } => ("log_normal", [Some(("median_ms", median)), Some(("p95_ms", p95))]),
            Spread::Exponential { mean } => ("exponential", [Some(("mean_ms", mean)), None]),
        };
        map.serialize_entry("kind", kind)?;
        for (field, length) in fields.into_iter().flatten() {
            map.serialize_entry(field, &ms(length))?;
        }
        map.end()
    }
}

impl Serialize for WorkView<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let step = self.0;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("kind", step.work.kind())?;
        match step.work {
            Work::Wait(_) | Work::BlockingWait(_) if step.spread != Spread::Constant => {
                map.serialize_entry("distribution", &SpreadView(step.spread))?;
            }
            Work::Wait(d) | Work::BlockingWait(d) | Work::Burn(d) => {
                map.serialize_entry("ms", &(d.as_millis() as u64))?;
            }
            Work::Iterations(n) => map.serialize_entry("iterations", &n)?,
            Work::Exchange { bytes, messages } => {
                map.serialize_entry("bytes", &bytes)?;
                map.serialize_entry("messages", &messages)?;
            }
            Work::Counter { increments, locked } => {
                map.serialize_entry("increments", &increments)?;
                if locked {
                    map.serialize_entry("locked", &true)?;
                }
            }
            Work::Fault(fault) => map.serialize_entry("what", fault_name(fault))?,
            Work::PassingFault { fault, attempts } => {
                map.serialize_entry("what", fault_name(fault))?;
                map.serialize_entry("on_attempts", &attempts)?;
            }
        }
        if step.gil_held_percent != 100 {
            map.serialize_entry("gil_held_percent", &step.gil_held_percent)?;
        }
        if let Some(every) = step.yield_every {
            map.serialize_entry("yield_every_ms", &(every.as_millis() as u64))?;
        }
        map.end()
    }
}

fn fault_name(fault: Fault) -> &'static str {
    ["exit", "abort", "panic", "hang", "oom"][fault as usize]
}
