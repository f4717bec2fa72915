//! Kitchens that hang are ended and told; kitchens that are only busy, or only waiting for a core, are not.
//!
//! It deliberately runs for seconds, not for the ten minutes a soak takes: the rule is about evidence, not about time.

use std::time::Duration;

use futures_util::future::join_all;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::faults::send;
use crate::harness::{self, eventually, is_alive, number};

fn wait_of(ms: u64) -> Value {
    json!({"name": "w", "steps": [{"name": "w", "work": {"kind": "wait", "ms": ms}}]})
}

#[tokio::test]
async fn a_stopped_kitchen_is_ended_a_second_after_its_deadline_and_the_house_cooks_on() {
    let house = harness::open();
    let placed = [
        json!({"model": "multiprocessing", "recipe": wait_of(1000)}),
        json!({"model": "multiprocessing", "setup": {"kitchens": 2}, "recipe": wait_of(1000), "dishes": 2}),
        json!({"model": "multiprocessing", "setup": {"kitchens": "per_step"}, "recipe": wait_of(1000), "dishes": 3}),
        json!({"model": "asyncio", "isolation": "kitchen", "recipe": wait_of(1000)}),
    ];
    let placed = join_all(placed.map(|order| house.place(order))).await;
    let mut kitchens = Vec::new();
    eventually(Duration::from_secs(20), "all kitchens are up", async || {
        kitchens = house.children();
        kitchens.len() >= 7
    })
    .await;
    for kitchen in &kitchens {
        send(*kitchen, Signal::STOP);
    }
    let ended = join_all(placed.iter().map(|order| house.ended(order))).await;
    let hung: Vec<_> = ended.iter().filter(|order| order["error"]["kind"] == "hang").collect();
    for order in &hung {
        let (makespan, detail) = (number(order, "/timings/makespan_ms"), &order["error"]["detail"]);
        println!("{}: {makespan:.0} ms, {detail}", order["model"]);
        assert!(detail.as_str().is_some_and(|said| said.contains("was stopped")), "{order}");
        assert!(makespan >= 1500.0, "ended before its deadline and a second: {order}");
    }
    // Who was slow to start may have been done before the stop.
    assert!(hung.len() >= 3, "{ended:?}");
    assert!(ended.iter().all(|order| order["error"]["kind"] == "hang" || order["status"] == "succeeded"), "{ended:?}");
    eventually(Duration::from_secs(20), "no stopped kitchen is left", async || {
        kitchens.iter().all(|pid| !is_alive(*pid))
    })
    .await;
    let next = house.cook(json!({"model": "multiprocessing", "io_ms": 10, "dishes": 8})).await;
    assert_eq!(next["status"], "succeeded", "{next}");
}

#[tokio::test]
async fn a_step_that_never_ends_is_found_without_any_timeout() {
    let house = harness::open_with(&["--allow-faults"]);
    let hangs = json!({"name": "h", "steps": [{"name": "h", "work": {"kind": "fault", "what": "hang"}}]});
    let orders = [
        json!({"model": "multiprocessing", "recipe": hangs}),
        json!({"model": "multiprocessing", "recipe": hangs, "isolation": "kitchen"}),
        json!({"model": "asyncio", "recipe": hangs}),
        json!({"model": "multithreading", "recipe": hangs}),
    ];
    for ended in join_all(orders.map(|order| house.cook(order))).await {
        assert_eq!((&ended["status"], &ended["error"]["kind"]), (&json!("failed"), &json!("hang")), "{ended}");
    }
    assert_eq!(house.cook(json!({"model": "multiprocessing", "io_ms": 1})).await["status"], "succeeded");
}

#[tokio::test]
async fn nobody_is_ended_for_being_busy_or_for_waiting_for_a_core() {
    let house = harness::open();
    // Forty kitchens share the cores: the shortest waits are over long before their kitchens get a core to say so.
    let recipe = json!({"name": "busy", "steps": [
        {"name": "w", "work": {"kind": "wait", "ms": 1}},
        {"name": "c", "work": {"kind": "cpu", "ms": 150}, "after": ["w"]},
        {"name": "v", "work": {"kind": "wait", "ms": 1}, "after": ["c"]}]});
    let orders = [
        json!({"model": "multiprocessing", "setup": {"kitchens": 40}, "recipe": recipe, "dishes": 80}),
        json!({"model": "multiprocessing", "recipe": recipe, "dishes": 10}),
        json!({"model": "multithreading", "setup": {"chefs": 20}, "isolation": "kitchen", "recipe": recipe, "dishes": 20}),
    ];
    for ended in join_all(orders.map(|order| house.cook(order))).await {
        assert_eq!(ended["status"], "succeeded", "{ended}");
    }
}
