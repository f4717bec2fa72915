//! A log that nobody takes: full, closed, or never read. The service goes on.
//!
//! What the lines say is deliberately not looked at.

use std::fs::File;
use std::io::PipeWriter;
use std::process::Stdio;
use std::time::Duration;

use reqwest::Client;
use serde_json::json;

use crate::edge_raw::Raw;
use crate::harness::{self, House, eventually};

/// More than a pipe of 64 KiB and the queue behind it hold.
const BAD_REQUESTS: usize = 12_000;

/// A service that writes everything it has to say there.
async fn open(out: impl Into<Stdio>, err: impl Into<Stdio>) -> House {
    // Where it listens is said on stdout, which nobody reads here.
    let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port").port();
    let house = harness::open_at(&format!("127.0.0.1:{port}"), "pasta_fasta=debug", out.into(), err.into());
    eventually(Duration::from_secs(20), "it is ready", async || {
        Client::new().get(format!("{}/readyz", house.base)).send().await.is_ok()
    })
    .await;
    house
}

async fn goes_on(mut house: House, bad_requests: usize) {
    for _ in 0..bad_requests {
        let mut raw = Raw::connect(&house).await;
        raw.send("NONSENSE\r\n\r\n").await;
        raw.answer().await.expect("a refusal").is_problem(400, "bad-request", "a line for the log");
    }
    for _ in 0..200 {
        assert_eq!(house.cook(json!({"model": "asyncio", "io_ms": 0})).await["status"], "succeeded");
    }
    let dropped = house.metric("pasta_fasta_log_lines_dropped_total").await;
    assert_eq!(dropped > 0.0, bad_requests == BAD_REQUESTS, "{dropped} lines dropped");
    assert_eq!(house.end_with("TERM").code(), Some(0));
}

#[tokio::test]
async fn a_log_on_a_full_disk_stops_nothing() {
    let full = || File::options().write(true).open("/dev/full").expect("a full device");
    goes_on(open(full(), full()).await, 50).await;
}

#[tokio::test]
async fn a_log_whose_reader_is_gone_stops_nothing() {
    let closed = || -> PipeWriter { std::io::pipe().expect("a pipe").1 };
    goes_on(open(closed(), closed()).await, 50).await;
}

#[tokio::test]
async fn a_log_that_nobody_reads_stops_nothing() {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    goes_on(open(Stdio::null(), writer).await, BAD_REQUESTS).await;
    drop(reader);
}
