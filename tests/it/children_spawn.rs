//! When the machine refuses processes: orders fail and say so, the house rests, says so, and recovers by itself.
//!
//! The refusal is a real one as far as the service can see: strace(1), attached to the one thread that starts children,
//! makes the kernel's answer EAGAIN. It deliberately touches no limit of the machine.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use crate::faults::send;
use crate::harness::{self, House, eventually};

/// Refuses new processes as long as it lives.
struct Refusal(Child);

impl Refusal {
    /// Of this call, with this error, to the thread of the service that starts children.
    fn of(house: &House, calls: &str, error: &str) -> Self {
        let tid = thread(house.pid(), "starter");
        let inject = format!("inject={calls}:error={error}");
        let strace = Command::new("strace")
            .args(["-qq", "-o", "/dev/null", "-p", &tid.to_string(), "-e", &format!("trace={calls}"), "-e", &inject])
            .stdin(Stdio::null())
            .spawn();
        let refusal = Self(strace.expect("NOT TESTED: strace is needed to refuse processes"));
        let traced = || {
            let status = fs::read_to_string(format!("/proc/{tid}/status")).unwrap_or_default();
            status.lines().any(|line| line.starts_with("TracerPid:") && !line.ends_with("\t0"))
        };
        while !traced() {
            std::thread::yield_now();
        }
        refusal
    }
}

impl Drop for Refusal {
    fn drop(&mut self) {
        // TERM, so that it lets go of the thread in an orderly way.
        let pid = i32::try_from(self.0.id()).ok().and_then(Pid::from_raw).expect("a process id");
        let _ = kill_process(pid, Signal::TERM);
        let _ = self.0.wait();
    }
}

fn thread(pid: u32, name: &str) -> u32 {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).expect("it is alive").flatten();
    let mut named =
        tasks.filter(|task| fs::read_to_string(task.path().join("comm")).is_ok_and(|comm| comm.trim() == name));
    let task = named.next().expect("a thread of this name");
    task.file_name().to_string_lossy().parse().expect("a thread id")
}

const STARTS: &str = "clone,clone3,vfork,fork";

#[tokio::test]
async fn orders_fail_for_want_of_a_process_the_house_says_so_and_recovers_by_itself() {
    let house = harness::open();
    let small = json!({"model": "multiprocessing", "io_ms": 1, "dishes": 2});
    assert_eq!(house.cook(small.clone()).await["status"], "succeeded");
    for error in ["EAGAIN", "ENOMEM"] {
        let refusal = Refusal::of(&house, STARTS, error);
        // Every kind of kitchen an order can have, with all of them refused.
        for order in [
            json!({"model": "multiprocessing", "setup": {"kitchens": 2}, "io_ms": 1, "dishes": 4}),
            json!({"model": "multiprocessing", "setup": {"kitchens": 2, "start": "prewarmed"}, "io_ms": 1, "dishes": 4}),
            json!({"model": "multiprocessing", "setup": {"kitchens": "per_step"}, "io_ms": 1, "dishes": 4}),
            json!({"model": "multiprocessing", "setup": {"kitchens": 2, "inside": "threads"}, "io_ms": 1, "dishes": 4}),
            json!({"model": "asyncio", "isolation": "kitchen", "io_ms": 1}),
        ] {
            let ended = house.cook(order.clone()).await;
            assert_eq!(
                (&ended["status"], &ended["error"]["kind"]),
                (&json!("failed"), &json!("spawn")),
                "{order}: {ended}"
            );
        }
        // Now the house's own pool, which has kitchens until they die.
        for kitchen in house.children() {
            send(kitchen, Signal::KILL);
        }
        eventually(Duration::from_secs(30), "the house's pool is empty and its orders fail", async || {
            house.cook(small.clone()).await["error"]["kind"] == "spawn"
        })
        .await;
        let ready = house.get("/readyz").await;
        assert_eq!(ready.status().as_u16(), 200, "other models still cook");
        let ready: serde_json::Value = ready.json().await.expect("JSON");
        assert_eq!(ready["status"], "degraded", "{ready}");
        assert!(ready["degraded"].as_str().is_some_and(|why| !why.is_empty()), "{ready}");
        assert_eq!(house.cook(json!({"model": "asyncio", "io_ms": 1})).await["status"], "succeeded");
        drop(refusal);
        // Its longest pause is 5 s, and nobody has to ask it.
        eventually(Duration::from_secs(15), "it has recovered without an order", async || {
            house.json("/readyz").await["status"] == "ok"
        })
        .await;
        assert_eq!(house.cook(small.clone()).await["status"], "succeeded");
    }
}

#[tokio::test]
async fn a_house_out_of_descriptors_fails_the_order_and_not_itself() {
    let house = harness::open();
    let small = json!({"model": "multiprocessing", "io_ms": 1, "dishes": 2});
    assert_eq!(house.cook(small.clone()).await["status"], "succeeded");
    // The pipes of a kitchen, and with them its start, fail for want of descriptors.
    let refusal = Refusal::of(&house, "pipe2", "EMFILE");
    let ended = house
        .cook(json!({"model": "multiprocessing", "setup": {"kitchens": "per_step"}, "io_ms": 1, "dishes": 50}))
        .await;
    assert_eq!(ended["error"]["kind"], "spawn", "{ended}");
    drop(refusal);
    assert_eq!(house.cook(small).await["status"], "succeeded");
}
