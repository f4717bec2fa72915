//! A database that is away while a node ends, or for longer than its lease.
//!
//! What is refused meanwhile and done afterwards is in `cluster.rs`. It deliberately measures no time: what must be over is
//! held against what the database itself has written down.

use std::time::{Duration, SystemTime};

use reqwest::StatusCode;
use rustix::process::Signal;
use serde_json::json;

use crate::cluster::{runs, signal};
use crate::harness::{House, eventually, is_alive, open_with};
use crate::pg_server::{Kitchen, Server};

/// More orders of one client than an event loop is given before it has begun them, fewer than a node takes up.
const ORDERS: usize = 300;

#[tokio::test]
async fn a_database_that_is_away_holds_up_neither_the_grace_period_nor_the_second_signal() {
    let kitchen = Kitchen::opened().await;
    let with_grace = |name, grace_s| open_with(&["--store", &kitchen.url(), "--node", name, "--grace-s", grace_s]);
    let (short, long) = (with_grace("short", "1"), with_grace("long", "600"));
    for house in [&short, &long] {
        // The first blocks the loop: some of them wait here, and are to be given back.
        let steps = json!([{"name": "n", "work": {"kind": "blocking_wait", "ms": 600_000}}]);
        let order = json!({"model": "asyncio", "recipe": {"name": "n", "steps": steps}});
        let orders = json!({"orders": vec![order; ORDERS]});
        assert_eq!(house.post("/orders/batch", &orders).await.status(), StatusCode::ACCEPTED);
        eventually(Duration::from_secs(20), "some run and some wait here", async || {
            let active = async |status| house.metric(&format!("pasta_fasta_active_orders{{status={status:?}}}")).await;
            active("running").await > 0.0 && active("queued").await > 0.0
        })
        .await;
    }
    Server::shared().down();
    for house in [&short, &long] {
        signal(house, Signal::TERM);
    }
    let ends = async |house: &House, why: &str| {
        eventually(Duration::from_secs(30), why, async || !is_alive(house.pid())).await;
    };
    ends(&short, "its grace period is over").await;
    assert!(is_alive(long.pid()), "its grace period lasts");
    signal(&long, Signal::TERM);
    ends(&long, "nobody wants to wait for it").await;
    Server::shared().up();
}

#[tokio::test]
async fn a_node_that_cannot_renew_has_stopped_its_runs_before_its_leases_end() {
    let kitchen = Kitchen::opened().await;
    let mut a = open_with(&["--store", &kitchen.url(), "--node", "a", "--lease-ms", "10000"]);
    let order = a.place(json!({"model": "asyncio", "io_ms": 600_000})).await;
    runs(&a, &order).await;
    // Its socket is gone: each renewal is refused at once.
    Server::shared().down();
    eventually(Duration::from_secs(60), "it has stopped", async || {
        a.metric("pasta_fasta_active_orders{status=\"running\"}").await == 0.0
    })
    .await;
    let stopped_us = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_micros() as i64;
    // Else it would take the order up again before anybody has looked.
    a.end_with("KILL");
    Server::shared().up();
    let ends = "SELECT (extract(epoch FROM lease_until) * 1000000)::int8 FROM orders WHERE attempt = 1";
    let lease_us: i64 = kitchen.visitor().await.query_one(ends, &[]).await.unwrap().get(0);
    assert!(stopped_us < lease_us, "{} ms too late", (stopped_us - lease_us) / 1_000);
}
