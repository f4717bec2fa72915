//! The seed's statements about many kitchens (multiprocessing), as laws about step records and about `/proc`.
//!
//! It deliberately says nothing of memory and of the cost of messages: those are a comparison's.

use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use crate::harness::{self, eventually};
use crate::ledger::{self, Step, assert_about};

#[tokio::test]
async fn each_step_has_a_kitchen_of_its_own_and_all_of_them_are_alive_together() {
    let house = harness::open();
    let recipe = json!({"name": "dish", "steps": [
        {"name": "boil", "work": {"kind": "wait", "ms": 1000}}, {"name": "rest", "work": {"kind": "wait", "ms": 1000}}]});
    let setup = json!({"kitchens": "per_step"});
    let order = house.place(json!({"model": "multiprocessing", "setup": setup, "recipe": recipe, "dishes": 4})).await;
    let mut together = Vec::new();
    eventually(Duration::from_secs(5), "eight kitchens at once", async || {
        together = house.children();
        together.len() == 8
    })
    .await;
    let order = house.ended(&order).await;
    let steps = ledger::of(&house, &order).await;
    assert_eq!(ledger::pids(&steps), together.into_iter().collect());
    assert!(!ledger::pids(&steps).contains(&house.pid()));
}

#[tokio::test]
async fn a_kitchen_per_core_chops_in_parallel_on_as_many_cores_as_there_are() {
    let house = harness::open();
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let (setup, dishes) = (json!({"kitchens": cores, "start": "prewarmed"}), 2 * cores);
    let effective = harness::effective_cores();
    let order = house.cook(json!({"model": "multiprocessing", "setup": setup, "cpu_ms": 200, "dishes": dishes})).await;
    let steps = ledger::of(&house, &order).await;
    let chops = ledger::kind(&steps, "cpu");
    assert_eq!(ledger::most_at_once(chops.iter().copied()), cores, "{steps:?}");
    assert_eq!(ledger::pids(chops.iter().copied()).len(), cores, "{steps:?}");
    let busiest = ledger::pids(&steps)
        .into_iter()
        .map(|pid| chops.iter().filter(|chop| chop.worker().pid == pid).map(|chop| chop.busy()).sum::<f64>());
    assert_about(ledger::makespan(&order), busiest.fold(0.0, f64::max), "the busiest kitchen");
    let speedup = harness::number(&order, "/timings/cpu_ms") / ledger::makespan(&order);
    // Neighbours come and go between a probe and the run: the worse of the probes before and after, and half of it.
    let effective = effective.min(harness::effective_cores());
    assert!(speedup >= 0.5 * effective, "{speedup} cores busy of {effective} effective ones");
}

#[tokio::test]
async fn a_kitchen_that_dies_stops_nobody_else() {
    let house = harness::open();
    let setup = json!({"kitchens": "per_step"});
    let recipe = json!({"name": "dish", "steps": [
        {"name": "boil", "work": {"kind": "wait", "ms": 1000}},
        {"name": "chop", "work": {"kind": "cpu", "ms": 20}, "after": ["boil"]}]});
    let order = house.place(json!({"model": "multiprocessing", "setup": setup, "recipe": recipe, "dishes": 3})).await;
    eventually(Duration::from_secs(5), "three kitchens boil", async || house.children().len() == 3).await;
    let victim = house.children()[1];
    let pid = Pid::from_raw(i32::try_from(victim).expect("a process id")).expect("not 0");
    kill_process(pid, Signal::KILL).expect("it is alive");
    let order = house.ended(&order).await;
    assert_eq!((&order["status"], &order["error"]["kind"]), (&json!("failed"), &json!("signal")), "{order}");
    assert_eq!(order["result"]["dishes_succeeded"], 2, "{order}");
    assert_eq!(order["result"]["dishes_failed"], 1, "{order}");
    let steps = ledger::of(&house, &order).await;
    let hit = steps.iter().find(|step| step.outcome == "failed").expect("a failed step");
    assert_eq!((hit.worker().pid, json!(hit.dish)), (victim, order["error"]["dish"].clone()), "{order}");
    for step in steps.iter().filter(|step| step.dish != hit.dish) {
        assert_eq!(step.outcome, "succeeded", "{step:?}");
    }
    let after: Vec<_> = steps.iter().filter(|step| step.dish == hit.dish && step.step == "chop").collect();
    assert!(after.len() == 1 && after[0].outcome == "skipped", "{after:?}");
}

#[tokio::test]
async fn chefs_of_one_kitchen_go_down_with_it_and_the_house_does_not() {
    let house = harness::open_with(&["--allow-faults"]);
    let recipe = json!({"name": "ketchup", "steps": [
        {"name": "boil", "work": {"kind": "wait", "ms": 60_000}},
        {"name": "ketchup", "work": {"kind": "fault", "what": "abort"}}]});
    let order = house.cook(json!({"model": "multithreading", "recipe": recipe, "dishes": 2})).await;
    assert_eq!((&order["status"], &order["error"]["kind"]), (&json!("failed"), &json!("signal")), "{order}");
    assert_eq!(order["result"]["dishes_succeeded"], 0, "{order}");
    let next = house.cook(json!({"model": "multithreading", "io_ms": 1})).await;
    assert_eq!(next["status"], "succeeded", "{next}");
}

#[tokio::test]
async fn waits_in_processes_take_a_wait_and_as_many_process_starts_and_never_beat_one_chef() {
    let house = harness::open();
    let recipe = json!({"name": "io", "steps": [{"name": "io", "work": {"kind": "wait", "ms": 1000}}]});
    let order = |model: &str, setup| json!({"model": model, "setup": setup, "recipe": recipe, "dishes": 200});
    let chef = house.cook(order("asyncio", json!({}))).await;
    let kitchens = house.cook(order("multiprocessing", json!({"kitchens": "per_step"}))).await;
    assert_eq!(kitchens["status"], "succeeded", "{kitchens}");
    let steps = ledger::of(&house, &kitchens).await;
    assert_eq!(ledger::pids(&steps).len(), 200);
    let last_start = steps.iter().map(Step::started).fold(0.0, f64::max);
    assert_about(ledger::makespan(&kitchens), last_start + 1000.0, "the last kitchen's start and its wait");
    let (chef, kitchens) = (ledger::makespan(&chef), ledger::makespan(&kitchens));
    assert!(kitchens > chef, "200 processes waited in {kitchens} ms, one chef in {chef} ms");
}
