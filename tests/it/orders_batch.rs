//! Many orders at once: all or nothing, every violation with its place.
//!
//! It deliberately does not repeat what single orders are tested for.

use serde_json::{Value, json};

use crate::harness;

#[tokio::test]
async fn a_batch_is_accepted_in_its_order_and_every_order_is_cooked() {
    let house = harness::open();
    let orders: Vec<Value> = (1..=50).map(|n| json!({"model": "asyncio", "io_ms": 1, "seed": n})).collect();
    let response = house.post("/orders/batch", &json!({ "orders": orders })).await;
    assert_eq!(response.status().as_u16(), 202);
    let batch: Value = response.json().await.unwrap();
    let accepted = batch["data"].as_array().unwrap();
    assert_eq!(accepted.iter().map(|o| o["seed"].as_u64().unwrap()).collect::<Vec<_>>(), (1..=50).collect::<Vec<_>>());
    for order in accepted {
        assert_eq!(house.ended(order).await["status"], "succeeded");
    }
    assert_eq!(house.json("/stats").await["accepted"], 50);
}

#[tokio::test]
async fn one_bad_order_refuses_the_whole_batch_and_all_of_them_are_named() {
    let house = harness::open();
    let orders = json!([{"model": "asyncio"}, {"model": "asyncio", "dishes": 0}, {"model": "nobody"}]);
    let response = house.post("/orders/batch", &json!({ "orders": orders })).await;
    assert_eq!(response.status().as_u16(), 422);
    let problem: Value = response.json().await.unwrap();
    let pointers: Vec<_> = problem["errors"].as_array().unwrap().iter().map(|e| e["pointer"].clone()).collect();
    assert_eq!(pointers, ["/orders/1/dishes", "/orders/2/model"]);
    assert_eq!(house.json("/stats").await["accepted"], 0);
}

#[tokio::test]
async fn a_batch_has_one_to_a_thousand_orders_and_its_own_size() {
    let house = harness::open();
    for count in [0, 1001] {
        let orders: Vec<Value> = (0..count).map(|_| json!({"model": "asyncio"})).collect();
        let response = house.post("/orders/batch", &json!({ "orders": orders })).await;
        assert_eq!(response.status().as_u16(), 422, "{count} orders");
    }
    let labels: serde_json::Map<_, _> = (0..16).map(|i| (format!("{i:063}"), json!("x".repeat(63)))).collect();
    // About 2 KiB each: 1,000 of them are more than a single order's body may be, and fewer than a batch's.
    let orders: Vec<Value> = (0..1000).map(|_| json!({"model": "asyncio", "io_ms": 0, "labels": labels})).collect();
    let response = house.post("/orders/batch", &json!({ "orders": orders })).await;
    assert_eq!(response.status().as_u16(), 202);
}
