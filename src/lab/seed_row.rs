//! What the post that the project grew from would say: its table of three rows, held against what was measured.
//!
//! The table: asyncio and multithreading are best for I/O-bound work, multiprocessing for CPU-bound work. It deliberately
//! knows no more of it than that.

use super::plan::{self, Machine};
use super::recommend::Crossover;
use crate::domain::spec::Spec;
use crate::model;

/// The table's answer for this work, beside the measured one.
#[derive(Clone, Debug, PartialEq)]
pub struct SeedRow {
    /// Whether a dish waits longer than it computes.
    pub is_io_bound: bool,
    /// What the table recommends for such work.
    pub says: &'static [&'static str],
    /// Whether the measured answer is one of these.
    pub agrees: bool,
    /// Why, in a sentence.
    pub why: String,
}

/// Holds the recommended order against the table.
#[must_use]
pub fn of(best: &Spec, machine: Machine, crossover: Option<Crossover>) -> SeedRow {
    let demands = plan::demands(best);
    let wait = demands.wait + demands.blocking;
    let is_io_bound = wait >= demands.cpu;
    let says: &[&str] = if is_io_bound { &["asyncio", "multithreading"] } else { &["multiprocessing"] };
    let name = model::get(best.model).info().name;
    let agrees = says.contains(&name);
    let why = match (agrees, is_io_bound) {
        (true, true) => format!("a dish waits {:.0} ms and computes {:.0} ms", 1e3 * wait, 1e3 * demands.cpu),
        (true, false) => format!("a dish computes {:.0} ms and waits {:.0} ms", 1e3 * demands.cpu, 1e3 * wait),
        (false, true) => although_io_bound(best, wait, demands.cpu),
        (false, false) => although_cpu_bound(machine, crossover),
    };
    SeedRow { is_io_bound, says, agrees, why }
}

fn although_io_bound(best: &Spec, wait: f64, cpu: f64) -> String {
    let all = cpu * f64::from(best.dishes);
    if all > wait {
        let (dishes, wait) = (best.dishes, 1e3 * wait);
        return format!(
            "each dish mostly waits, but all {dishes} together compute {all:.2} s, which one chef does alone while \
             the waits of {wait:.0} ms overlap"
        );
    }
    "the waits overlap in all of them, so that small costs decide".to_owned()
}

fn although_cpu_bound(machine: Machine, crossover: Option<Crossover>) -> String {
    if machine.cores < 1.5 {
        return format!("this machine gives {:.1} cores, so processes have nowhere to run in parallel", machine.cores);
    }
    match crossover {
        Some(Crossover { above_ms: Some(above_ms), cpu_ms, .. }) if cpu_ms < above_ms => {
            format!("processes pay from {above_ms:.2} ms of CPU a dish here, and a dish needs {cpu_ms:.2} ms")
        }
        _ => "without a GIL threads compute in parallel too, and cost less than processes".to_owned(),
    }
}
