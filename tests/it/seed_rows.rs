//! The seed's four programs, as presets: what they compute, who runs what, and how long they must take.
//!
//! They are checked without a GIL (the house's default) and with boils a hundredth as long; one test runs the first of
//! them exactly as written. It deliberately compares no model with another: that is what comparisons are for.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{self, House, eventually};
use crate::ledger::{self, Step, assert_about};

/// The seed's boil of 30 s, a hundredth as long.
const BOIL_MS: f64 = 300.0;
/// The seed's sum of squares below 10^7: more than 64 bits hold.
const SUM: &str = "333333283333335000000";

async fn cook(house: &House, preset: &str) -> (Value, Vec<Step>) {
    let order = house.cook(json!({"preset": preset, "speed": 100})).await;
    assert_eq!(order["status"], "succeeded", "{order}");
    let steps = ledger::of(house, &order).await;
    (order, steps)
}

/// Three dishes of three steps, each run once, each sum right.
fn assert_is_the_seeds_work(order: &Value, steps: &[Step]) {
    let done: BTreeSet<_> = steps.iter().map(|step| (step.dish, step.step.as_str())).collect();
    let wanted = ["boil_pasta", "chop_veggies", "prepare_sauce"];
    let wanted: BTreeSet<_> = (1..=3).flat_map(|dish| wanted.map(|step| (dish, step))).collect();
    assert_eq!((done, steps.len()), (wanted, 9));
    for step in steps {
        let value = (step.kind == "cpu").then_some(SUM);
        assert_eq!((step.outcome.as_str(), step.value.as_deref()), ("succeeded", value), "{step:?}");
    }
    assert_eq!(order["result"]["values"], json!({"chop_veggies": SUM, "prepare_sauce": SUM}));
    assert_eq!(order["result"]["dishes_succeeded"], 3);
    assert_eq!(SUM, ledger::closed_form(10_000_000));
}

/// The three boils were put on the stove together.
fn assert_boils_start_together(steps: &[Step]) {
    let starts: Vec<_> = ledger::named(steps, "boil_pasta").into_iter().map(Step::started).collect();
    assert!(starts.iter().all(|start| start - starts[0] < 10.0), "boils put on at {starts:?} ms");
}

#[tokio::test]
async fn the_first_program_is_one_chef_whose_chopping_blocks_the_loop() {
    let house = harness::open();
    let (order, steps) = cook(&house, "seed-asyncio").await;
    assert_is_the_seeds_work(&order, &steps);
    assert_boils_start_together(&steps);
    assert_eq!(ledger::pids(&steps), [house.pid()].into(), "one kitchen");
    assert_eq!(ledger::tids(&steps).len(), 1, "one chef");
    assert_eq!(ledger::most_at_once(ledger::kind(&steps, "cpu")), 1, "one pair of hands");
    let law = BOIL_MS + ledger::wake_delay(&steps) + ledger::busy(&steps);
    assert_about(ledger::makespan(&order), law, "one boil and six CPU steps");
}

#[tokio::test]
async fn the_first_program_notices_each_boil_late_by_the_chopping_of_the_dishes_before() {
    let house = harness::open();
    let (_, steps) = cook(&house, "seed-asyncio").await;
    let awake = ledger::wake_delay(&steps);
    let mut before = 0.0;
    for (boil, dish) in ledger::named(&steps, "boil_pasta").into_iter().zip(ledger::by_dish(&steps).values()) {
        // Dish k: (k - 1) times the CPU of a dish, here as these very dishes took it.
        let put_on_later = boil.started() - steps.iter().map(Step::started).fold(f64::INFINITY, f64::min);
        assert_about(boil.lag(), awake + before - put_on_later, "lag of the boil");
        before += dish[1..].iter().map(|step| step.span()).sum::<f64>();
        let ready = dish.last().expect("three steps").finished();
        assert_about(ready, BOIL_MS + awake + before, "completion of the dish");
    }
}

#[tokio::test]
async fn the_second_program_gives_the_chopping_to_assistants_and_keeps_the_chef_free() {
    let house = harness::open();
    let (order, steps) = cook(&house, "seed-to-thread").await;
    assert_is_the_seeds_work(&order, &steps);
    assert_boils_start_together(&steps);
    assert_eq!(ledger::pids(&steps), [house.pid()].into(), "one kitchen");
    let chef = ledger::tids(ledger::kind(&steps, "wait"));
    let assistants = ledger::tids(ledger::kind(&steps, "cpu"));
    assert_eq!(chef.len(), 1, "one chef boils everything");
    assert!(chef.is_disjoint(&assistants), "the chef chopped: {steps:?}");
    for dish in ledger::by_dish(&steps).values() {
        assert!(dish.windows(2).all(|two| two[1].started() >= two[0].finished()), "out of order: {dish:?}");
    }
    assert_no_longer_than_one_chef(&order, &steps);
}

#[tokio::test]
async fn the_third_program_is_nine_threads_in_one_kitchen() {
    let house = harness::open();
    let (order, steps) = cook(&house, "seed-threads").await;
    assert_is_the_seeds_work(&order, &steps);
    assert_eq!(ledger::pids(&steps), [house.pid()].into(), "one kitchen");
    assert_eq!(ledger::tids(&steps).len(), 9, "nine chefs: {steps:?}");
    assert!(ledger::most_at_once(&steps) > 3, "only the boils overlap: {steps:?}");
    assert_no_longer_than_one_chef(&order, &steps);
}

#[tokio::test]
async fn the_fourth_program_is_nine_kitchens_that_are_children_of_the_house() {
    let house = harness::open();
    // A boil of a second: on a busy machine the ninth process starts late.
    let order = house.place(json!({"preset": "seed-processes", "speed": 30})).await;
    let mut seen = BTreeSet::new();
    eventually(Duration::from_secs(30), "the order ends", async || {
        seen.extend(house.children());
        house.json(&harness::link(&order, "self")).await["done"] == json!(true)
    })
    .await;
    let order = house.ended(&order).await;
    let steps = ledger::of(&house, &order).await;
    assert_is_the_seeds_work(&order, &steps);
    let kitchens = ledger::pids(&steps);
    assert_eq!(kitchens.len(), 9, "nine kitchens: {steps:?}");
    assert!(seen.is_subset(&kitchens), "children that cooked nothing: {seen:?} beside {kitchens:?}");
    let boiling = ledger::pids(ledger::kind(&steps, "wait"));
    assert!(seen.is_superset(&boiling), "no children of the house: {boiling:?}, only {seen:?}");
    assert_eq!(ledger::most_at_once(ledger::kind(&steps, "wait")), 3, "three boils at once");
    eventually(Duration::from_secs(2), "kitchens of one use end", async || house.children().is_empty()).await;
}

/// Waits and CPU steps side by side: never longer than one chef would need, never shorter than the boil.
fn assert_no_longer_than_one_chef(order: &Value, steps: &[Step]) {
    let one_chef = BOIL_MS + ledger::wake_delay(steps) + ledger::busy(steps);
    let makespan = ledger::makespan(order);
    assert!(makespan >= BOIL_MS, "{makespan} ms is less than the boil");
    assert!(makespan <= one_chef * 1.1 + 30.0, "{makespan} ms is more than one chef's {one_chef} ms");
}

#[tokio::test]
async fn long_the_first_program_exactly_as_written_takes_its_thirty_seconds_and_six_cpu_steps() {
    let house = harness::open();
    let order = house.cook(json!({"preset": "seed-asyncio"})).await;
    assert_eq!(order["status"], "succeeded", "{order}");
    assert_eq!(order["speed"], 1);
    let steps = ledger::of(&house, &order).await;
    assert_is_the_seeds_work(&order, &steps);
    let law = 30_000.0 + ledger::wake_delay(&steps) + ledger::busy(&steps);
    let makespan = ledger::makespan(&order);
    // A tenth of thirty seconds would hide a lost boil's worth of chopping, so only the CPU steps get that allowance.
    assert!(makespan >= 30_000.0, "{makespan} ms");
    assert!(makespan <= law + ledger::busy(&steps) * 0.1 + 100.0, "{makespan} ms instead of {law} ms");
}
