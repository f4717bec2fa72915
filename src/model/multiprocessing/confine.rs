//! The limits a kitchen puts on itself, first thing, before it has a second thread.
//!
//! They bound what a defect can do to the house; they are no sandbox, for a kitchen runs our own code only. Memory,
//! descriptors and CPU time are soft limits, which the kitchen raises when it is given an order that needs more, and so
//! the kitchens below it are not bound by its own. A kernel that refuses one of them is no reason not to cook.

use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::bounds::{self, Room};
use super::ring::FILE_BYTES;
use crate::clock;
use crate::domain::recipe::Work;
use crate::domain::spec::Spec;

/// Added to the kernel's choice of whom to end when memory runs out (`/proc/PID/oom_score_adj`): a
/// kitchen rather than the house. 1000 would be "always, and first" (chosen).
const OOM_SCORE_ADJ: &[u8] = b"800";
/// What the kernel's limit allows above the house's own: two seconds for the house to notice first.
const CPU_MARGIN: Duration = Duration::from_secs(2);

/// What a kitchen has allowed itself.
pub(super) struct Confinement {
    /// Bytes of address space every kitchen gets; `None` is no limit.
    memory: Option<u64>,
    granted: Room,
}

impl Confinement {
    /// Takes effect for this process and, but for the soft limits, for all below it.
    pub(super) fn new(memory: Option<u64>) -> Self {
        let _ = rustix::thread::set_no_new_privs(true);
        // A core dump of a hundred kitchens fills a disk; a kitchen has no file to write but what it shares with kitchens
        // of its own, which lies in memory.
        for (resource, bytes) in [(Resource::Core, 0), (Resource::Fsize, FILE_BYTES)] {
            let _ = setrlimit(resource, Rlimit { current: Some(bytes), maximum: Some(bytes) });
        }
        // 10 us with its open and close; there is no call for it.
        let _ = std::fs::write("/proc/self/oom_score_adj", OOM_SCORE_ADJ);
        let confinement = Self { memory, granted: Room::STEPS };
        confinement.apply();
        confinement
    }

    /// Bytes of address space every kitchen gets.
    pub(super) fn memory(&self) -> Option<u64> {
        self.memory
    }

    fn apply(&self) {
        if let Some(memory) = self.memory {
            soft(Resource::As, memory.saturating_add(self.granted.memory));
        }
        soft(Resource::Nofile, self.granted.descriptors);
    }

    /// Makes room for whole dishes. What was granted stays: an allocator does not give addresses back.
    pub(super) fn widen(&mut self, spec: &Spec, cores: usize) {
        let needed = Room::of(spec, cores);
        self.granted.memory = self.granted.memory.max(needed.memory);
        self.granted.descriptors = self.granted.descriptors.max(needed.descriptors);
        self.apply();
        allow_cpu(Some(bounds::cpu_of_dishes(spec)));
    }
}

/// Does this work under a limit of CPU time if it computes. A wait is spared the two calls: it uses none.
pub(super) fn within_cpu<T>(work: Work, perform: impl FnOnce() -> T) -> T {
    if !work.is_cpu() {
        return perform();
    }
    allow_cpu(Some(bounds::cpu_of_step(work)));
    let done = perform();
    // The limit is the process's, and the next million waits are not this step's.
    allow_cpu(None);
    done
}

/// Limits CPU time to this much from now on; beyond it the kernel sends SIGXCPU, which ends a process.
pub(super) fn allow_cpu(more: Option<Duration>) {
    let used = Duration::from_nanos(clock::process_cpu());
    let limit = more.map(|more| (used + more + CPU_MARGIN).as_secs() + 1);
    let maximum = getrlimit(Resource::Cpu).maximum;
    let current = limit.map_or(maximum, |limit| Some(limit.min(maximum.unwrap_or(u64::MAX))));
    let _ = setrlimit(Resource::Cpu, Rlimit { current, maximum });
}

fn soft(resource: Resource, wanted: u64) {
    let maximum = getrlimit(resource).maximum;
    let current = Some(wanted.min(maximum.unwrap_or(u64::MAX)));
    let _ = setrlimit(resource, Rlimit { current, maximum });
}
