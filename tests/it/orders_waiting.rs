//! Who has to wait for whom: orders with staff of their own in a line, house orders past it, and a house that is full.
//!
//! Comparisons, which have the house to themselves, are deliberately left to `comparisons_api.rs`.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::harness::{self, link};
use crate::orders_api::{FOR_EVER_MS, header, own_threads};
use crate::refusals::refused;

#[tokio::test]
async fn orders_that_need_staff_wait_their_turn_and_house_orders_overtake_them() {
    let house = harness::open_with(&["--max-threads", "4"]);
    let running = house.place(own_threads(2, FOR_EVER_MS)).await;
    // The second would fit beside the running one, but not before the first.
    let mut waiting = Vec::new();
    for chefs in [3, 1, 4, 4] {
        waiting.push(house.place(own_threads(chefs, 20)).await);
    }
    house.cook(json!({"model": "asyncio", "io_ms": 0})).await;
    house.cook(json!({"model": "multithreading", "io_ms": 0})).await;
    for order in &waiting {
        assert_eq!(house.json(&link(order, "self")).await["status"], "queued");
    }
    house.post(&link(&running, "cancel"), &json!({})).await;
    let mut ended = Vec::new();
    for order in &waiting {
        ended.push(house.ended(order).await);
    }
    let started: Vec<_> = ended.iter().map(|order| order["started_at"].as_str().unwrap()).collect();
    assert!(started.is_sorted(), "{started:?}");
    // 3 + 1 fit together; each 4 is alone.
    let finished: Vec<_> = ended.iter().map(|order| order["finished_at"].as_str().unwrap()).collect();
    assert!(finished[0] <= started[2] && finished[1] <= started[2] && finished[2] <= started[3]);
    assert!(
        ended.iter().all(|order| order["status"] == "succeeded" && harness::number(order, "/timings/queue_ms") > 0.0)
    );
}

#[tokio::test]
async fn an_order_that_was_canceled_while_it_waited_holds_nobody_back() {
    let house = harness::open_with(&["--max-threads", "4"]);
    let running = house.place(own_threads(2, FOR_EVER_MS)).await;
    let large = house.place(own_threads(4, 0)).await;
    let small = house.place(own_threads(2, 0)).await;
    house.post(&link(&large, "cancel"), &json!({})).await;
    let after = house.json(&format!("{}?wait=10", link(&small, "self"))).await;
    assert_eq!(after["status"], "succeeded", "it fits beside the running one, and nobody is before it");
    assert_eq!(house.json(&link(&running, "self")).await["status"], "running");
}

#[tokio::test]
async fn more_staff_than_the_house_has_is_refused_at_once() {
    let house = harness::open_with(&["--max-threads", "4", "--max-children", "2"]);
    let greedy = [
        own_threads(5, 0),
        json!({"model": "multithreading", "setup": {"chefs": "per_step"}, "io_ms": 0, "dishes": 5}),
        json!({"model": "asyncio", "setup": {"chef": "own", "assistants": 4}, "io_ms": 0}),
        json!({"model": "multiprocessing", "setup": {"kitchens": 3}, "io_ms": 0}),
        json!({"model": "multiprocessing", "setup": {"kitchens": 2}, "isolation": "kitchen", "io_ms": 0}),
    ];
    for order in greedy {
        let problem = refused(&house, house.post("/orders", &order).await, 422, "invalid-order").await;
        assert_eq!(problem["errors"][0]["pointer"], "/setup", "{order}");
    }
    // With fewer dishes at once the same order fits.
    let fits =
        json!({"model": "multithreading", "setup": {"chefs": "per_step"}, "io_ms": 0, "dishes": 5, "max_in_flight": 4});
    assert_eq!(house.cook(fits).await["status"], "succeeded");
}

/// A client at another address of this machine.
fn client_at(n: u8) -> reqwest::Client {
    reqwest::Client::builder().local_address(IpAddr::from([127, 0, 0, n])).build().expect("a client")
}

#[tokio::test]
async fn a_client_has_its_share_and_a_full_house_says_when_to_come_back() {
    let house = harness::open_with(&["--max-active-orders", "12"]);
    let order = json!({"model": "asyncio", "io_ms": FOR_EVER_MS});
    let url = format!("{}/orders", house.base);
    let mut taken = Vec::new();
    for n in 1..=5_u8 {
        let client = client_at(n);
        let refused_with = loop {
            let response = client.post(&url).json(&order).send().await.expect("an answer");
            if response.status() != StatusCode::ACCEPTED {
                break response;
            }
            taken.push(response.json::<serde_json::Value>().await.unwrap());
        };
        let wait_s: u64 = header(refused_with.headers(), "retry-after").parse().unwrap();
        assert!((1..=30).contains(&wait_s), "{wait_s}");
        // Six for the first, half of the rest for the second, half of that rest for the third, until there is none.
        let (status, slug) = if n < 5 { (429, "quota-exceeded") } else { (503, "house-full") };
        refused(&house, refused_with, status, slug).await;
        assert_eq!(taken.len(), [6, 9, 10, 11, 11][usize::from(n) - 1], "client {n}");
    }
    // What it would refuse anyway it does not study first: a refusal has to cost less than an order.
    refused(&house, house.post("/orders", &json!({"model": 7})).await, 429, "quota-exceeded").await;
    refused(&house, house.post("/orders/batch", &json!({"orders": 7})).await, 429, "quota-exceeded").await;
    // Full for orders is not full for questions; but whoever can go elsewhere should.
    for path in ["/livez", "/metrics", "/orders"] {
        assert_eq!(house.get(path).await.status(), StatusCode::OK, "{path}");
    }
    for path in ["/readyz", "/healthz"] {
        let problem = refused(&house, house.get(path).await, 503, "house-full").await;
        assert!(problem["detail"].as_str().unwrap().contains("92 % of the orders"), "{problem}");
    }
    for order in &taken[..5] {
        house.post(&link(order, "cancel"), &json!({})).await;
        house.ended(order).await;
    }
    assert_eq!(house.get("/readyz").await.status(), StatusCode::OK, "six of twelve");
    house.place(order).await;
}

#[tokio::test]
async fn an_order_of_a_quiet_client_does_not_stand_behind_those_of_a_noisy_one() {
    let house = harness::open();
    for model in ["asyncio", "multithreading", "multiprocessing", "sequential"] {
        let short = json!({"model": model, "io_ms": 0, "cpu_ms": 5});
        let orders: Vec<_> = std::iter::repeat_n(&short, 800).collect();
        let noisy = client_at(2).post(format!("{}/orders/batch", house.base)).json(&json!({"orders": orders}));
        assert_eq!(noisy.send().await.unwrap().status(), StatusCode::ACCEPTED);
        let quiet = client_at(3).post(format!("{}/orders?wait=60", house.base)).json(&short).send().await.unwrap();
        assert_eq!(quiet.status(), StatusCode::OK, "{model}");
        let left = house.json("/stats").await;
        let left = left["queued"].as_u64().unwrap() + left["running"].as_u64().unwrap();
        assert!(left > 400, "{model}: only {left} of the noisy client's 800 orders were left");
        let all = house.post("/orders/cancel", &json!({"model": model})).await;
        assert_eq!(all.status(), StatusCode::OK);
        harness::eventually(Duration::from_secs(10), "all are stopped", async || {
            let stats = house.json("/stats").await;
            (&stats["queued"], &stats["running"]) == (&json!(0), &json!(0))
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_order_that_is_canceled_the_moment_it_is_taken_up_ends_all_the_same() {
    let house = Arc::new(harness::open_with(&["--max-threads", "8"]));
    let order = |n: usize| match n % 8 {
        0 => json!({"model": "multiprocessing", "setup": {"kitchens": 1}, "io_ms": FOR_EVER_MS}),
        1 => json!({"model": "asyncio", "setup": {"chef": "own"}, "io_ms": FOR_EVER_MS}),
        _ => own_threads(1, FOR_EVER_MS),
    };
    let orders: Vec<_> = (0..1_000).map(order).collect();
    let placed: Value = house.post("/orders/batch", &json!({"orders": orders})).await.json().await.expect("JSON");
    let placed = placed["data"].as_array().expect("orders");
    let cancels: Arc<Vec<_>> = Arc::new(placed.iter().map(|order| link(order, "cancel")).collect());
    // Each end lets others begin on one thread while another cancels them.
    let next = Arc::new(AtomicUsize::new(0));
    let askers = (0..16).map(|_| {
        let (house, next, cancels) = (house.clone(), next.clone(), cancels.clone());
        tokio::spawn(async move {
            while let Some(cancel) = cancels.get(next.fetch_add(1, Ordering::Relaxed)) {
                house.request(reqwest::Method::POST, cancel).send().await.expect("an answer");
            }
        })
    });
    for asked in futures_util::future::join_all(askers).await {
        asked.expect("it canceled its part");
    }
    let all_ended = async || house.json("/stats").await["canceled"] == json!(1_000);
    harness::eventually(Duration::from_secs(10), "all have ended", all_ended).await;
}
