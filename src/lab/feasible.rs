//! Whether this machine and this house could really do what was foreseen, and if not, which limit says so.
//!
//! Limits are read from the kernel once, at the start: the machine's, those of the control groups a container lives in,
//! and this process's own. It deliberately forbids nothing: an infeasible order has a forecast like any other. And it
//! looks at limits alone: what others have used of them already may be gone when the order is placed.

use rustix::process::{Resource, getrlimit};

use super::cgroup::{self, Limit};
use crate::domain::limits;
use crate::domain::spec::{Isolation, Spec};
use crate::model::multiprocessing::descriptors;
use crate::model::{self, Demand};
use crate::sim::{Ending, Forecast};

/// Memory areas of a thread: its stack and the one for signals, each with a guard (counted in `/proc/self/maps`: 4.1).
const MAPS_PER_THREAD: u64 = 4;
/// Memory areas of a process that has done nothing yet, likewise: 30 and the allocator's.
const MAPS: u64 = 100;

/// What the kernel and the house allow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Threads and processes of the machine that can have a number (`kernel.pid_max`).
    pub pid_max: u64,
    /// Threads of the machine (`kernel.threads-max`).
    pub threads_max: u64,
    /// Memory areas of a process (`vm.max_map_count`).
    pub max_map_count: u64,
    /// Threads and processes of this user (`RLIMIT_NPROC`).
    pub nproc: u64,
    /// Open descriptors of this process, and what it can raise them to (`RLIMIT_NOFILE`).
    pub descriptors: [u64; 2],
    /// Bytes of memory of the machine.
    pub memory_bytes: u64,
    /// Bytes of memory of the control group, if it has a limit.
    pub group_memory: Option<Limit>,
    /// Threads and processes of the control group, if it has a limit.
    pub group_tasks: Option<Limit>,
    /// What the house leases to orders.
    pub budget: Demand,
}

impl Limits {
    /// As they are now. What cannot be read is no limit.
    #[must_use]
    pub fn read(budget: Demand) -> Self {
        let process = |resource| {
            let limit = getrlimit(resource);
            [limit.current, limit.maximum].map(|limit| limit.unwrap_or(u64::MAX))
        };
        let [nproc, _] = process(Resource::Nproc);
        Self::of(&|path| std::fs::read_to_string(path).ok(), nproc, process(Resource::Nofile), budget)
    }

    /// By files of the kernel, read through `read`, and limits of the process.
    #[must_use]
    pub fn of(read: &dyn Fn(&str) -> Option<String>, nproc: u64, descriptors: [u64; 2], budget: Demand) -> Self {
        let number = |path: &str| read(path).and_then(|text| text.trim().parse().ok()).unwrap_or(u64::MAX);
        let meminfo = read("/proc/meminfo").unwrap_or_default();
        let total =
            meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:")?.split_whitespace().next()?.parse().ok());
        Self {
            pid_max: number("/proc/sys/kernel/pid_max"),
            threads_max: number("/proc/sys/kernel/threads-max"),
            max_map_count: number("/proc/sys/vm/max_map_count"),
            nproc,
            descriptors,
            memory_bytes: total.map_or(u64::MAX, |kib: u64| kib.saturating_mul(1024)),
            group_memory: cgroup::memory(read),
            group_tasks: cgroup::tasks(read),
            budget,
        }
    }

    /// The first limit this order would break, in a sentence.
    #[must_use]
    pub fn broken_by(&self, spec: &Spec, forecast: &Forecast) -> Option<String> {
        match forecast.ending {
            Ending::Deadlock => return Some("its steps wait for each other's equipment for ever".to_owned()),
            Ending::TooLong => return Some("it takes longer than can be foreseen: a hundred days of CPU".to_owned()),
            Ending::Done => {}
        }
        self.too_small(spec, forecast.peak_memory_bytes)
    }

    /// The same, for an order that needs so much memory.
    fn too_small(&self, spec: &Spec, bytes: u64) -> Option<String> {
        let demand = model::demand(spec);
        let (threads, children) = (u64::from(demand.threads), u64::from(demand.children));
        let all = threads + children;
        // A kitchen of its own raises what it may open to what it can; the house's own process has what it has.
        let descriptors_most = self.descriptors[usize::from(spec.isolation == Isolation::Kitchen)];
        let group = |limit: &Option<Limit>| limit.as_ref().map_or(u64::MAX, |limit| limit.most);
        let named = |limit: &Option<Limit>| limit.as_ref().map_or("", |limit| limit.name).to_owned() + " of its cgroup";
        let (tasks, memory) = (named(&self.group_tasks), named(&self.group_memory));
        let table = [
            (all, self.pid_max, "process ids", "pid_max"),
            (all, self.threads_max, "threads", "threads-max"),
            (all, self.nproc, "threads and processes", "RLIMIT_NPROC"),
            (all, group(&self.group_tasks), "threads and processes", &tasks),
            (MAPS + threads * MAPS_PER_THREAD, self.max_map_count, "memory areas", "vm.max_map_count"),
            (descriptors(demand), descriptors_most, "descriptors", "RLIMIT_NOFILE"),
            (bytes, self.memory_bytes, "bytes", "the memory of this machine"),
            (bytes, group(&self.group_memory), "bytes", &memory),
            (threads, u64::from(self.budget.threads), "threads", "the house's budget"),
            (children, u64::from(self.budget.children), "children", "the house's budget"),
            (spec.steps_total(), limits::STEPS_PER_ORDER, "steps", "the limit of an order"),
        ];
        let broken = table.into_iter().find(|(needs, limit, ..)| needs > limit);
        broken.map(|(needs, limit, what, name)| format!("would need {needs} {what}; {name} is {limit}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::spec::{Choice, ModelId, OPTIONS, Setup};

    /// A machine with room for everything but what a test takes from it.
    fn wide() -> Limits {
        let budget = Demand { threads: u32::MAX, children: u32::MAX };
        Limits::of(&|_| None, u64::MAX, [u64::MAX; 2], budget)
    }

    /// An order with a thread, or a child, for each of its dishes.
    fn order(model: &str, count: u32) -> Spec {
        let id = (0..).map(ModelId).find(|id| model::get(*id).info().name == model).unwrap();
        let mut setup = Setup([Choice::Word(0); OPTIONS]);
        for (option, choice) in model::get(id).info().options.iter().zip(&mut setup.0) {
            *choice = option.default;
        }
        setup.0[0] = Choice::Count(count);
        Spec { model: id, setup, ..crate::domain::menu::example("pasta", count) }
    }

    #[test]
    fn the_limit_of_a_container_is_named_with_its_file_and_size() {
        let threads = order("multithreading", 600);
        let too_small = |limits: &Limits| limits.too_small(&threads, 1 << 30);
        assert_eq!(too_small(&wide()), None);
        let tasks = Some(Limit { name: "pids.max", most: 512 });
        let why = too_small(&Limits { group_tasks: tasks, ..wide() });
        assert_eq!(why.as_deref(), Some("would need 600 threads and processes; pids.max of its cgroup is 512"));
        let memory = Some(Limit { name: "memory.max", most: 1 << 29 });
        let why = too_small(&Limits { group_memory: memory, memory_bytes: 1 << 34, ..wide() });
        assert_eq!(why.as_deref(), Some("would need 1073741824 bytes; memory.max of its cgroup is 536870912"));
    }

    #[test]
    fn threads_need_memory_areas_and_children_descriptors() {
        let why = Limits { max_map_count: 1_000, ..wide() }.too_small(&order("multithreading", 600), 0);
        assert_eq!(why.as_deref(), Some("would need 2500 memory areas; vm.max_map_count is 1000"));
        let mut processes = order("multiprocessing", 300);
        let limits = Limits { descriptors: [1_024, 4_096], ..wide() };
        let why = limits.too_small(&processes, 0).unwrap();
        assert!(why.ends_with("descriptors; RLIMIT_NOFILE is 1024"), "{why}");
        processes.isolation = Isolation::Kitchen;
        assert_eq!(limits.too_small(&processes, 0), None, "its kitchen raises it");
    }

    #[test]
    fn this_machine_has_limits_that_can_be_read() {
        let limits = Limits::read(Demand { threads: 1, children: 1 });
        let finite = [limits.pid_max, limits.threads_max, limits.max_map_count, limits.memory_bytes];
        assert!(finite.iter().all(|limit| (1..u64::MAX).contains(limit)), "{limits:?}");
        assert!(limits.descriptors[0] >= 3 && limits.descriptors[0] <= limits.descriptors[1], "{limits:?}");
        let groups = [&limits.group_memory, &limits.group_tasks];
        assert!(groups.into_iter().flatten().all(|limit| limit.most > 0), "{limits:?}");
        assert_eq!(limits.too_small(&order("multithreading", 1), 1 << 20), None, "{limits:?}");
    }
}
