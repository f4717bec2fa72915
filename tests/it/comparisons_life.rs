//! What can be done with a comparison besides waiting for it: follow, stop and forget it, and keep it to its budget.
//!
//! What it says in the end is looked at in `comparisons_advice.rs`. Absolute times are deliberately not looked at.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::comparisons_api::{compare, entries};
use crate::harness::{self, House, eventually, link, number};
use crate::refusals::refused;
use crate::sse::Follower;

/// An hour of waiting; never to be waited for.
fn endless() -> Value {
    json!({"work": {"io_ms": 600_000}, "line_up": [{"model": "asyncio"}], "repeats": 1, "budget_ms": 600_000})
}

fn short() -> Value {
    json!({"work": {"io_ms": 20, "dishes": 2}, "line_up": [{"model": "asyncio"}, {"model": "sequential"}], "repeats": 3})
}

async fn place(house: &House, ask: &Value) -> Value {
    house.post("/comparisons", ask).await.json().await.unwrap()
}

async fn measures(house: &House, comparison: &Value) {
    let path = link(comparison, "self");
    eventually(Duration::from_secs(30), "it measures", async || house.json("/stats").await["running"] == 1).await;
    assert_eq!(house.json(&path).await["status"], "running");
}

#[tokio::test]
async fn a_waiting_comparison_is_canceled_at_once_and_a_measuring_one_stops_its_run() {
    let house = harness::open();
    let first = place(&house, &endless()).await;
    measures(&house, &first).await;
    let second = place(&house, &endless()).await;
    let cancel = async |comparison: &Value| {
        let response = house.post(&link(comparison, "cancel"), &Value::Null).await;
        (response.status(), response.json::<Value>().await.unwrap())
    };
    for _ in 0..2 {
        let (status, canceled) = cancel(&second).await;
        assert_eq!(
            (status, &canceled["status"], &canceled["done"]),
            (StatusCode::OK, &json!("canceled"), &json!(true))
        );
        assert!(canceled["finished_at"].is_string() && canceled["cancel_requested"] == true);
    }
    let (status, asked) = cancel(&first).await;
    assert_eq!((status, &asked["cancel_requested"]), (StatusCode::ACCEPTED, &json!(true)));
    let ended = house.json(&format!("{}?wait=10", link(&first, "self"))).await;
    assert_eq!((&ended["status"], &ended["error"]), (&json!("canceled"), &Value::Null));
    let orders = house.json(&link(&first, "orders")).await;
    assert_eq!(orders["data"].as_array().unwrap().iter().filter(|order| order["done"] == false).count(), 0);
    // The house is open again, and who waits next measures.
    assert_eq!(house.cook(json!({"model": "asyncio", "io_ms": 0})).await["status"], "succeeded");
    let third = compare(&house, short()).await;
    let refusal = house.post(&link(&third, "cancel"), &Value::Null).await;
    refused(&house, refusal, 409, "order-not-cancelable").await;
    let nobody = house.post("/comparisons/cmp_01a2047d-0954-7000-8032-a10c262ee9be/cancel", &Value::Null).await;
    refused(&house, nobody, 404, "not-found").await;
}

#[tokio::test]
async fn only_an_ended_comparison_is_forgotten() {
    let house = harness::open();
    let ended = compare(&house, short()).await;
    let running = place(&house, &endless()).await;
    let delete = async |comparison: &Value| {
        house.request(Method::DELETE, &link(comparison, "self")).send().await.expect("an answer")
    };
    assert_eq!(delete(&ended).await.status(), StatusCode::NO_CONTENT);
    refused(&house, delete(&ended).await, 404, "not-found").await;
    refused(&house, house.get(&link(&ended, "self")).await, 404, "not-found").await;
    refused(&house, delete(&running).await, 409, "order-active").await;
}

#[tokio::test]
async fn a_stream_tells_each_run_and_the_end_and_can_be_taken_up_again() {
    let house = harness::open();
    let placed = place(&house, &short()).await;
    let path = link(&placed, "events");
    let events = Follower::at(&house, &path, None).await.all().await;
    let names: Vec<_> = events.iter().map(|event| event.name.as_str()).collect();
    let expected = [vec!["snapshot", "comparison.running"], vec!["progress"; 6], vec!["comparison.succeeded"]].concat();
    assert_eq!(names, expected);
    let seqs: Vec<_> = events[1..].iter().map(|event| event.seq().expect("a number")).collect();
    assert_eq!(seqs, Vec::from_iter(1..=8));
    for (event, done) in events[2..8].iter().zip(1..) {
        assert_eq!((&event.data["runs_done"], &event.data["runs_total"]), (&json!(done), &json!(6)));
        assert!(number(&event.data, "/makespan_ms") >= 20.0 && event.data["entry"].is_string());
    }
    assert_eq!(events[8].data, house.json(&link(&placed, "self")).await);
    for from in 1..8 {
        let rest = Follower::at(&house, &path, events[from].id.as_deref()).await.all().await;
        assert_eq!(rest, events[from + 1..], "after {:?}", events[from].id);
    }
    let after = house.request(Method::GET, &path).header("last-event-id", "1.8").send().await.unwrap();
    assert_eq!(after.status(), StatusCode::NO_CONTENT);
    for unknown in ["1.9", "2.1", "x", ""] {
        let told = Follower::at(&house, &path, Some(unknown)).await.all().await;
        assert_eq!((told[0].name.as_str(), told[1].name.as_str(), told.len()), ("gap", "snapshot", 10), "{unknown:?}");
    }
}

#[tokio::test]
async fn a_stream_of_a_comparison_that_is_stopped_ends_with_that() {
    let house = harness::open();
    let first = place(&house, &endless()).await;
    measures(&house, &first).await;
    let second = place(&house, &endless()).await;
    for (comparison, expected) in [
        (&second, vec!["snapshot", "comparison.canceled"]),
        (&first, vec!["snapshot", "comparison.running", "comparison.canceled"]),
    ] {
        let follower = Follower::at(&house, &link(comparison, "events"), None).await;
        house.post(&link(comparison, "cancel"), &Value::Null).await;
        let names: Vec<_> = follower.all().await.into_iter().map(|event| event.name).collect();
        assert_eq!(names, expected);
    }
}

#[tokio::test]
async fn a_budget_is_all_the_time_there_is() {
    let house = harness::open();
    // One waiting thread would take 25 s, a sweep of all sizes of all kinds much longer than two.
    let sweep = json!({"work": {"io_ms": 50, "dishes": 500}, "line_up": "sweep", "repeats": 50, "budget_ms": 2_000});
    let swept = compare(&house, sweep).await;
    let at = |field: &str| swept[field].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    let took = at("finished_at").duration_since(at("created_at"));
    assert!(took.as_secs_f64() < 4.0, "{took:?} for 2 s");
    assert!(!entries(&swept).is_empty() && entries(&swept).iter().any(|entry| entry["makespan_ms"].is_object()));
    // What cannot fit is not begun.
    let line_up = json!([{"model": "sequential"}, {"model": "asyncio"}]);
    let ask = json!({"work": {"io_ms": 30_000, "dishes": 4}, "line_up": line_up, "budget_ms": 1_000});
    let refused: Value = house.post("/comparisons?wait=10", &ask).await.json().await.unwrap();
    assert_eq!(refused["status"], "failed");
    assert!(refused["error"].as_str().unwrap().contains("raise budget_ms"), "{refused}");
    assert_eq!(house.json(&link(&refused, "orders")).await["data"], json!([]), "nothing of it was cooked");
}
