//! The seed's statements about assistants (`to_thread`) and about what blocks a loop: what a hand-over costs, and what it buys
//! with and without a GIL.
//!
//! Where two ways are said to take the same time, three tries are allowed: this machine has other guests.

use serde_json::{Value, json};

use crate::gil_laws::holds;
use crate::harness::{self, House, link, number};
use crate::ledger::{self, Step};

fn pasta() -> Value {
    json!({"name": "pasta", "steps": [
        {"name": "boil", "work": {"kind": "wait", "ms": 150}},
        {"name": "chop", "work": {"kind": "cpu", "ms": 60}, "after": ["boil"]},
        {"name": "sauce", "work": {"kind": "cpu", "ms": 60}, "after": ["chop"]}]})
}

async fn makespan(house: &House, model: &str, setup: Value) -> f64 {
    let order = json!({"model": model, "setup": setup, "recipe": pasta(), "dishes": 4});
    ledger::makespan(&house.cook(order).await)
}

#[tokio::test]
async fn assistants_without_a_lock_are_as_fast_as_as_many_threads_and_faster_than_one_chef() {
    let house = harness::open();
    holds("four assistants beside four threads", async || {
        let assistants = makespan(&house, "asyncio", json!({"assistants": 4})).await;
        let threads = makespan(&house, "multithreading", json!({"chefs": 4})).await;
        let chef = makespan(&house, "asyncio", json!({})).await;
        let good = (assistants / threads - 1.0).abs() <= 0.1 && chef / assistants >= 1.3;
        if good { Ok(()) } else { Err(format!("{assistants} ms, {threads} ms, alone {chef} ms")) }
    })
    .await;
}

#[tokio::test]
async fn handing_a_step_to_an_assistant_costs_a_way_there_and_back() {
    let house = harness::open();
    let step = |i: usize| {
        let after = if i == 0 { json!([]) } else { json!([format!("s{}", i - 1)]) };
        json!({"name": format!("s{i}"), "work": {"kind": "cpu", "iterations": 0}, "after": after})
    };
    let recipe = json!({"name": "many", "steps": Value::from_iter((0..100).map(step))});
    let mut ways = Vec::new();
    for setup in [json!({}), json!({"assistants": 1})] {
        let order = house.cook(json!({"model": "asyncio", "setup": setup, "recipe": recipe})).await;
        let steps = ledger::of(&house, &order).await;
        let mut queued: Vec<_> = steps.iter().filter_map(|step| step.queue_ms).collect();
        queued.sort_by(f64::total_cmp);
        ways.push((queued[50], ledger::makespan(&order)));
    }
    println!("{:.1} us to hand a step over, median; {:.1} us on the loop itself", ways[1].0 * 1e3, ways[0].0 * 1e3);
    assert!(ways[1].0 > ways[0].0 && ways[1].1 > ways[0].1, "{ways:?}");
}

#[tokio::test]
async fn what_blocks_the_loop_is_its_lag_by_ticker_by_waits_and_by_slice() {
    let house = harness::open();
    let recipe = json!({"name": "two-pots", "steps": [
        {"name": "short", "work": {"kind": "wait", "ms": 20}},
        {"name": "long", "work": {"kind": "wait", "ms": 60}},
        {"name": "chop", "work": {"kind": "cpu", "ms": 150}, "after": ["short"]}]});
    let order = json!({"model": "asyncio", "recipe": recipe, "dishes": 3, "isolation": "kitchen"});
    let ended = house.cook(order).await;
    let steps = ledger::of(&house, &ended).await;
    let report = house.json(&link(&ended, "report")).await;
    let of = |at: &str| number(&report, &format!("/lag/{at}"));
    let chops: f64 = steps.iter().filter(|step| step.kind == "cpu").map(Step::span).sum();
    let latest = steps.iter().filter(|step| step.kind == "wait").map(Step::lag).fold(0.0, f64::max);
    assert!(of("longest_slice_ms") >= 150.0, "{report}");
    // The three chops follow one another in one turn of the loop, 40 ms before the long pots are due.
    assert!(
        (of("wait_ms/max") - latest).abs() < 0.01 && latest >= chops - 45.0,
        "{latest} ms behind {chops} ms: {report}"
    );
    // A tick each 50 ms: the first one missed is at most that far into the chopping.
    assert!(of("ticker_max_ms") >= chops - 60.0, "{chops} ms: {report}");
}
