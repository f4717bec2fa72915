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
    let work = json!({"io_ms": 100, "cpu_ms": 1, "dishes": 8, "labels": {"mine": "1"}});
    let comparison = compare(&house, json!({"work": work, "line_up": line_up, "repeats": 3})).await;
    ranked_by(&comparison, "makespan_ms");
    assert_eq!(comparison["progress"], json!({"runs_done": 9, "runs_total": 9}));
    assert_eq!((&comparison["dishes"], &comparison["measured_dishes"]), (&json!(8), &json!(8)));
    assert!((0.1..=64.0).contains(&number(&comparison, "/effective_cores")));
    // Eight waits at once, two at once, one after another: 100, 400, 800 ms.
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
    let table = [("mean_latency", "mean_dish_ms"), ("p95_latency", "p95_dish_ms"), ("memory", "peak_memory_bytes")];
    for (objective, figure) in table {
        // Eight waits in two kitchens take four times as long, and three processes more memory than one.
        let line_up = json!([{"model": "multiprocessing", "setup": {"kitchens": 2}}, {"model": "asyncio"}]);
        let ask = json!({"work": {"io_ms": 50, "dishes": 8}, "line_up": line_up, "repeats": 3, "objective": objective});
        let comparison = compare(&house, ask).await;
        ranked_by(&comparison, figure);
        assert_eq!(
            (&comparison["objective"], &comparison["verdict"]["winner"]),
            (&json!(objective), &json!("asyncio"))
        );
        // Of three runs against three not even the clearest order is beyond chance: one in ten comes out so.
        assert_eq!(comparison["verdict"]["significant"], false);
    }
}

#[tokio::test]
async fn of_too_many_dishes_a_sample_is_cooked_and_said_to_be_one() {
    let house = harness::open();
    let line_up = json!([{"model": "sequential"}, {"model": "asyncio"}]);
    let work = json!({"io_ms": 10, "cpu_ms": 1, "dishes": 100_000});
    let ask = json!({"work": work, "line_up": line_up, "repeats": 3, "budget_ms": 4000});
    let comparison = compare(&house, ask).await;
    let measured = number(&comparison, "/measured_dishes");
    assert!((2.0..1000.0).contains(&measured), "{measured}");
    assert!(comparison["verdict"]["text"].as_str().unwrap().contains("extended"));
    let [first, last] = entries(&comparison) else { panic!("{comparison}") };
    assert_eq!((&first["model"], &last["model"]), (&json!("asyncio"), &json!("sequential")));
    // 100,000 x 11 ms one after another; 1 ms each when the waits overlap. One thread is never faster than its CPU.
    assert!((700_000.0..5_000_000.0).contains(&number(last, "/makespan_ms/median")), "{last}");
    assert!((90_000.0..900_000.0).contains(&number(first, "/makespan_ms/median")), "{first}");
    for entry in [first, last] {
        assert!((90_000.0..300_000.0).contains(&number(entry, "/cpu_ms/median")), "{entry}");
    }
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
    let ask = json!({"work": {"io_ms": 30, "cpu_ms": 1, "dishes": 16}, "line_up": "sweep", "repeats": 3, "budget_ms": 30_000});
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

/// Posts each comparison and expects a 422 with exactly these pointers, in any order.
async fn all_refused(house: &House, table: Vec<(Value, &[&str])>) {
    let mut findings = Vec::new();
    for (ask, expected) in table {
        let problem = refused(house, house.post("/comparisons", &ask).await, 422, "invalid-order").await;
        let errors = problem["errors"].as_array().expect("errors");
        let mut pointers: Vec<_> = errors.iter().map(|error| error["pointer"].as_str().unwrap()).collect();
        pointers.sort_unstable();
        if pointers != expected {
            findings.push(format!("{ask:.200}: {pointers:?}, not {expected:?}"));
        }
    }
    assert!(findings.is_empty(), "{findings:#?}");
    assert_eq!(house.json("/comparisons").await["data"], json!([]), "nothing of it was accepted");
}

fn with(field: &str, value: Value) -> Value {
    json!({"work": {"io_ms": 1}, field: value})
}

#[tokio::test]
async fn a_comparison_that_cannot_be_is_refused_at_its_place() {
    let house = harness::open();
    let too_many = json!([{"model": "asyncio"}, {"model": "asyncio", "setup": {"assistants": 257}}]);
    let no_truth = json!([{"model": "multithreading", "setup": {"gil": "yes"}}]);
    let too_large = json!([{"model": "multiprocessing", "setup": {"kitchens": 1024}}]);
    let not_its_own = json!({"io_ms": 1, "model": "asyncio", "setup": {}, "preset": "pasta", "isolation": "house"});
    let table: Vec<(Value, &[&str])> = vec![
        (json!({"work": {"io_ms": 3_600_001}, "line_up": [{"model": "asyncio"}]}), &["/work/io_ms"]),
        (json!({"work": {"io_ms": 1, "dishes": 0}}), &["/work/dishes"]),
        (json!({"work": {"io_ms": 1, "dishes": 0}, "line_up": "sweep"}), &["/work/dishes"]),
        (json!({"work": {"recipe": {"name": "n", "steps": []}}}), &["/work/recipe/steps"]),
        (json!({"work": not_its_own}), &["/work/isolation", "/work/model", "/work/preset", "/work/setup"]),
        (with("line_up", json!([{"model": "async"}])), &["/line_up/0/model"]),
        (with("line_up", too_many), &["/line_up/1/setup/assistants"]),
        (with("line_up", no_truth), &["/line_up/0/setup/gil"]),
        (with("line_up", too_large), &["/line_up/0/setup"]),
        (with("line_up", json!([])), &["/line_up"]),
        (with("line_up", json!(vec![json!({"model": "asyncio"}); 33])), &["/line_up"]),
        (with("line_up", json!("all")), &["/line_up"]),
        (with("repeats", json!(0)), &["/repeats"]),
        (with("repeats", json!(51)), &["/repeats"]),
        (with("budget_ms", json!(999)), &["/budget_ms"]),
        (with("objective", json!("beauty")), &["/objective"]),
        (with("objective", json!({})), &["/objective"]),
        (with("objective", json!({"memory": 0})), &["/objective/memory"]),
        (with("objective", json!({"memory": 101, "makespan": 200})), &["/objective/makespan", "/objective/memory"]),
    ];
    all_refused(&house, table).await;
    let response = house.post("/comparisons?wait=61", &json!({"work": {}})).await;
    assert_eq!(refused(&house, response, 422, "invalid-query").await["errors"][0]["pointer"], "wait");
    for id in ["cmp_01a2047d-0954-7000-8032-a10c262ee9be", "ord_1", "x"] {
        refused(&house, house.get(&format!("/comparisons/{id}")).await, 404, "not-found").await;
    }
}

#[tokio::test]
async fn everything_that_is_wrong_with_a_comparison_is_reported_at_once() {
    let house = harness::open();
    let work = json!({"io_ms": 1, "dishes": 0});
    let line_up = json!([{"model": "x"}, {"model": "asyncio", "setup": {"y": 1}}]);
    let table: Vec<(Value, &[&str])> = vec![
        // What is wrong with the work is wrong for every entry, and said once.
        (json!({"work": work, "line_up": line_up}), &["/line_up/0/model", "/line_up/1/setup/y", "/work/dishes"]),
        (
            json!({"work": work, "line_up": line_up, "repeats": 0, "objective": "beauty"}),
            &["/line_up/0/model", "/line_up/1/setup/y", "/objective", "/repeats", "/work/dishes"],
        ),
    ];
    all_refused(&house, table).await;
}

#[tokio::test]
async fn a_comparison_of_the_wrong_shape_is_refused_at_its_place() {
    let house = harness::open();
    let table: Vec<(Value, &[&str])> = vec![
        (json!({}), &[""]),
        (json!([{"io_ms": 1}]), &[""]),
        (json!({"work": [1]}), &["/work"]),
        (json!({"work": {"io_ms": 1, "dish": 1}}), &["/work/dish"]),
        (with("line_up", json!([["asyncio"]])), &["/line_up/0"]),
        (with("line_up", json!(5)), &["/line_up"]),
        (with("line_up", json!([{"model": "asyncio", "name": "x"}])), &["/line_up/0/name"]),
        (with("repeat", json!(1)), &["/repeat"]),
        (with("objective", json!(1)), &["/objective"]),
        (with("objective", json!({"beauty": 1})), &["/objective/beauty"]),
        (with("objective", json!({"memory": -1})), &["/objective/memory"]),
        (with("repeats", json!(1.5)), &["/repeats"]),
    ];
    all_refused(&house, table).await;
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
