//! Comparisons over HTTP: what they answer, whom they keep waiting, what they refuse.
//!
//! Whether the ranking is the one that arithmetic expects is asked in `comparison_ranking.rs`. Absolute times are deliberately
//! not looked at: the machine is shared, so only order and ratios count.

use std::collections::HashSet;
use std::time::Duration;

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::harness::{self, House, eventually, link, number};
use crate::refusals::refused;

/// Places a comparison and holds until it has ended.
pub(crate) async fn compare(house: &House, ask: Value) -> Value {
    let response = house.post("/comparisons", &ask).await;
    assert_eq!(response.status(), StatusCode::ACCEPTED, "{ask}");
    assert!(response.headers().contains_key("retry-after"));
    let location = response.headers()["location"].to_str().unwrap().to_owned();
    let placed: Value = response.json().await.unwrap();
    assert_eq!((location, placed["done"].as_bool()), (link(&placed, "self"), Some(false)));
    for _ in 0..3 {
        let comparison = house.json(&format!("{}?wait=60", link(&placed, "self"))).await;
        if comparison["done"] == true {
            assert_eq!(comparison["status"], "succeeded", "{comparison}");
            return comparison;
        }
    }
    panic!("{placed} did not end within three minutes");
}

pub(crate) fn entries(comparison: &Value) -> &[Value] {
    comparison["entries"].as_array().expect("entries")
}

/// The orders that were cooked for a comparison.
async fn orders_of(house: &House, comparison: &Value) -> Vec<Value> {
    let page = house.json(&format!("{}&limit=200", link(comparison, "orders"))).await;
    page["data"].as_array().unwrap().clone()
}

/// Best first by the median of this figure, each median within its range, ranks from 1.
fn ranked_by(comparison: &Value, figure: &str) {
    let median = |entry: &Value| number(entry, &format!("/{figure}/median"));
    assert!(entries(comparison).is_sorted_by_key(median), "by {figure}: {comparison}");
    for (entry, rank) in entries(comparison).iter().zip(1..) {
        assert_eq!(entry["rank"], rank);
        assert!(number(entry, &format!("/{figure}/low")) <= median(entry));
        assert!(median(entry) <= number(entry, &format!("/{figure}/high")));
    }
}

#[tokio::test]
async fn a_comparison_ends_with_ranks_a_verdict_and_the_orders_it_is_made_of() {
    let house = harness::open();
    let line_up =
        json!([{"model": "sequential"}, {"model": "asyncio"}, {"model": "multithreading", "setup": {"chefs": 2}}]);
    let work = json!({"io_ms": 20, "cpu_ms": 1, "dishes": 8, "labels": {"mine": "1"}});
    let comparison = compare(&house, json!({"work": work, "line_up": line_up, "repeats": 3})).await;
    ranked_by(&comparison, "makespan_ms");
    assert_eq!(comparison["progress"], json!({"runs_done": 9, "runs_total": 9}));
    assert_eq!((&comparison["dishes"], &comparison["measured_dishes"]), (&json!(8), &json!(8)));
    assert!((0.1..=64.0).contains(&number(&comparison, "/effective_cores")));
    // Eight waits at once, two at once, one after another: 20, 80, 160 ms.
    let models: Vec<_> = entries(&comparison).iter().map(|entry| entry["model"].as_str().unwrap()).collect();
    assert_eq!(models, ["asyncio", "multithreading", "sequential"]);
    let verdict = &comparison["verdict"];
    assert_eq!((&verdict["winner"], &verdict["winner"]), (&json!("asyncio"), &entries(&comparison)[0]["name"]));
    assert!(number(verdict, "/margin_percent") > 50.0 && verdict["text"].as_str().unwrap().contains("asyncio"));
    for entry in entries(&comparison) {
        assert!(number(entry, "/peak_memory_bytes/median") > 100_000.0 && number(entry, "/cpu_ms/median") >= 8.0);
        assert!(number(entry, "/mean_dish_ms/median") <= number(entry, "/p95_dish_ms/median"));
        assert_eq!(entry["error"], Value::Null);
    }
    let orders = orders_of(&house, &comparison).await;
    assert_eq!(orders.len(), 9);
    for order in &orders {
        assert_eq!((&order["isolation"], &order["status"]), (&json!("kitchen"), &json!("succeeded")));
        assert_eq!((&order["labels"]["comparison"], &order["labels"]["mine"]), (&comparison["id"], &json!("1")));
        assert_eq!(
            (&order["concurrent_orders"], &order["seed"]),
            (&json!(0), &orders[0]["seed"]),
            "alone, the same draws"
        );
    }
    // Interleaved: every third of the runs, in the order of their birth, has each model once.
    for third in orders.chunks(3) {
        assert_eq!(third.iter().map(|order| order["model"].as_str()).collect::<HashSet<_>>().len(), 3);
    }
    assert_eq!(house.json("/comparisons").await["data"], json!([comparison]));
}

#[tokio::test]
async fn an_objective_decides_what_is_best() {
    let house = harness::open();
    for (objective, figure) in
        [("mean_latency", "mean_dish_ms"), ("p95_latency", "p95_dish_ms"), ("memory", "peak_memory_bytes")]
    {
        let line_up = json!([{"model": "multiprocessing", "setup": {"kitchens": 4}}, {"model": "asyncio"}]);
        let ask = json!({"work": {"io_ms": 20, "dishes": 8}, "line_up": line_up, "repeats": 1, "objective": objective});
        let comparison = compare(&house, ask).await;
        ranked_by(&comparison, figure);
        assert_eq!(
            (&comparison["objective"], &comparison["verdict"]["winner"]),
            (&json!(objective), &json!("asyncio"))
        );
        // One run each proves nothing.
        assert_eq!(comparison["verdict"]["significant"], false);
    }
}

#[tokio::test]
async fn of_too_many_dishes_a_sample_is_cooked_and_said_to_be_one() {
    let house = harness::open();
    let line_up = json!([{"model": "sequential"}, {"model": "asyncio"}]);
    let ask = json!({"work": {"io_ms": 10, "cpu_ms": 1, "dishes": 100_000}, "line_up": line_up, "repeats": 1, "budget_ms": 1000});
    let comparison = compare(&house, ask).await;
    let measured = number(&comparison, "/measured_dishes");
    assert!((2.0..1000.0).contains(&measured), "{measured}");
    assert!(comparison["verdict"]["text"].as_str().unwrap().contains("extended"));
    let [first, last] = entries(&comparison) else { panic!("{comparison}") };
    assert_eq!((&first["model"], &last["model"]), (&json!("asyncio"), &json!("sequential")));
    // 100,000 x 11 ms one after another; 1 ms each when the waits overlap.
    assert!((1_000_000.0..3_000_000.0).contains(&number(last, "/makespan_ms/median")), "{last}");
    assert!((50_000.0..500_000.0).contains(&number(first, "/makespan_ms/median")), "{first}");
}

#[tokio::test]
async fn a_comparison_has_the_house_to_itself_and_everyone_else_waits() {
    let house = harness::open();
    let before = house.place(json!({"model": "asyncio", "io_ms": 500})).await;
    let line_up = json!([{"model": "asyncio"}, {"model": "sequential"}]);
    let ask = json!({"work": {"io_ms": 200, "dishes": 3}, "line_up": line_up, "repeats": 3});
    let placed: Value = house.post("/comparisons", &ask).await.json().await.unwrap();
    let path = link(&placed, "self");
    eventually(Duration::from_secs(30), "it measures", async || house.json(&path).await["status"] == "running").await;
    assert_eq!(house.json(&link(&before, "self")).await["status"], "succeeded", "who was there before was waited for");
    let orders = [
        json!({"model": "asyncio", "io_ms": 0}),
        json!({"model": "multithreading", "setup": {"chefs": 2}, "io_ms": 0}),
    ];
    let mut waiting = Vec::new();
    for order in orders {
        waiting.push(house.place(order).await);
    }
    for order in &waiting {
        assert_eq!(house.json(&link(order, "self")).await["status"], "queued");
    }
    let (status, accepted) = (house.json(&path).await["done"].clone(), house.json("/stats").await["running"].clone());
    assert!(status == false && accepted.as_u64() <= Some(1), "still measuring, one order at a time");
    let comparison = house.json(&format!("{path}?wait=60")).await;
    assert_eq!(comparison["status"], "succeeded");
    let runs = orders_of(&house, &comparison).await;
    let last_end = runs.iter().map(|run| run["finished_at"].as_str().unwrap()).max().unwrap();
    let first_start = runs.iter().map(|run| run["started_at"].as_str().unwrap()).min().unwrap();
    assert!(house.json(&link(&before, "self")).await["finished_at"].as_str().unwrap() <= first_start);
    for order in &waiting {
        let ended = house.ended(order).await;
        assert_eq!(ended["status"], "succeeded");
        assert!(ended["started_at"].as_str().unwrap() >= last_end, "{ended}");
    }
}

#[tokio::test]
async fn a_sweep_finds_how_many_of_each_kind() {
    let house = harness::open();
    let ask = json!({"work": {"io_ms": 30, "cpu_ms": 1, "dishes": 16}, "line_up": "sweep", "repeats": 1, "budget_ms": 10_000});
    let comparison = compare(&house, ask).await;
    ranked_by(&comparison, "makespan_ms");
    let kind = |entry: &Value| {
        let setup = &entry["setup"];
        let has_assistants = setup["assistants"].as_u64().is_some_and(|n| n > 0);
        (entry["model"].as_str().unwrap().to_owned(), has_assistants, setup["inside"] == "asyncio")
    };
    let kinds: HashSet<_> = entries(&comparison).iter().map(kind).collect();
    assert_eq!((kinds.len(), entries(&comparison).len()), (5, 5), "the best of each kind: {comparison}");
    // Sixteen waits of 30 ms: one thread takes 500 ms, so more of them help.
    let threads = entries(&comparison).iter().find(|entry| entry["model"] == "multithreading").unwrap();
    assert!(threads["setup"]["chefs"].as_u64().unwrap() >= 4, "{threads}");
    assert_eq!(comparison["progress"]["runs_done"], comparison["progress"]["runs_total"]);
}

#[tokio::test]
async fn refusals_point_into_the_comparison() {
    let house = harness::open();
    let asyncio = json!([{"model": "asyncio"}]);
    let table: Vec<(Value, &[&str])> = vec![
        (json!({"work": {"io_ms": 3_600_001}, "line_up": asyncio}), &["/work/io_ms"]),
        (json!({"work": {"io_ms": 1, "dishes": 0}}), &["/work/dishes"]),
        (json!({"work": {"io_ms": 1, "dishes": 0}, "line_up": "sweep"}), &["/work/dishes"]),
        (json!({"work": {"recipe": {"name": "n", "steps": []}}}), &["/work/recipe/steps"]),
        (
            json!({"work": {"io_ms": 1, "model": "asyncio", "setup": {}, "preset": "pasta", "isolation": "house"}}),
            &["/work/isolation", "/work/model", "/work/preset", "/work/setup"],
        ),
        (json!({"work": {"io_ms": 1}, "line_up": [{"model": "async"}]}), &["/line_up/0/model"]),
        (
            json!({"work": {"io_ms": 1}, "line_up": [{"model": "asyncio"}, {"model": "asyncio", "setup": {"assistants": 257}}]}),
            &["/line_up/1/setup/assistants"],
        ),
        (
            json!({"work": {"io_ms": 1}, "line_up": [{"model": "multithreading", "setup": {"gil": true}}]}),
            &["/line_up/0/setup/gil"],
        ),
        (
            json!({"work": {"io_ms": 1}, "line_up": [{"model": "multiprocessing", "setup": {"kitchens": 1024}}]}),
            &["/line_up/0/setup"],
        ),
        (json!({"work": {"io_ms": 1}, "line_up": []}), &["/line_up"]),
        (json!({"work": {"io_ms": 1}, "line_up": vec![json!({"model": "asyncio"}); 33]}), &["/line_up"]),
        (json!({"work": {"io_ms": 1}, "line_up": "all"}), &["/line_up"]),
        (json!({"work": {"io_ms": 1}, "repeats": 0}), &["/repeats"]),
        (
            json!({"work": {"io_ms": 1}, "repeats": 51, "objective": "beauty", "budget_ms": 999}),
            &["/budget_ms", "/objective", "/repeats"],
        ),
        // Everything at once, what is wrong with the work only once.
        (
            json!({"work": {"io_ms": 1, "dishes": 0}, "line_up": [{"model": "x"}, {"model": "asyncio", "setup": {"y": 1}}], "repeats": 0}),
            &["/line_up/0/model", "/line_up/1/setup/y", "/repeats", "/work/dishes"],
        ),
        // Types and unknown fields.
        (json!({}), &[""]),
        (json!([{"io_ms": 1}]), &[""]),
        (json!({"work": [1]}), &["/work"]),
        (json!({"work": {"io_ms": 1}, "line_up": [["asyncio"]]}), &["/line_up/0"]),
        (json!({"work": {"io_ms": 1}, "line_up": 5}), &["/line_up"]),
        (json!({"work": {"io_ms": 1, "dish": 1}}), &["/work/dish"]),
        (json!({"work": {"io_ms": 1}, "repeat": 1}), &["/repeat"]),
        (json!({"work": {"io_ms": 1}, "line_up": [{"model": "asyncio", "name": "x"}]}), &["/line_up/0/name"]),
    ];
    let mut findings = Vec::new();
    for (ask, expected) in table {
        let problem = refused(&house, house.post("/comparisons", &ask).await, 422, "invalid-order").await;
        let mut pointers: Vec<_> =
            problem["errors"].as_array().unwrap().iter().map(|e| e["pointer"].as_str().unwrap()).collect();
        pointers.sort_unstable();
        if pointers != expected {
            findings.push(format!("{ask:.200}: {pointers:?}, not {expected:?}"));
        }
    }
    assert!(findings.is_empty(), "{findings:#?}");
    assert_eq!(house.json("/comparisons").await["data"], json!([]));
    let problem =
        refused(&house, house.post("/comparisons?wait=61", &json!({"work": {}})).await, 422, "invalid-query").await;
    assert_eq!(problem["errors"][0]["pointer"], "wait");
    for id in ["cmp_01a2047d-0954-7000-8032-a10c262ee9be", "ord_1", "x"] {
        refused(&house, house.get(&format!("/comparisons/{id}")).await, 404, "not-found").await;
    }
}

#[tokio::test]
async fn only_so_many_comparisons_may_wait() {
    let house = harness::open();
    let ask = json!({"work": {"io_ms": 60_000}, "line_up": [{"model": "asyncio"}], "repeats": 1, "budget_ms": 600_000});
    for _ in 0..16 {
        assert_eq!(house.post("/comparisons", &ask).await.status(), StatusCode::ACCEPTED);
    }
    let response = house.post("/comparisons", &ask).await;
    assert!(response.headers().contains_key("retry-after"));
    refused(&house, response, 503, "house-full").await;
    let page = house.json("/comparisons?limit=5").await;
    let ids: Vec<_> = page["data"].as_array().unwrap().iter().map(|c| c["id"].as_str().unwrap()).collect();
    assert!(ids.len() == 5 && ids.is_sorted_by(|a, b| a > b), "youngest first: {ids:?}");
}
