//! Connections that the service ends are counted by why it did.
//!
//! It deliberately asks each cause to be counted, not to be counted once: the client of a test has connections too.

use std::time::Duration;

use serde_json::json;

use crate::edge_connections::busy;
use crate::edge_raw::Raw;
use crate::harness::{self, House, eventually};
use crate::orders_api::FOR_EVER_MS;

async fn cut(house: &House, reason: &str) -> f64 {
    house.metric(&format!("pasta_fasta_connections_cut_total{{reason=\"{reason}\"}}")).await
}

async fn is_counted(house: &House, reason: &str) {
    eventually(Duration::from_secs(20), reason, async || cut(house, reason).await > 0.0).await;
}

#[tokio::test]
async fn who_keeps_the_service_waiting_is_counted_by_what_it_waits_for() {
    let limits = ["--header-timeout-ms", "300", "--body-timeout-ms", "300", "--write-timeout-ms", "300"];
    let house = harness::open_with(&[&limits[..], &["--idle-timeout-ms", "3000"]].concat());
    for reason in ["head", "body", "stalled", "room"] {
        assert_eq!(cut(&house, reason).await, 0.0, "{reason}");
    }
    let mut head = Raw::connect(&house).await;
    head.send("GET /livez HTTP/1.1\r\n").await;
    is_counted(&house, "head").await;
    assert_eq!(cut(&house, "body").await, 0.0, "only a head was late");
    let mut body = Raw::connect(&house).await;
    let framing = "Content-Type: application/json\r\nContent-Length: 9\r\n\r\n{";
    body.send(format!("POST /orders HTTP/1.1\r\nHost: localhost\r\n{framing}")).await;
    is_counted(&house, "body").await;
    assert_eq!(cut(&house, "stalled").await, 0.0, "everybody took what was sent");
    let mut deaf = Raw::connect(&house).await;
    deaf.send("GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(300)).await;
    is_counted(&house, "stalled").await;
    let idle = Raw::connect(&house).await;
    is_counted(&house, "idle").await;
    assert_eq!(cut(&house, "room").await, 0.0, "the house was never full");
    drop((head, body, deaf, idle));
}

#[tokio::test]
async fn who_makes_room_for_others_is_counted() {
    let house = harness::open_with(&["--max-connections", "5"]);
    let order = house.place(json!({"model": "asyncio", "io_ms": FOR_EVER_MS})).await;
    let _idle = Raw::connect(&house).await;
    let _busy = busy(&house, &order).await;
    is_counted(&house, "room").await;
}
