//! Several services over one Postgres, from outside: any of them answers anything, the death or the pause of one loses
//! nothing and doubles nothing, and a database that goes away is told as such.
//!
//! At sizes for every run; `scripts/torture` tries the same at full size. It deliberately knows no SQL.

use std::collections::HashSet;
use std::time::Duration;

use reqwest::{Method, StatusCode};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::harness::{House, eventually, link, open_with};
use crate::pg_server::{Kitchen, Server};

/// Long enough for a busy machine, short enough to wait for.
const LEASE_MS: &str = "2000";

/// A service of this name on this database.
pub fn node(kitchen: &Kitchen, name: &str) -> House {
    open_with(&["--store", &kitchen.url(), "--node", name, "--lease-ms", LEASE_MS])
}

pub async fn runs(house: &House, order: &Value) {
    eventually(Duration::from_secs(20), "it runs", async || {
        house.json(&link(order, "self")).await["status"] == "running"
    })
    .await;
}

pub fn signal(house: &House, signal: Signal) {
    kill_process(Pid::from_raw(house.pid() as i32).unwrap(), signal).unwrap();
}

#[tokio::test]
async fn any_node_reads_lists_follows_and_cancels_an_order_that_runs_on_another() {
    let kitchen = Kitchen::opened().await;
    let (a, b) = (node(&kitchen, "a"), node(&kitchen, "b"));
    let order = a.place(json!({"model": "asyncio", "io_ms": 600_000, "labels": {"of": "a"}})).await;
    runs(&b, &order).await;
    let seen = b.json(&link(&order, "self")).await;
    assert_eq!((&seen["node"], &seen["attempt"]), (&json!("a"), &json!(1)), "{seen}");
    let listed = b.json("/orders?label.of=a&status=running").await;
    assert_eq!(listed["data"][0]["id"], order["id"], "{listed}");
    assert_eq!(a.json("/stats").await["running"], 1);
    assert_eq!(b.json("/stats").await["running"], 1, "counts are of the store, not of a node");

    let follow = b.request(Method::GET, &format!("{}/events", link(&order, "self"))).send().await.unwrap();
    let canceled = b.post(&format!("{}/cancel", link(&order, "self")), &json!({})).await;
    assert_eq!(canceled.status(), StatusCode::ACCEPTED);
    assert_eq!(b.json(&format!("{}?wait=20", link(&order, "self"))).await["status"], "canceled");
    let told = follow.text().await.unwrap();
    assert!(told.contains("event: snapshot") && told.contains("event: order.canceled"), "{told}");

    let gone = b.request(Method::DELETE, &link(&order, "self")).send().await.unwrap();
    assert_eq!(gone.status(), StatusCode::NO_CONTENT);
    eventually(Duration::from_secs(5), "it is gone for the other, too", async || {
        a.get(&link(&order, "self")).await.status() == StatusCode::GONE
    })
    .await;
    assert_eq!(b.json("/limits").await["lease_ms"].to_string(), LEASE_MS);
    let nodes = a.json("/nodes").await;
    let names: Vec<_> =
        nodes["data"].as_array().unwrap().iter().map(|node| (&node["node"], &node["is_this"])).collect();
    assert_eq!(names, [(&json!("a"), &json!(true)), (&json!("b"), &json!(false))]);
}

#[tokio::test]
async fn a_key_is_one_order_whichever_nodes_are_asked_at_once() {
    let kitchen = Kitchen::opened().await;
    let (a, b) = (node(&kitchen, "a"), node(&kitchen, "b"));
    for key in 0..20 {
        let ask = |house: &House| {
            let order = json!({"model": "asyncio", "io_ms": 1, "seed": 7});
            house.request(Method::POST, "/orders").header("idempotency-key", format!("k{key}")).json(&order).send()
        };
        let all = [ask(&a), ask(&b), ask(&a), ask(&b)];
        let mut ids = HashSet::new();
        for answer in futures_util::future::join_all(all).await {
            let order: Value = answer.unwrap().json().await.unwrap();
            ids.insert(order["id"].as_str().unwrap_or_else(|| panic!("{order}")).to_owned());
        }
        assert_eq!(ids.len(), 1, "key k{key}: {ids:?}");
    }
    assert_eq!(a.json("/stats").await["accepted"], 20);
}

#[tokio::test]
async fn orders_of_a_killed_node_are_run_by_another_within_a_lease() {
    let kitchen = Kitchen::opened().await;
    let (mut a, b) = (node(&kitchen, "a"), node(&kitchen, "b"));
    let mut orders = Vec::new();
    for _ in 0..8 {
        orders.push(a.place(json!({"model": "asyncio", "io_ms": 1_500})).await);
    }
    runs(&b, &orders[7]).await;
    a.end_with("KILL");
    for order in &orders {
        let ended = b.json(&format!("{}?wait=30", link(order, "self"))).await;
        assert_eq!(
            (&ended["status"], &ended["node"], &ended["attempt"]),
            (&json!("succeeded"), &json!("b"), &json!(2))
        );
        assert_eq!(ended["attempts"][0]["why"], "node_lost", "{ended}");
    }
    assert_eq!(b.json("/stats").await["succeeded"], 8);
}

#[tokio::test]
async fn a_node_that_was_paused_beyond_its_lease_writes_nothing_and_goes_on() {
    let kitchen = Kitchen::opened().await;
    let (a, b) = (node(&kitchen, "a"), node(&kitchen, "b"));
    let order = a.place(json!({"model": "multithreading", "io_ms": 1_000})).await;
    runs(&b, &order).await;
    signal(&a, Signal::STOP);
    let taken_over = b.json(&format!("{}?wait=30", link(&order, "self"))).await;
    signal(&a, Signal::CONT);
    assert_eq!((&taken_over["status"], &taken_over["node"]), (&json!("succeeded"), &json!("b")), "{taken_over}");
    // Whatever the paused one finishes now is refused, or it has noticed before and stopped.
    eventually(Duration::from_secs(20), "it has nothing in hand any more", async || {
        let nodes = b.json("/nodes").await;
        nodes["data"][0]["held_orders"] == 0 && a.metric("pasta_fasta_active_orders{status=\"running\"}").await == 0.0
    })
    .await;
    assert_eq!(a.json(&link(&order, "self")).await, taken_over, "one end, for both");
    let stats = b.json("/stats").await;
    assert_eq!((&stats["accepted"], &stats["succeeded"]), (&json!(1), &json!(1)), "{stats}");
    assert_eq!(a.cook(json!({"model": "asyncio", "io_ms": 1})).await["status"], "succeeded");
}

#[tokio::test]
async fn what_a_stopped_node_had_is_done_by_the_others_and_its_exit_code_is_0() {
    let kitchen = Kitchen::opened().await;
    let (mut a, b) = (open_with(&["--store", &kitchen.url(), "--node", "a", "--grace-s", "0"]), node(&kitchen, "b"));
    let running = a.place(json!({"model": "asyncio", "io_ms": 2_000})).await;
    runs(&b, &running).await;
    assert_eq!(a.end_with("TERM").code(), Some(0));
    let ended = b.json(&format!("{}?wait=30", link(&running, "self"))).await;
    assert_eq!((&ended["status"], &ended["node"]), (&json!("succeeded"), &json!("b")), "{ended}");
    assert_eq!(ended["attempts"][0]["why"], "shutdown", "no lease was waited for: {ended}");
}

#[tokio::test]
async fn while_a_standby_may_lack_what_was_acknowledged_every_node_says_so() {
    let kitchen = Kitchen::opened().await;
    let a = node(&kitchen, "a");
    let caveat = async |house: &House| house.json("/readyz").await["caveat"].clone();
    let says = async |house: &House, is_said: bool| {
        let what = format!("a caveat is said: {is_said}");
        eventually(Duration::from_secs(30), &what, async || caveat(house).await.is_string() == is_said).await;
    };
    assert_eq!(caveat(&a).await, Value::Null, "one server, which syncs");
    Server::shared().standby();
    says(&a, true).await;
    assert!(caveat(&a).await.as_str().unwrap().contains("asynchronous"));
    let b = node(&kitchen, "b");
    assert!(caveat(&b).await.is_string(), "from the start on");
    let visitor = kitchen.visitor().await;
    let set = async |standbys: &str| {
        visitor.batch_execute(&format!("ALTER SYSTEM SET synchronous_standby_names = '{standbys}'")).await.unwrap();
        visitor.batch_execute("SELECT pg_reload_conf()").await.unwrap();
    };
    set("*").await;
    says(&a, false).await;
    says(&b, false).await;
    assert_eq!(a.cook(json!({"model": "asyncio", "io_ms": 1})).await["status"], "succeeded", "the standby has it too");
    set("").await;
    says(&b, true).await;
}

#[tokio::test]
async fn an_order_of_a_model_a_node_does_not_offer_is_done_by_one_that_does() {
    let kitchen = Kitchen::opened().await;
    let a = open_with(&["--store", &kitchen.url(), "--node", "a", "--models", "asyncio"]);
    let order = a.place(json!({"model": "multithreading", "io_ms": 1})).await;
    let b = node(&kitchen, "b");
    let ended = a.json(&format!("{}?wait=30", link(&order, "self"))).await;
    assert_eq!((&ended["status"], &ended["node"]), (&json!("succeeded"), &json!("b")), "{ended}");
    assert_eq!(a.json("/nodes").await["data"][0]["models"], json!(["asyncio"]));
    drop(b);
}

#[tokio::test]
async fn while_the_database_is_down_nothing_is_accepted_and_afterwards_everything_that_was_is_done() {
    let kitchen = Kitchen::opened().await;
    let a = node(&kitchen, "a");
    let long = a.place(json!({"model": "asyncio", "io_ms": 500})).await;
    runs(&a, &long).await;
    Server::shared().down();
    eventually(Duration::from_secs(10), "it says that it accepts nothing", async || {
        a.get("/readyz").await.status() == StatusCode::SERVICE_UNAVAILABLE
    })
    .await;
    let refused = a.post("/orders", &json!({"model": "asyncio", "io_ms": 1})).await;
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(refused.headers().contains_key("retry-after"));
    let problem: Value = refused.json().await.unwrap();
    assert_eq!(problem["type"], "/problems/store-unavailable", "{problem}");
    assert_eq!(a.get("/livez").await.status(), StatusCode::OK);
    Server::shared().up();
    eventually(Duration::from_secs(20), "it accepts orders again", async || {
        a.post("/orders", &json!({"model": "asyncio", "io_ms": 1})).await.status() == StatusCode::ACCEPTED
    })
    .await;
    // Each connection comes back by itself: an answer may be a 503 a moment longer.
    eventually(Duration::from_secs(20), "what was accepted before is done, and nothing is left over", async || {
        let (order, stats) = (a.get(&link(&long, "self")).await, a.get("/stats").await);
        if !(order.status().is_success() && stats.status().is_success()) {
            return false;
        }
        let (order, stats): (Value, Value) = (order.json().await.unwrap(), stats.json().await.unwrap());
        order["status"] == "succeeded" && stats["accepted"] == stats["succeeded"]
    })
    .await;
}
