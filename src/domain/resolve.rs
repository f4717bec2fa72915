//! From an order as asked to an order as resolved: defaults filled in, every limit checked, all violations reported.
//!
//! A limit is refused by name, never clamped. It deliberately does not know the models: the caller hands in the table
//! of the model that was asked for.

use std::fmt::Display;
use std::time::Duration;

use super::ask::{LabelsAsk, OrderAsk};
use super::limits;
use super::menu;
use super::options::{self, OptionInfo};
use super::recipe::{StepOrder, Work};
use super::resolve_lab;
use super::resolve_recipe::name;
use super::spec::{Isolation, ModelId, Spec};

/// One thing wrong with an order: where (JSON pointer, RFC 6901) and what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// JSON pointer into the body.
    pub pointer: String,
    /// One sentence that names the limit or the accepted values.
    pub detail: String,
}

impl Violation {
    /// A violation.
    pub fn new(pointer: impl ToString, detail: impl Into<String>) -> Self {
        Self { pointer: pointer.to_string(), detail: detail.into() }
    }
}

/// A row of the model table, as far as resolving needs it.
#[derive(Clone, Copy, Debug)]
pub struct ModelRow {
    /// Its id.
    pub id: ModelId,
    /// Its name.
    pub name: &'static str,
    /// Its options.
    pub options: &'static [OptionInfo],
    /// Whether a fault step takes down a process of its own.
    pub contains_faults: bool,
}

/// What the house decides, not the order.
#[derive(Clone, Copy, Debug)]
pub struct House<'a> {
    /// The models it offers.
    pub models: &'a [ModelRow],
    /// Whether fault steps are allowed.
    pub allow_faults: bool,
    /// The seed of an order that brings none.
    pub seed: u64,
}

/// Fills in a preset: what the order says itself comes first.
pub fn with_preset(ask: OrderAsk, bad: &mut Vec<Violation>) -> OrderAsk {
    let Some(name) = &ask.preset else { return ask };
    let Some(preset) = menu::preset(name) else {
        let names: Vec<_> = menu::presets().iter().map(|p| p.name.as_str()).collect();
        bad.push(Violation::new("/preset", format!("must be one of {}", names.join(", "))));
        return ask;
    };
    let base = preset.order.clone();
    let own_work = ask.recipe.is_some() || ask.io_ms.is_some() || ask.cpu_ms.is_some();
    let same_model = ask.model.is_none() || ask.model == base.model;
    OrderAsk {
        model: ask.model.or(base.model),
        setup: ask.setup.or(base.setup.filter(|_| same_model)),
        recipe: if own_work { ask.recipe } else { base.recipe },
        io_ms: if own_work { ask.io_ms } else { base.io_ms },
        cpu_ms: if own_work { ask.cpu_ms } else { base.cpu_ms },
        dishes: ask.dishes.or(base.dishes),
        step_order: ask.step_order.or(base.step_order),
        isolation: ask.isolation.or(base.isolation),
        speed: ask.speed.or(base.speed),
        max_in_flight: ask.max_in_flight.or(base.max_in_flight),
        arrivals: ask.arrivals.or(base.arrivals),
        preset: None,
        ..ask
    }
}

/// Resolves an order. All violations are reported at once.
pub fn order(ask: OrderAsk, house: House<'_>) -> Result<Spec, Vec<Violation>> {
    let mut bad = Vec::new();
    let ask = with_preset(ask, &mut bad);
    let row = model(&ask, house.models, &mut bad);
    let setup = options::resolve(row.name, row.options, &ask.setup.clone().unwrap_or_default(), "/setup", &mut bad);
    let recipe = super::resolve_recipe::recipe(&ask, house.allow_faults, &mut bad);
    let isolation = word(ask.isolation.as_deref(), &Isolation::NAMES, "/isolation", &mut bad);
    let order = word(ask.step_order.as_deref(), &StepOrder::NAMES, "/step_order", &mut bad);
    let mut number = |value: Option<u64>, default, min, max, name: &str| {
        let value = value.unwrap_or(default);
        if value < min || value > max {
            bad.push(Violation::new(format!("/{name}"), format!("must be from {min} to {max}")));
        }
        value.clamp(min, max)
    };
    let spec = Spec {
        model: row.id,
        setup,
        dishes: number(ask.dishes, 1, 1, limits::STEPS_PER_ORDER, "dishes") as u32,
        first_dish: 1,
        stride: 1,
        step_order: [StepOrder::Recipe, StepOrder::Sequential, StepOrder::Concurrent][order.unwrap_or(0)],
        isolation: match isolation {
            Some(i) => [Isolation::House, Isolation::Kitchen][i],
            None => Isolation::House,
        },
        speed: number(ask.speed, 1, 1, limits::SPEED, "speed") as u32,
        seed: number(ask.seed, house.seed, 0, (1 << 53) - 1, "seed"),
        max_in_flight: ask
            .max_in_flight
            .map(|n| number(Some(n), 1, 1, limits::STEPS_PER_ORDER, "max_in_flight") as u32),
        arrivals: None,
        timeout: ask.timeout_ms.map(|n| Duration::from_millis(number(Some(n), 1, 1, limits::TIMEOUT_MS, "timeout_ms"))),
        expires_in: ask
            .expires_in_ms
            .map(|n| Duration::from_millis(number(Some(n), 1, 1, limits::EXPIRES_IN_MS, "expires_in_ms"))),
        max_attempts: number(ask.max_attempts, 1, 1, limits::ATTEMPTS, "max_attempts") as u8,
        first_retry_wait: Duration::from_millis(number(
            ask.retry_wait_ms,
            limits::RETRY_WAIT_MS_DEFAULT,
            0,
            limits::RETRY_WAIT_MS,
            "retry_wait_ms",
        )),
        traceparent: None,
        labels: labels(ask.labels.as_ref(), &mut bad),
        recipe,
    };
    let spec = Spec { arrivals: resolve_lab::arrivals(ask.arrivals.as_ref(), &mut bad), ..spec };
    let spec = whole(spec, isolation.is_some(), row, &mut bad);
    if bad.is_empty() { Ok(spec) } else { Err(bad) }
}

/// What only the whole order can violate.
fn whole(mut spec: Spec, isolation_said: bool, row: ModelRow, bad: &mut Vec<Violation>) -> Spec {
    if spec.steps_total() > limits::STEPS_PER_ORDER {
        let detail = format!("an order has at most {} steps, this one {}", limits::STEPS_PER_ORDER, spec.steps_total());
        bad.push(Violation::new("/dishes", detail));
    }
    let cpu_ms: u64 = spec.recipe.steps.iter().map(|s| cpu_ms(s.work)).sum();
    if cpu_ms.saturating_mul(u64::from(spec.dishes)) > limits::CPU_MS_PER_ORDER {
        bad.push(Violation::new("/dishes", format!("an order has at most {} ms of CPU", limits::CPU_MS_PER_ORDER)));
    }
    let sum = |of: fn(Work) -> u64| spec.recipe.steps.iter().map(|s| of(s.work)).sum::<u64>();
    for (what, each, most) in [
        ("bytes", sum(exchanged_bytes), limits::EXCHANGE_BYTES),
        ("messages", sum(exchanged_messages), limits::EXCHANGE_MESSAGES),
    ] {
        if each.saturating_mul(u64::from(spec.dishes)) > most {
            bad.push(Violation::new("/dishes", format!("an order exchanges at most {most} {what}")));
        }
    }
    if spec.has_faults() && !row.contains_faults && spec.isolation == Isolation::House {
        if isolation_said {
            bad.push(Violation::new("/isolation", "a fault step needs isolation `kitchen` in this model"));
        }
        spec.isolation = Isolation::Kitchen;
    }
    spec
}

fn exchanged_messages(work: Work) -> u64 {
    if let Work::Exchange { messages, .. } = work { u64::from(messages) } else { 0 }
}

fn exchanged_bytes(work: Work) -> u64 {
    if let Work::Exchange { bytes, messages } = work { u64::from(bytes) * u64::from(messages) } else { 0 }
}

fn cpu_ms(work: Work) -> u64 {
    match work {
        Work::Iterations(n) => n / limits::ITERATIONS_PER_CPU_MS,
        Work::Burn(d) => d.as_millis() as u64,
        Work::Counter { increments, .. } => u64::from(increments) / limits::INCREMENTS_PER_CPU_MS,
        _ => 0,
    }
}

fn model(ask: &OrderAsk, models: &[ModelRow], bad: &mut Vec<Violation>) -> ModelRow {
    let found = models.iter().find(|row| Some(row.name) == ask.model.as_deref());
    found.copied().unwrap_or_else(|| {
        let names: Vec<_> = models.iter().map(|row| row.name).collect();
        bad.push(Violation::new("/model", format!("must be one of {}", names.join(", "))));
        ModelRow { id: ModelId(0), name: "this model", options: &[], contains_faults: false }
    })
}

pub(super) fn word(
    value: Option<&str>,
    words: &[&str],
    pointer: impl Display,
    bad: &mut Vec<Violation>,
) -> Option<usize> {
    let value = value?;
    let found = words.iter().position(|w| *w == value);
    if found.is_none() {
        bad.push(Violation::new(pointer, format!("must be one of {}", words.join(", "))));
    }
    found
}

fn labels(ask: Option<&LabelsAsk>, bad: &mut Vec<Violation>) -> Box<[(Box<str>, Box<str>)]> {
    let Some(LabelsAsk(pairs)) = ask else { return Box::default() };
    if pairs.len() > limits::LABELS {
        bad.push(Violation::new("/labels", format!("at most {} labels", limits::LABELS)));
    }
    for (key, value) in pairs {
        let pointer = format!("/labels/{}", key.replace('~', "~0").replace('/', "~1"));
        name(key, limits::LABEL_CHARS, &pointer, bad);
        if !value.is_empty() {
            name(value, limits::LABEL_CHARS, &pointer, bad);
        }
    }
    pairs.iter().map(|(k, v)| (k.as_str().into(), v.as_str().into())).collect()
}
