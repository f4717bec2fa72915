//! What a comparison can afford: closed forms for the makespan of each model, and how many dishes fit a time budget.
//!
//! The closed forms (laboratory: identical dishes; a GIL is one core) are for planning, and shown beside the measurement
//! as what one would expect by hand. They deliberately ignore start and message costs.

use std::time::Duration;

use crate::domain::recipe::Work;
use crate::domain::spec::Spec;
use crate::model::{self, HouseSize};

/// A dish's demands, seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Demands {
    /// Waits that free the chef of an event loop.
    pub(super) wait: f64,
    /// Waits that keep him.
    pub(super) blocking: f64,
    /// CPU.
    pub(super) cpu: f64,
}

/// What 400,000 iterations count as, seconds per iteration.
const SECONDS_PER_ITERATION: f64 = 0.001 / crate::domain::limits::ITERATIONS_PER_CPU_MS as f64;

/// What 10,000 increments count as, seconds per increment.
const SECONDS_PER_INCREMENT: f64 = 0.001 / crate::domain::limits::INCREMENTS_PER_CPU_MS as f64;

/// What one dish of this order demands.
pub(super) fn demands(spec: &Spec) -> Demands {
    let mut sum = Demands { wait: 0.0, blocking: 0.0, cpu: 0.0 };
    for step in &spec.recipe.steps {
        let wait = |d: Duration| d.as_secs_f64() / f64::from(spec.speed);
        match step.work {
            Work::Wait(d) => sum.wait += wait(d),
            Work::BlockingWait(d) => sum.blocking += wait(d),
            Work::Iterations(n) => sum.cpu += n as f64 * SECONDS_PER_ITERATION,
            Work::Burn(d) => sum.cpu += d.as_secs_f64(),
            Work::Counter { increments, .. } => sum.cpu += f64::from(increments) * SECONDS_PER_INCREMENT,
            Work::Exchange { .. } | Work::Fault(_) | Work::PassingFault { .. } => {}
        }
    }
    sum
}

/// What a machine offers to an order.
#[derive(Clone, Copy, Debug)]
pub struct Machine {
    /// CPU seconds per second.
    pub cores: f64,
    /// The house's staff.
    pub house: HouseSize,
}

/// How many steps of this order can compute at the same time, cores aside.
#[must_use]
pub fn computing(spec: &Spec, machine: Machine) -> f64 {
    let shape = model::get(spec.model).shape(spec, machine.house);
    f64::from(shape.computing.clamp(1, spec.dishes.max(1)))
}

/// How many cores this order can use, at most.
#[must_use]
pub fn cores(spec: &Spec, machine: Machine) -> f64 {
    machine.cores.min(computing(spec, machine))
}

/// What one dish adds to a makespan at least, milliseconds, if its steps use so much CPU: its CPU over the cores the order can
/// use, or the time its steps keep a worker over the workers.
#[must_use]
pub fn least_per_dish_ms(spec: &Spec, machine: Machine, cpu_ms: f64) -> f64 {
    let (d, shape) = (demands(spec), model::get(spec.model).shape(spec, machine.house));
    let waits_ms = 1e3 * (d.blocking + if shape.waits_free { 0.0 } else { d.wait });
    (cpu_ms / cores(spec, machine)).max((waits_ms + cpu_ms) / f64::from(shape.workers.max(1)))
}

/// The makespan one expects of this order on this machine, seconds.
#[must_use]
pub fn expected(spec: &Spec, machine: Machine) -> f64 {
    let d = demands(spec);
    let shape = model::get(spec.model).shape(spec, machine.house);
    let (n, k) = (f64::from(spec.dishes), f64::from(shape.workers.clamp(1, spec.dishes.max(1))));
    let cpu = (n * d.cpu / cores(spec, machine)).max(d.cpu);
    let blocking = (n * d.blocking / k).max(d.blocking);
    // Waits that free their worker overlap; others are taken before CPU, for they were ready before (FIFO).
    let wait = if shape.waits_free { d.wait } else { (n * d.wait / k).max(d.wait) };
    let all_at_once = wait + blocking + cpu;
    match &spec.arrivals {
        None => all_at_once,
        Some(arrivals) => all_at_once.max((n - 1.0) / f64::from(arrivals.rate_per_s) + d.wait + d.blocking + d.cpu),
    }
}

/// Number of dishes that fills the house's pool and its kitchens evenly: their least common multiple. A size that leaves
/// some of them idle in the last round would bend the line through two sizes.
#[must_use]
pub fn round(house: HouseSize) -> u32 {
    let (mut a, mut b) = (house.pool.max(1), house.kitchens.max(1));
    while b > 0 {
        (a, b) = (b, a % b);
    }
    house.pool.max(1) / a * house.kitchens.max(1)
}

/// How many of an order's dishes fit: all of them, or two rounds, four, six ...
///
/// `cost` is what all repeats of the whole line-up take with so many dishes, seconds; a sample takes half as many
/// dishes once more.
#[must_use]
pub fn fitting(dishes: u32, round: u32, budget: Duration, cost: impl Fn(u32) -> f64) -> u32 {
    let fits = |seconds: f64| seconds <= budget.as_secs_f64();
    if fits(cost(dishes)) {
        return dishes;
    }
    let sampled = |n: u32| cost(n) + cost(n / 2);
    let mut n = 2 * round;
    while n + 2 * round < dishes && fits(sampled(n + 2 * round)) {
        n += 2 * round;
    }
    n.min(dishes)
}

/// There and back again, so that a drift of the machine meets all entries alike.
#[must_use]
pub fn interleaved(entries: usize, repeat: usize) -> Vec<usize> {
    if repeat.is_multiple_of(2) { (0..entries).collect() } else { (0..entries).rev().collect() }
}
