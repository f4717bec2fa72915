//! Orders that are tried again: from outside, in memory and over a file that outlives the service.
//!
//! What every store promises of them is in `store_contract_again.rs`; several nodes of one database are deliberately left to it.

use std::path::PathBuf;
use std::time::Duration;

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::harness::{self, House, eventually, link, number};
use crate::refusals::refused;
use crate::sse::Follower;

/// An order whose only fault is in its first so many attempts; `fields` are put on top.
fn failing(on_attempts: u32, fields: Value) -> Value {
    let mut order = json!({"model": "asyncio", "dishes": 1, "isolation": "kitchen", "recipe": {"name": "slippery", "steps": [
        {"name": "boil", "work": {"kind": "wait", "ms": 5}},
        {"name": "slip", "work": {"kind": "fault", "what": "exit", "on_attempts": on_attempts}, "after": ["boil"]}]}});
    order.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    order
}

async fn rests(house: &House, order: &Value) -> Value {
    let mut now = Value::Null;
    eventually(Duration::from_secs(30), "it waits for its next attempt", async || {
        now = house.json(&link(order, "self")).await;
        now["next_attempt_at"].is_string()
    })
    .await;
    now
}

#[tokio::test]
async fn a_failed_attempt_is_followed_by_another_that_may_succeed() {
    let house = harness::open_with(&["--allow-faults"]);
    let order = house.place(failing(1, json!({"max_attempts": 3, "retry_wait_ms": 300}))).await;
    assert_eq!((&order["max_attempts"], &order["retry_wait_ms"]), (&json!(3), &json!(300)));
    let what = &order["recipe"]["steps"][1]["work"];
    assert_eq!(*what, json!({"kind": "fault", "what": "exit", "on_attempts": 1}), "echoed as asked");
    let events = Follower::connect(&house, &order, None).await.all().await;
    let names: Vec<_> = events.iter().map(|event| event.name.as_str()).filter(|n| n.starts_with("order.")).collect();
    assert_eq!(names, ["order.running", "order.retrying", "order.running", "order.succeeded"]);
    let ids: Vec<_> = events[1..].iter().map(|event| event.numbers().unwrap()).collect();
    assert!(ids.is_sorted_by(|a, b| a < b), "{ids:?}");
    let retrying = events.iter().find(|event| event.name == "order.retrying").unwrap();
    assert_eq!((&retrying.data["attempt"], &retrying.data["wait_ms"]), (&json!(1), &json!(300)));
    assert_eq!(retrying.data["error"]["kind"], "exit");

    let ended = house.ended(&order).await;
    assert_eq!((&ended["status"], &ended["attempt"]), (&json!("succeeded"), &json!(2)), "{ended}");
    assert_eq!((&ended["error"], &ended["next_attempt_at"]), (&Value::Null, &Value::Null));
    let [attempt] = ended["attempts"].as_array().unwrap().as_slice() else { panic!("{ended}") };
    assert_eq!((&attempt["attempt"], &attempt["why"], &attempt["node"]), (&json!(1), &json!("failed"), &Value::Null));
    assert_eq!((&attempt["error"]["kind"], &attempt["error"]["type"]), (&json!("exit"), &json!("/problems/exit")));
    assert!(attempt["started_at"].as_str() <= attempt["ended_at"].as_str(), "{attempt}");
    assert!(number(&ended, "/timings/queue_ms") >= 300.0, "what it waited between is waited: {ended}");
    let steps = house.steps(&ended).await;
    assert!(steps.iter().all(|step| step["outcome"] == "succeeded"), "of its last attempt alone: {steps:?}");
    assert_eq!(house.metric("pasta_fasta_attempts_again_total").await, 1.0);
    let ended_by = |status| format!(r#"pasta_fasta_orders_total{{model="asyncio",status="{status}"}}"#);
    assert_eq!(house.metric(&ended_by("succeeded")).await, 1.0);
    assert_eq!(house.metric(&ended_by("failed")).await, 0.0, "an order that is tried again has not failed");
}

#[tokio::test]
async fn an_order_whose_attempts_are_used_up_fails_with_the_last_error() {
    let house = harness::open_with(&["--allow-faults"]);
    let ended = house.cook(failing(9, json!({"max_attempts": 3, "retry_wait_ms": 20}))).await;
    assert_eq!((&ended["status"], &ended["attempt"]), (&json!("failed"), &json!(3)), "{ended}");
    assert_eq!(ended["error"]["kind"], "exit");
    let why: Vec<_> = ended["attempts"].as_array().unwrap().iter().map(|attempt| &attempt["why"]).collect();
    assert_eq!(why, ["failed", "failed"]);
    // Each attempt has its own time.
    let slow = json!({"model": "asyncio", "io_ms": 60_000, "timeout_ms": 60, "max_attempts": 2, "retry_wait_ms": 0});
    let late = house.cook(slow).await;
    assert_eq!(
        (&late["status"], &late["attempt"], &late["error"]["kind"]),
        (&json!("failed"), &json!(2), &json!("timeout"))
    );
    // One is the default.
    let once = house.cook(failing(1, json!({}))).await;
    assert_eq!((&once["status"], &once["attempt"], &once["attempts"]), (&json!("failed"), &json!(1), &json!([])));
}

#[tokio::test]
async fn between_two_attempts_an_order_can_be_stopped_and_its_deadline_passes() {
    let house = harness::open_with(&["--allow-faults"]);
    let minute = json!({"max_attempts": 2, "retry_wait_ms": 60_000});
    let order = house.place(failing(1, minute.clone())).await;
    let waiting = rests(&house, &order).await;
    assert_eq!(
        (&waiting["status"], &waiting["attempt"], &waiting["started_at"]),
        (&json!("queued"), &json!(1), &Value::Null)
    );
    assert!(house.children().len() < 2, "its kitchen is gone meanwhile");
    let canceled = house.post(&link(&order, "cancel"), &json!({})).await;
    assert_eq!(canceled.status(), StatusCode::OK);
    let canceled: Value = canceled.json().await.unwrap();
    assert_eq!((&canceled["status"], &canceled["attempts"][0]["why"]), (&json!("canceled"), &json!("failed")));

    let mut late = failing(1, minute);
    late["expires_in_ms"] = json!(400);
    let ended = house.cook(late).await;
    assert_eq!((&ended["status"], &ended["error"]["kind"]), (&json!("failed"), &json!("exit")), "{ended}");
    assert!(ended["finished_at"].as_str() >= ended["expires_at"].as_str(), "{ended}");
}

#[tokio::test]
async fn a_comparison_is_not_tried_again() {
    let house = harness::open();
    let ask = json!({"work": {"io_ms": 1, "max_attempts": 2}});
    let problem = refused(&house, house.post("/comparisons", &ask).await, 422, "invalid-order").await;
    assert_eq!(problem["errors"][0]["pointer"], "/work/max_attempts");
}

#[cfg(feature = "sqlite")]
#[tokio::test]
async fn an_order_that_waits_for_another_attempt_still_does_after_a_restart() {
    let folder: PathBuf = std::env::temp_dir().join(format!("pasta-fasta-attempts-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let store = format!("sqlite:{}", folder.join("orders.db").display());
    let open = || harness::open_with(&["--store", &store, "--node", "laptop", "--allow-faults"]);
    let mut house = open();
    let long = house.place(failing(1, json!({"max_attempts": 2, "retry_wait_ms": 60_000}))).await;
    let short = house.place(failing(2, json!({"max_attempts": 3, "retry_wait_ms": 1_500}))).await;
    let waits = rests(&house, &long).await;
    rests(&house, &short).await;
    house.end_with("KILL");

    let again = open();
    let now = again.json(&link(&long, "self")).await;
    for field in ["status", "attempts", "next_attempt_at"] {
        assert_eq!(now[field], waits[field], "{field}");
    }
    let ended = again.ended(&short).await;
    assert_eq!((&ended["status"], ended["attempts"].as_array().unwrap().len()), (&json!("succeeded"), 2), "{ended}");
    assert!(ended["attempts"].as_array().unwrap().iter().all(|attempt| attempt["node"] == "laptop"), "{ended}");
    assert_eq!(again.json(&link(&long, "self")).await["status"], "queued", "it still waits");
    drop(again);
    std::fs::remove_dir_all(&folder).unwrap();
}
