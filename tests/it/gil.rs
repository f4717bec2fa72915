//! The emulated GIL, as laws about step records: who computes when, what it costs whom, and what it does not touch.
//!
//! The laws are those of laboratory work with CPython (docs/fidelity.md); `scripts/fidelity` runs CPython beside it. Lengths
//! of CPU steps are taken from the records, so that a busy machine breaks no law.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{self, House, eventually, link, number};
use crate::ledger::{self, Step};

/// The seed's dish, scaled.
fn pasta(boil_ms: u64, chop_ms: u64) -> Value {
    json!({"name": "pasta", "steps": [
        {"name": "boil", "work": {"kind": "wait", "ms": boil_ms}},
        {"name": "chop", "work": {"kind": "cpu", "ms": chop_ms}, "after": ["boil"]},
        {"name": "sauce", "work": {"kind": "cpu", "ms": chop_ms}, "after": ["chop"]}]})
}

fn gil_wait(steps: &[Step]) -> f64 {
    steps.iter().map(Step::gil_wait).sum()
}

async fn cook(house: &House, order: Value) -> (Value, Vec<Step>) {
    let order = house.cook(order).await;
    assert_eq!(order["status"], "succeeded", "{order}");
    let steps = ledger::of(house, &order).await;
    (order, steps)
}

#[tokio::test]
async fn one_thread_at_a_time_computes_and_the_others_wait_for_it() {
    let house = harness::open();
    let setups = [json!({"chefs": 4}), json!({"chefs": "per_step"}), json!({"chefs": "house"})];
    for mut setup in setups {
        setup["gil"] = json!(true);
        // Nobody is asked to let go, so each step has the lock in one piece, at its end.
        setup["switch_interval_us"] = json!(1_000_000);
        let order = json!({"model": "multithreading", "setup": setup, "cpu_ms": 25, "dishes": 6});
        let (order, steps) = cook(&house, order).await;
        assert!(ledger::makespan(&order) >= 6.0 * 25.0, "{order}");
        let mut slices: Vec<_> =
            steps.iter().map(|step| (step.finished() - step.cpu_ms.unwrap(), step.finished())).collect();
        slices.sort_by(|a, b| a.0.total_cmp(&b.0));
        let overlap = slices.windows(2).find(|two| two[0].1 > two[1].0 + 1.0);
        assert!(overlap.is_none(), "two had the lock at once: {overlap:?} of {slices:?}");
        // Whoever starts threads one by one hands them the lock before they count as started.
        let waited = gil_wait(&steps) + steps.iter().filter_map(|step| step.queue_ms).sum::<f64>();
        assert!(waited >= 25.0 * f64::from(1 + 2 + 3), "{waited} ms of waiting: {steps:?}");
    }
}

#[tokio::test]
async fn cpu_steps_take_as_long_as_their_sum_with_it_and_share_the_cores_without() {
    let house = harness::open();
    let (mut makespans, cores) = (Vec::new(), harness::effective_cores());
    for gil in [true, false] {
        let setup = json!({"chefs": "per_step", "gil": gil});
        let order = json!({"model": "multithreading", "setup": setup, "recipe": pasta(150, 60), "dishes": 3,
            "step_order": "concurrent"});
        let (order, steps) = cook(&house, order).await;
        let cpu: f64 = steps.iter().filter_map(|step| step.cpu_ms).sum();
        if gil {
            assert!(ledger::makespan(&order) >= cpu * 0.99, "{order}");
            assert!(gil_wait(&steps) > cpu, "six on one lock wait more than they work: {steps:?}");
            let lag = ledger::kind(&steps, "wait").into_iter().map(Step::lag).fold(0.0, f64::max);
            assert!(lag >= 3.0, "nobody who had boiled had to wait for the lock: {steps:?}");
        } else {
            assert_eq!(gil_wait(&steps), 0.0, "{steps:?}");
        }
        makespans.push(ledger::makespan(&order));
    }
    // The cores before and after: on a shared machine those in between are not known.
    if cores.min(harness::effective_cores()) >= 1.8 {
        assert!(makespans[1] < makespans[0] / 1.15, "without the lock no faster: {makespans:?} ms");
    }
}

#[tokio::test]
async fn to_thread_is_no_faster_than_blocking_the_loop_and_its_dishes_are_later_on_average() {
    let house = harness::open();
    let mut runs = Vec::new();
    for setup in [json!({"gil": true}), json!({"assistants": 4, "gil": true})] {
        let order = json!({"model": "asyncio", "setup": setup, "recipe": pasta(100, 40), "dishes": 4});
        let (order, steps) = cook(&house, order).await;
        ledger::assert_serial(&order, &steps, 100.0 + ledger::wake_delay(&steps));
        runs.push((order, steps));
    }
    let mean = |at: usize| number(&runs[at].0, "/timings/mean_dish_ms");
    assert_eq!(gil_wait(&runs[0].1), 0.0, "a chef alone waited for a lock: {:?}", runs[0].1);
    assert!(gil_wait(&runs[1].1) > 0.0, "{:?}", runs[1].1);
    assert!(mean(1) > mean(0) * 1.1, "first come, first served: {} ms; taking turns: {} ms", mean(0), mean(1));
}

#[tokio::test]
async fn a_loop_with_assistants_notices_late_what_it_needs_the_lock_for_and_says_so() {
    let house = harness::open();
    // Two pots a dish: one that is followed by chopping, one that is due in the middle of it.
    let recipe = json!({"name": "two-pots", "steps": [
        {"name": "short", "work": {"kind": "wait", "ms": 50}},
        {"name": "long", "work": {"kind": "wait", "ms": 200}},
        {"name": "chop", "work": {"kind": "cpu", "ms": 300}, "after": ["short"]}]});
    let order = |gil: Value| json!({"model": "asyncio", "setup": gil, "recipe": recipe, "dishes": 2});
    let (_, free) = cook(&house, order(json!({"assistants": 2, "chef": "own"}))).await;
    let (_, held) =
        cook(&house, order(json!({"assistants": 2, "chef": "own", "gil": true, "switch_interval_us": 50_000}))).await;
    let late = |steps: &[Step]| ledger::named(steps, "long").into_iter().map(Step::lag).fold(0.0, f64::max);
    assert!(late(&held) >= 40.0, "{} ms late beside two that compute: {held:?}", late(&held));
    assert!(late(&free) < late(&held), "{} ms late without, {} ms with the lock", late(&free), late(&held));
    for pot in ledger::named(&held, "long") {
        assert!(pot.gil_wait() <= pot.lag() + 0.1, "more waiting for the lock than lag: {pot:?}");
        assert!(pot.gil_wait() >= pot.lag() * 0.5, "late for another reason: {pot:?}");
        assert!(pot.residual_ms.unwrap().abs() < 0.1, "{pot:?}");
    }
}

#[tokio::test]
async fn each_kitchen_has_a_lock_of_its_own() {
    let house = harness::open();
    let work = json!({"kind": "cpu", "ms": 40});
    let recipe = json!({"name": "chop", "steps": [{"name": "a", "work": work}, {"name": "b", "work": work}]});
    for (inside, competes) in [("steps", false), ("threads", true)] {
        let setup = json!({"kitchens": 2, "inside": inside, "gil": true, "start": "prewarmed"});
        let order = json!({"model": "multiprocessing", "setup": setup, "recipe": recipe, "dishes": 4});
        let (order, steps) = cook(&house, order).await;
        assert_eq!(ledger::pids(&steps).len(), 2, "{order}");
        assert_eq!(gil_wait(&steps) > 0.0, competes, "inside {inside}: {steps:?}");
        let mut cpu_of: BTreeMap<u32, f64> = BTreeMap::new();
        for step in &steps {
            *cpu_of.entry(step.worker().pid).or_default() += step.cpu_ms.unwrap();
        }
        assert!(cpu_of.values().all(|cpu| *cpu <= ledger::makespan(&order)), "{cpu_of:?} ms in {order}");
    }
}

#[tokio::test]
async fn a_canceled_order_is_heard_by_those_who_wait_for_the_lock() {
    let house = harness::open();
    for chefs in [json!(16), json!("per_step")] {
        let setup = json!({"chefs": chefs, "gil": true, "switch_interval_us": 1_000_000});
        let order = json!({"model": "multithreading", "setup": setup, "cpu_ms": 60_000, "dishes": 16});
        let placed = house.place(order).await;
        eventually(Duration::from_secs(10), "it runs", async || {
            house.json(&link(&placed, "self")).await["status"] == "running"
        })
        .await;
        house.post(&link(&placed, "cancel"), &json!(null)).await;
        let ended = tokio::time::timeout(Duration::from_secs(2), house.ended(&placed)).await;
        assert_eq!(ended.expect("within 2 s")["status"], "canceled");
    }
}

#[tokio::test]
async fn what_setup_says_of_it_is_checked_and_echoed() {
    let house = harness::open();
    let echoed = house.cook(json!({"model": "multithreading", "io_ms": 0, "setup": {"gil": true}})).await;
    assert_eq!(echoed["setup"], json!({"chefs": "house", "gil": true, "switch_interval_us": 5000}));
    let without = house.cook(json!({"model": "multithreading", "io_ms": 0, "setup": {"gil": false}})).await;
    assert_eq!(without["setup"], json!({"chefs": "house", "gil": false}));
    let refused = [
        ("multithreading", json!({"gil": 1}), "gil"),
        ("asyncio", json!({"gil": true, "switch_interval_us": 0}), "switch_interval_us"),
        ("asyncio", json!({"gil": true, "switch_interval_us": 1_000_001}), "switch_interval_us"),
        ("multiprocessing", json!({"switch_interval_us": 5000}), "switch_interval_us"),
        ("sequential", json!({"gil": true}), "gil"),
    ];
    for (model, setup, field) in refused {
        let answer = house.post("/orders", &json!({"model": model, "io_ms": 0, "setup": setup})).await;
        assert_eq!(answer.status().as_u16(), 422, "{model} {setup}");
        let problem: Value = answer.json().await.unwrap();
        assert_eq!(problem["errors"][0]["pointer"], format!("/setup/{field}"), "{problem}");
    }
    let presets = house.json("/presets").await;
    let seeds = presets["data"].as_array().unwrap().iter().filter(|p| p["name"].as_str().unwrap().starts_with("seed-"));
    assert_eq!(seeds.filter(|preset| preset["order"]["setup"]["gil"] == json!(true)).count(), 4, "{presets}");
}
