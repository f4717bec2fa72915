//! Handing things to another chef: the same in every setup, dearer from kitchen to kitchen, by size only where it is copied.
//!
//! It deliberately asserts only what no noise can turn round; the figures are printed.

use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::faults::send;
use crate::harness::{self, House, eventually};
use crate::ledger;
use crate::models::{order, setups};
use crate::refusals::refused;

fn hand(bytes: u64, messages: u64) -> Value {
    json!({"name": "hand", "steps": [
        {"name": "hand", "work": {"kind": "exchange", "bytes": bytes, "messages": messages}}]})
}

/// Kitchens that hand things over this way.
fn kitchens(channel: &str) -> Value {
    json!({"model": "multiprocessing", "setup": {"kitchens": 1, "channel": channel, "start": "prewarmed"}})
}

/// The shortest of several exchanges one after another, in milliseconds.
async fn shortest(house: &House, setup: &Value, bytes: u64, messages: u64) -> f64 {
    let ended =
        house.cook(order(setup, json!({"recipe": hand(bytes, messages), "dishes": 9, "max_in_flight": 1}))).await;
    assert_eq!(ended["status"], "succeeded", "{ended}");
    let steps = ledger::of(house, &ended).await;
    steps.iter().map(ledger::Step::span).min_by(f64::total_cmp).expect("nine of them")
}

#[tokio::test]
async fn every_setup_hands_over_whatever_is_asked_and_accounts_for_the_time() {
    let house = harness::open();
    let mut all = setups(&house).await;
    all.extend([kitchens("shared_memory"), kitchens("pipe")]);
    all.push(order(&kitchens("shared_memory"), json!({"isolation": "kitchen"})));
    for setup in all {
        for (bytes, messages) in [(0, 1), (1, 300), (100_000, 20), (16 << 20, 2)] {
            let ended = house.cook(order(&setup, json!({"recipe": hand(bytes, messages), "dishes": 3}))).await;
            assert_eq!(ended["status"], "succeeded", "{setup}, {bytes} x {messages}: {ended}");
            for step in ledger::of(&house, &ended).await {
                let residual = step.residual_ms.expect("a residual").abs();
                assert!(residual <= (step.span() * 0.05).max(2.0), "{setup}: {step:?}");
                assert!(step.kind == "exchange" && step.exchange_ms >= Some(0.0), "{step:?}");
            }
        }
    }
}

#[tokio::test]
async fn what_is_copied_costs_by_its_size_and_what_stays_in_the_kitchen_does_not() {
    let house = harness::open();
    let channels = [
        ("to oneself", json!({"model": "sequential"})),
        ("on a loop", json!({"model": "asyncio"})),
        ("between threads", json!({"model": "multithreading", "setup": {"chefs": 2}})),
        ("by shared memory", kitchens("shared_memory")),
        ("by pipe", kitchens("pipe")),
    ];
    let mut figures = Vec::new();
    for (name, setup) in &channels {
        let one = shortest(&house, setup, 64, 1).await;
        let many = shortest(&house, setup, 64, 10_000).await;
        let large = shortest(&house, setup, 1 << 20, 100).await;
        println!(
            "{name:>16}: one message {:7.1} us, {:9.0} messages/s of 64 bytes, {:8.2} GiB/s in messages of 1 MiB",
            one * 1e3,
            1e7 / many,
            100.0 / 1024.0 / (large / 1e3)
        );
        figures.push((one, many, large));
    }
    let [oneself, on_loop, threads, memory, pipe] = figures[..] else { panic!("five channels") };
    // Within a kitchen nothing is copied: 100 MiB take no longer than their pointers do.
    assert!(oneself.2 < memory.2 / 5.0 && on_loop.2 < memory.2 / 5.0 && threads.2 < memory.2 / 5.0, "{figures:?}");
    assert!(on_loop.0 < pipe.0 && on_loop.1 < pipe.1 && oneself.1 < memory.1, "{figures:?}");
    // Between kitchens a message is a copy there and a copy back; a pipe wakes somebody for every one of them as well.
    assert!(memory.1 < pipe.1, "{figures:?}");
}

#[tokio::test]
async fn a_kitchen_that_dies_in_the_middle_of_an_exchange_leaves_the_house_cooking() {
    for channel in ["pipe", "shared_memory"] {
        let house = harness::open();
        let setup = kitchens(channel);
        let placed = house.place(order(&setup, json!({"recipe": hand(16 << 20, 3_000)}))).await;
        eventually(Duration::from_secs(20), "its kitchen works", async || {
            house.children().len() == 1 && house.json(&harness::link(&placed, "self")).await["status"] == "running"
        })
        .await;
        send(house.children()[0], Signal::KILL);
        let ended = house.ended(&placed).await;
        assert_eq!(ended["error"]["kind"], "signal", "{channel}: {ended}");
        assert_eq!(house.cook(order(&setup, json!({"recipe": hand(10, 10)}))).await["status"], "succeeded");
        let placed = house.place(order(&setup, json!({"recipe": hand(16 << 20, 3_000)}))).await;
        house.post(&harness::link(&placed, "cancel"), &json!(null)).await;
        let ended = tokio::time::timeout(Duration::from_secs(2), house.ended(&placed)).await;
        assert_eq!(ended.expect("canceled within 2 s")["status"], "canceled");
    }
}

#[tokio::test]
async fn exchanges_above_the_limits_are_refused() {
    let house = harness::open();
    let of = |bytes: u64, messages: u64, dishes: u64| json!({"model": "multiprocessing", "recipe": hand(bytes, messages), "dishes": dishes});
    let table = [
        (of((16 << 20) + 1, 1, 1), "/recipe/steps/0/work/bytes"),
        (of(1, 0, 1), "/recipe/steps/0/work/messages"),
        (of(1, 100_001, 1), "/recipe/steps/0/work/messages"),
        (of(16 << 20, 1_000, 5), "/dishes"),
        (of(0, 100_000, 301), "/dishes"),
    ];
    for (asked, pointer) in table {
        let problem = refused(&house, house.post("/orders", &asked).await, 422, "invalid-order").await;
        assert_eq!(problem["errors"][0]["pointer"], json!(pointer), "{problem}");
    }
    let other = json!({"model": "asyncio", "io_ms": 0, "setup": {"channel": "pipe"}});
    refused(&house, house.post("/orders", &other).await, 422, "invalid-order").await;
}
