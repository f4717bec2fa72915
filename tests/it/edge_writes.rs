//! Clients that vanish in the middle of a write: what they sent is an order or nothing, never half of one.
//!
//! Connections are reset, not closed, so that the service learns of it at any moment. It deliberately cannot see which
//! orders a client meant; it counts.

use std::collections::HashSet;
use std::time::Duration;

use rustix::net::sockopt;
use serde_json::{Value, json};

use crate::edge_raw::Raw;
use crate::harness::{self, eventually};

const CLIENTS: usize = 2_000;

/// A number below `n` (a linear congruence: the same numbers in every run).
fn below(state: &mut u64, n: usize) -> usize {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*state >> 33) as usize % n
}

#[tokio::test]
async fn a_client_that_resets_at_any_byte_leaves_whole_orders_or_none() {
    let house = harness::open();
    let order = json!({"model": "asyncio", "dishes": 2, "io_ms": 1});
    let (mut state, mut whole) = (7, 0);
    for client in 0..CLIENTS {
        let (path, body) = match client % 3 {
            0 => ("/orders", order.to_string()),
            1 => ("/orders?wait=5", order.to_string()),
            _ => ("/orders/batch", json!({"orders": [order, order, order]}).to_string()),
        };
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        let request = head + &body;
        // A third of them send everything and leave at once.
        let bytes = if below(&mut state, 3) == 0 { request.len() } else { below(&mut state, request.len() + 1) };
        whole += if bytes < request.len() { 0 } else { [1, 1, 3][client % 3] };
        let mut raw = Raw::connect(&house).await;
        sockopt::set_socket_linger(raw.stream(), Some(Duration::ZERO)).expect("a socket");
        if below(&mut state, 2) == 0 {
            raw.send(&request[..bytes]).await;
        } else {
            let cut = below(&mut state, bytes + 1);
            raw.send(&request[..cut]).await;
            tokio::task::yield_now().await;
            raw.send(&request[cut..bytes]).await;
        }
        drop(raw);
    }
    // A write whose client has gone runs on, so one may still come in behind the last that was seen.
    let before = std::cell::Cell::new(json!(null));
    let idle = async || {
        let stats = house.json("/stats").await;
        let (ended, same) = (stats["queued"] == 0 && stats["running"] == 0, stats["accepted"] == before.take());
        before.set(stats["accepted"].clone());
        ended && same
    };
    eventually(Duration::from_secs(30), "every order has ended", idle).await;
    let stats = house.json("/stats").await;
    let accepted = stats["accepted"].as_u64().expect("a count");
    println!("{accepted} orders of {whole} sent whole, by {CLIENTS} clients");
    assert!(accepted > 0 && accepted <= whole, "{stats}");
    assert_eq!(stats["succeeded"], accepted, "{stats}");
    let (mut seen, mut page) = (HashSet::new(), "/orders?limit=200".to_owned());
    loop {
        let list: Value = house.json(&page).await;
        for order in list["data"].as_array().expect("a list") {
            assert_eq!(
                (&order["status"], &order["progress"]["steps_done"]),
                (&json!("succeeded"), &order["progress"]["steps_total"])
            );
            assert!(seen.insert(order["id"].as_str().expect("an id").to_owned()), "an order twice");
        }
        let Some(cursor) = list["next_cursor"].as_str() else { break };
        page = format!("/orders?limit=200&cursor={cursor}");
    }
    assert_eq!(seen.len() as u64, accepted);
}

#[cfg(feature = "sqlite")]
#[tokio::test]
async fn many_orders_are_stopped_also_when_the_client_does_not_wait_for_it() {
    let folder = std::env::temp_dir().join(format!("pasta-fasta-stop-many-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let store = format!("sqlite:{}", folder.join("orders.db").display());
    let house = harness::open_with(&["--store", &store, "--max-threads", "1"]);
    let own = json!({"model": "multithreading", "setup": {"chefs": 1}, "io_ms": 3_600_000});
    let batch = json!({"orders": vec![own; 1_000]});
    for _ in 0..4 {
        assert_eq!(house.post("/orders/batch", &batch).await.status(), 202);
    }
    let body = json!({"status": ["queued"]}).to_string();
    let json = format!("Content-Type: application/json\r\nContent-Length: {}", body.len());
    let mut raw = Raw::connect(&house).await;
    raw.send(format!("POST /orders/cancel HTTP/1.1\r\nHost: localhost\r\n{json}\r\n\r\n{body}")).await;
    // Once the first are stopped, it is at work; then nobody waits for it any more.
    let canceled = async || house.json("/stats").await["canceled"].as_u64().expect("a count");
    eventually(Duration::from_secs(30), "it has begun", async || canceled().await > 0).await;
    sockopt::set_socket_linger(raw.stream(), Some(Duration::ZERO)).expect("a socket");
    drop(raw);
    eventually(Duration::from_secs(60), "all that waited are stopped", async || canceled().await == 3_999).await;
    assert_eq!(house.json("/stats").await["running"], 1, "it was not asked to stop what runs");
    drop(house);
    std::fs::remove_dir_all(&folder).expect("it was there");
}
