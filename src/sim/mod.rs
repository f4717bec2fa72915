//! What an order would do: a discrete-event simulation in virtual time, for any number of cores and up to a million dishes.
//!
//! It mirrors the executors of `src/model/`, down to the order of their queues, and shares with them what decides: the order of
//! steps, the draws, the GIL's protocol and the racks of equipment (`src/domain/`). Integer nanoseconds, no clock, no randomness of its own: the same question has the same answer. It
//! deliberately knows no model by name; who does writes a [`Plan`].

mod actor;
mod agenda;
mod arrivals;
mod books;
mod brigade;
mod cores;
mod costs;
mod desk;
mod engine;
mod gil;
mod host;
#[cfg(test)]
mod laws;
mod memory;
mod open;
mod path;
mod plan;
mod pools;
#[cfg(test)]
mod queueing;
mod step;
mod supply;
mod tools;
mod works;

pub use costs::Costs;
pub use path::{Path, Term};
pub use plan::{Channel, Crew, Inside, Plan};
pub use supply::Supply;

use crate::domain::Ns;
use crate::domain::spec::Spec;
use engine::Sim;

/// How a simulation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// All dishes are done.
    Done,
    /// Dishes wait for each other's equipment, for ever.
    Deadlock,
    /// It was not begun: it would take more than [`LONGEST`] of CPU, or waits beyond counting.
    TooLong,
}

/// What an order would do.
#[derive(Clone, Debug, PartialEq)]
pub struct Forecast {
    /// How it ended.
    pub ending: Ending,
    /// From start to the end of the last step.
    pub makespan: Ns,
    /// Mean completion time of a dish.
    pub mean_dish: Ns,
    /// Median of the same.
    pub p50_dish: Ns,
    /// 95th percentile of the same (linear between neighbours).
    pub p95_dish: Ns,
    /// Dishes that are done.
    pub dishes: u32,
    /// CPU time, overhead included.
    pub cpu: Ns,
    /// Time that was spent runnable without a core, by all together.
    pub core_wait: Ns,
    /// Time that was spent waiting for the GIL.
    pub gil_wait: Ns,
    /// Time that was spent waiting for equipment.
    pub equipment_wait: Ns,
    /// Time that steps were ready and nobody took them up.
    pub queue: Ns,
    /// Starts, hand-overs, late timers, bookkeeping: time of all together that is neither work nor wait.
    pub overhead: Ns,
    /// Bytes of all processes at their peak.
    pub peak_memory_bytes: u64,
    /// Threads and processes alive at once, the most.
    pub workers: u32,
    /// Share of the cores that was used.
    pub core_utilisation: f64,
    /// Where the time went on the way to the last end; adds up to the makespan.
    pub path: Path,
    /// No schedule takes less.
    pub lower_bound: Ns,
    /// No schedule of this kind takes more.
    pub upper_bound: Ns,
}

impl Forecast {
    /// The term that decides the makespan.
    #[must_use]
    pub fn dominant(&self) -> Term {
        self.path.dominant()
    }
}

/// CPU time beyond which nothing is simulated: about a hundred days, which an `f64` counts in nanoseconds.
pub const LONGEST: Ns = 1 << 53;

/// Simulates an order on a machine that supplies so much.
#[must_use]
pub fn run(spec: &Spec, plan: Plan, costs: &Costs, supply: &Supply) -> Forecast {
    let mut sim = Sim::new(spec, plan, costs, supply.clone());
    let demand = works::demand(spec, costs, sim.kitchens(), |bytes, messages| sim.price(bytes, messages));
    if demand.cpu > LONGEST || demand.serial() > Ns::MAX / 4 {
        return nothing(Ending::TooLong);
    }
    sim.open(demand.held);
    sim.run();
    let (busy, core_wait) = sim.cores.totals();
    let books = sim.books;
    let (makespan, path) = books.last;
    let (mean_dish, p50_dish, p95_dish) = books::spread(books.dishes);
    let peak_memory_bytes = memory::peak(spec, &plan, costs, books.most_alive);
    let overhead = books.total.of(Term::Overhead);
    let cores = supply.cores();
    // Where few get less than a core each, whatever computes takes longer by as much.
    let upper = (works::upper_bound(spec, &plan, &demand, cores) as f64 / supply.worst()) as Ns;
    Forecast {
        ending: if books.over == spec.dishes { Ending::Done } else { Ending::Deadlock },
        makespan,
        mean_dish,
        p50_dish,
        p95_dish,
        dishes: books.over,
        cpu: busy,
        core_wait,
        gil_wait: books.total.of(Term::GilWait),
        equipment_wait: books.total.of(Term::EquipmentWait),
        queue: books.queue,
        overhead,
        peak_memory_bytes,
        workers: books.most_alive,
        core_utilisation: if makespan == 0 { 0.0 } else { (busy as f64 / (cores * makespan as f64)).min(1.0) },
        path,
        lower_bound: works::lower_bound(&plan, &demand, cores),
        upper_bound: upper.saturating_add((overhead as f64 / supply.worst() / cores.min(1.0)) as Ns),
    }
}

/// A forecast of nothing.
fn nothing(ending: Ending) -> Forecast {
    Forecast {
        ending,
        makespan: 0,
        mean_dish: 0,
        p50_dish: 0,
        p95_dish: 0,
        dishes: 0,
        cpu: 0,
        core_wait: 0,
        gil_wait: 0,
        equipment_wait: 0,
        queue: 0,
        overhead: 0,
        peak_memory_bytes: 0,
        workers: 0,
        core_utilisation: 0.0,
        path: Path::default(),
        lower_bound: 0,
        upper_bound: 0,
    }
}
