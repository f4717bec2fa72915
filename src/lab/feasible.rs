//! Whether this machine and this house could really do what was foreseen, and if not, which limit says so.
//!
//! Limits are read from the kernel once, at the start. It deliberately forbids nothing: an infeasible order has a
//! forecast like any other.

use rustix::process::{Resource, getrlimit};

use crate::domain::limits;
use crate::domain::spec::Spec;
use crate::model::{self, Demand};
use crate::sim::{Ending, Forecast};

/// What the kernel and the house allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Threads and processes of the machine that can have a number (`kernel.pid_max`).
    pub pid_max: u64,
    /// Threads of the machine (`kernel.threads-max`).
    pub threads_max: u64,
    /// Threads and processes of this user (`RLIMIT_NPROC`).
    pub nproc: u64,
    /// Bytes of memory of the machine.
    pub memory_bytes: u64,
    /// What the house leases to orders.
    pub budget: Demand,
}

impl Limits {
    /// As they are now. What cannot be read is no limit.
    #[must_use]
    pub fn read(budget: Demand) -> Self {
        let text = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let number = |path: &str| text(path).trim().parse().unwrap_or(u64::MAX);
        let meminfo = text("/proc/meminfo");
        let total =
            meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:")?.split_whitespace().next()?.parse().ok());
        Self {
            pid_max: number("/proc/sys/kernel/pid_max"),
            threads_max: number("/proc/sys/kernel/threads-max"),
            nproc: getrlimit(Resource::Nproc).current.unwrap_or(u64::MAX),
            memory_bytes: total.map_or(u64::MAX, |kib: u64| kib.saturating_mul(1024)),
            budget,
        }
    }

    /// The first limit this order would break, in a sentence.
    #[must_use]
    pub fn broken_by(&self, spec: &Spec, forecast: &Forecast) -> Option<String> {
        let Demand { threads, children } = model::demand(spec);
        let (threads, children) = (u64::from(threads), u64::from(children));
        let all = threads + children;
        let table = [
            (all, self.pid_max, "process ids", "pid_max"),
            (all, self.threads_max, "threads", "threads-max"),
            (all, self.nproc, "threads and processes", "RLIMIT_NPROC"),
            (forecast.peak_memory_bytes, self.memory_bytes, "bytes", "the memory of this machine"),
            (threads, u64::from(self.budget.threads), "threads", "the house's budget"),
            (children, u64::from(self.budget.children), "children", "the house's budget"),
            (spec.steps_total(), limits::STEPS_PER_ORDER, "steps", "the limit of an order"),
        ];
        match forecast.ending {
            Ending::Deadlock => return Some("its steps wait for each other's equipment for ever".to_owned()),
            Ending::TooLong => return Some("it takes longer than can be foreseen: a hundred days of CPU".to_owned()),
            Ending::Done => {}
        }
        let broken = table.into_iter().find(|(needs, limit, ..)| needs > limit);
        broken.map(|(needs, limit, what, name)| format!("would need {needs} {what}; {name} is {limit}"))
    }
}
