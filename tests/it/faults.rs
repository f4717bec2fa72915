//! What may die and what must live on: kitchens that fail by themselves, kitchens and services ended from outside.
//!
//! Every fault is a real one: an exit code, a signal, memory that is refused, a step that never ends. It deliberately
//! asks of nobody to be restarted: the service must go on, or be gone without a trace.

use std::time::Duration;

use pasta_fasta::clock;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::harness::{self, House, children, eventually, is_alive, link};
use crate::ledger;

/// A recipe whose second step goes wrong this way.
fn faulty(what: &str) -> Value {
    json!({"name": "faulty", "steps": [
        {"name": "boil", "work": {"kind": "wait", "ms": 20}},
        {"name": "slip", "work": {"kind": "fault", "what": what}, "after": ["boil"]},
        {"name": "serve", "work": {"kind": "wait", "ms": 1}, "after": ["slip"]}]})
}

/// Sends a signal to a process that is alive.
pub fn send(pid: u32, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(pid).expect("a process id")).expect("not 0");
    kill_process(pid, signal).expect("it is alive");
}

/// All processes below this one.
pub fn descendants(pid: u32) -> Vec<u32> {
    let below = children(pid);
    below.iter().copied().chain(below.iter().flat_map(|child| descendants(*child))).collect()
}

async fn begins(house: &House, order: &Value) {
    eventually(Duration::from_secs(10), "the order is running", async || {
        house.json(&link(order, "self")).await["status"] == "running"
    })
    .await;
}

/// Exit code of a service that was told to end, and how many milliseconds it took.
async fn exit(house: &mut House, started: clock::Ns, at_most: Duration) -> (Option<i32>, f64) {
    let pid = house.pid();
    eventually(at_most, "the service ends", async || !is_alive(pid)).await;
    let took_ms = (clock::now() - started) as f64 / 1e6;
    // It has ended: the signal reaches nobody, the status is collected.
    (house.end_with("TERM").code(), took_ms)
}

#[tokio::test]
async fn a_kitchen_of_the_house_that_fails_costs_its_dish_and_is_replaced() {
    let house = harness::open_with(&["--allow-faults"]);
    for (what, kind, detail) in
        [("exit", "exit", "code 3"), ("abort", "signal", "signal 6"), ("oom", "oom", "out of memory")]
    {
        let beside = house.place(json!({"model": "asyncio", "io_ms": 300, "cpu_ms": 20, "dishes": 3})).await;
        let order = house.cook(json!({"model": "multiprocessing", "recipe": faulty(what)})).await;
        assert_eq!((&order["status"], &order["error"]["kind"]), (&json!("failed"), &json!(kind)), "{order}");
        assert!(order["error"]["detail"].as_str().is_some_and(|said| said.contains(detail)), "{order}");
        assert_eq!((&order["error"]["dish"], &order["error"]["step"]), (&json!(1), &json!("slip")), "{order}");
        let steps = ledger::of(&house, &order).await;
        let outcomes: Vec<_> = steps.iter().map(|step| step.outcome.as_str()).collect();
        assert_eq!(outcomes, ["succeeded", "failed", "skipped"], "{steps:?}");
        assert_eq!(house.ended(&beside).await["status"], "succeeded", "another order was hit by {what}");
        let next = house.cook(json!({"model": "multiprocessing", "io_ms": 1, "dishes": 4})).await;
        assert_eq!(next["status"], "succeeded", "{next}");
        let dead = steps[1].worker().pid;
        assert!(!ledger::pids(&ledger::of(&house, &next).await).contains(&dead), "{dead} came back from {what}");
    }
}

#[tokio::test]
async fn a_fault_in_any_model_takes_down_the_orders_own_kitchen_and_nothing_else() {
    let house = harness::open_with(&["--allow-faults"]);
    for model in ["sequential", "asyncio", "multithreading", "multiprocessing"] {
        for (what, kind) in [("exit", "exit"), ("abort", "signal"), ("oom", "oom")] {
            let order = json!({"model": model, "recipe": faulty(what), "isolation": "kitchen"});
            let order = house.cook(order).await;
            assert_eq!(
                (&order["status"], &order["error"]["kind"]),
                (&json!("failed"), &json!(kind)),
                "{what}: {order}"
            );
        }
        let next = house.cook(json!({"model": model, "io_ms": 1})).await;
        assert_eq!(next["status"], "succeeded", "{next}");
    }
    assert_eq!(house.get("/livez").await.status().as_u16(), 200);
}

#[tokio::test]
async fn a_step_that_hangs_is_ended_by_its_timeout() {
    let house = harness::open_with(&["--allow-faults"]);
    for model in ["sequential", "asyncio", "multithreading", "multiprocessing"] {
        let order = house.cook(json!({"model": model, "recipe": faulty("hang"), "timeout_ms": 500})).await;
        assert_eq!((&order["status"], &order["error"]["kind"]), (&json!("failed"), &json!("timeout")), "{order}");
        let steps = ledger::of(&house, &order).await;
        let hung = ledger::named(&steps, "slip").pop().expect("a step that hung");
        assert_eq!(hung.outcome, "canceled", "{hung:?}");
        // Counted from when its kitchen was up, which was a little after the order had started.
        assert!((300.0..2500.0).contains(&hung.finished()), "it hung until {} ms: {order}", hung.finished());
        let makespan = ledger::makespan(&order);
        assert!(makespan >= hung.finished() - 0.01, "over at {makespan} ms, before its last step: {hung:?}");
        let next = house.cook(json!({"model": model, "io_ms": 1})).await;
        assert_eq!(next["status"], "succeeded", "{next}");
    }
}

#[tokio::test]
async fn a_kitchen_killed_from_outside_fails_the_dish_in_its_hand_and_is_replaced() {
    let house = harness::open();
    // A pool that is up: of one that is not, the first to die says that none can be had, and all the work fails with it.
    let warm = house.cook(json!({"model": "multiprocessing", "io_ms": 100, "dishes": 8})).await;
    assert_eq!(warm["status"], "succeeded", "{warm}");
    let recipe = json!({"name": "io", "steps": [{"name": "io", "work": {"kind": "wait", "ms": 1000}}]});
    // Accepted, it is in the hands of all kitchens: they are idle.
    let order = house.place(json!({"model": "multiprocessing", "recipe": recipe, "dishes": 4})).await;
    let beside = house.place(json!({"model": "asyncio", "io_ms": 1500})).await;
    let victim = house.children()[0];
    send(victim, Signal::KILL);
    let order = house.ended(&order).await;
    assert_eq!((&order["status"], &order["error"]["kind"]), (&json!("failed"), &json!("signal")), "{order}");
    assert!(order["error"]["detail"].as_str().is_some_and(|said| said.contains("signal 9")), "{order}");
    assert_eq!(order["result"]["dishes_succeeded"], 3, "{order}");
    assert_eq!(house.ended(&beside).await["status"], "succeeded");
    let next = house.cook(json!({"model": "multiprocessing", "io_ms": 100, "dishes": 8})).await;
    assert_eq!(next["status"], "succeeded", "{next}");
    let cooks = ledger::pids(&ledger::of(&house, &next).await);
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    assert!(!cooks.contains(&victim), "{victim} cooks again");
    assert_eq!(cooks.len(), cores, "the pool lost a kitchen: {cooks:?}");
}

#[tokio::test]
async fn an_idle_kitchen_killed_from_outside_harms_nobody() {
    let house = harness::open();
    let order = json!({"model": "multiprocessing", "io_ms": 20, "dishes": 4});
    assert_eq!(house.cook(order.clone()).await["status"], "succeeded");
    for round in 1..=5 {
        for kitchen in house.children() {
            send(kitchen, Signal::KILL);
        }
        let next = house.cook(order.clone()).await;
        // A kitchen dead before its end is noticed may still be handed a step; that order may fail, but must end.
        assert!(["succeeded", "failed"].contains(&next["status"].as_str().expect("a status")), "{round}: {next}");
    }
    eventually(Duration::from_secs(5), "orders succeed again", async || {
        house.cook(order.clone()).await["status"] == "succeeded"
    })
    .await;
}

#[tokio::test]
async fn a_killed_service_leaves_no_child_behind() {
    let mut house = harness::open();
    let long = json!({"name": "io", "steps": [{"name": "io", "work": {"kind": "wait", "ms": 60_000}}]});
    let burn = json!({"name": "cpu", "steps": [{"name": "cpu", "work": {"kind": "cpu", "ms": 60_000}}]});
    for order in [
        json!({"model": "multiprocessing", "recipe": burn, "dishes": 2}),
        json!({"model": "multiprocessing", "setup": {"kitchens": "per_step"}, "recipe": long, "dishes": 3}),
        json!({"model": "multiprocessing", "setup": {"kitchens": 2, "inside": "threads"}, "recipe": long, "dishes": 4}),
        json!({"model": "asyncio", "isolation": "kitchen", "recipe": long}),
        json!({"model": "multiprocessing", "setup": {"kitchens": 2}, "isolation": "kitchen", "recipe": long, "dishes": 2}),
    ] {
        house.place(order).await;
    }
    // 3 + 2 + 1 + 1 + the last one's own 2, and the house's, at least 1.
    let mut below = Vec::new();
    eventually(Duration::from_secs(10), "all kitchens are up", async || {
        below = descendants(house.pid());
        below.len() >= 10
    })
    .await;
    house.end_with("KILL");
    eventually(Duration::from_secs(1), "all its children are gone", async || {
        below.iter().all(|child| !is_alive(*child))
    })
    .await;
}

#[tokio::test]
async fn an_idle_service_ends_at_once_when_it_is_asked_to() {
    let mut house = harness::open();
    for model in ["asyncio", "multithreading", "multiprocessing"] {
        assert_eq!(house.cook(json!({"model": model, "io_ms": 1})).await["status"], "succeeded");
    }
    let below = descendants(house.pid());
    assert!(!below.is_empty(), "the house's kitchens stay");
    let started = clock::now();
    send(house.pid(), Signal::TERM);
    let (code, took_ms) = exit(&mut house, started, Duration::from_secs(5)).await;
    println!("an idle service ended {took_ms:.0} ms after SIGTERM");
    assert_eq!(code, Some(0));
    assert!(took_ms <= 1000.0, "{took_ms} ms");
    eventually(Duration::from_secs(1), "no child is left", async || below.iter().all(|pid| !is_alive(*pid))).await;
}

#[tokio::test]
async fn a_service_asked_to_end_lets_running_orders_end_answers_them_and_takes_no_more() {
    let mut house = harness::open();
    let order = house.place(json!({"model": "asyncio", "io_ms": 1500})).await;
    begins(&house, &order).await;
    let held = house.request(reqwest::Method::GET, &format!("{}?wait=60", link(&order, "self")));
    let held = tokio::spawn(async { held.send().await.expect("an answer").json::<Value>().await.expect("JSON") });
    let started = clock::now();
    send(house.pid(), Signal::TERM);
    eventually(Duration::from_secs(1), "it says that it closes", async || {
        house.get("/readyz").await.status().as_u16() == 503
    })
    .await;
    assert_eq!(house.post("/orders", &json!({"model": "asyncio"})).await.status().as_u16(), 503);
    assert_eq!(house.get("/livez").await.status().as_u16(), 200);
    let order = held.await.expect("no panic");
    assert_eq!(order["status"], "succeeded", "{order}");
    let (code, took_ms) = exit(&mut house, started, Duration::from_secs(10)).await;
    assert_eq!(code, Some(0), "after {took_ms} ms");
}

#[tokio::test]
async fn a_service_without_grace_ends_at_once_and_says_that_it_lost_an_order() {
    for order in [
        json!({"model": "multiprocessing", "io_ms": 60_000}),
        json!({"model": "multiprocessing", "setup": {"kitchens": "per_step"}, "cpu_ms": 60_000, "dishes": 2}),
        json!({"model": "asyncio", "cpu_ms": 60_000}),
        json!({"model": "multithreading", "io_ms": 60_000, "isolation": "kitchen"}),
    ] {
        let mut house = harness::open_with(&["--grace-s", "0"]);
        let placed = house.place(order).await;
        begins(&house, &placed).await;
        let below = descendants(house.pid());
        let started = clock::now();
        send(house.pid(), Signal::TERM);
        let (code, took_ms) = exit(&mut house, started, Duration::from_secs(5)).await;
        assert_eq!(code, Some(1), "{placed}");
        assert!(took_ms <= 2000.0, "{took_ms} ms");
        eventually(Duration::from_secs(1), "no child is left", async || below.iter().all(|pid| !is_alive(*pid))).await;
    }
}

#[tokio::test]
async fn a_second_signal_means_now() {
    let mut house = harness::open();
    let order = house.place(json!({"model": "multiprocessing", "io_ms": 60_000})).await;
    begins(&house, &order).await;
    let started = clock::now();
    send(house.pid(), Signal::TERM);
    eventually(Duration::from_secs(1), "it says that it closes", async || {
        house.get("/readyz").await.status().as_u16() == 503
    })
    .await;
    send(house.pid(), Signal::TERM);
    let (code, took_ms) = exit(&mut house, started, Duration::from_secs(5)).await;
    assert_eq!(code, Some(1), "after {took_ms} ms");
}
