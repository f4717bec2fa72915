//! What a kitchen may take: limits, descriptors, memory. Each limit is read from `/proc` of a real kitchen or run into.
//!
//! Deliberately nothing here asks a kitchen what it thinks its limits are.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{self, House, eventually};

fn one_step(work: Value) -> Value {
    json!({"name": "one", "steps": [{"name": "one", "work": work}]})
}

/// A kitchen of the house that has work.
async fn busy_kitchen(house: &House) -> u32 {
    let wait = one_step(json!({"kind": "wait", "ms": 60_000}));
    house.place(json!({"model": "multiprocessing", "recipe": wait})).await;
    let mut kitchen = 0;
    eventually(Duration::from_secs(10), "a kitchen sits in its step", async || {
        kitchen = house.children().first().copied().unwrap_or(0);
        // It has confined itself before it reads what to do: then it sleeps in poll.
        kitchen > 0 && fs::read_to_string(format!("/proc/{kitchen}/wchan")).is_ok_and(|at| at.contains("poll"))
    })
    .await;
    kitchen
}

/// Soft limit of a process, as `/proc` writes it.
fn limit(pid: u32, name: &str) -> String {
    let limits = fs::read_to_string(format!("/proc/{pid}/limits")).expect("it is alive");
    let line = limits.lines().find(|line| line.starts_with(name)).expect("such a limit");
    line[26..].split_ascii_whitespace().next().expect("a value").to_owned()
}

fn status(pid: u32, key: &str) -> String {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).expect("it is alive");
    let line = text.lines().find_map(|line| line.strip_prefix(key)).expect("such a line");
    line.trim().to_owned()
}

/// What the descriptors of a process are, their numbers apart.
fn open_files(pid: u32) -> Vec<PathBuf> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).expect("it is alive");
    entries.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok()).collect()
}

#[tokio::test]
async fn a_kitchen_confines_itself_and_inherits_nothing_of_the_house() {
    let house = harness::open();
    let kitchen = busy_kitchen(&house).await;
    let limits = ["Max core file size", "Max file size", "Max open files", "Max address space"];
    let said = limits.map(|name| limit(kitchen, name));
    // A file is what it shares with kitchens of its own: a page, and a megabyte of messages.
    assert_eq!(said, ["0", "1052672", "64", "536870912"]);
    assert_eq!(status(kitchen, "NoNewPrivs:"), "1");
    assert_eq!(fs::read_to_string(format!("/proc/{kitchen}/oom_score_adj")).expect("alive").trim(), "800");
    assert_eq!(fs::read_to_string("/proc/self/oom_score_adj").expect("we are").trim(), "0", "only the kitchen's rises");
    // A group of its own: a terminal's Ctrl-C reaches only the service.
    assert_eq!(status(kitchen, "NSpgid:"), kitchen.to_string());
    let environment = fs::read_to_string(format!("/proc/{kitchen}/environ")).expect("alive");
    let variables: BTreeSet<_> = environment.split_terminator('\0').collect();
    assert_eq!(variables, BTreeSet::from(["MALLOC_ARENA_MAX=1", "MIMALLOC_ARENA_RESERVE=64MiB"]));
    // stdin, stdout and stderr are two pipes; whatever else is open was handed down by whoever started this test.
    let handed_down: BTreeSet<_> = open_files(std::process::id()).into_iter().collect();
    let own: Vec<_> = open_files(kitchen).into_iter().filter(|file| !handed_down.contains(file)).collect();
    let pipes: BTreeSet<_> = own.iter().filter(|file| file.to_string_lossy().starts_with("pipe:")).collect();
    assert_eq!((own.len(), pipes.len()), (3, 2), "{own:?}");
    let houses: BTreeSet<_> = open_files(house.pid()).into_iter().collect();
    assert!(houses.iter().any(|file| file.to_string_lossy().starts_with("socket:")), "the house does have sockets");
}

#[tokio::test]
async fn an_order_gets_the_memory_and_the_descriptors_it_needs() {
    let house = harness::open_with(&["--kitchen-memory-mib", "96"]);
    let computes = json!({"name": "n", "steps": [
        {"name": "a", "work": {"kind": "cpu", "iterations": 1000}}, {"name": "b", "work": {"kind": "wait", "ms": 100}}]});
    for order in [
        json!({"model": "asyncio", "io_ms": 100, "dishes": 300_000}),
        // A thread that computes holds a descriptor: far more than 64.
        json!({"model": "multithreading", "setup": {"chefs": 1000}, "recipe": computes, "dishes": 2000}),
        json!({"model": "asyncio", "setup": {"assistants": 256}, "recipe": computes, "dishes": 1000}),
        json!({"model": "multiprocessing", "setup": {"kitchens": 60}, "io_ms": 100, "dishes": 120}),
        json!({"model": "multiprocessing", "setup": {"kitchens": 3, "inside": "threads"}, "io_ms": 10, "dishes": 99}),
    ] {
        let mut order = order;
        order["isolation"] = json!("kitchen");
        let ended = house.cook(order.clone()).await;
        assert_eq!(ended["status"], "succeeded", "{order}: {}", ended["error"]);
    }
}

#[tokio::test]
async fn a_kitchen_that_is_refused_memory_is_told_as_out_of_memory() {
    let starve = one_step(json!({"kind": "fault", "what": "oom"}));
    // A kitchen of 96 MiB cannot even take the 64 MiB that this fault begins with: the allocation aborts the process.
    for (mib, says) in [("96", "memory allocation of"), ("512", "ran out of memory"), ("0", "ran out of memory")] {
        let house = harness::open_with(&["--allow-faults", "--kitchen-memory-mib", mib]);
        let order = house.cook(json!({"model": "multiprocessing", "recipe": starve})).await;
        assert_eq!(order["error"]["kind"], "oom", "{mib} MiB: {order}");
        assert!(order["error"]["detail"].as_str().is_some_and(|said| said.contains(says)), "{mib} MiB: {order}");
        let next = house.cook(json!({"model": "multiprocessing", "io_ms": 1, "dishes": 4})).await;
        assert_eq!(next["status"], "succeeded", "{next}");
    }
}

/// A memory cgroup, removed when the test is over. It needs root; there is no other way to run out of memory on purpose.
struct Cgroup(PathBuf);

impl Cgroup {
    fn with_bytes(bytes: u64) -> Self {
        let name = format!("pasta-fasta-test-{}", std::process::id());
        let one = PathBuf::from("/sys/fs/cgroup/memory");
        let (path, limit) = match one.exists() {
            true => (one.join(name), "memory.limit_in_bytes"),
            false => (PathBuf::from("/sys/fs/cgroup").join(name), "memory.max"),
        };
        fs::create_dir(&path).expect("NOT TESTED: this test has to be root and to be allowed to make a memory cgroup");
        fs::write(path.join(limit), bytes.to_string()).expect("a limit");
        Self(path)
    }

    fn take(&self, pid: u32) {
        fs::write(self.0.join("cgroup.procs"), pid.to_string()).expect("the process moves");
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // Ended processes leave a cgroup a moment after their parent has heard of them.
        while fs::remove_dir(&self.0).is_err_and(|error| error.raw_os_error() == Some(16)) {
            std::thread::yield_now();
        }
    }
}

#[tokio::test]
async fn when_the_kernel_runs_out_of_memory_it_ends_the_kitchen_and_the_order_says_so() {
    // Dropped after the house, which is in it.
    let cgroup = Cgroup::with_bytes(56 << 20);
    let house = harness::open_with(&["--allow-faults"]);
    cgroup.take(house.pid());
    let starve = one_step(json!({"kind": "fault", "what": "oom"}));
    for order in [
        json!({"model": "multiprocessing", "recipe": starve}),
        json!({"model": "multithreading", "recipe": starve, "isolation": "kitchen"}),
        json!({"model": "multiprocessing", "setup": {"kitchens": 2}, "recipe": starve}),
    ] {
        let ended = house.cook(order.clone()).await;
        assert_eq!(ended["error"]["kind"], "oom", "{order}: {ended}");
        let detail = ended["error"]["detail"].as_str().unwrap_or_default();
        assert!(detail.contains("ended by the kernel"), "{order}: {detail}");
        let next = house.cook(json!({"model": "multiprocessing", "io_ms": 1, "dishes": 4})).await;
        assert_eq!(next["status"], "succeeded", "{next}");
    }
    // The next one killed is not blamed on memory.
    let wait = one_step(json!({"kind": "wait", "ms": 60_000}));
    let order = json!({"model": "multiprocessing", "setup": {"kitchens": 1}, "recipe": wait});
    let before = house.children();
    let order = house.place(order).await;
    let mut mine = Vec::new();
    eventually(Duration::from_secs(10), "its kitchen is up", async || {
        mine = house.children().into_iter().filter(|pid| !before.contains(pid)).collect();
        !mine.is_empty()
    })
    .await;
    crate::faults::send(mine[0], rustix::process::Signal::KILL);
    assert_eq!(house.ended(&order).await["error"]["kind"], "signal");
}
