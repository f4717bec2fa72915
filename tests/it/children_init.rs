//! The two ends of a family: a service that is process 1, and a service that is gone.
//!
//! The first runs in a PID namespace of its own (unshare(1); without root in a user namespace), as in a container. It
//! deliberately looks at zombies and exit codes from outside, where the whole family can be seen.

use std::fs;
use std::process::Command;
use std::time::Duration;

use rustix::process::{Signal, geteuid};
use serde_json::json;

use crate::faults::{descendants, send};
use crate::harness::{self, House, children, eventually, is_alive};

/// A service that is process 1 of its namespace; and that process's id as seen from here.
fn in_a_namespace() -> (House, u32) {
    let user = if geteuid().is_root() { &[][..] } else { &["--map-root-user"][..] };
    let mut command = Command::new("unshare");
    command.args(user).args(["--pid", "--fork", "--mount-proc", "--kill-child", "--", harness::BINARY]);
    let house = harness::open_by(command.args(harness::SERVE));
    let init = children(house.pid()).first().copied().expect("NOT TESTED: unshare could not make a PID namespace");
    assert!(nspid(init).ends_with("\t1"), "it is process 1: {}", nspid(init));
    (house, init)
}

fn nspid(pid: u32) -> String {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it is alive");
    status.lines().find(|line| line.starts_with("NSpid:")).expect("a kernel with namespaces").to_owned()
}

/// States of the children of a process, zombies included.
fn states(parent: u32) -> Vec<(u32, String)> {
    let stats = fs::read_dir("/proc").expect("procfs").filter_map(|entry| {
        let stat = fs::read_to_string(entry.ok()?.path().join("stat")).ok()?;
        let pid = stat.split(' ').next()?.parse().ok()?;
        let (state, rest) = stat.rsplit_once(')')?.1.trim().split_once(' ')?;
        (rest.split(' ').next()?.parse() == Ok(parent)).then(|| (pid, state.to_owned()))
    });
    stats.collect()
}

#[tokio::test]
async fn as_process_1_it_serves_collects_strangers_and_ends_when_asked() {
    let (mut house, init) = in_a_namespace();
    let service = children(init).first().copied().expect("the service is its child");
    assert_eq!(house.cook(json!({"model": "multiprocessing", "io_ms": 1, "dishes": 4})).await["status"], "succeeded");
    assert!(!children(service).is_empty(), "kitchens belong to the service");
    // A double-forked orphan: its parent ends at once, the kernel gives it to process 1, and it ends a little later.
    let user = if geteuid().is_root() { &[][..] } else { &["--user", "--preserve-credentials"][..] };
    let orphaned = Command::new("nsenter")
        .args(["--target", &init.to_string(), "--pid"])
        .args(user)
        .args(["sh", "-c", "for i in 1 2 3 4 5; do (sleep 1 & sleep 1 &) ; done"])
        .status();
    assert!(orphaned.expect("nsenter runs").success());
    let mut orphans = Vec::new();
    eventually(Duration::from_secs(5), "process 1 has been given orphans", async || {
        orphans = children(init).into_iter().filter(|pid| *pid != service).collect();
        !orphans.is_empty()
    })
    .await;
    eventually(Duration::from_secs(10), "they have ended and been collected", async || {
        states(init).iter().all(|(pid, _)| *pid == service)
    })
    .await;
    assert_eq!(house.cook(json!({"model": "multiprocessing", "io_ms": 1})).await["status"], "succeeded");
    let below = descendants(init);
    send(init, Signal::TERM);
    eventually(Duration::from_secs(10), "it has ended", async || below.iter().all(|pid| !is_alive(*pid))).await;
    assert_eq!(house.wait().code(), Some(0), "nothing was lost");
}

#[tokio::test]
async fn process_1_ends_as_the_service_ends() {
    // An order is lost: exit code 1. The service is killed: 128 + 9. A bad setting: 2.
    let (mut house, init) = in_a_namespace();
    let order = house.place(json!({"model": "asyncio", "io_ms": 60_000})).await;
    eventually(Duration::from_secs(10), "it runs", async || {
        house.json(&harness::link(&order, "self")).await["status"] == "running"
    })
    .await;
    send(init, Signal::INT);
    eventually(Duration::from_secs(10), "it closes", async || house.get("/readyz").await.status().as_u16() == 503)
        .await;
    send(init, Signal::INT);
    assert_eq!(house.wait().code(), Some(1));

    let (mut house, init) = in_a_namespace();
    send(children(init)[0], Signal::KILL);
    assert_eq!(house.wait().code(), Some(137));
}

#[tokio::test]
async fn kitchens_end_with_the_service_even_if_nothing_tells_them_of_its_death() {
    // Without a death signal the end of stdin is all a kitchen notices. strace(1) refuses every prctl of the family.
    let mut command = Command::new("strace");
    command.args([
        "-f",
        "-qq",
        "-o",
        "/dev/null",
        "--seccomp-bpf",
        "-e",
        "trace=prctl",
        "-e",
        "inject=prctl:error=EPERM",
    ]);
    let house = harness::open_by(command.args(["--", harness::BINARY]).args(harness::SERVE));
    let service = children(house.pid()).first().copied().expect("NOT TESTED: strace could not start the service");
    let wait = json!({"name": "w", "steps": [{"name": "w", "work": {"kind": "wait", "ms": 60_000}}]});
    let burn = json!({"name": "c", "steps": [{"name": "c", "work": {"kind": "cpu", "ms": 60_000}}]});
    let orders = [
        // Idle, waiting, computing, cooking whole dishes, and with kitchens of their own.
        json!({"model": "multiprocessing", "recipe": wait}),
        json!({"model": "multiprocessing", "setup": {"kitchens": 1}, "recipe": burn}),
        json!({"model": "asyncio", "isolation": "kitchen", "recipe": wait}),
        json!({"model": "multithreading", "isolation": "kitchen", "recipe": burn}),
        json!({"model": "multiprocessing", "setup": {"kitchens": 2}, "isolation": "kitchen", "recipe": wait, "dishes": 2}),
    ];
    for order in orders {
        house.place(order).await;
    }
    let mut below = Vec::new();
    eventually(Duration::from_secs(30), "all kitchens are up", async || {
        below = descendants(service);
        below.len() >= 7
    })
    .await;
    send(service, Signal::KILL);
    eventually(Duration::from_secs(5), "all its children are gone", async || below.iter().all(|pid| !is_alive(*pid)))
        .await;
}
