//! What a unit of work may take before its kitchen counts as hung, and what room an order needs in one process.
//!
//! Pure arithmetic on the order, the same for the kitchen, which limits itself by it, and the house, which watches it.
//! It deliberately estimates no duration: everything here is a bound that only what is broken goes beyond.

use std::time::Duration;

use crate::domain::limits;
use crate::domain::recipe::Work;
use crate::domain::spec::Spec;

/// The least anything gets that does more than wait: the start of a process on a machine at its limits (chosen).
pub(super) const LEAST: Duration = Duration::from_secs(10);
/// How many times its nominal CPU time work may use. A build without optimisation needs 5 times (measured: 10^7
/// iterations, 115 ms instead of 23), a slow machine perhaps twice.
const SLOWNESS: u32 = 10;
/// CPU time of handing out and writing down one step, at most; a build without optimisation needs about 10 us.
const BOOKING: Duration = Duration::from_micros(100);

/// Bytes of address space per step: the loop's future, its place in the line and the books, each vector grown by
/// doubling. Measured: 339 MiB for a million steps, 1,811 MiB for three million at once.
const STEP_BYTES: u64 = 1024;
/// Bytes of address space per thread: a stack of 256 KiB and the allocator's part for it. Measured: 2,022 MiB for 4,096.
const THREAD_BYTES: u64 = 1024 * 1024;
/// Threads that are there whatever the order: the house's pool of at most 32, the loop, those that hear children.
const THREADS: u64 = 40;
/// Descriptors that are there whatever the order: three pipes, a loop's own, the counters of the threads above.
const DESCRIPTORS: u64 = 64;
/// Descriptors per child: two pipes, a pidfd while it ends, one to spare.
const DESCRIPTORS_PER_CHILD: u64 = 4;

/// CPU time of handing over a message, beside a nanosecond for each byte (measured: at most 5 us over the pipe, 0.3 ns a byte).
const MESSAGE: Duration = Duration::from_micros(10);

/// CPU time that this work takes where the limits were measured.
fn nominal(work: Work) -> Duration {
    match work {
        Work::Iterations(n) => Duration::from_micros(n / (limits::ITERATIONS_PER_CPU_MS / 1_000)),
        Work::Burn(cpu) => cpu,
        Work::Counter { increments, .. } => {
            Duration::from_micros(u64::from(increments) * 1_000 / limits::INCREMENTS_PER_CPU_MS)
        }
        Work::Exchange { bytes, messages } => MESSAGE * messages + Duration::from_nanos(u64::from(bytes)) * messages,
        Work::Wait(_) | Work::BlockingWait(_) | Work::Fault(_) | Work::PassingFault { .. } => Duration::ZERO,
    }
}

/// How long a kitchen with this step in hand may be at rest before it is looked at: a wait has its length, and whatever
/// computes is not meant to rest at all.
pub(super) fn patience(work: Work) -> Duration {
    match work {
        Work::Wait(length) | Work::BlockingWait(length) => length,
        _ => LEAST.max(nominal(work)),
    }
}

/// CPU time a step may use.
pub(super) fn cpu_of_step(work: Work) -> Duration {
    LEAST.max(nominal(work) * SLOWNESS)
}

/// The works of one dish, waits as long as they can be.
fn works(spec: &Spec) -> impl Iterator<Item = Work> {
    spec.recipe.steps.iter().map(|step| match step.work {
        Work::Wait(d) => Work::Wait(step.spread.longest(d) / spec.speed),
        Work::BlockingWait(d) => Work::BlockingWait(step.spread.longest(d) / spec.speed),
        other => other,
    })
}

/// How long a kitchen with whole dishes in hand may be at rest without news: no step in progress takes longer, and no
/// dish arrives later.
pub(super) fn patience_with_dishes(spec: &Spec) -> Duration {
    let last = Duration::from_nanos(spec.arrival(spec.dish(spec.dishes - 1)));
    works(spec).map(patience).fold(LEAST, Duration::max) + last
}

/// CPU time the dishes may use together.
pub(super) fn cpu_of_dishes(spec: &Spec) -> Duration {
    let dish: Duration = works(spec).map(|work| nominal(work) * SLOWNESS + BOOKING).sum();
    LEAST + dish.saturating_mul(spec.dishes)
}

/// Descriptors that so many threads and children of a process need, and it itself.
pub(super) fn descriptors(threads: u64, children: u64) -> u64 {
    DESCRIPTORS + threads + children * DESCRIPTORS_PER_CHILD
}

/// What an order needs of one process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Room {
    /// Bytes of address space beyond what every kitchen gets.
    pub(super) memory: u64,
    /// Open descriptors.
    pub(super) descriptors: u64,
}

impl Room {
    /// For a kitchen that does single steps.
    pub(super) const STEPS: Self = Self { memory: 0, descriptors: DESCRIPTORS };

    /// For these dishes, cooked in one process with as many cores. A computing thread holds a descriptor (its counter of
    /// the time without a core), a kitchen below this one four.
    pub(super) fn of(spec: &Spec, cores: usize) -> Self {
        let demand = crate::model::get(spec.model).demand(spec);
        let threads = u64::from(demand.threads) + THREADS;
        let children = u64::from(demand.children) + cores as u64;
        Self {
            memory: spec.steps_total() * STEP_BYTES + threads * THREAD_BYTES,
            descriptors: descriptors(threads, children),
        }
    }
}
