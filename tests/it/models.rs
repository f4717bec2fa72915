//! The contract that every model keeps, in every setup: who cooks differs, what is cooked and written down does not.
//!
//! The models are those of `GET /models`, so a new one is held to the contract without a line here. It deliberately
//! compares no times between models; what is specific to one of them is in the `seed_*` files.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{self, House, eventually, link, number};
use crate::ledger::{self, Step};

/// Setups beyond each model's default that take another path through the code.
const SETUPS: &[(&str, &str)] = &[
    ("asyncio", r#"{"chef": "own"}"#),
    ("asyncio", r#"{"assistants": 2}"#),
    ("asyncio", r#"{"assistants": "house"}"#),
    ("asyncio", r#"{"chef": "own", "assistants": 3}"#),
    ("asyncio", r#"{"assistants": 2, "gil": true}"#),
    ("multithreading", r#"{"chefs": 3}"#),
    ("multithreading", r#"{"chefs": "per_step"}"#),
    ("multithreading", r#"{"chefs": 3, "gil": true}"#),
    ("multithreading", r#"{"chefs": "per_step", "gil": true, "switch_interval_us": 1000000}"#),
    ("multiprocessing", r#"{"kitchens": 2}"#),
    ("multiprocessing", r#"{"kitchens": "per_step"}"#),
    ("multiprocessing", r#"{"kitchens": 2, "start": "prewarmed"}"#),
    ("multiprocessing", r#"{"inside": "asyncio"}"#),
    ("multiprocessing", r#"{"kitchens": 2, "inside": "asyncio"}"#),
    ("multiprocessing", r#"{"kitchens": 2, "inside": "threads", "start": "prewarmed"}"#),
    ("multiprocessing", r#"{"kitchens": "per_step", "inside": "threads"}"#),
    ("multiprocessing", r#"{"kitchens": 2, "inside": "asyncio", "gil": true, "switch_interval_us": 500}"#),
];

/// Every model with its defaults and each setup above, cooked in the house and in a kitchen of its own.
pub async fn setups(house: &House) -> Vec<Value> {
    let models = house.json("/models").await;
    let defaults = models["data"].as_array().expect("a list").iter().map(|model| (model["name"].clone(), json!({})));
    let more = SETUPS.iter().map(|(model, setup)| (json!(model), serde_json::from_str(setup).expect("JSON")));
    let all = defaults.chain(more).flat_map(|(model, setup)| {
        ["house", "kitchen"].map(|isolation| json!({"model": model, "setup": setup, "isolation": isolation}))
    });
    all.collect()
}

/// This setup with these fields.
pub fn order(setup: &Value, fields: Value) -> Value {
    let (mut order, Value::Object(fields)) = (setup.clone(), fields) else { panic!("fields are an object") };
    order.as_object_mut().expect("a setup is an object").extend(fields);
    order
}

/// Wait, count, burn.
fn chain() -> Value {
    json!({"name": "chain", "steps": [
        {"name": "boil", "work": {"kind": "wait", "ms": 30}},
        {"name": "count", "work": {"kind": "cpu", "iterations": 123_457}, "after": ["boil"]},
        {"name": "burn", "work": {"kind": "cpu", "ms": 22}, "after": ["count"]}]})
}

/// A short step, and then one that takes a minute.
fn endless(long: &Value) -> Value {
    json!({"name": "endless", "steps": [
        {"name": "short", "work": {"kind": "wait", "ms": 1}},
        {"name": "long", "work": long, "after": ["short"]}]})
}

fn a_minute(kind: &str) -> Value {
    json!({"kind": kind, "ms": 60_000})
}

/// The service takes and ends another order of this setup, and nothing is left over.
async fn assert_free(house: &House, setup: &Value) {
    let next = house.cook(order(setup, json!({"io_ms": 1, "cpu_ms": 1}))).await;
    assert_eq!(next["status"], "succeeded", "after another of its kind was stopped: {next}");
    let stats = house.json("/stats").await;
    assert_eq!((&stats["running"], &stats["queued"]), (&json!(0), &json!(0)), "{setup}");
}

/// How it ended, at most two seconds from now.
async fn ended_promptly(house: &House, placed: &Value) -> Value {
    let ended = tokio::time::timeout(Duration::from_secs(2), house.ended(placed)).await;
    ended.unwrap_or_else(|_| panic!("not stopped within 2 s: {placed}"))
}

/// CPU steps whose length the books do not explain.
fn unexplained(steps: Vec<Step>) -> Vec<Step> {
    let long = steps.into_iter().filter(|step| step.kind == "cpu" && step.span() >= 20.0);
    long.filter(|step| {
        let residual = step.residual_ms.expect("a residual");
        assert!((step.span() - step.explained() - residual).abs() < 0.01, "terms do not add up: {step:?}");
        residual.abs() > (step.span() * 0.05).max(2.0)
    })
    .collect()
}

/// Ticks (10 ms) that a hypervisor gave to others while this machine wanted its cores: proc(5), `/proc/stat`, field 8.
fn stolen_ticks() -> u64 {
    let stat = std::fs::read_to_string("/proc/stat").expect("Linux");
    stat.split_whitespace().nth(8).and_then(|ticks| ticks.parse().ok()).expect("steal of all cores")
}

#[tokio::test]
async fn every_model_of_the_table_above_exists() {
    let house = harness::open();
    let models = house.json("/models").await;
    let names: BTreeSet<_> = models["data"].as_array().expect("a list").iter().map(|m| m["name"].as_str()).collect();
    let unknown: Vec<_> = SETUPS.iter().filter(|(model, _)| !names.contains(&Some(*model))).collect();
    assert!(names.len() >= 4 && unknown.is_empty(), "{unknown:?} of {names:?}");
}

#[tokio::test]
async fn every_step_of_every_dish_runs_once_in_order_and_is_accounted_for() {
    let house = harness::open();
    let mut holes = Vec::new();
    for setup in setups(&house).await {
        let stolen_before = stolen_ticks();
        let order = house.cook(order(&setup, json!({"recipe": chain(), "dishes": 3}))).await;
        assert_eq!((&order["status"], &order["error"]), (&json!("succeeded"), &json!(null)), "{order}");
        let steps = ledger::of(&house, &order).await;
        assert_eq!(steps.len(), 9, "{setup}: {steps:?}");
        for (dish, steps) in ledger::by_dish(&steps) {
            let names: Vec<_> = steps.iter().map(|step| step.step.as_str()).collect();
            assert_eq!(names, ["boil", "count", "burn"], "{setup}, dish {dish}");
            for two in steps.windows(2) {
                let ready = two[1].ready_ms.expect("it ran");
                assert!(two[1].started() >= two[0].finished(), "{setup}: out of order: {two:?}");
                assert!(ready >= two[0].finished() - 0.01 && ready <= two[1].started() + 0.01, "{setup}: {two:?}");
            }
        }
        assert!(steps.iter().all(|step| step.outcome == "succeeded"), "{setup}: {steps:?}");
        let value = ledger::closed_form(123_457);
        assert!(ledger::named(&steps, "count").into_iter().all(|step| step.value.as_ref() == Some(&value)), "{setup}");
        assert_eq!(order["result"]["values"], json!({"count": value}), "{order}");
        assert_figures_follow_from_the_steps(&order, &steps);
        if stolen_ticks() == stolen_before {
            holes.extend(unexplained(steps));
        }
    }
    // While the hypervisor runs somebody else on our core no clock of the thread moves: 12 of 13 holes found in 2,816
    // steps had a tick of steal beside them, the last one may have had less than a whole tick.
    assert!(holes.len() <= 1, "{holes:?}");
}

fn assert_figures_follow_from_the_steps(order: &Value, steps: &[Step]) {
    let last = steps.iter().map(Step::finished).fold(0.0, f64::max);
    let cpu: f64 = steps.iter().filter_map(|step| step.cpu_ms).sum();
    let dishes = ledger::by_dish(steps);
    let ready = dishes.values().map(|dish| dish.last().expect("a dish has steps").finished());
    let mean = ready.sum::<f64>() / dishes.len() as f64;
    for (figure, law) in [("makespan_ms", last), ("cpu_ms", cpu)] {
        let said = number(order, &format!("/timings/{figure}"));
        assert!((said - law).abs() < 0.1, "{figure} is {said}, by the steps {law}: {order}");
    }
    let said = number(order, "/timings/mean_dish_ms");
    assert!((said - mean).abs() < 0.1, "mean_dish_ms is {said}, by the steps {mean}: {order}");
}

#[tokio::test]
async fn one_dish_in_flight_means_that_no_two_dishes_overlap() {
    let house = harness::open();
    let recipe = json!({"name": "pair", "steps": [
        {"name": "boil", "work": {"kind": "wait", "ms": 20}}, {"name": "chop", "work": {"kind": "cpu", "ms": 5}}]});
    for setup in setups(&house).await {
        let fields = json!({"recipe": recipe, "dishes": 4, "max_in_flight": 1});
        let order = house.cook(order(&setup, fields)).await;
        let steps = ledger::of(&house, &order).await;
        let dishes: Vec<_> = ledger::by_dish(&steps).into_values().collect();
        for two in dishes.windows(2) {
            let over = two[0].iter().map(|step| step.finished()).fold(0.0, f64::max);
            assert!(two[1][0].started() >= over, "{setup}: a dish began before {over} ms: {:?}", two[1]);
        }
    }
}

#[tokio::test]
async fn a_canceled_order_stops_in_the_middle_of_a_long_step_and_the_service_is_free_again() {
    let house = harness::open();
    for setup in setups(&house).await {
        for work in ["wait", "blocking_wait", "cpu"] {
            let placed = house.place(order(&setup, json!({"recipe": endless(&a_minute(work))}))).await;
            eventually(Duration::from_secs(10), "the long step begins", async || {
                number(&house.json(&link(&placed, "self")).await, "/progress/steps_done") >= 1.0
            })
            .await;
            let answer = house.post(&link(&placed, "cancel"), &json!(null)).await.status().as_u16();
            assert!([200, 202].contains(&answer), "{answer} {setup}");
            let ended = ended_promptly(&house, &placed).await;
            assert_eq!((&ended["status"], &ended["error"]), (&json!("canceled"), &json!(null)), "{work}: {ended}");
            let steps = ledger::of(&house, &ended).await;
            let outcomes: Vec<_> = steps.iter().map(|step| (step.step.as_str(), step.outcome.as_str())).collect();
            assert_eq!(outcomes, [("short", "succeeded"), ("long", "canceled")], "{setup}");
        }
        assert_free(&house, &setup).await;
    }
}

#[tokio::test]
async fn an_order_that_takes_longer_than_its_timeout_fails_and_the_service_is_free_again() {
    let house = harness::open();
    for setup in setups(&house).await {
        for work in ["wait", "cpu"] {
            let fields = json!({"recipe": endless(&a_minute(work)), "timeout_ms": 100, "dishes": 2});
            let placed = house.place(order(&setup, fields)).await;
            let ended = ended_promptly(&house, &placed).await;
            assert_eq!((&ended["status"], &ended["error"]["kind"]), (&json!("failed"), &json!("timeout")), "{ended}");
            let steps = ledger::of(&house, &ended).await;
            assert!(ledger::named(&steps, "long").into_iter().all(|step| step.outcome == "canceled"), "{steps:?}");
        }
        assert_free(&house, &setup).await;
    }
}

#[tokio::test]
async fn a_panic_fails_its_dish_and_no_other() {
    let house = harness::open_with(&["--allow-faults"]);
    let recipe = json!({"name": "slip", "steps": [
        {"name": "boil", "work": {"kind": "wait", "ms": 20}},
        {"name": "slip", "work": {"kind": "fault", "what": "panic"}, "after": ["boil"]},
        {"name": "serve", "work": {"kind": "cpu", "ms": 1}, "after": ["slip"]}]});
    for setup in setups(&house).await {
        if setup["isolation"] == "house" && setup["model"] != "multiprocessing" {
            let refused = house.post("/orders", &order(&setup, json!({"recipe": recipe}))).await;
            assert_eq!(refused.status().as_u16(), 422, "faults in the house's own process: {setup}");
            continue;
        }
        let ended = house.cook(order(&setup, json!({"recipe": recipe, "dishes": 3}))).await;
        assert_eq!((&ended["status"], &ended["error"]["kind"]), (&json!("failed"), &json!("panic")), "{ended}");
        assert_eq!(ended["error"]["step"], "slip", "{ended}");
        assert!((1.0..=3.0).contains(&number(&ended, "/error/dish")), "{ended}");
        for steps in ledger::by_dish(&ledger::of(&house, &ended).await).values() {
            let outcomes: Vec<_> = steps.iter().map(|step| (step.step.as_str(), step.outcome.as_str())).collect();
            assert_eq!(outcomes, [("boil", "succeeded"), ("slip", "failed"), ("serve", "skipped")], "{setup}");
        }
        assert_eq!((&ended["result"]["dishes_succeeded"], &ended["result"]["dishes_failed"]), (&json!(0), &json!(3)));
        let progress = json!({"steps_done": 6, "steps_total": 9, "dishes_done": 3, "dishes_total": 3});
        assert_eq!(ended["progress"], progress, "{setup}");
        assert_free(&house, &setup).await;
    }
}

#[tokio::test]
async fn progress_only_rises_and_the_house_counts_every_order() {
    let house = harness::open();
    let setups = setups(&house).await;
    for setup in &setups {
        let placed = house.place(order(setup, json!({"recipe": chain(), "dishes": 4}))).await;
        let mut seen = (0.0, 0.0);
        eventually(Duration::from_secs(30), "the order ends", async || {
            let now = house.json(&link(&placed, "self")).await;
            let progress = (number(&now, "/progress/steps_done"), number(&now, "/progress/dishes_done"));
            assert!(progress.0 >= seen.0 && progress.1 >= seen.1, "from {seen:?} back to {progress:?}: {now}");
            assert!(progress.0 <= 12.0 && progress.1 <= 4.0, "{now}");
            seen = progress;
            now["done"] == json!(true)
        })
        .await;
        assert_eq!(seen, (12.0, 4.0), "{setup}");
    }
    let stats = house.json("/stats").await;
    let of = |state: &str| number(&stats, &format!("/{state}"));
    assert_eq!((of("succeeded"), of("accepted")), (setups.len() as f64, setups.len() as f64), "{stats}");
    let states = ["queued", "running", "succeeded", "failed", "canceled", "expired"];
    assert_eq!(states.map(of).iter().sum::<f64>(), of("accepted"), "{stats}");
}

#[tokio::test]
async fn an_order_says_how_many_others_were_running_when_it_started() {
    let house = harness::open();
    for setup in setups(&house).await {
        let first = house.place(order(&setup, json!({"recipe": endless(&json!({"kind": "wait", "ms": 2000}))}))).await;
        let second = house.cook(order(&setup, json!({"io_ms": 1}))).await;
        assert_eq!(first["concurrent_orders"], 0, "{first}");
        assert_eq!((&second["status"], &second["concurrent_orders"]), (&json!("succeeded"), &json!(1)), "{second}");
        house.post(&link(&first, "cancel"), &json!(null)).await;
        ended_promptly(&house, &first).await;
    }
}
