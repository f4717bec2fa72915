//! What the job API has beyond placing and reading: requests that take effect once, retries, deadlines, stopping many,
//! the stream of all orders, tags on lists, traces.
//!
//! It deliberately looks from outside only: HTTP in, HTTP out.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::future::join_all;
use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};

use crate::harness::{self, House, link};
use crate::refusals::refused;
use crate::sse::Follower;

/// A trace that is recorded.
const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

async fn with_key(house: &House, path: &str, key: &str, body: &str) -> Response {
    let request = house.request(Method::POST, path).header("idempotency-key", key);
    request.header("content-type", "application/json").body(body.to_owned()).send().await.expect("an answer")
}

fn is_replay(response: &Response) -> bool {
    response.headers().get("idempotency-replayed").is_some_and(|value| value == "true")
}

async fn id(response: Response) -> String {
    assert_eq!(response.status(), StatusCode::ACCEPTED);
    assert!(response.headers().contains_key("location"));
    response.json::<Value>().await.expect("an order")["id"].as_str().expect("an id").to_owned()
}

#[tokio::test]
async fn a_key_places_one_order_however_often_it_is_sent() {
    let house = harness::open();
    let body = r#"{"model": "asyncio", "io_ms": 1}"#;
    // All at once: whoever comes first, the others get the same order.
    let all = join_all((0..40).map(|_| with_key(&house, "/orders", "k-1", body))).await;
    assert_eq!(all.iter().filter(|response| !is_replay(response)).count(), 1);
    let ids: BTreeSet<_> = join_all(all.into_iter().map(id)).await.into_iter().collect();
    assert_eq!(ids.len(), 1);
    assert_eq!(house.json("/stats").await["accepted"], 1);
    // Quoted as the draft wants it, written otherwise, and after its end: the same order, as it is now.
    let order = house.ended(&house.json(&format!("/orders/{}", ids.first().unwrap())).await).await;
    let again = with_key(&house, "/orders", "\"k-1\"", r#"{"io_ms":1,"model":"asyncio"}"#).await;
    assert!(is_replay(&again));
    assert_eq!((again.status(), again.json::<Value>().await.unwrap()), (StatusCode::ACCEPTED, order.clone()));
    let held = with_key(&house, "/orders?wait=5", "k-1", body).await;
    assert!(held.status() == StatusCode::OK && is_replay(&held));
    // Another request with this key, on this path and on another.
    let other = with_key(&house, "/orders", "k-1", r#"{"model": "asyncio", "io_ms": 2}"#).await;
    refused(&house, other, 422, "idempotency-key-reused").await;
    let other = with_key(&house, "/orders/batch", "k-1", &format!(r#"{{"orders": [{body}]}}"#)).await;
    refused(&house, other, 422, "idempotency-key-reused").await;
    // A refused order uses no key up; a deleted one gives its key back.
    let bad = with_key(&house, "/orders", "k-2", r#"{"model": "none"}"#).await;
    refused(&house, bad, 422, "invalid-order").await;
    assert!(!is_replay(&with_key(&house, "/orders", "k-2", body).await));
    let deleted = house.request(Method::DELETE, &link(&order, "self")).send().await.unwrap();
    assert_eq!(deleted.status(), StatusCode::NO_CONTENT);
    assert!(!is_replay(&with_key(&house, "/orders", "k-1", body).await));
}

#[tokio::test]
async fn a_key_names_a_whole_batch() {
    let house = harness::open();
    let body = r#"{"orders": [{"model": "asyncio", "io_ms": 1}, {"model": "sequential", "io_ms": 1}]}"#;
    let (first, again) =
        (with_key(&house, "/orders/batch", "b", body).await, with_key(&house, "/orders/batch", "b", body).await);
    assert!(!is_replay(&first) && is_replay(&again));
    let ids = |list: Value| list["data"].as_array().unwrap().iter().map(|o| o["id"].clone()).collect::<Vec<_>>();
    let (first, again) = (ids(first.json().await.unwrap()), ids(again.json().await.unwrap()));
    assert!(first == again && first.len() == 2);
    assert_eq!(house.json("/stats").await["accepted"], 2);
}

#[tokio::test]
async fn a_key_that_cannot_be_read_is_refused() {
    let house = harness::open();
    let long = "x".repeat(256);
    for key in ["", "\"\"", "two words", "\"open", "closed\"", "a\"b", &long] {
        let response = with_key(&house, "/orders", key, r#"{"model": "asyncio", "io_ms": 0}"#).await;
        refused(&house, response, 400, "bad-idempotency-key").await;
    }
    let twice = house.request(Method::POST, "/orders").header("idempotency-key", "a").header("idempotency-key", "b");
    let twice = twice.json(&json!({"model": "asyncio"})).send().await.unwrap();
    refused(&house, twice, 400, "bad-idempotency-key").await;
    assert_eq!(with_key(&house, "/orders", &long[1..], r#"{"model": "asyncio"}"#).await.status(), StatusCode::ACCEPTED);
}

#[tokio::test]
async fn another_try_is_another_order_with_the_same_seed() {
    let house = harness::open();
    let order =
        json!({"model": "multithreading", "io_ms": 1, "dishes": 3, "labels": {"try": "yes"}, "timeout_ms": 60_000});
    let ended = house.cook(order).await;
    let response = house.post(&link(&ended, "retry"), &json!({})).await;
    let location = response.headers()["location"].to_str().unwrap().to_owned();
    assert_eq!(response.status(), StatusCode::ACCEPTED);
    let again = house.ended(&response.json().await.unwrap()).await;
    assert_eq!((location, &again["retry_of"]), (link(&again, "self"), &ended["id"]));
    for field in ["model", "setup", "recipe", "dishes", "seed", "labels", "timeout_ms", "status"] {
        assert_eq!(again[field], ended[field], "{field}");
    }
    assert_ne!(again["id"], ended["id"]);
    assert_eq!(house.json(&link(&ended, "self")).await, ended, "the first stays as it was");
    let active = house.place(json!({"model": "asyncio", "io_ms": 60_000})).await;
    refused(&house, house.post(&link(&active, "retry"), &json!({})).await, 409, "order-active").await;
}

#[tokio::test]
async fn another_try_happens_once_per_key_and_belongs_to_its_own_trace() {
    let house = harness::open();
    let (first, second) = (TRACE, "00-4bf92f3577b34da6a3ce929d0e0e4737-00f067aa0ba902b7-00");
    let request = house.request(Method::POST, "/orders?wait=10").header("traceparent", first);
    let order: Value =
        request.json(&json!({"model": "asyncio", "io_ms": 1})).send().await.unwrap().json().await.unwrap();
    let retry = async |key: &str, trace: Option<&str>| {
        let request = house.request(Method::POST, &link(&order, "retry")).header("idempotency-key", key);
        trace.into_iter().fold(request, |request, trace| request.header("traceparent", trace)).send().await.unwrap()
    };
    let all = join_all((0..20).map(|_| retry("again", Some(second)))).await;
    assert_eq!(all.iter().filter(|response| !is_replay(response)).count(), 1);
    let ids: BTreeSet<_> = join_all(all.into_iter().map(id)).await.into_iter().collect();
    let again = house.ended(&house.json(&format!("/orders/{}", ids.first().unwrap())).await).await;
    assert_eq!((ids.len(), &again["traceparent"], &again["retry_of"]), (1, &json!(second), &order["id"]));
    assert_eq!(house.json("/stats").await["accepted"], 2);
    // The same key for another order's retry, and for no retry at all.
    let other = with_key(&house, &link(&again, "retry"), "again", "").await;
    refused(&house, other, 422, "idempotency-key-reused").await;
    let other = with_key(&house, "/orders", "again", r#"{"model": "asyncio"}"#).await;
    refused(&house, other, 422, "idempotency-key-reused").await;
    refused(&house, retry("two words", None).await, 400, "bad-idempotency-key").await;
    let third: Value = retry("third", None).await.json().await.unwrap();
    assert_eq!(third["traceparent"], first, "without one of its own it stays in the trace of the order");
}

#[tokio::test]
async fn many_orders_are_stopped_by_what_they_have_in_common() {
    let house = harness::open_with(&["--max-threads", "1"]);
    let long = |model: &str, run: &str| json!({"model": model, "io_ms": 60_000, "labels": {"run": run}});
    let mut own = long("multithreading", "b");
    own["setup"] = json!({"chefs": 1});
    let running = house.place(own.clone()).await;
    let waiting = house.place(own).await;
    let mut others = Vec::new();
    for run in ["a", "a", "b"] {
        others.push(house.place(long("asyncio", run)).await);
    }
    refused(&house, house.post("/orders/cancel", &json!({})).await, 422, "empty-filter").await;
    for (bad, pointer) in [
        (json!({"status": ["succeeded"]}), "/status"),
        (json!({"model": "none"}), "/model"),
        (json!({"created_after": "yesterday"}), "/created_after"),
    ] {
        let problem = refused(&house, house.post("/orders/cancel", &bad).await, 422, "invalid-order").await;
        assert_eq!(problem["errors"][0]["pointer"], pointer);
    }
    let stop = async |filter: Value| house.post("/orders/cancel", &filter).await.json::<Value>().await.unwrap();
    assert_eq!(stop(json!({"labels": {"run": "c"}})).await, json!({"canceled": 0, "requested": 0}));
    assert_eq!(stop(json!({"status": ["queued"]})).await, json!({"canceled": 1, "requested": 0}));
    assert_eq!(house.json(&link(&waiting, "self")).await["status"], "canceled");
    assert_eq!(stop(json!({"labels": {"run": "b"}})).await, json!({"canceled": 0, "requested": 2}));
    for order in [&running, &others[2]] {
        assert_eq!(house.ended(order).await["status"], "canceled");
    }
    assert_eq!(house.json("/stats").await["running"], 2, "the others go on");
    assert_eq!(stop(json!({"model": "asyncio", "created_before": "2100-01-01T00:00:00Z"})).await["requested"], 2);
}

#[tokio::test]
async fn an_order_that_does_not_begin_by_its_deadline_expires() {
    let house = harness::open_with(&["--max-threads", "1"]);
    let own = json!({"model": "multithreading", "setup": {"chefs": 1}, "io_ms": 60_000});
    let running = house.place(own.clone()).await;
    let mut late = own.clone();
    late["expires_in_ms"] = json!(80);
    let response = house.post("/orders?wait=30", &late).await;
    assert_eq!(response.status(), StatusCode::OK);
    let expired: Value = response.json().await.unwrap();
    assert_eq!(
        (&expired["status"], &expired["done"], &expired["attempt"]),
        (&json!("expired"), &json!(true), &json!(0))
    );
    assert_eq!((&expired["error"]["kind"], &expired["started_at"]), (&json!("expired"), &Value::Null));
    assert!(expired["expires_at"].as_str() <= expired["finished_at"].as_str(), "{expired}");
    assert_eq!(house.get(expired["error"]["type"].as_str().unwrap()).await.status(), StatusCode::OK);
    // Who has begun does not expire.
    let mut begun = json!({"model": "asyncio", "io_ms": 300, "expires_in_ms": 100});
    assert_eq!(house.cook(begun.clone()).await["status"], "succeeded");
    begun["expires_in_ms"] = json!(0);
    refused(&house, house.post("/orders", &begun).await, 422, "invalid-order").await;
    assert_eq!(house.json(&link(&running, "self")).await["status"], "running");
    assert_eq!(house.json("/stats").await["expired"], 1);
}

#[tokio::test]
async fn one_stream_tells_of_all_orders_and_goes_on_where_it_was_left() {
    let house = harness::open();
    let mut all = Follower::at(&house, "/events", None).await;
    let snapshot = all.next().await.unwrap();
    assert_eq!((snapshot.name.as_str(), &snapshot.data["accepted"]), ("snapshot", &json!(0)));
    let mut told = Vec::new();
    let mut placed = Vec::new();
    for model in ["asyncio", "sequential"] {
        placed.push(house.cook(json!({"model": model, "io_ms": 1, "labels": {"m": model}})).await);
        for state in ["queued", "running", "succeeded"] {
            let event = all.next().await.unwrap();
            assert_eq!(event.name, format!("order.{state}"));
            assert_eq!((&event.data["id"], &event.data["model"]), (&placed.last().unwrap()["id"], &json!(model)));
            assert_eq!((&event.data["status"], &event.data["labels"]["m"]), (&json!(state), &json!(model)));
            told.push(event);
        }
    }
    // Left after the second event, and back.
    let mut back = Follower::at(&house, "/events", told[1].id.as_deref()).await;
    for event in &told[2..] {
        assert_eq!(back.next().await.as_ref(), Some(event));
    }
    let mut ends = Follower::at(&house, "/events?status=succeeded&label.m=sequential", snapshot.id.as_deref()).await;
    assert_eq!(ends.next().await.as_ref(), told.last());
    // From another run of the service, or from the future: a gap, and how it is now.
    let boot = house.json("/version").await["boot"].as_str().unwrap().to_owned();
    for strange in ["00000000.1".to_owned(), format!("{boot}.999"), "x".to_owned()] {
        let mut lost = Follower::at(&house, "/events", Some(&strange)).await;
        assert_eq!(lost.next().await.unwrap().name, "gap", "{strange}");
        assert_eq!(lost.next().await.unwrap().data["succeeded"], 2);
    }
    refused(&house, house.get("/events?status=eaten").await, 422, "invalid-query").await;
}

#[tokio::test]
async fn a_list_that_did_not_change_is_not_sent_again() {
    let house = harness::open();
    house.cook(json!({"model": "asyncio", "io_ms": 0})).await;
    let tag = house.get("/orders").await.headers()["etag"].to_str().unwrap().to_owned();
    let again =
        async |tag: &str| house.request(Method::GET, "/orders").header("if-none-match", tag).send().await.unwrap();
    let unchanged = again(&tag).await;
    assert_eq!((unchanged.status(), &unchanged.headers()["etag"]), (StatusCode::NOT_MODIFIED, &tag.parse().unwrap()));
    assert!(unchanged.bytes().await.unwrap().is_empty());
    house.cook(json!({"model": "asyncio", "io_ms": 0})).await;
    let changed = again(&tag).await;
    assert_eq!(changed.status(), StatusCode::OK);
    assert_ne!(changed.headers()["etag"], tag.as_str());
}

#[tokio::test]
async fn an_order_carries_the_trace_it_was_placed_in() {
    let house = harness::open();
    let trace = TRACE;
    let place = async |trace: &str| {
        let request = house.request(Method::POST, "/orders").header("traceparent", trace);
        request.json(&json!({"model": "asyncio", "io_ms": 1})).send().await.unwrap().json::<Value>().await.unwrap()
    };
    let order = place(trace).await;
    assert_eq!(order["traceparent"], trace);
    let mut events = Follower::connect(&house, &order, None).await;
    assert_eq!(events.next().await.unwrap().data["traceparent"], trace);
    assert_eq!(place("not-a-trace").await["traceparent"], Value::Null);
    harness::eventually(Duration::from_secs(5), "it has ended", async || {
        house.json(&link(&order, "self")).await["done"] == json!(true)
    })
    .await;
    assert_eq!(house.json(&link(&order, "self")).await["traceparent"], trace);
}

#[tokio::test]
async fn an_ended_order_is_kept_for_as_long_as_it_says() {
    let house = harness::open_with(&["--retention-s", "1"]);
    assert_eq!(house.json("/limits").await["retention_s"], 1);
    let order = house.cook(json!({"model": "asyncio", "io_ms": 0})).await;
    let at = |field: &str| order[field].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    assert_eq!(at("retained_until").duration_since(at("finished_at")).as_millis(), 1_000, "{order}");
    let gone = async || house.get(&link(&order, "self")).await.status() == StatusCode::GONE;
    harness::eventually(Duration::from_secs(30), "it is no longer kept", gone).await;
    assert!(jiff::Timestamp::now() > at("retained_until"));
    for name in ["self", "steps", "events", "report"] {
        refused(&house, house.get(&link(&order, name)).await, 410, "gone").await;
    }
    assert_eq!(
        (&house.json("/orders").await["data"], house.json("/stats").await["kept"].as_u64()),
        (&json!([]), Some(0))
    );
}
