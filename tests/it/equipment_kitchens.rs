//! Equipment and several kitchens: each has its own, unless it is shared; then the parent lends it, for a message there
//! and one back, and gets it back from whoever dies.

use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::equipment::{assert_deadlocked, boil, equipped, most_equipped, opposite};
use crate::faults::send;
use crate::harness::{self, eventually};
use crate::ledger;
use crate::models::order;

/// Setups of several kitchens that are up before the clock starts.
fn kitchens() -> [Value; 3] {
    ["steps", "asyncio", "threads"].map(
        |inside| json!({"model": "multiprocessing", "setup": {"kitchens": 4, "inside": inside, "start": "prewarmed"}}),
    )
}

#[tokio::test]
async fn each_kitchen_has_its_own_stove_unless_it_is_shared() {
    let house = harness::open();
    for setup in kitchens() {
        let mut recipe = boil(80, 1);
        let shared = house.cook(order(&setup, json!({"recipe": recipe, "dishes": 4}))).await;
        recipe["equipment"]["stove"]["shared"] = json!(false);
        let own = house.cook(order(&setup, json!({"recipe": recipe, "dishes": 4}))).await;
        let (theirs, shared_ms) = (ledger::of(&house, &own).await, ledger::makespan(&shared));
        assert!(ledger::makespan(&own) < 200.0 && shared_ms >= 320.0, "{setup}: {own} and {shared}");
        assert_eq!(ledger::pids(&theirs).len(), 4, "{theirs:?}");
        assert!(theirs.iter().all(|step| step.equipment_wait_ms < Some(1.0)), "{setup}: {theirs:?}");
        let steps = ledger::of(&house, &shared).await;
        assert_eq!(most_equipped(&steps), 1, "{setup}: {steps:?}");
    }
    // Two dishes that share a kitchen share its stove.
    let crowded =
        json!({"model": "multiprocessing", "setup": {"kitchens": 2, "inside": "asyncio", "start": "prewarmed"}});
    let mut recipe = boil(80, 1);
    recipe["equipment"]["stove"]["shared"] = json!(false);
    let ended = house.cook(order(&crowded, json!({"recipe": recipe, "dishes": 4}))).await;
    assert!((160.0..300.0).contains(&ledger::makespan(&ended)), "{ended}");
}

#[tokio::test]
async fn sharing_between_kitchens_costs_a_message_there_and_back_even_if_nobody_else_wants_it() {
    let house = harness::open();
    for setup in kitchens() {
        let asked = json!({"recipe": boil(1, 9), "dishes": 40, "max_in_flight": 4});
        let ended = house.cook(order(&setup, asked)).await;
        let steps = ledger::of(&house, &ended).await;
        let mut waits: Vec<_> = steps.iter().map(|step| step.equipment_wait_ms.expect("it ran")).collect();
        waits.sort_by(f64::total_cmp);
        println!("{}: {:.0} us to borrow, median", setup["setup"]["inside"], waits[waits.len() / 2] * 1e3);
        assert!(waits[0] > 0.001, "free of charge: {waits:?}");
    }
    let threads = json!({"model": "multithreading", "setup": {"chefs": 4}});
    let steps =
        ledger::of(&house, &house.cook(order(&threads, json!({"recipe": boil(1, 9), "dishes": 40}))).await).await;
    let waits: f64 = steps.iter().map(|step| step.equipment_wait_ms.expect("it ran")).sum();
    assert!(waits / 40.0 < 0.1, "in one kitchen there is nobody to ask: {waits} ms");
}

#[tokio::test]
async fn kitchens_that_wait_for_each_other_are_found_too() {
    let house = harness::open();
    for setup in kitchens() {
        let fields = json!({"recipe": opposite(150, true, true), "dishes": 4, "step_order": "concurrent"});
        let ended = house.cook(order(&setup, fields)).await;
        assert_eq!(ended["error"]["kind"], "deadlock", "{ended}");
        if setup["setup"]["inside"] == "steps" {
            assert_deadlocked(&ended);
        }
        let next = house.cook(order(&setup, json!({"io_ms": 1}))).await;
        assert_eq!(next["status"], "succeeded", "{next}");
    }
}

#[tokio::test]
async fn a_kitchen_that_dies_gives_back_what_it_had() {
    let house = harness::open_with(&["--allow-faults"]);
    let recipe = json!({"name": "clumsy", "equipment": {"stove": {"shared": true}}, "steps": [
        {"name": "drop", "work": {"kind": "fault", "what": "exit"}, "needs": ["stove"]},
        {"name": "boil", "work": {"kind": "wait", "ms": 20}, "needs": ["stove"]}]});
    let setup = json!({"model": "multiprocessing", "setup": {"kitchens": 3}});
    let ended = house.cook(order(&setup, json!({"recipe": recipe, "dishes": 3, "step_order": "concurrent"}))).await;
    assert_eq!((&ended["status"], &ended["error"]["kind"]), (&json!("failed"), &json!("exit")), "{ended}");
    let steps = ledger::of(&house, &ended).await;
    assert!(ledger::named(&steps, "drop").iter().all(|step| step.outcome != "succeeded"), "{steps:?}");
    let boils = ledger::named(&steps, "boil");
    assert!(boils.iter().any(|step| step.outcome == "succeeded"), "nobody had the stove again: {steps:?}");
}

#[tokio::test]
async fn a_kitchen_that_is_killed_with_the_stove_in_hand_does_not_keep_the_others_waiting() {
    let house = harness::open();
    let setup =
        json!({"model": "multiprocessing", "setup": {"kitchens": 2, "inside": "asyncio", "start": "prewarmed"}});
    let placed = house.place(order(&setup, json!({"recipe": boil(300, 1), "dishes": 4}))).await;
    let mut kitchens = Vec::new();
    eventually(Duration::from_secs(20), "both kitchens are up and cook", async || {
        kitchens = house.children();
        kitchens.len() == 2 && house.json(&harness::link(&placed, "self")).await["progress"]["steps_done"] == 1
    })
    .await;
    // One of them has the stove now; the other one waits for it.
    send(kitchens[0], Signal::KILL);
    let ended = house.ended(&placed).await;
    assert_eq!((&ended["status"], &ended["error"]["kind"]), (&json!("failed"), &json!("signal")), "{ended}");
    let steps = ledger::of(&house, &ended).await;
    let done: Vec<_> = steps.iter().filter(|step| step.outcome == "succeeded").collect();
    assert!((2..=3).contains(&done.len()), "{steps:?}");
    assert!(done.windows(2).all(|two| equipped(two[1]) + 0.01 >= two[0].finished()), "{done:?}");
}

#[tokio::test]
async fn nobody_is_taken_for_hung_who_only_waits_for_the_stove() {
    let house = harness::open();
    // The last of them waits for 12 s, longer than a step of 6 s may be late.
    let setup = json!({"model": "multiprocessing", "setup": {"kitchens": 3}});
    let ended = house.cook(order(&setup, json!({"recipe": boil(6_000, 1), "dishes": 3}))).await;
    assert_eq!(ended["status"], "succeeded", "{ended}");
    assert!(ledger::makespan(&ended) >= 18_000.0, "{ended}");
}
