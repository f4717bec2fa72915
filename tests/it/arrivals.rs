//! Dishes that are asked for by the clock, and waits that are drawn: the same in every model and setup.
//!
//! It deliberately says nothing of how draws are distributed: `domain::draw` and `domain::arrivals` test that.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::harness::{self, House, number};
use crate::models::{order, setups};
use crate::refusals::refused;

/// The waits of an order by dish and step, in milliseconds, lateness taken off.
async fn waits(house: &House, placed: &Value) -> BTreeMap<(u64, String), f64> {
    let steps = house.steps(placed).await;
    let length = |step: &Value| {
        let length = number(step, "/finished_ms") - number(step, "/started_ms") - number(step, "/lag_ms");
        ((step["dish"].as_u64().unwrap(), step["step"].as_str().unwrap().to_owned()), length)
    };
    steps.iter().map(length).collect()
}

#[tokio::test]
async fn drawn_waits_are_the_same_in_every_model_and_differ_from_dish_to_dish() {
    let house = harness::open();
    let work = |kind: &str, distribution: Value| json!({"kind": kind, "distribution": distribution});
    let recipe = json!({"name": "drawn", "steps": [
        {"name": "fetch", "work": work("wait", json!({"kind": "exponential", "mean_ms": 8}))},
        {"name": "query", "work": work("blocking_wait", json!({"kind": "uniform", "min_ms": 1, "max_ms": 9}))},
        {"name": "store", "work": work("wait", json!({"kind": "log_normal", "median_ms": 4, "p95_ms": 12}))},
        {"name": "rest", "work": work("wait", json!({"kind": "constant", "ms": 3}))}]});
    let mut first: Option<BTreeMap<(u64, String), f64>> = None;
    for setup in setups(&house).await {
        let ended = house.cook(order(&setup, json!({"recipe": recipe, "dishes": 4, "seed": 7}))).await;
        assert_eq!(ended["status"], "succeeded", "{ended}");
        assert_eq!(ended["recipe"]["steps"][2]["work"], recipe["steps"][2]["work"], "echoed as asked");
        assert_eq!(ended["recipe"]["steps"][3]["work"], json!({"kind": "wait", "ms": 3}));
        let drawn = waits(&house, &ended).await;
        let fetches: Vec<_> = (1..=4).map(|dish| drawn[&(dish, "fetch".to_owned())]).collect();
        assert!(fetches.windows(2).all(|pair| (pair[0] - pair[1]).abs() > 0.01), "{fetches:?}");
        assert!((1..=4).all(|dish| (1.0..=9.01).contains(&drawn[&(dish, "query".to_owned())])), "{drawn:?}");
        let same = first.get_or_insert_with(|| drawn.clone());
        assert!(same.iter().all(|(at, length)| (drawn[at] - length).abs() < 0.01), "{setup}: {drawn:?}, not {same:?}");
    }
}

#[tokio::test]
async fn dishes_arrive_by_the_clock_in_every_model_and_count_from_there() {
    let house = harness::open();
    for setup in setups(&house).await {
        for (process, window) in [("uniform", json!(null)), ("uniform", json!(2)), ("poisson", json!(null))] {
            let arrivals = json!({"rate_per_s": 50, "process": process});
            let asked = order(
                &setup,
                json!({"io_ms": 3, "cpu_ms": 1, "dishes": 6, "arrivals": arrivals, "seed": 3,
                "max_in_flight": window}),
            );
            let ended = house.cook(asked).await;
            assert_eq!((&ended["status"], &ended["arrivals"]), (&json!("succeeded"), &arrivals), "{ended}");
            let steps = house.steps(&ended).await;
            let mut first: Vec<_> = steps.iter().filter(|step| step["step"] == "io").collect();
            first.sort_by_key(|step| step["dish"].as_u64());
            for step in &first {
                let arrival = (number(step, "/dish") - 1.0) * 20.0;
                let (ready, started) = (number(step, "/ready_ms"), number(step, "/started_ms"));
                assert!(process == "poisson" || ready + 0.001 >= arrival, "{setup}: before its time: {step}");
                assert!(started >= ready, "{step}");
            }
            if process == "uniform" {
                // The last dish was asked for after 100 ms; its own time is short of that by far.
                assert!(number(&ended, "/timings/makespan_ms") >= 104.0, "{ended}");
                assert!(number(&ended, "/timings/mean_dish_ms") < number(&ended, "/timings/makespan_ms") - 40.0);
            }
        }
    }
}

#[tokio::test]
async fn an_order_that_waits_for_dishes_to_arrive_is_canceled_at_once() {
    let house = harness::open();
    for setup in setups(&house).await {
        let asked = order(&setup, json!({"io_ms": 0, "dishes": 1_000, "arrivals": {"rate_per_s": 1}}));
        let placed = house.place(asked).await;
        let cancel = harness::link(&placed, "cancel");
        harness::eventually(std::time::Duration::from_secs(5), "it runs", async || {
            house.json(&harness::link(&placed, "self")).await["status"] == "running"
        })
        .await;
        house.post(&cancel, &json!({})).await;
        let ended = tokio::time::timeout(std::time::Duration::from_secs(2), house.ended(&placed)).await;
        assert_eq!(ended.expect("canceled within 2 s")["status"], "canceled", "{setup}");
    }
}

#[tokio::test]
async fn what_cannot_be_drawn_or_cannot_arrive_is_refused_by_name() {
    let house = harness::open();
    let waits = |distribution: Value| {
        json!({"model": "asyncio", "recipe": {"name": "n", "steps": [
            {"name": "s", "work": {"kind": "wait", "distribution": distribution}}]}})
    };
    let arrive = |arrivals: Value| json!({"model": "asyncio", "io_ms": 0, "arrivals": arrivals});
    let at = "/recipe/steps/0/work/distribution";
    let table = [
        (waits(json!({"kind": "exponential"})), format!("{at}/mean_ms")),
        (waits(json!({"kind": "exponential", "mean_ms": 0})), format!("{at}/mean_ms")),
        (waits(json!({"kind": "exponential", "mean_ms": 3_600_001})), format!("{at}/mean_ms")),
        (waits(json!({"kind": "exponential", "mean_ms": 1, "ms": 1})), format!("{at}/ms")),
        (waits(json!({"kind": "uniform", "min_ms": 9, "max_ms": 8})), format!("{at}/max_ms")),
        (waits(json!({"kind": "log_normal", "median_ms": 9, "p95_ms": 8})), format!("{at}/p95_ms")),
        (waits(json!({"kind": "pareto"})), format!("{at}/kind")),
        (arrive(json!({"rate_per_s": 0})), "/arrivals/rate_per_s".to_owned()),
        (arrive(json!({"rate_per_s": 1_000_001})), "/arrivals/rate_per_s".to_owned()),
        (arrive(json!({"rate_per_s": 1, "process": "bursts"})), "/arrivals/process".to_owned()),
    ];
    for (asked, pointer) in table {
        let problem = refused(&house, house.post("/orders", &asked).await, 422, "invalid-order").await;
        assert_eq!(problem["errors"][0]["pointer"], json!(pointer), "{problem}");
        assert_eq!(problem["errors"].as_array().unwrap().len(), 1, "{problem}");
    }
    let both = json!({"model": "asyncio", "recipe": {"name": "n", "steps": [
        {"name": "s", "work": {"kind": "wait", "ms": 1, "distribution": {"kind": "constant", "ms": 1}}}]}});
    refused(&house, house.post("/orders", &both).await, 422, "invalid-order").await;
    let list = json!({"model": "asyncio", "io_ms": 0, "arrivals": [5]});
    assert!(house.post("/orders", &list).await.status().is_client_error());
}
