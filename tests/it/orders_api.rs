//! Orders over HTTP: how they are placed, held, read, stopped and deleted.
//!
//! Lists are in `orders_list.rs`, who waits for whom in `orders_waiting.rs`, refused bodies in `refusals.rs`. What the models do with an order is deliberately not
//! looked at here.

use std::time::Duration;

use reqwest::header::HeaderMap;
use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};

use crate::harness::{self, eventually, link};
use crate::refusals::refused;

/// Longer than any test: an order that ends only by a cancel.
pub(crate) const FOR_EVER_MS: u64 = 600_000;

#[tokio::test]
async fn a_model_alone_is_a_whole_order_and_every_default_is_echoed() {
    let house = harness::open();
    let (status, headers, order) = taken_apart(house.post("/orders", &json!({"model": "asyncio"})).await).await;
    assert_eq!(status, StatusCode::ACCEPTED);
    assert_eq!(header(&headers, "location"), link(&order, "self"));
    assert!(header(&headers, "retry-after").parse::<u64>().unwrap() >= 1);
    assert_eq!(header(&headers, "x-order-status"), order["status"]);
    assert!(header(&headers, "etag").starts_with('"'));
    let id = order["id"].as_str().unwrap();
    assert!(id.starts_with("ord_") && link(&order, "self") == format!("/orders/{id}"));
    let expected = json!({"model": "asyncio", "setup": {"chef": "house", "assistants": 0, "gil": false}, "dishes": 1, "speed": 1,
        "step_order": "recipe", "isolation": "house", "labels": {}, "timeout_ms": null, "max_in_flight": null,
        "done": false, "result": null, "error": null, "concurrent_orders": 0, "started_at": null, "finished_at": null,
        "progress": {"steps_done": 0, "steps_total": 3, "dishes_done": 0, "dishes_total": 1}});
    for (name, value) in expected.as_object().unwrap() {
        assert_eq!(order[name], *value, "{name}");
    }
    assert_eq!(order["recipe"]["name"], "pasta-fasta");
    assert!(order["seed"].is_u64() && order["created_at"].as_str().unwrap().ends_with('Z'));
    for to in ["events", "steps", "timeline"] {
        assert_eq!(house.get(&link(&order, to)).await.status(), StatusCode::OK, "{to}");
    }
    let ended = house.ended(&order).await;
    assert_eq!((&ended["status"], &ended["seed"]), (&json!("succeeded"), &order["seed"]));
    assert_eq!(ended["progress"]["steps_done"], 3);
}

#[tokio::test]
async fn without_a_body_the_query_is_the_order() {
    let house = harness::open();
    let place = async |query: &str| {
        let response = house.request(Method::POST, &format!("/orders?{query}")).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK, "{query}");
        response.json::<Value>().await.unwrap()
    };
    let query = "model=multithreading&dishes=3&io_ms=2&cpu_ms=1&speed=2&seed=7&step_order=sequential&max_in_flight=2";
    let order = place(&format!("{query}&timeout_ms=60000&isolation=kitchen&wait=30")).await;
    assert_eq!(order["status"], "succeeded", "{order}");
    let expected = json!({"model": "multithreading", "dishes": 3, "speed": 2, "seed": 7, "step_order": "sequential",
        "max_in_flight": 2, "timeout_ms": 60_000, "isolation": "kitchen"});
    for (name, value) in expected.as_object().unwrap() {
        assert_eq!(order[name], *value, "{name}");
    }
    let works: Vec<_> = order["recipe"]["steps"].as_array().unwrap().iter().map(|step| &step["work"]).collect();
    assert_eq!(works, [&json!({"kind": "wait", "ms": 2}), &json!({"kind": "cpu", "ms": 1})]);
    assert_eq!(place("model=sequential&recipe=chopping&wait=30").await["recipe"]["name"], "chopping");
    let threads = json!({"chefs": "per_step", "gil": true, "switch_interval_us": 5000});
    assert_eq!(place("preset=seed-threads&speed=1000&wait=30").await["setup"], threads);
}

#[tokio::test]
async fn a_preset_is_a_whole_order_whose_fields_the_body_overrides_one_by_one() {
    let house = harness::open();
    let cook = async |order: Value| house.cook(order).await;
    let whole = cook(json!({"preset": "seed-threads", "speed": 1000})).await;
    assert_eq!((&whole["model"], &whole["dishes"]), (&json!("multithreading"), &json!(3)));
    assert_eq!((&whole["recipe"]["name"], &whole["step_order"]), (&json!("pasta"), &json!("concurrent")));
    let fewer = cook(json!({"preset": "seed-threads", "speed": 1000, "dishes": 1, "step_order": "sequential"})).await;
    assert_eq!((&fewer["dishes"], &fewer["step_order"]), (&json!(1), &json!("sequential")));
    assert_eq!(
        (&fewer["setup"], &fewer["recipe"]["name"]),
        (&json!({"chefs": "per_step", "gil": true, "switch_interval_us": 5000}), &json!("pasta"))
    );
    // Options belong to a model: another model brings its own.
    let other = cook(json!({"preset": "seed-threads", "speed": 1000, "model": "asyncio"})).await;
    assert_eq!(other["setup"], json!({"chef": "house", "assistants": 0, "gil": false}));
    let own_work = cook(json!({"preset": "uvicorn-workers", "io_ms": 1, "dishes": 2})).await;
    assert_eq!(
        own_work["recipe"]["steps"].as_array().unwrap().len(),
        1,
        "the preset's cpu_ms is replaced with its io_ms"
    );
    assert_eq!(own_work["setup"]["kitchens"], 4);
}

#[tokio::test]
async fn an_answer_is_held_until_the_order_has_ended_or_time_is_up() {
    let house = harness::open();
    let prefer = async |wish: &str, order: Value| {
        let request = house.request(Method::POST, "/orders").header("prefer", wish).json(&order);
        taken_apart(request.send().await.unwrap()).await
    };
    let short = json!({"model": "asyncio", "io_ms": 100});
    let (status, headers, order) = taken_apart(house.post("/orders?wait=30", &short).await).await;
    assert_eq!((status, &order["status"]), (StatusCode::OK, &json!("succeeded")));
    assert_eq!(header(&headers, "x-order-status"), "succeeded");
    assert!(headers.get("preference-applied").is_none() && headers.get("retry-after").is_none());
    assert!(harness::number(&order, "/timings/makespan_ms") >= 100.0);
    // A wish is applied as far as it goes, and said to be.
    for (wish, applied) in [("wait=30", "wait=30"), ("respond-async, wait=100", "wait=60"), ("wait=60", "wait=60")] {
        let (status, headers, _) = prefer(wish, short.clone()).await;
        assert_eq!((status, header(&headers, "preference-applied")), (StatusCode::OK, applied.to_owned()), "{wish}");
    }
    let (status, headers, order) = prefer("wait=1", json!({"model": "asyncio", "io_ms": FOR_EVER_MS})).await;
    assert_eq!((status, &order["status"]), (StatusCode::ACCEPTED, &json!("running")));
    assert_eq!(header(&headers, "location"), link(&order, "self"));
    assert_eq!(header(&headers, "preference-applied"), "wait=1");
    // A parameter is no wish: above the limit it is refused.
    let problem = refused(&house, house.post("/orders?wait=61", &short).await, 422, "invalid-query").await;
    assert_eq!(problem["errors"][0]["pointer"], "wait");
    let problem =
        refused(&house, house.get(&format!("{}?wait=61", link(&order, "self"))).await, 422, "invalid-query").await;
    assert_eq!(problem["errors"][0]["pointer"], "wait");
}

#[tokio::test]
async fn a_client_that_leaves_cancels_nothing() {
    let house = harness::open();
    let order = json!({"model": "asyncio", "io_ms": 500, "labels": {"client": "leaves"}});
    let held = tokio::spawn(house.request(Method::POST, "/orders?wait=60").json(&order).send());
    let listed = async || house.json("/orders?label.client=leaves").await["data"].clone();
    eventually(Duration::from_secs(20), "the order is there", async || listed().await.as_array().unwrap().len() == 1)
        .await;
    // The connection goes with the request.
    held.abort();
    assert!(held.await.unwrap_err().is_cancelled());
    let order = listed().await[0].clone();
    assert_eq!(house.ended(&order).await["status"], "succeeded");
}

#[tokio::test]
async fn an_order_that_has_not_changed_is_not_sent_again() {
    let house = harness::open();
    let order = house.place(json!({"model": "asyncio", "io_ms": FOR_EVER_MS})).await;
    let path = link(&order, "self");
    eventually(Duration::from_secs(10), "it runs", async || house.json(&path).await["status"] == "running").await;
    let tag = header(house.get(&path).await.headers(), "etag");
    let again = async |path: &str, tag: &str| {
        house.request(Method::GET, path).header("if-none-match", tag).send().await.unwrap()
    };
    let same = again(&path, &tag).await;
    assert_eq!((same.status(), header(same.headers(), "etag")), (StatusCode::NOT_MODIFIED, tag.clone()));
    assert!(same.bytes().await.unwrap().is_empty());
    // Held for a second, and still the same.
    assert_eq!(again(&format!("{path}?wait=1"), &format!("\"0.0\", W/{tag}")).await.status(), StatusCode::NOT_MODIFIED);
    assert_eq!(again(&path, "\"0.0\"").await.status(), StatusCode::OK);
    let (hold, cancel, nothing) = (format!("{path}?wait=60"), link(&order, "cancel"), json!({}));
    let (held, canceled) = tokio::join!(again(&hold, &tag), house.post(&cancel, &nothing));
    assert_eq!(canceled.status(), StatusCode::ACCEPTED);
    // Told at the end, or at once if the wish to stop came first: that is a change too.
    let (status, state) = (held.status(), header(held.headers(), "x-order-status"));
    assert!(status == StatusCode::OK && ["running", "canceled"].contains(&state.as_str()), "{status} {state}");
    assert_ne!(header(held.headers(), "etag"), tag);
    let canceled = again(&hold, "\"0.0\"").await.json::<Value>().await.unwrap();
    assert_eq!(house.ended(&canceled).await["status"], "canceled");
}

#[tokio::test]
async fn canceling_meets_waiting_running_and_ended_orders_and_may_be_repeated() {
    let house = harness::open_with(&["--max-threads", "4"]);
    let cancel = async |order: &Value| taken_apart(house.post(&link(order, "cancel"), &json!({})).await).await;
    let running = house.place(own_threads(4, FOR_EVER_MS)).await;
    let waiting = house.place(own_threads(1, 0)).await;
    let (status, _, canceled) = cancel(&waiting).await;
    assert_eq!((status, &canceled["status"]), (StatusCode::OK, &json!("canceled")));
    assert_eq!((&canceled["started_at"], &canceled["error"]), (&Value::Null, &Value::Null));
    assert_eq!(cancel(&waiting).await.0, StatusCode::OK);
    let (status, headers, asked) = cancel(&running).await;
    assert_eq!((status, &asked["cancel_requested"]), (StatusCode::ACCEPTED, &json!(true)));
    assert!(headers.contains_key("retry-after"));
    let ended = house.ended(&running).await;
    assert_eq!((&ended["status"], &ended["error"]), (&json!("canceled"), &Value::Null));
    assert_eq!(cancel(&running).await.0, StatusCode::OK);
    let succeeded = house.cook(json!({"model": "asyncio", "io_ms": 0})).await;
    let response = house.post(&link(&succeeded, "cancel"), &json!({})).await;
    refused(&house, response, 409, "order-not-cancelable").await;
    assert_eq!(house.json(&link(&succeeded, "self")).await, succeeded, "ended orders never change");
}

#[tokio::test]
async fn a_deleted_order_is_gone_and_a_forged_one_never_was() {
    let mut house = harness::open();
    let order = house.place(json!({"model": "asyncio", "io_ms": FOR_EVER_MS})).await;
    let path = link(&order, "self");
    let delete = async |path: &str| house.request(Method::DELETE, path).send().await.unwrap();
    refused(&house, delete(&path).await, 409, "order-active").await;
    house.post(&link(&order, "cancel"), &json!({})).await;
    house.ended(&order).await;
    let deleted = delete(&path).await;
    assert_eq!(deleted.status(), StatusCode::NO_CONTENT);
    assert!(deleted.bytes().await.unwrap().is_empty());
    refused(&house, delete(&path).await, 410, "gone").await;
    for to in ["self", "events", "steps", "timeline"] {
        refused(&house, house.get(&link(&order, to)).await, 410, "gone").await;
    }
    refused(&house, house.post(&link(&order, "cancel"), &json!({})).await, 410, "gone").await;
    assert_eq!(house.json("/orders").await["data"], json!([]));
    // One digit of the id changed: its checksum tells that nobody issued it.
    let last = path.chars().last().unwrap();
    let forged = format!("{}{}", &path[..path.len() - 1], if last == '0' { '1' } else { '0' });
    for path in
        [forged.as_str(), "/orders/ord_1", "/orders/1", &path.to_uppercase().replace("/ORDERS/ORD", "/orders/ord")]
    {
        refused(&house, house.get(path).await, 404, "not-found").await;
    }
    let kept = house.cook(json!({"model": "asyncio", "io_ms": 0})).await;
    assert!(house.end_with("TERM").success());
    let next = harness::open();
    for order in [&kept, &order] {
        refused(&next, next.get(&link(order, "self")).await, 410, "lost-on-restart").await;
    }
    refused(&next, next.get(&forged).await, 404, "not-found").await;
}

/// An order that leases this many threads and waits this long.
pub(crate) fn own_threads(chefs: u32, io_ms: u64) -> Value {
    json!({"model": "multithreading", "setup": {"chefs": chefs}, "io_ms": io_ms})
}

pub(crate) fn header(headers: &HeaderMap, name: &str) -> String {
    headers.get(name).unwrap_or_else(|| panic!("no {name} in {headers:?}")).to_str().unwrap().to_owned()
}

async fn taken_apart(response: Response) -> (StatusCode, HeaderMap, Value) {
    let (status, headers) = (response.status(), response.headers().clone());
    (status, headers, response.json().await.expect("JSON"))
}
