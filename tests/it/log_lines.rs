//! What the log says of orders, and at which level.
//!
//! Whether it can be read at all is deliberately left to `edge_logs.rs`.

use std::process::Command;
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{self, eventually, link};

#[tokio::test]
async fn an_order_whose_trace_is_recorded_is_found_in_the_log_at_its_usual_level() {
    let log = std::env::temp_dir().join(format!("pasta-fasta-lines-{}", std::process::id()));
    let mut command = Command::new(harness::BINARY);
    command.args(["serve", "--bind", "127.0.0.1:0", "--log", "info", "--max-threads", "1"]);
    let house = harness::open_by(command.stderr(std::fs::File::create(&log).unwrap()));
    let place = async |flags: &str, order: Value| {
        let trace = format!("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-{flags}");
        let request = house.request(Method::POST, "/orders").header("traceparent", trace).json(&order);
        request.send().await.unwrap().json::<Value>().await.unwrap()
    };
    let own = json!({"model": "multithreading", "setup": {"chefs": 1}, "io_ms": 3_600_000});
    let quiet = place("00", json!({"model": "asyncio", "io_ms": 1})).await;
    house.ended(&quiet).await;
    let running = place("01", own.clone()).await;
    let waiting = place("01", own).await;
    for order in [&waiting, &running] {
        house.post(&link(order, "cancel"), &json!({})).await;
        house.ended(order).await;
    }
    let said = || std::fs::read_to_string(&log).unwrap();
    for order in [&running, &waiting] {
        let about = format!("order={}", order["id"].as_str().unwrap());
        let trace = "traceparent=00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        for what in [" accepted ", " ended "] {
            let is_it = |line: &str| line.contains(what) && line.contains(&about) && line.contains(trace);
            eventually(Duration::from_secs(10), what, async || said().lines().any(is_it)).await;
        }
    }
    assert!(!said().contains(quiet["id"].as_str().unwrap()), "{}", said());
    std::fs::remove_file(&log).unwrap();
}

#[tokio::test]
async fn a_request_is_found_in_the_log_by_its_id_and_leads_to_its_order() {
    let log = std::env::temp_dir().join(format!("pasta-fasta-requests-{}", std::process::id()));
    let mut command = Command::new(harness::BINARY);
    command.args(["serve", "--bind", "127.0.0.1:0", "--log", "debug"]);
    let house = harness::open_by(command.stderr(std::fs::File::create(&log).unwrap()));
    let request = house.request(Method::POST, "/orders").header("x-request-id", "mine-7");
    let order: Value =
        request.json(&json!({"model": "asyncio", "io_ms": 1})).send().await.unwrap().json().await.unwrap();
    let refused = house.request(Method::GET, "/orders/nonsense").header("x-request-id", "mine-8");
    refused.send().await.unwrap();
    let said = || std::fs::read_to_string(&log).unwrap();
    let lines = [
        ["request_id=\"mine-7\" method=\"POST\" route=\"/orders\" status=202", order["id"].as_str().unwrap()],
        ["request_id=\"mine-8\" method=\"GET\" route=\"/orders/{id}\"", "status=404"],
    ];
    for line in lines {
        let is_it = |said: &str| line.iter().all(|part| said.contains(part));
        eventually(Duration::from_secs(10), line[0], async || said().lines().any(is_it)).await;
    }
    std::fs::remove_file(&log).unwrap();
}
