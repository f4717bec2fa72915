//! Clients that take their time: with a head, with a body, between requests, and with reading.
//!
//! Limits are set short and compared with each other, not with a stopwatch: this machine may be busy. It deliberately
//! sleeps only where a client would.

use std::fmt::Write;
use std::time::Duration;

use serde_json::json;

use crate::edge_raw::{Raw, ask};
use crate::harness::{self, House, eventually};

const GET: &str = "GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// Sends a byte every so often until the service ends it; the answer, if there was one.
async fn drip(mut raw: Raw) -> Option<crate::edge_raw::Said> {
    let mut pace = tokio::time::interval(Duration::from_millis(30));
    for _ in 0..2_000 {
        pace.tick().await;
        raw.send("x").await;
        if !raw.is_quiet_for(Duration::from_millis(1)).await {
            return raw.answer().await;
        }
    }
    panic!("a minute later it still listens");
}

#[tokio::test]
async fn a_head_has_its_time_from_its_first_byte_and_an_idle_connection_has_more() {
    let house = harness::open_with(&["--header-timeout-ms", "300", "--idle-timeout-ms", "3000"]);
    let idle = Duration::from_millis(1_000);
    // Never used, and used before: both outlive what a head may take, and then a head has its time again.
    let mut fresh = Raw::connect(&house).await;
    assert!(fresh.is_quiet_for(idle).await, "an idle connection was closed like a slow head");
    for _ in 0..2 {
        assert!(fresh.send(GET).await);
        assert_eq!(fresh.answer().await.expect("it lives").status, 200);
        assert!(fresh.is_quiet_for(idle).await, "an idle connection was closed like a slow head");
    }
    assert!(fresh.answer().await.is_none(), "at the end of its time it is closed without a word");
    // A head that does not go on, and one that goes on byte by byte.
    let mut half = Raw::connect(&house).await;
    half.send(&GET[..20]).await;
    let said = half.answer().await.expect("a word before the end");
    said.is_problem(408, "request-timeout", "half a head");
    assert!(said.header("connection") == "close" && half.answer().await.is_none());
    let mut second = Raw::connect(&house).await;
    second.send(GET).await;
    assert_eq!(second.answer().await.expect("the first").status, 200);
    second.send("GET /livez HTTP/1.1\r\nX: ").await;
    assert_eq!(drip(second).await.map(|said| said.status), Some(408), "the second head of a connection");
}

#[tokio::test]
async fn a_body_that_trickles_is_a_408_and_the_end() {
    let house = harness::open_with(&["--body-timeout-ms", "400"]);
    for path in ["/orders", "/orders/batch", "/comparisons"] {
        for framing in ["Content-Length: 5000", "Transfer-Encoding: chunked"] {
            let mut raw = Raw::connect(&house).await;
            let head = format!(
                "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n{framing}\r\n\r\n"
            );
            raw.send(head + "1000\r\n").await;
            let said = drip(raw).await.unwrap_or_else(|| panic!("no answer: {path}, {framing}"));
            said.is_problem(408, "request-timeout", path);
            assert_eq!(said.header("connection"), "close");
        }
    }
    // Slow is not late: a body that arrives in pieces within its time is an order.
    let order = json!({"model": "asyncio", "io_ms": 0}).to_string();
    let mut raw = Raw::connect(&house).await;
    raw.send(format!(
        "POST /orders HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        order.len()
    ))
    .await;
    for byte in order.bytes() {
        raw.send([byte]).await;
    }
    assert_eq!(raw.answer().await.expect("an answer").status, 202);
}

fn sockets(house: &House) -> usize {
    let entries = std::fs::read_dir(format!("/proc/{}/fd", house.pid())).expect("procfs");
    let is_socket = |entry: std::fs::DirEntry| {
        std::fs::read_link(entry.path()).is_ok_and(|to| to.to_string_lossy().starts_with("socket:"))
    };
    entries.filter_map(Result::ok).map(is_socket).filter(|socket| *socket).count()
}

#[tokio::test]
async fn a_client_that_does_not_read_is_cut_off_and_one_that_waits_is_not() {
    let house = harness::open_with(&["--write-timeout-ms", "500", "--idle-timeout-ms", "600000"]);
    let before = sockets(&house);
    let held = tokio::spawn({
        let request =
            house.request(reqwest::Method::POST, "/orders?wait=30").json(&json!({"model": "asyncio", "io_ms": 3000}));
        async move { request.send().await.expect("an answer").status().as_u16() }
    });
    let mut many = String::new();
    for _ in 0..300 {
        let _ = write!(many, "GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n");
    }
    let mut deaf = Vec::new();
    for _ in 0..10 {
        let mut raw = Raw::connect(&house).await;
        raw.send(&many).await;
        deaf.push(raw);
    }
    assert_eq!(held.await.expect("no panic"), 200, "a held answer is no stalled one");
    // The client of this test keeps a connection for its next request.
    eventually(Duration::from_secs(20), "the deaf are gone", async || sockets(&house) <= before + 1).await;
    drop(deaf);
    assert_eq!(ask(&house, GET).await.expect("an answer").status, 200);
}
