//! The same order under other circumstances: more CPU, longer waits, more dishes, other arrivals, more or less equipment, a
//! term of its time taken away.
//!
//! It deliberately cooks nothing: what would come of it is asked of [`super::foresee`].

use std::sync::Arc;

use super::foresee::Place;
use crate::domain::arrivals::Arrivals;
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
    /// Dishes asked for so many times as often, where they arrive by the clock.
    Rate(f64),
    /// So many times the pieces of each equipment.
    Capacity(f64),
    /// A GIL where there was none, or none where there was one.
    Gil(bool),
}

impl Change {
    /// What is tried, small steps first; from each row the first that changes the answer is told.
    pub const TRIED: [&'static [Self]; 11] = [
        &[Self::Cpu(2.0), Self::Cpu(4.0), Self::Cpu(16.0)],
        &[Self::Cpu(0.5), Self::Cpu(0.25), Self::Cpu(0.0625)],
        &[Self::Wait(2.0), Self::Wait(4.0), Self::Wait(16.0)],
        &[Self::Wait(0.5), Self::Wait(0.25), Self::Wait(0.0625)],
        &[Self::Dishes(2.0), Self::Dishes(4.0), Self::Dishes(16.0)],
        &[Self::Dishes(0.5), Self::Dishes(0.25), Self::Dishes(0.0625)],
        &[Self::Rate(2.0), Self::Rate(4.0), Self::Rate(16.0)],
        &[Self::Rate(0.5), Self::Rate(0.25), Self::Rate(0.0625)],
        &[Self::Capacity(2.0), Self::Capacity(4.0), Self::Capacity(16.0)],
        &[Self::Capacity(0.5), Self::Capacity(0.25), Self::Capacity(0.0625)],
        &[Self::Gil(true), Self::Gil(false)],
    ];

    /// Whether it changes anything of this order, of which a forecast may have so many dishes.
    #[must_use]
    pub fn concerns(self, spec: &Spec, most_dishes: u32) -> bool {
        let any = |is: fn(Work) -> bool| spec.recipe.steps.iter().any(|step| is(step.work));
        match self {
            Self::Cpu(_) => any(Work::is_cpu),
            Self::Wait(_) => any(|work| !work.wait().is_zero()),
            Self::Dishes(factor) => (1.0..=f64::from(most_dishes)).contains(&(f64::from(spec.dishes) * factor)),
            Self::Rate(factor) => spec.arrivals.as_ref().is_some_and(|arrivals| {
                (1.0..=limits::ARRIVALS_PER_S as f64).contains(&(f64::from(arrivals.rate_per_s) * factor))
            }),
            Self::Capacity(factor) => spec.recipe.equipment.iter().any(|e| f64::from(e.capacity) * factor >= 1.0),
            Self::Gil(on) => with_gil(spec, on) != *spec,
        }
    }

    /// The order with it.
    #[must_use]
    pub fn applied(self, spec: &Spec) -> Spec {
        match self {
            Self::Cpu(factor) => with_cpu(spec, factor),
            Self::Wait(factor) => with_waits(spec, factor),
            Self::Dishes(factor) => Spec { dishes: times(spec.dishes, factor), ..spec.clone() },
            Self::Rate(factor) => {
                let faster = |a: &Arrivals| Arrivals::new(times(a.rate_per_s, factor).max(1), a.process);
                Spec { arrivals: spec.arrivals.as_deref().map(|a| Box::new(faster(a))), ..spec.clone() }
            }
            Self::Capacity(factor) => with_capacity(spec, factor),
            Self::Gil(on) => with_gil(spec, on),
        }
    }

    /// As people say it, after "if".
    #[must_use]
    pub fn words(self) -> String {
        let times = |factor: f64| format!("{} {}", fraction(factor), if factor < 1.0 { "of" } else { "times" });
        let often = |factor: f64| format!("{}{}", fraction(factor), if factor < 1.0 { "" } else { " times" });
        match self {
            Self::Cpu(factor) => format!("a dish needed {} the CPU", times(factor)),
            Self::Wait(factor) => format!("waits took {} the time", times(factor)),
            Self::Dishes(factor) => format!("there were {} the dishes", times(factor)),
            Self::Rate(factor) => format!("dishes arrived {} as often", often(factor)),
            Self::Capacity(factor) => format!("there were {} the equipment", times(factor)),
            Self::Gil(true) => "there were a GIL".to_owned(),
            Self::Gil(false) => "there were no GIL".to_owned(),
        }
    }
}

/// A factor as people write it.
pub(super) fn fraction(factor: f64) -> String {
    if factor < 1.0 { format!("1/{:.0}", 1.0 / factor) } else { format!("{factor:.0}") }
}

fn times(n: u32, factor: f64) -> u32 {
    (f64::from(n) * factor) as u32
}

fn with_capacity(spec: &Spec, factor: f64) -> Spec {
    let mut recipe = Recipe::clone(&spec.recipe);
    recipe.equipment.iter_mut().for_each(|equipment| equipment.capacity = times(equipment.capacity, factor).max(1));
    Spec { recipe: Arc::new(recipe), ..spec.clone() }
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
        Work::Counter { increments, .. } => *increments = times(*increments, factor),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::recipe::Equipment;

    /// An order of one step of this kind.
    fn order(work: Work, dishes: u32) -> Spec {
        let recipe = Recipe { name: "one".into(), steps: [Step::plain("one", work)].into(), equipment: Box::default() };
        Spec { recipe: Arc::new(recipe), dishes, ..crate::domain::menu::example("pasta", dishes) }
    }

    #[test]
    fn a_counter_is_cpu_and_is_changed_and_thought_away_like_it() {
        let spec = order(Work::Counter { increments: 1_000, locked: true }, 8);
        assert!(Change::Cpu(4.0).concerns(&spec, 8));
        let work = |spec: &Spec| spec.recipe.steps[0].work;
        assert_eq!(work(&Change::Cpu(4.0).applied(&spec)), Work::Counter { increments: 4_000, locked: true });
        assert_eq!(work(&with_cpu(&spec, 0.0)), Work::Counter { increments: 0, locked: true });
    }

    #[test]
    fn dishes_are_many_times_as_many_up_to_what_a_forecast_may_have() {
        let spec = order(Work::Wait(std::time::Duration::from_millis(1)), 100);
        let may = |factor| Change::Dishes(factor).concerns(&spec, 400);
        assert_eq!([2.0, 4.0, 16.0, 0.0625].map(may), [true, true, false, true]);
        assert_eq!(Change::Dishes(4.0).applied(&spec).dishes, 400);
        assert!(!Change::Rate(2.0).concerns(&spec, 400) && !Change::Capacity(2.0).concerns(&spec, 400));
    }

    #[test]
    fn arrivals_and_equipment_are_changed_where_an_order_has_them() {
        let mut spec = order(Work::Wait(std::time::Duration::from_millis(1)), 100);
        spec.arrivals = Some(Box::new(Arrivals::new(8, crate::domain::arrivals::Process::Uniform)));
        Arc::make_mut(&mut spec.recipe).equipment =
            [Equipment { name: "stove".into(), capacity: 4, shared: false }].into();
        let rate = |factor| Change::Rate(factor).applied(&spec).arrivals.unwrap().rate_per_s;
        assert_eq!((rate(2.0), rate(0.25), Change::Rate(0.0625).concerns(&spec, 100)), (16, 2, false));
        let capacity = |factor| Change::Capacity(factor).applied(&spec).recipe.equipment[0].capacity;
        assert_eq!((capacity(4.0), capacity(0.25), Change::Capacity(0.0625).concerns(&spec, 100)), (16, 1, false));
    }
}
