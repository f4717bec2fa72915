//! What one expects of an order before it is cooked, and in hindsight: the one place where the laboratory asks for a
//! forecast.
//!
//! It deliberately judges nothing: how good a forecast was is in [`super::accuracy`].

use std::sync::Arc;
use std::time::Duration;

use super::calibration::Calibration;
use super::entry::StepCpu;
use super::forecast;
use super::objective::Aims;
use super::plan::Machine;
use crate::domain::recipe::{Recipe, Work};
use crate::domain::spec::Spec;
use crate::sim::Ending;

/// What one expects of a run, in the units of [`super::entry::Figures`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Foreseen {
    /// Milliseconds.
    pub makespan_ms: f64,
    /// Milliseconds.
    pub mean_dish_ms: f64,
    /// Milliseconds.
    pub p95_dish_ms: f64,
    /// Bytes.
    pub peak_memory_bytes: f64,
}

impl Foreseen {
    /// What can be aimed at.
    #[must_use]
    pub fn aims(&self) -> Aims {
        [self.makespan_ms, self.mean_dish_ms, self.p95_dish_ms, self.peak_memory_bytes]
    }
}

/// What was expected of an entry's runs beside what they were; of as many dishes as were cooked.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Forecasts {
    /// Before the first run, from what was asked and what the machine costs.
    pub before: Foreseen,
    /// Afterwards, with the CPU that its steps really took and the cores that were really there.
    pub refit: Option<Foreseen>,
    /// The medians of its runs, as they were.
    pub measured: Option<Aims>,
}

impl Forecasts {
    /// Percent by which the makespan was foreseen too long, before and in hindsight.
    #[must_use]
    pub fn errors(&self) -> Option<(f64, Option<f64>)> {
        let [makespan_ms, ..] = self.measured?;
        let error = |foreseen: Foreseen| 100.0 * (foreseen.makespan_ms / makespan_ms - 1.0);
        Some((error(self.before), self.refit.map(error)))
    }
}

/// Where an order would be cooked.
#[derive(Clone, Debug)]
pub struct Place {
    /// What things cost there.
    pub costs: Calibration,
    /// Its cores and the staff of its house.
    pub machine: Machine,
}

impl Place {
    /// A place with another number of cores, and staff to match.
    #[must_use]
    pub fn elsewhere(&self, cores: u32) -> Self {
        let costs = self.costs.elsewhere(cores);
        Self { machine: costs.machine(), costs }
    }
}

/// What is expected of this order at this place; `None` if it would never end, or is too long to look at.
#[must_use]
pub fn foresee(spec: &Spec, place: &Place) -> Option<Foreseen> {
    let forecast = forecast::on(spec, &place.costs, place.machine);
    let ms = |ns: u64| ns as f64 / 1e6;
    (forecast.ending == Ending::Done).then(|| Foreseen {
        makespan_ms: ms(forecast.makespan),
        mean_dish_ms: ms(forecast.mean_dish),
        p95_dish_ms: ms(forecast.p95_dish),
        peak_memory_bytes: forecast.peak_memory_bytes as f64,
    })
}

/// The same order, its CPU steps taking what they were measured to take.
#[must_use]
pub fn refitted(spec: &Spec, measured: &[StepCpu]) -> Spec {
    let mut recipe = Recipe::clone(&spec.recipe);
    for (step, cpu) in recipe.steps.iter_mut().zip(measured) {
        if step.work.is_cpu() && cpu.dishes > 0 {
            step.work = Work::Burn(Duration::from_nanos(cpu.sum / cpu.dishes));
        }
    }
    Spec { recipe: Arc::new(recipe), ..spec.clone() }
}
