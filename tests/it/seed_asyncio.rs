//! The seed's statements about one chef (asyncio), with and without assistants, as laws about step records.
//!
//! The lengths of CPU steps are taken from the records, not from the recipe, so that a busy machine breaks no law. It
//! deliberately says nothing of the GIL: nobody has one here.

use serde_json::{Value, json};

use crate::harness;
use crate::ledger::{self, Step, assert_about};

/// A recipe of one step.
fn only(work: &Value) -> Value {
    json!({"name": "only", "steps": [{"name": "only", "work": work}]})
}

fn boil_then_chop(boil_ms: u64, chop_ms: u64) -> Value {
    json!({"name": "dish", "steps": [
        {"name": "boil", "work": {"kind": "wait", "ms": boil_ms}},
        {"name": "chop", "work": {"kind": "cpu", "ms": chop_ms}, "after": ["boil"]},
        {"name": "sauce", "work": {"kind": "cpu", "ms": chop_ms}, "after": ["chop"]}]})
}

#[tokio::test]
async fn one_chef_does_everything_on_one_thread_and_keeps_at_most_one_core_busy() {
    let house = harness::open();
    for setup in [json!({}), json!({"chef": "own"})] {
        let order = json!({"model": "asyncio", "setup": setup, "recipe": boil_then_chop(100, 25), "dishes": 6});
        let order = house.cook(order).await;
        let steps = ledger::of(&house, &order).await;
        assert_eq!((steps.len(), ledger::tids(&steps).len()), (18, 1), "{order}");
        assert_eq!(ledger::most_at_once(ledger::kind(&steps, "cpu")), 1, "{steps:?}");
        let (cpu, makespan) = (harness::number(&order, "/timings/cpu_ms"), ledger::makespan(&order));
        assert!(cpu <= makespan - 100.0, "{cpu} ms of CPU by one chef who also boiled, in {makespan} ms");
    }
}

#[tokio::test]
async fn fifty_boils_take_as_long_as_one() {
    let house = harness::open();
    let order = json!({"model": "asyncio", "recipe": only(&json!({"kind": "wait", "ms": 300})), "dishes": 50});
    let order = house.cook(order).await;
    let makespan = ledger::makespan(&order);
    assert_eq!(ledger::most_at_once(&ledger::of(&house, &order).await), 50);
    assert!((300.0..900.0).contains(&makespan), "50 boils of 300 ms took {makespan} ms");
}

#[tokio::test]
async fn cpu_steps_of_one_chef_add_up() {
    let house = harness::open();
    let order = json!({"model": "asyncio", "cpu_ms": 30, "dishes": 8});
    let order = house.cook(order).await;
    let steps = ledger::of(&house, &order).await;
    assert!(ledger::makespan(&order) >= 8.0 * 30.0, "{order}");
    let first = ledger::kind(&steps, "cpu")[0].started();
    assert_about(ledger::makespan(&order), first + ledger::busy(&steps), "eight CPU steps");
}

#[tokio::test]
async fn nothing_begins_or_ends_in_the_middle_of_a_cpu_step() {
    let house = harness::open();
    let recipe = json!({"name": "mixed", "steps": [
        {"name": "short", "work": {"kind": "wait", "ms": 5}},
        {"name": "long", "work": {"kind": "wait", "ms": 60}},
        {"name": "chop", "work": {"kind": "cpu", "ms": 40}, "after": ["short"]}]});
    let order = house.cook(json!({"model": "asyncio", "recipe": recipe, "dishes": 4})).await;
    let steps = ledger::of(&house, &order).await;
    for slice in ledger::kind(&steps, "cpu") {
        let inside = |at: f64| at > slice.started() && at < slice.finished();
        let cut = steps.iter().find(|step| inside(step.started()) || inside(step.finished()));
        assert!(cut.is_none(), "the chef left {slice:?} for {cut:?}");
    }
}

#[tokio::test]
async fn three_boils_are_due_together_and_their_dishes_are_served_first_come_first_served() {
    let house = harness::open();
    let order = json!({"model": "asyncio", "recipe": boil_then_chop(200, 30), "dishes": 3});
    let order = house.cook(order).await;
    let steps = ledger::of(&house, &order).await;
    let due: Vec<_> = ledger::named(&steps, "boil").into_iter().map(|boil| boil.finished() - boil.lag()).collect();
    assert!(due.iter().all(|each| (each - due[0]).abs() < 10.0), "due at {due:?} ms");
    let chopped: Vec<_> = ledger::kind(&steps, "cpu").into_iter().map(|step| (step.dish, step.step.as_str())).collect();
    let fifo: Vec<_> = (1..=3).flat_map(|dish| [(dish, "chop"), (dish, "sauce")]).collect();
    assert_eq!(chopped, fifo);
    let law = 200.0 + ledger::wake_delay(&steps) + ledger::busy(&steps);
    assert_about(ledger::makespan(&order), law, "a boil and six CPU steps");
}

#[tokio::test]
async fn a_blocking_wait_keeps_the_chef_unless_assistants_take_it() {
    let house = harness::open();
    let recipe = only(&json!({"kind": "blocking_wait", "ms": 200}));
    let order = json!({"model": "asyncio", "recipe": recipe, "dishes": 4});
    let alone = house.cook(order.clone()).await;
    let mut order = order;
    order["setup"] = json!({"assistants": 4});
    let helped = house.cook(order).await;
    let (alone_ms, helped_ms) = (ledger::makespan(&alone), ledger::makespan(&helped));
    assert!(alone_ms >= 800.0, "four blocking waits of one chef took {alone_ms} ms");
    assert_eq!(ledger::most_at_once(&ledger::of(&house, &alone).await), 1);
    assert!(helped_ms < alone_ms, "four assistants took {helped_ms} ms, one chef {alone_ms} ms");
    assert!(ledger::most_at_once(&ledger::of(&house, &helped).await) > 1, "{helped}");
}

#[tokio::test]
async fn a_dish_that_fails_leaves_its_siblings_cooking() {
    let house = harness::open_with(&["--allow-faults"]);
    let recipe = json!({"name": "slip", "steps": [
        {"name": "slip", "work": {"kind": "fault", "what": "panic"}},
        {"name": "boil", "work": {"kind": "wait", "ms": 150}},
        {"name": "serve", "work": {"kind": "wait", "ms": 1}, "after": ["slip", "boil"]}]});
    let order = house.cook(json!({"model": "asyncio", "recipe": recipe, "dishes": 3})).await;
    assert_eq!((&order["status"], &order["error"]["kind"]), (&json!("failed"), &json!("panic")), "{order}");
    let steps = ledger::of(&house, &order).await;
    for boil in ledger::named(&steps, "boil") {
        assert_eq!(boil.outcome, "succeeded", "the first failure stopped a boil: {boil:?}");
        assert!(boil.span() >= 150.0, "{boil:?}");
    }
    assert!(ledger::named(&steps, "serve").into_iter().all(|step| step.outcome == "skipped"), "{steps:?}");
}

#[tokio::test]
async fn a_thousand_boils_take_hardly_longer_than_one() {
    let house = harness::open();
    let order = house.cook(json!({"model": "asyncio", "recipe": "thousand-pastas", "dishes": 1000, "speed": 15})).await;
    assert_about(ledger::makespan(&order), 2000.0, "a thousand boils of two seconds");
    assert_eq!(ledger::tids(&ledger::of(&house, &order).await).len(), 1);
}

#[tokio::test]
async fn assistants_are_a_bounded_pool_with_a_queue_beside_the_chef() {
    let house = harness::open();
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    for (assistants, size) in [(json!("house"), (cores + 4).min(32)), (json!(2), 2)] {
        let (setup, dishes) = (json!({"assistants": assistants}), size + 4);
        let recipe = boil_then_chop(100, 20);
        let order = house.cook(json!({"model": "asyncio", "setup": setup, "recipe": recipe, "dishes": dishes})).await;
        let steps = ledger::of(&house, &order).await;
        let (boils, chops) = (ledger::kind(&steps, "wait"), ledger::kind(&steps, "cpu"));
        let pool = ledger::tids(chops.iter().copied());
        assert!(pool.len() <= size && !pool.is_empty(), "{} threads of a pool of {size}", pool.len());
        assert!(ledger::most_at_once(chops.iter().copied()) <= size);
        assert_eq!(ledger::tids(boils.iter().copied()).len(), 1);
        assert!(ledger::tids(boils).is_disjoint(&pool), "the chef chopped: {order}");
        // All boils end together, so whoever finds every assistant chopping has to queue.
        let queued = ledger::named(&steps, "chop").into_iter().filter(|step| step.queue_ms > Some(5.0)).count();
        assert!(queued >= dishes - size, "only {queued} of {dishes} chops queued for {size} assistants: {steps:?}");
        for dish in ledger::by_dish(&steps).values() {
            assert!(dish.windows(2).all(|two| two[1].started() >= two[0].finished()), "out of order: {dish:?}");
        }
    }
}

#[tokio::test]
async fn assistants_keep_the_chef_free_to_notice_that_a_pot_boils() {
    let house = harness::open();
    let recipe = json!({"name": "two-pots", "steps": [
        {"name": "short", "work": {"kind": "wait", "ms": 100}},
        {"name": "long", "work": {"kind": "wait", "ms": 150}},
        {"name": "chop", "work": {"kind": "cpu", "ms": 80}, "after": ["short"]}]});
    let mut lags = Vec::new();
    for assistants in [0, 4] {
        let setup = json!({"assistants": assistants});
        let order = house.cook(json!({"model": "asyncio", "setup": setup, "recipe": recipe, "dishes": 3})).await;
        let steps = ledger::of(&house, &order).await;
        lags.push(ledger::named(&steps, "long").into_iter().map(Step::lag).fold(0.0, f64::max));
    }
    // Alone he chops three times 80 ms from 100 ms on, and sees at 340 ms what was due at 150.
    assert!(lags[0] >= 180.0, "{lags:?} ms");
    assert!(lags[1] < lags[0] / 2.0, "{lags:?} ms: assistants did not help");
}
