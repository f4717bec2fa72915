//! Comparisons that outlive the service, and those that are read, listed, followed and stopped at another node.
//!
//! It deliberately looks from outside only; what an archive must do is in `archive_contract.rs`.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::comparisons_api::compare;
use crate::harness::{House, eventually, link, open_with};
#[cfg(feature = "postgres")]
use crate::pg_server::Kitchen;
#[cfg(feature = "sqlite")]
use crate::survives::Folder;

/// A comparison that takes a moment.
fn short() -> Value {
    json!({"work": {"io_ms": 20, "dishes": 2}, "line_up": [{"model": "asyncio"}, {"model": "sequential"}], "repeats": 3})
}

/// One that takes an hour.
fn long() -> Value {
    json!({"work": {"io_ms": 300_000}, "line_up": [{"model": "asyncio"}], "repeats": 2, "budget_ms": 600_000})
}

async fn placed(house: &House, ask: &Value) -> Value {
    let response = house.post("/comparisons", ask).await;
    assert_eq!(response.status(), StatusCode::ACCEPTED, "{ask}");
    response.json().await.unwrap()
}

async fn runs(house: &House, comparison: &Value) {
    eventually(Duration::from_secs(20), "it is measured", async || {
        house.json(&link(comparison, "self")).await["status"] == "running"
    })
    .await;
}

async fn told(house: &House, comparison: &Value, after: Option<&str>) -> (StatusCode, String) {
    let mut request = house.request(Method::GET, &link(comparison, "events"));
    if let Some(after) = after {
        request = request.header("Last-Event-ID", after);
    }
    let response = request.send().await.unwrap();
    (response.status(), response.text().await.unwrap())
}

#[cfg(feature = "sqlite")]
#[tokio::test]
async fn what_was_compared_is_there_after_a_kill_and_what_was_not_finished_says_so() {
    let folder = Folder::new("compared");
    let mut house = open_with(&["--store", &folder.store()]);
    let done = compare(&house, short()).await;
    let accuracy = house.json("/accuracy").await;
    let open = placed(&house, &long()).await;
    runs(&house, &open).await;
    house.end_with("KILL");

    let again = open_with(&["--store", &folder.store()]);
    assert_eq!(again.json(&link(&done, "self")).await, done, "an ended comparison never changes");
    assert_eq!(again.json("/accuracy").await, accuracy);
    let lost = again.json(&format!("{}?wait=20", link(&open, "self"))).await;
    assert_eq!((&lost["status"], &lost["done"], &lost["id"]), (&json!("failed"), &json!(true), &open["id"]), "{lost}");
    assert!(lost["error"].as_str().unwrap().contains("ended before") && lost["finished_at"].is_string(), "{lost}");
    let page = again.json("/comparisons?limit=1").await;
    assert_eq!((&page["data"][0], &page["has_more"]), (&lost, &json!(true)), "youngest first");
    let cursor = page["next_cursor"].as_str().unwrap();
    let next = again.json(&format!("/comparisons?limit=1&cursor={cursor}")).await;
    assert_eq!(next, json!({"data": [done], "has_more": false, "next_cursor": null}));

    let (_, story) = told(&again, &done, Some("1.1")).await;
    assert!(!story.contains("snapshot") && story.matches("event: progress").count() == 6, "{story}");
    assert!(story.contains("id: 1.8\n") && story.contains("event: comparison.succeeded"), "{story}");
    assert_eq!(told(&again, &done, Some("1.8")).await.0, StatusCode::NO_CONTENT);
    let refused = again.post(&link(&open, "cancel"), &json!({})).await;
    assert_eq!(refused.status(), StatusCode::CONFLICT);
    for comparison in [&open, &done] {
        let gone = again.request(Method::DELETE, &link(comparison, "self")).send().await.unwrap();
        assert_eq!(gone.status(), StatusCode::NO_CONTENT);
    }
    assert_eq!(again.json("/comparisons").await["data"], json!([]));
}

#[cfg(feature = "postgres")]
fn node(kitchen: &Kitchen, name: &str) -> House {
    open_with(&["--store", &kitchen.url(), "--node", name, "--lease-ms", "2000"])
}

#[cfg(feature = "postgres")]
#[tokio::test]
async fn any_node_reads_lists_follows_and_stops_a_comparison_that_another_measures() {
    let kitchen = Kitchen::opened().await;
    let (a, b) = (node(&kitchen, "a"), node(&kitchen, "b"));
    let done = compare(&a, short()).await;
    assert_eq!(b.json(&link(&done, "self")).await, done);
    assert_eq!(b.json("/accuracy").await, a.json("/accuracy").await);
    let open = placed(&a, &long()).await;
    runs(&b, &open).await;
    let listed = b.json("/comparisons").await;
    let ids: Vec<_> = listed["data"].as_array().unwrap().iter().map(|one| &one["id"]).collect();
    assert_eq!(ids, [&open["id"], &done["id"]]);
    let busy = b.request(Method::DELETE, &link(&open, "self")).send().await.unwrap();
    assert_eq!(busy.status(), StatusCode::CONFLICT);
    let follow = b.request(Method::GET, &link(&open, "events")).send().await.unwrap();
    let asked = b.post(&link(&open, "cancel"), &json!({})).await;
    assert_eq!(asked.status(), StatusCode::ACCEPTED);
    let ended = b.json(&format!("{}?wait=20", link(&open, "self"))).await;
    assert_eq!((&ended["status"], &ended["cancel_requested"]), (&json!("canceled"), &json!(true)), "{ended}");
    let story = follow.text().await.unwrap();
    assert!(story.contains("event: snapshot") && story.contains("event: comparison.canceled"), "{story}");
    assert_eq!(b.post(&link(&open, "cancel"), &json!({})).await.status(), StatusCode::OK, "it is canceled already");
    let gone = b.request(Method::DELETE, &link(&done, "self")).send().await.unwrap();
    assert_eq!(
        (gone.status(), b.get(&link(&done, "self")).await.status()),
        (StatusCode::NO_CONTENT, StatusCode::NOT_FOUND)
    );
}

#[cfg(feature = "postgres")]
#[tokio::test]
async fn a_comparison_whose_node_is_killed_is_told_as_failed_after_a_lease() {
    let kitchen = Kitchen::opened().await;
    let (mut a, b) = (node(&kitchen, "a"), node(&kitchen, "b"));
    let open = placed(&a, &long()).await;
    runs(&b, &open).await;
    let follow = b.request(Method::GET, &link(&open, "events")).send().await.unwrap();
    a.end_with("KILL");
    let lost = b.json(&format!("{}?wait=30", link(&open, "self"))).await;
    assert_eq!((&lost["status"], &lost["done"]), (&json!("failed"), &json!(true)), "{lost}");
    let story = follow.text().await.unwrap();
    assert!(story.contains("event: comparison.failed"), "{story}");
}
