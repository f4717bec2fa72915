//! The same order under other circumstances: more CPU, longer waits, more dishes, a term of its time taken away.
//!
//! It deliberately cooks nothing: what would come of it is asked of [`super::foresee`].

use std::sync::Arc;

use super::foresee::Place;
use crate::domain::draw::Spread;
use crate::domain::limits;
use crate::domain::recipe::{Recipe, Step, Work};
use crate::domain::spec::{Choice, Spec};
use crate::model;
use crate::sim::Costs;

/// Cores that are as good as any number.
const PLENTY_OF_CORES: f64 = 1_024.0;

/// A part of an order's time that can be thought away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Term {
    /// Waits for the outside.
    Wait,
    /// Computing.
    Cpu,
    /// Waits for a core.
    CoreWait,
    /// The GIL: waits for it, and that only one computes.
    Gil,
    /// Waits for equipment.
    Equipment,
    /// Handing things to others.
    Exchange,
    /// Starts, hand-overs, late timers, bookkeeping.
    Overhead,
}

impl Term {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Wait, Self::Cpu, Self::CoreWait, Self::Gil, Self::Equipment, Self::Exchange, Self::Overhead];

    /// Name on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        ["wait", "cpu", "core_wait", "gil", "equipment", "exchange", "overhead"][self as usize]
    }

    /// As people say it.
    #[must_use]
    pub fn words(self) -> &'static str {
        [
            "waiting for the outside",
            "computing",
            "waiting for a core",
            "the GIL",
            "waiting for equipment",
            "handing things to others",
            "starts, hand-overs and bookkeeping",
        ][self as usize]
    }

    /// The order and the place without it.
    #[must_use]
    pub fn without(self, spec: &Spec, place: &Place) -> (Spec, Place) {
        let spec = match self {
            Self::Wait => Spec { speed: limits::SPEED as u32, ..spec.clone() },
            Self::Cpu => with_cpu(spec, 0.0),
            Self::Gil => with_gil(spec, false),
            Self::Equipment => with_steps(spec, |step| step.needs = Box::default()),
            Self::Exchange => with_steps(spec, without_exchange),
            Self::CoreWait | Self::Overhead => spec.clone(),
        };
        let mut place = place.clone();
        match self {
            Self::CoreWait => place.machine.cores = PLENTY_OF_CORES,
            Self::Overhead => place.costs.costs = Costs::zero(),
            _ => {}
        }
        (spec, place)
    }
}

/// A change that a user could think of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Change {
    /// So many times the CPU in each dish.
    Cpu(f64),
    /// Waits so many times as long.
    Wait(f64),
    /// So many times the dishes.
    Dishes(f64),
    /// A GIL where there was none, or none where there was one.
    Gil(bool),
}

impl Change {
    /// What is tried, small steps first; from each row the first that changes the answer is told.
    pub const TRIED: [&'static [Self]; 6] = [
        &[Self::Cpu(2.0), Self::Cpu(4.0), Self::Cpu(16.0)],
        &[Self::Cpu(0.5), Self::Cpu(0.25), Self::Cpu(0.0625)],
        &[Self::Wait(2.0), Self::Wait(4.0), Self::Wait(16.0)],
        &[Self::Wait(0.5), Self::Wait(0.25), Self::Wait(0.0625)],
        &[Self::Dishes(0.5), Self::Dishes(0.25), Self::Dishes(0.0625)],
        &[Self::Gil(true), Self::Gil(false)],
    ];

    /// Whether it changes anything of this order.
    #[must_use]
    pub fn concerns(self, spec: &Spec) -> bool {
        let any = |is: fn(Work) -> bool| spec.recipe.steps.iter().any(|step| is(step.work));
        match self {
            Self::Cpu(_) => any(Work::is_cpu),
            Self::Wait(_) => any(|work| !work.wait().is_zero()),
            Self::Dishes(factor) => f64::from(spec.dishes) * factor >= 1.0,
            Self::Gil(on) => with_gil(spec, on) != *spec,
        }
    }

    /// The order with it.
    #[must_use]
    pub fn applied(self, spec: &Spec) -> Spec {
        match self {
            Self::Cpu(factor) => with_cpu(spec, factor),
            Self::Wait(factor) => with_waits(spec, factor),
            Self::Dishes(factor) => Spec { dishes: (f64::from(spec.dishes) * factor) as u32, ..spec.clone() },
            Self::Gil(on) => with_gil(spec, on),
        }
    }

    /// As people say it, after "if".
    #[must_use]
    pub fn words(self) -> String {
        let times = |factor: f64| match factor {
            f if f < 1.0 => format!("1/{:.0} of", 1.0 / f),
            f => format!("{f:.0} times"),
        };
        match self {
            Self::Cpu(factor) => format!("a dish needed {} the CPU", times(factor)),
            Self::Wait(factor) => format!("waits took {} the time", times(factor)),
            Self::Dishes(factor) => format!("there were {} the dishes", times(factor)),
            Self::Gil(true) => "there were a GIL".to_owned(),
            Self::Gil(false) => "there were no GIL".to_owned(),
        }
    }
}

fn with_steps(spec: &Spec, change: impl Fn(&mut Step)) -> Spec {
    let mut recipe = Recipe::clone(&spec.recipe);
    recipe.steps.iter_mut().for_each(change);
    Spec { recipe: Arc::new(recipe), ..spec.clone() }
}

fn with_cpu(spec: &Spec, factor: f64) -> Spec {
    with_steps(spec, |step| match &mut step.work {
        Work::Burn(d) => *d = d.mul_f64(factor),
        Work::Iterations(n) => *n = (*n as f64 * factor) as u64,
        _ => {}
    })
}

fn with_waits(spec: &Spec, factor: f64) -> Spec {
    with_steps(spec, |step| {
        if let Work::Wait(d) | Work::BlockingWait(d) = &mut step.work {
            *d = d.mul_f64(factor);
        }
        step.spread = match step.spread {
            Spread::Constant => Spread::Constant,
            Spread::Uniform { low, high } => Spread::Uniform { low: low.mul_f64(factor), high: high.mul_f64(factor) },
            Spread::LogNormal { median, p95 } => {
                Spread::LogNormal { median: median.mul_f64(factor), p95: p95.mul_f64(factor) }
            }
            Spread::Exponential { mean } => Spread::Exponential { mean: mean.mul_f64(factor) },
        };
    })
}

fn without_exchange(step: &mut Step) {
    if let Work::Exchange { bytes, messages } = &mut step.work {
        (*bytes, *messages) = (0, 0);
    }
}

/// Where a model has no GIL, nothing changes.
fn with_gil(spec: &Spec, on: bool) -> Spec {
    let mut changed = spec.clone();
    for (option, choice) in model::get(spec.model).info().options.iter().zip(&mut changed.setup.0) {
        if option.name == "gil" {
            *choice = Choice::Truth(on);
        }
    }
    changed
}
