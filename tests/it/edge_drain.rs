//! How the service ends: streams, held answers, orders that wait, a second signal, exit codes.
//!
//! How its children end is in `faults.rs`. It deliberately asks for no exact times.

use std::process::Command;
use std::time::Duration;

use futures_util::StreamExt;
use pasta_fasta::clock;
use reqwest::Method;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::edge_raw::Raw;
use crate::harness::{self, BINARY, House, eventually, link};
use crate::orders_api::{FOR_EVER_MS, own_threads};

fn terminate(house: &House) {
    let pid = Pid::from_raw(i32::try_from(house.pid()).expect("a process id")).expect("not 0");
    kill_process(pid, Signal::TERM).expect("it is alive");
}

type Follower = JoinHandle<bool>;
type Holder = JoinHandle<(u16, Value)>;

/// Followers and holders of an order: whether the stream ended well, and what the held answer was.
async fn audience(house: &House, order: &Value) -> (Vec<Follower>, Vec<Holder>) {
    let (mut followers, mut holders) = (Vec::new(), Vec::new());
    for _ in 0..20 {
        let stream = house.request(Method::GET, &link(order, "events")).send().await.expect("a stream");
        let mut bytes = stream.bytes_stream();
        bytes.next().await.expect("a snapshot").expect("a snapshot");
        followers.push(tokio::spawn(async move { bytes.all(async |piece| piece.is_ok()).await }));
        holders.push(hold(house, "GET", &format!("{}?wait=60", link(order, "self")), "").await);
    }
    arrived(house).await;
    (followers, holders)
}

/// Sends a request that is held.
async fn hold(house: &House, method: &str, path: &str, body: &str) -> Holder {
    let length = body.len();
    let json = "Host: localhost\r\nContent-Type: application/json";
    let mut raw = Raw::connect(house).await;
    raw.send(format!("{method} {path} HTTP/1.1\r\n{json}\r\nContent-Length: {length}\r\n\r\n{body}")).await;
    tokio::spawn(async move {
        let said = raw.answer().await.expect("an answer, not the end");
        (said.status, serde_json::from_str(&said.body).expect("JSON"))
    })
}

/// What was sent before has been read by the service when as much again has been answered.
async fn arrived(house: &House) {
    for _ in 0..100 {
        house.get("/livez").await;
    }
}

#[tokio::test]
async fn at_a_second_signal_streams_end_well_and_held_answers_tell_the_truth() {
    let mut house = harness::open();
    let order = house.place(json!({"model": "asyncio", "io_ms": FOR_EVER_MS})).await;
    let (followers, holders) = audience(&house, &order).await;
    terminate(&house);
    let closing = async || house.get("/readyz").await.status().as_u16() == 503;
    eventually(Duration::from_secs(5), "it says that it closes", closing).await;
    assert_eq!(house.post("/orders", &json!({"model": "asyncio"})).await.status().as_u16(), 503);
    let started = clock::now();
    let status = house.end_with("TERM");
    println!("ended {} us after the second signal", (clock::now() - started) / 1_000);
    assert_eq!(status.code(), Some(1), "an order was abandoned");
    for follower in followers {
        assert!(follower.await.expect("no panic"), "a stream was torn");
    }
    for holder in holders {
        let (status, order) = holder.await.expect("no panic");
        assert_eq!(status, 200, "{order}");
        assert!(["running", "failed"].contains(&order["status"].as_str().expect("a status")), "{order}");
    }
}

#[tokio::test]
async fn without_work_streams_of_waiting_orders_do_not_hold_up_the_end() {
    // Nothing runs: the order that is followed waits for staff that another, canceled at the signal, would free.
    let mut house = harness::open_with(&["--grace-s", "0", "--max-threads", "1"]);
    let running = house.place(own_threads(1, FOR_EVER_MS)).await;
    let waiting = house.place(own_threads(1, 0)).await;
    let (followers, holders) = audience(&house, &waiting).await;
    let status = house.end_with("TERM");
    assert_eq!(status.code(), Some(1), "two orders were abandoned: {running}");
    for follower in followers {
        assert!(follower.await.expect("no panic"), "a stream was torn");
    }
    for holder in holders {
        let (status, order) = holder.await.expect("no panic");
        assert_eq!(status, 200, "{order}");
    }
}

#[tokio::test]
async fn a_placed_order_that_is_held_at_the_end_is_answered_as_it_stands() {
    let mut house = harness::open_with(&["--grace-s", "0", "--max-threads", "1"]);
    house.place(own_threads(1, FOR_EVER_MS)).await;
    let held = hold(&house, "POST", "/orders?wait=60", &own_threads(1, 0).to_string()).await;
    eventually(Duration::from_secs(5), "it was accepted", async || house.json("/stats").await["accepted"] == 2).await;
    assert_eq!(house.end_with("TERM").code(), Some(1));
    let (status, order) = held.await.expect("no panic");
    // What the abandoned order leaves behind may be just enough for it to be cooked.
    assert_eq!(status, if order["done"] == json!(true) { 200 } else { 202 }, "{order}");
}

#[tokio::test]
async fn orders_that_wait_for_staff_are_cooked_before_the_end() {
    let mut house = harness::open_with(&["--max-threads", "1"]);
    for _ in 0..4 {
        house.place(own_threads(1, 100)).await;
    }
    assert_eq!(house.end_with("TERM").code(), Some(0), "nothing was lost");
}

#[test]
fn bad_settings_are_exit_code_2() {
    for flags in [
        &["serve", "--bind", "nonsense"][..],
        &["serve", "--bind", "0.0.0.0:0"],
        &["serve", "--log", "a=b=c"],
        &["serve", "--header-timeout-ms", "1"],
        &["serve", "--nonsense"],
    ] {
        let output = Command::new(BINARY).args(flags).output().expect("it runs");
        assert_eq!(output.status.code(), Some(2), "{flags:?}");
        assert!(output.stdout.is_empty() && !output.stderr.is_empty(), "{flags:?}");
    }
}
