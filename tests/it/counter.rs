//! The number that all chefs of a kitchen count up: exact where one thread counts or a lock is taken, else not; and each
//! kitchen has its own.

use serde_json::{Value, json};

use crate::harness::{self, House, number};
use crate::ledger;
use crate::models::{order, setups};

fn counting(increments: u64, locked: bool) -> Value {
    json!({"name": "counting", "steps": [
        {"name": "count", "work": {"kind": "counter", "increments": increments, "locked": locked}}]})
}

/// The counter of an order of four dishes, and how long it took.
async fn count(house: &House, setup: &Value, increments: u64, locked: bool) -> (Value, f64) {
    let ended = house.cook(order(setup, json!({"recipe": counting(increments, locked), "dishes": 4}))).await;
    assert_eq!(ended["status"], "succeeded", "{setup}: {ended}");
    assert_eq!(number(&ended, "/result/counter/expected"), 4.0 * increments as f64, "{ended}");
    (ended["result"]["counter"].clone(), ledger::makespan(&ended))
}

#[tokio::test]
async fn without_a_lock_updates_are_lost_with_it_none_is() {
    let house = harness::open();
    let threads = json!({"model": "multithreading", "setup": {"chefs": 4}});
    let (mut lost, mut free_ms) = (0.0, 0.0);
    // On a machine without a second free core it can go well a few times.
    for _ in 0..20 {
        let (counter, took) = count(&house, &threads, 3_000_000, false).await;
        (lost, free_ms) = (number(&counter, "/lost_updates"), took);
        assert_eq!(number(&counter, "/got") + lost, 12_000_000.0, "{counter}");
        if lost > 0.0 {
            break;
        }
    }
    let (counter, locked_ms) = count(&house, &threads, 3_000_000, true).await;
    println!("without a lock {lost} of 12,000,000 lost in {free_ms:.0} ms; with it none in {locked_ms:.0} ms");
    assert!(lost > 0.0, "nothing was ever lost");
    assert_eq!(counter, json!({"expected": 12_000_000, "got": 12_000_000, "lost_updates": 0}));
}

#[tokio::test]
async fn a_lock_costs_cpu_even_if_nobody_else_wants_it() {
    let house = harness::open();
    let mut cpu = Vec::new();
    for locked in [false, true] {
        let order = json!({"model": "sequential", "recipe": counting(1_000_000, locked), "dishes": 3});
        cpu.push(number(&house.cook(order).await, "/timings/cpu_ms"));
    }
    println!("an increment takes {:.1} ns, with a lock {:.1} ns", cpu[0] / 3.0, cpu[1] / 3.0);
    assert!(cpu[1] > 1.5 * cpu[0], "{cpu:?} ms of CPU");
}

#[tokio::test]
async fn who_counts_alone_loses_nothing_and_kitchens_count_for_themselves() {
    let house = harness::open();
    for setup in setups(&house).await {
        for locked in [false, true] {
            let (counter, _) = count(&house, &setup, 20_000, locked).await;
            let is_alone = setup["model"] == "sequential"
                || (setup["model"] == "asyncio" && setup["setup"]["assistants"].is_null());
            if setup["model"] == "multiprocessing" {
                assert_eq!(counter["got"], 0, "a kitchen reached into the house's memory: {setup}");
            } else if is_alone || locked {
                assert_eq!((&counter["got"], &counter["lost_updates"]), (&json!(80_000), &json!(0)), "{setup}");
            }
        }
    }
    let steps = json!({"model": "multiprocessing", "recipe": counting(20_000, false), "dishes": 4});
    let ended = house.cook(steps).await;
    let values: Vec<_> = ledger::of(&house, &ended).await.into_iter().map(|step| step.value).collect();
    assert_eq!(values, vec![Some("20000".to_owned()); 4], "each counted in its own memory");
}

#[tokio::test]
async fn a_gil_does_not_make_counting_safe_and_a_lock_does() {
    let house = harness::open();
    let setup = json!({"model": "multithreading", "setup": {"chefs": 4, "gil": true, "switch_interval_us": 500}});
    // Long enough for many switches, each of which falls between a read and a write.
    let (counter, _) = count(&house, &setup, 4_000_000, false).await;
    assert!(number(&counter, "/lost_updates") > 0.0, "{counter}");
    let (counter, _) = count(&house, &setup, 400_000, true).await;
    assert_eq!(counter["lost_updates"], 0, "{counter}");
}

#[tokio::test]
async fn orders_that_count_nothing_say_nothing_of_a_counter() {
    let house = harness::open();
    let ended = house.cook(json!({"model": "asyncio", "io_ms": 0})).await;
    assert_eq!(ended["result"]["counter"], json!(null), "{ended}");
    let preset = house.cook(json!({"preset": "shared-counter"})).await;
    assert_eq!(number(&preset, "/result/counter/expected"), 8_000_000.0, "{preset}");
}
