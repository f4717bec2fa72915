//! The laboratory's fields from asked to resolved: distributions, equipment and who needs it, exchanges, arrivals.
//!
//! Like [`super::resolve`] it reports all that is wrong and clamps nothing.

use std::fmt::{Arguments, Display};
use std::time::Duration;

use super::arrivals::{Arrivals, Process};
use super::ask::{StepAsk, WorkAsk};
use super::ask_lab::{ArrivalsAsk, EquipmentAsk, SpreadAsk};
use super::draw::Spread;
use super::limits;
use super::recipe::{Equipment, Work};
use super::resolve::{Violation, word};
use super::resolve_recipe::name;

/// A number within its limits; 0 and a violation if it is not, or absent.
pub(super) fn bounded(value: Option<u64>, min: u64, max: u64, pointer: impl Display, bad: &mut Vec<Violation>) -> u64 {
    match value {
        Some(v) if (min..=max).contains(&v) => v,
        _ => {
            bad.push(Violation::new(pointer, format!("must be from {min} to {max}")));
            0
        }
    }
}

/// The fields of each kind of distribution.
const FIELDS: [(&str, &[&str]); 4] = [
    ("constant", &["ms"]),
    ("uniform", &["min_ms", "max_ms"]),
    ("log_normal", &["median_ms", "p95_ms"]),
    ("exponential", &["mean_ms"]),
];

/// A distribution, and the length that stands for it.
pub(super) fn spread(ask: &SpreadAsk, at: Arguments<'_>, bad: &mut Vec<Violation>) -> (Spread, Duration) {
    let kinds = FIELDS.map(|(kind, _)| kind);
    let Some(kind) = word(Some(&ask.kind), &kinds, format_args!("{at}/kind"), bad) else {
        return (Spread::Constant, Duration::ZERO);
    };
    let said = [
        ("ms", ask.ms),
        ("min_ms", ask.min_ms),
        ("max_ms", ask.max_ms),
        ("median_ms", ask.median_ms),
        ("p95_ms", ask.p95_ms),
        ("mean_ms", ask.mean_ms),
    ];
    let own = FIELDS[kind].1;
    for (field, _) in said.iter().filter(|(field, value)| value.is_some() && !own.contains(field)) {
        let detail = format!("{} has no `{field}`; it has {}", kinds[kind], own.join(", "));
        bad.push(Violation::new(format!("{at}/{field}"), detail));
    }
    let mut length = |field: &str, min: u64| {
        let value = said.iter().find(|(name, _)| *name == field).and_then(|(_, value)| *value);
        Duration::from_millis(bounded(value, min, limits::WAIT_MS, format_args!("{at}/{field}"), bad))
    };
    let spread = match kind {
        0 => return (Spread::Constant, length("ms", 0)),
        1 => Spread::Uniform { low: length("min_ms", 0), high: length("max_ms", 0) },
        2 => Spread::LogNormal { median: length("median_ms", 1), p95: length("p95_ms", 1) },
        _ => Spread::Exponential { mean: length("mean_ms", 1) },
    };
    match spread {
        Spread::Uniform { low, high } if low > high => {
            bad.push(Violation::new(format!("{at}/max_ms"), "must not be below `min_ms`"));
            (Spread::Constant, low)
        }
        Spread::LogNormal { median, p95 } if median > p95 => {
            bad.push(Violation::new(format!("{at}/p95_ms"), "must not be below `median_ms`"));
            (Spread::Constant, median)
        }
        spread => (spread, spread.middle().unwrap_or_default()),
    }
}

/// The equipment of a recipe.
pub(super) fn equipment(ask: Option<&EquipmentAsk>, at: Arguments<'_>, bad: &mut Vec<Violation>) -> Box<[Equipment]> {
    let Some(EquipmentAsk(items)) = ask else { return Box::default() };
    if items.len() > limits::EQUIPMENT {
        bad.push(Violation::new(at, format!("at most {} pieces of equipment", limits::EQUIPMENT)));
    }
    let item = |(called, item): &(String, super::ask_lab::ItemAsk)| {
        let pointer = format!("{at}/{}", called.replace('~', "~0").replace('/', "~1"));
        name(called, limits::NAME_CHARS, &pointer, bad);
        let capacity = item.capacity.or(Some(1));
        let capacity = bounded(capacity, 1, limits::CAPACITY, format_args!("{pointer}/capacity"), bad);
        Equipment { name: called.as_str().into(), capacity: capacity as u32, shared: item.shared.unwrap_or(false) }
    };
    items.iter().take(limits::EQUIPMENT).map(item).collect()
}

/// What a step needs, as positions.
pub(super) fn needs(ask: &StepAsk, equipment: &[Equipment], at: Arguments<'_>, bad: &mut Vec<Violation>) -> Box<[u8]> {
    let mut found = Vec::new();
    for (i, called) in ask.needs.iter().enumerate() {
        match equipment.iter().position(|item| *item.name == **called) {
            Some(k) if found.contains(&(k as u8)) => {
                bad.push(Violation::new(format!("{at}/needs/{i}"), "a step needs each piece of equipment once"));
            }
            Some(k) => found.push(k as u8),
            None => bad.push(Violation::new(format!("{at}/needs/{i}"), "the recipe has no such equipment")),
        }
    }
    let shared = |k: &&u8| equipment[usize::from(**k)].shared;
    if found.iter().any(|k| shared(&k)) && !found.iter().all(|k| shared(&k)) {
        // Two would decide, the kitchen and its parent, and neither could see a circle through both.
        let detail = "a step needs either what all kitchens share or what its own kitchen has, not both";
        bad.push(Violation::new(format!("{at}/needs"), detail));
    }
    found.into()
}

/// An exchange.
pub(super) fn exchange(ask: &WorkAsk, at: Arguments<'_>, bad: &mut Vec<Violation>) -> Work {
    let bytes = bounded(ask.bytes, 0, limits::MESSAGE_BYTES, format_args!("{at}/bytes"), bad);
    let messages = bounded(ask.messages.or(Some(1)), 1, limits::MESSAGES, format_args!("{at}/messages"), bad);
    Work::Exchange { bytes: bytes as u32, messages: messages as u32 }
}

/// A count.
pub(super) fn counter(ask: &WorkAsk, at: Arguments<'_>, bad: &mut Vec<Violation>) -> Work {
    let increments = bounded(ask.increments, 0, limits::INCREMENTS, format_args!("{at}/increments"), bad);
    Work::Counter { increments: increments as u32, locked: ask.locked.unwrap_or(false) }
}

/// When dishes arrive.
pub(super) fn arrivals(ask: Option<&ArrivalsAsk>, bad: &mut Vec<Violation>) -> Option<Box<Arrivals>> {
    let ask = ask?;
    let rate = bounded(Some(ask.rate_per_s), 1, limits::ARRIVALS_PER_S, "/arrivals/rate_per_s", bad);
    let process = word(ask.process.as_deref(), &Process::NAMES, "/arrivals/process", bad);
    Some(Box::new(Arrivals::new(rate as u32, [Process::Poisson, Process::Uniform][process.unwrap_or(0)])))
}
