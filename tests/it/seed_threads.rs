//! The seed's statements about several chefs in one kitchen (multithreading), as laws about step records.
//!
//! It deliberately says nothing of the GIL and of memory: nobody has the one here, and the other is a comparison's.

use serde_json::json;

use crate::harness;
use crate::ledger::{self, Step, assert_about};
use crate::refusals::refused;

#[tokio::test]
async fn a_thread_per_step_means_as_many_threads_as_steps_in_one_process() {
    let house = harness::open();
    let recipe = json!({"name": "dish", "steps": [
        {"name": "boil", "work": {"kind": "wait", "ms": 200}},
        {"name": "chop", "work": {"kind": "cpu", "ms": 20}},
        {"name": "sauce", "work": {"kind": "cpu", "ms": 20}}]});
    let setup = json!({"chefs": "per_step"});
    let order = house.cook(json!({"model": "multithreading", "setup": setup, "recipe": recipe, "dishes": 3})).await;
    let steps = ledger::of(&house, &order).await;
    assert_eq!((steps.len(), ledger::tids(&steps).len()), (9, 9), "{steps:?}");
    assert_eq!(ledger::pids(&steps), [house.pid()].into());
}

#[tokio::test]
async fn one_boils_while_another_chops() {
    let house = harness::open();
    let setup = json!({"chefs": "per_step"});
    let recipe = json!({"name": "dish", "steps": [
        {"name": "boil", "work": {"kind": "wait", "ms": 600}},
        {"name": "chop", "work": {"kind": "cpu", "ms": 60}, "after": ["boil"]}]});
    let order = json!({"model": "multithreading", "setup": setup, "recipe": recipe, "dishes": 3});
    let mut at_once = order.clone();
    at_once["step_order"] = json!("concurrent");
    let (chained, at_once) = (house.cook(order).await, house.cook(at_once).await);
    let steps = ledger::of(&house, &at_once).await;
    let boiled = ledger::kind(&steps, "wait").into_iter().map(Step::finished).fold(f64::INFINITY, f64::min);
    assert!(ledger::kind(&steps, "cpu").into_iter().all(|chop| chop.started() < boiled), "nobody chopped: {steps:?}");
    let longest_chop = ledger::kind(&steps, "cpu").into_iter().map(Step::busy).fold(0.0, f64::max);
    assert_about(
        ledger::makespan(&at_once),
        longest_chop.max(600.0 + ledger::wake_delay(&steps)),
        "the longer of boiling and chopping",
    );
    let (chained, chop) = (ledger::makespan(&chained), 60.0);
    assert!(chained >= 600.0 + chop, "chopped before it had boiled: {chained} ms");
}

#[tokio::test]
async fn a_pool_of_chefs_has_no_more_threads_than_it_says_and_each_wait_occupies_one() {
    let house = harness::open();
    let setup = json!({"chefs": 3});
    let order =
        house.cook(json!({"model": "multithreading", "setup": setup, "io_ms": 100, "cpu_ms": 0, "dishes": 9})).await;
    let steps = ledger::of(&house, &order).await;
    assert!(ledger::tids(&steps).len() <= 3, "{steps:?}");
    assert!(ledger::most_at_once(ledger::kind(&steps, "wait")) <= 3);
    // No bound from above: how long three threads take to wake up nine times is the machine's affair.
    assert!(ledger::makespan(&order) >= 300.0, "nine waits of 100 ms by three chefs: {order}");
}

#[tokio::test]
async fn a_thousand_waits_on_a_thousand_threads_take_one_wait_and_a_thousand_thread_starts() {
    let house = harness::open();
    let setup = json!({"chefs": "per_step"});
    let recipe = json!({"name": "io", "steps": [{"name": "io", "work": {"kind": "wait", "ms": 1000}}]});
    let order = house.cook(json!({"model": "multithreading", "setup": setup, "recipe": recipe, "dishes": 1000})).await;
    assert_eq!(order["status"], "succeeded", "{order}");
    let steps = ledger::of(&house, &order).await;
    assert_eq!(ledger::tids(&steps).len(), 1000);
    let last_start = steps.iter().map(Step::started).fold(0.0, f64::max);
    assert_about(ledger::makespan(&order), last_start + 1000.0, "the last thread's start and its wait");
}

#[tokio::test]
async fn breaking_spaghetti_into_a_hundred_pieces_costs_a_hundred_hand_overs() {
    let house = harness::open();
    let piece = |i: usize, iterations: u64| {
        let after = if i == 0 { json!([]) } else { json!([format!("piece {}", i - 1)]) };
        json!({"name": format!("piece {i}"), "work": {"kind": "cpu", "iterations": iterations}, "after": after})
    };
    let mut beside_cpu = Vec::new();
    for pieces in [1, 100] {
        let steps: Vec<_> = (0..pieces).map(|i| piece(i, 2_000_000 / pieces as u64)).collect();
        let recipe = json!({"name": "spaghetti", "steps": steps});
        let setup = json!({"kitchens": 1, "start": "prewarmed"});
        let order = house.cook(json!({"model": "multiprocessing", "setup": setup, "recipe": recipe})).await;
        let steps = ledger::of(&house, &order).await;
        assert!(steps.iter().skip(1).all(|step| step.queue_ms > Some(0.0)), "handed over for nothing: {steps:?}");
        beside_cpu.push(ledger::makespan(&order) - ledger::busy(&steps));
    }
    println!("one piece: {:.2} ms beside its CPU, a hundred: {:.2} ms", beside_cpu[0], beside_cpu[1]);
    assert!(beside_cpu[1] > beside_cpu[0], "{beside_cpu:?} ms beside the CPU");
    let broken = json!({"model": "asyncio", "io_ms": 1, "break_spaghetti": true});
    let problem = refused(&house, house.post("/orders", &broken).await, 422, "invalid-order").await;
    assert_eq!(problem["errors"][0]["pointer"], "/break_spaghetti", "{problem}");
}
