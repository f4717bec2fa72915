//! More connections than the house has room for, and fewer descriptors than it would like.
//!
//! It deliberately asks only whether honest clients are served; how fast is a matter for figures.

use std::time::Duration;

use reqwest::Method;
use serde_json::json;

use crate::edge_raw::{Raw, ask};
use crate::harness::{self, House, eventually};
use crate::orders_api::FOR_EVER_MS;

const GET: &str = "GET /orders HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// As many slow clients, each with half a head or half a body.
async fn crowd(house: &House, count: usize) -> Vec<Raw> {
    let mut crowd = Vec::new();
    for i in 0..count {
        let mut raw = Raw::connect(house).await;
        let half = [
            "GET /orders HTTP/1.1\r\nHost: loc",
            "POST /orders HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99\r\n\r\n{",
        ];
        raw.send(half[i % 2]).await;
        crowd.push(raw);
    }
    crowd
}

/// CPU time of the service so far.
fn cpu_ticks(house: &House) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", house.pid())).expect("procfs");
    let fields: Vec<_> = stat.rsplit_once(')').expect("a name").1.split_ascii_whitespace().collect();
    fields[11].parse::<u64>().expect("user time") + fields[12].parse::<u64>().expect("system time")
}

#[tokio::test]
async fn a_crowd_of_slow_clients_keeps_nobody_out() {
    let house = harness::open_with(&["--max-connections", "40"]);
    let crowd = crowd(&house, 200).await;
    for round in 0..100 {
        let said = ask(&house, GET).await.unwrap_or_else(|| panic!("kept out in round {round}"));
        assert_eq!(said.status, 200, "round {round}");
    }
    drop(crowd);
}

#[tokio::test]
async fn with_few_descriptors_the_service_takes_fewer_connections_and_does_not_spin() {
    let house = harness::open_under(
        &["prlimit", "--nofile=256:256"],
        &["--idle-timeout-ms", "600000", "--header-timeout-ms", "600000"],
    );
    assert_eq!(house.json("/limits").await["connections"], 32);
    let crowd = crowd(&house, 400).await;
    let (before, quiet) = (cpu_ticks(&house), Duration::from_secs(1));
    // Nobody asks anything for a second: how much does that cost?
    tokio::time::sleep(quiet).await;
    let ticks = cpu_ticks(&house) - before;
    assert!(ticks <= 30, "{ticks} hundredths of a second of CPU in one second of silence");
    let order = json!({"model": "multiprocessing", "io_ms": 1, "dishes": 4});
    for _ in 0..20 {
        assert_eq!(ask(&house, GET).await.expect("an answer").status, 200);
        assert_eq!(house.cook(order.clone()).await["status"], "succeeded");
    }
    drop(crowd);
}

#[tokio::test]
async fn out_of_descriptors_the_service_neither_spins_nor_goes_deaf() {
    let house = harness::open();
    assert_eq!(ask(&house, GET).await.expect("an answer").status, 200);
    let pid = house.pid().to_string();
    let open = std::fs::read_dir(format!("/proc/{pid}/fd")).expect("procfs").count();
    // Fewer than it found at its start: what may happen when children and files take the rest.
    let limit = format!("--nofile={0}:{0}", open + 2);
    let set = std::process::Command::new("prlimit").args(["--pid", &pid, &limit]).status().expect("prlimit runs");
    assert!(set.success());
    let mut waiting = Vec::new();
    for _ in 0..20 {
        waiting.push(Raw::connect(&house).await);
    }
    let before = cpu_ticks(&house);
    let last = waiting.last_mut().expect("twenty of them");
    last.send(GET).await;
    assert!(last.is_quiet_for(Duration::from_secs(1)).await, "there is no descriptor for it");
    let ticks = cpu_ticks(&house) - before;
    assert!(ticks <= 30, "{ticks} hundredths of a second of CPU in a second in which nothing can be done");
    let mut last = waiting.pop().expect("the last of them");
    drop(waiting);
    assert_eq!(last.answer().await.expect("room again").status, 200);
}

/// Keeps every connection of a house busy, with streams about this order.
pub(crate) async fn busy(house: &House, order: &serde_json::Value) -> Vec<Raw> {
    let path = harness::link(order, "events");
    let mut busy = Vec::new();
    // One that has not yet said what it wants makes room for the next, so this may take more than five.
    let full = async || {
        let mut raw = Raw::connect(house).await;
        raw.send(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")).await;
        busy.push(raw);
        ask(house, GET).await.is_some_and(|said| said.status == 503)
    };
    eventually(Duration::from_secs(10), "all connections are busy", full).await;
    busy
}

#[tokio::test]
async fn when_all_connections_are_busy_probes_are_answered_and_others_are_told() {
    let house = harness::open_with(&["--max-connections", "5"]);
    let order = house.place(json!({"model": "asyncio", "io_ms": FOR_EVER_MS})).await;
    let busy = busy(&house, &order).await;
    let told = ask(&house, GET).await.expect("an answer");
    told.is_problem(503, "house-full", "a guest");
    assert_eq!((told.header("connection"), told.header("retry-after")), ("close", "1"));
    for probe in ["/livez", "/readyz", "/healthz", "/metrics", "/version"] {
        let said = ask(&house, format!("GET {probe} HTTP/1.1\r\nHost: localhost\r\n\r\n")).await.expect("an answer");
        assert_eq!(said.status, 200, "{probe}");
    }
    drop(busy);
    eventually(Duration::from_secs(10), "there is room again", async || {
        ask(&house, GET).await.is_some_and(|said| said.status == 200)
    })
    .await;
    assert!(house.request(Method::POST, &harness::link(&order, "cancel")).send().await.is_ok());
}

#[tokio::test]
async fn held_answers_are_given_early_when_others_need_the_room() {
    let house = harness::open_with(&["--max-connections", "5"]);
    let body = json!({"model": "asyncio", "io_ms": FOR_EVER_MS}).to_string();
    let order = house.place(serde_json::from_str(&body).expect("JSON")).await;
    let length = body.len();
    let json = format!("Host: localhost\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}");
    let path = harness::link(&order, "self");
    let mut holders = Vec::new();
    for i in 0..30 {
        let mut raw = Raw::connect(&house).await;
        let held = [
            format!("GET {path}?wait=60 HTTP/1.1\r\nHost: localhost\r\n\r\n"),
            format!("POST /orders?wait=60 HTTP/1.1\r\n{json}"),
        ];
        raw.send(&held[i % 2]).await;
        // Who has not been read yet is nobody's holder; a moment is enough for most of them.
        raw.is_quiet_for(Duration::from_millis(20)).await;
        holders.push(raw);
    }
    for round in 0..30 {
        let said = ask(&house, GET).await.unwrap_or_else(|| panic!("kept out in round {round}"));
        assert_eq!(said.status, 200, "round {round}");
    }
    let cancel = format!("POST {path}/cancel HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!(ask(&house, cancel).await.expect("an answer").status, 202);
    house.post("/orders/cancel", &json!({"model": "asyncio"})).await;
    let mut early = [0, 0];
    for (i, mut raw) in holders.into_iter().enumerate() {
        // One that had not said yet what it wants was no holder, and has made room as such.
        let Some(said) = raw.answer().await else { continue };
        let order: serde_json::Value = serde_json::from_str(&said.body).expect("JSON");
        let is_early = order["done"] == json!(false);
        assert_eq!(said.status, if is_early { [200, 202][i % 2] } else { 200 }, "{said:?}");
        early[i % 2] += usize::from(is_early);
    }
    assert!(early.iter().all(|count| *count > 0), "none was told early how its order stands: {early:?}");
}
