//! Whose orders a key sees: its own; the admin's all.
//!
//! Another's order is as unknown as one that never was, in every operation on it. It deliberately leaves scopes to
//! `access_routes.rs`.

use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use std::process::Command;

use crate::harness::{self, House, link};
use crate::refusals::refused;

const ANNA: &str = "anna-secret-0123456789";
const BERT: &str = "bert-secret-0123456789";
const ADMIN: &str = "admin-secret-0123456789";

fn locked() -> House {
    let both = "orders:read,orders:write";
    let keys = format!("anna {both} {ANNA}; bert {both} {BERT}; admin admin {ADMIN}");
    harness::open_as(Command::new(harness::BINARY).env("PASTA_FASTA_API_KEYS", keys), &[])
}

async fn json_of(request: RequestBuilder, key: &str) -> Value {
    let response = request.bearer_auth(key).send().await.expect("an answer");
    assert!(response.status().is_success(), "{}", response.status());
    response.json().await.expect("JSON")
}

async fn place(house: &House, key: &str, order: Value) -> Value {
    json_of(house.request(Method::POST, "/orders?wait=10").json(&order), key).await
}

#[tokio::test]
async fn another_s_order_is_as_unknown_as_one_that_never_was() {
    let house = locked();
    let order = place(&house, ANNA, json!({"model": "asyncio", "io_ms": 1})).await;
    let own = link(&order, "self");
    for (method, path) in [
        (Method::GET, own.clone()),
        (Method::GET, format!("{own}?wait=1")),
        (Method::GET, link(&order, "steps")),
        (Method::GET, link(&order, "timeline")),
        (Method::GET, format!("{}?format=svg", link(&order, "timeline"))),
        (Method::GET, link(&order, "report")),
        (Method::GET, link(&order, "trace")),
        (Method::GET, format!("{}/open", link(&order, "trace"))),
        (Method::GET, link(&order, "events")),
        (Method::POST, link(&order, "cancel")),
        (Method::POST, link(&order, "retry")),
        (Method::DELETE, own.clone()),
    ] {
        let response = house.request(method.clone(), &path).bearer_auth(BERT).send().await.unwrap();
        let problem = refused(&house, response, 404, "not-found").await;
        let never = format!("{} was never issued by this service", order["id"].as_str().unwrap());
        assert_eq!(problem["detail"], json!(never), "{method} {path}");
    }
    assert_eq!(json_of(house.request(Method::GET, &own), ADMIN).await, order);
    let deleted = house.request(Method::DELETE, &own).bearer_auth(ANNA).send().await.unwrap();
    assert_eq!(deleted.status(), StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn lists_keys_and_stopping_many_are_each_client_s_own() {
    let house = locked();
    for (key, run) in [(ANNA, "a"), (BERT, "b")] {
        let order = json!({"model": "asyncio", "io_ms": 60_000, "labels": {"run": run}});
        let request = || house.request(Method::POST, "/orders").header("idempotency-key", "same").json(&order);
        let (first, again) = (json_of(request(), key).await, json_of(request(), key).await);
        assert_eq!(first["id"], again["id"], "a key of {run}");
    }
    let list =
        async |key: &str| json_of(house.request(Method::GET, "/orders"), key).await["data"].as_array().unwrap().len();
    assert_eq!((list(ANNA).await, list(BERT).await, list(ADMIN).await), (1, 1, 2));
    let stop = async |key: &str| {
        json_of(house.request(Method::POST, "/orders/cancel").json(&json!({"model": "asyncio"})), key).await
    };
    assert_eq!(stop(ANNA).await, json!({"canceled": 0, "requested": 1}));
    harness::eventually(std::time::Duration::from_secs(5), "one is left", async || {
        json_of(house.request(Method::GET, "/stats"), ADMIN).await["running"] == 1
    })
    .await;
    assert_eq!(stop(ADMIN).await["requested"], 1);
}

#[tokio::test]
async fn a_comparison_is_seen_by_who_asked_for_it() {
    let house = locked();
    let work = json!({"work": {"io_ms": 1, "dishes": 2}, "line_up": [{"model": "sequential"}, {"model": "asyncio"}],
        "repeats": 1, "budget_ms": 1_000});
    let asked = json_of(house.request(Method::POST, "/comparisons").json(&work), ANNA).await;
    let path = format!("/comparisons/{}", asked["id"].as_str().unwrap());
    let others = house.request(Method::GET, &path).bearer_auth(BERT).send().await.unwrap();
    refused(&house, others, 404, "not-found").await;
    let count = async |key: &str| {
        json_of(house.request(Method::GET, "/comparisons"), key).await["data"].as_array().unwrap().len()
    };
    assert_eq!((count(ANNA).await, count(BERT).await, count(ADMIN).await), (1, 0, 1));
    assert_eq!(json_of(house.request(Method::GET, &format!("{path}?wait=30")), ANNA).await["done"], true);
}
