//! Nodes whose hints are lost, and nodes that have nothing to do: looking now and then makes it true, and costs little.
//!
//! It deliberately measures no delay: only that everything happens, and how often an idle node asks.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::cluster::{node, runs};
use crate::harness::{House, eventually, link, open_with};
use crate::pg_server::{Kitchen, Server};

/// What every session of the database finds first: calling out does nothing.
const DUMB: &str = "
CREATE SCHEMA dumb;
CREATE FUNCTION dumb.pg_notify(text, text) RETURNS void LANGUAGE sql AS '';";

async fn status(house: &House, path: &str) -> StatusCode {
    house.get(path).await.status()
}

#[tokio::test]
async fn without_any_hint_orders_are_taken_up_awaited_canceled_and_forgotten_all_the_same() {
    let kitchen = Kitchen::opened().await;
    let visitor = kitchen.visitor().await;
    visitor.batch_execute(DUMB).await.unwrap();
    let path = format!("ALTER DATABASE {} SET search_path = dumb, pg_catalog, public", kitchen.name);
    visitor.batch_execute(&path).await.unwrap();
    let a = open_with(&["--store", &kitchen.url(), "--node", "a", "--models", "asyncio"]);
    let b = open_with(&["--store", &kitchen.url(), "--node", "b", "--models", "multithreading", "--lease-ms", "2000"]);
    let done = a.cook(json!({"model": "multithreading", "io_ms": 1})).await;
    assert_eq!((&done["status"], &done["node"]), (&json!("succeeded"), &json!("b")), "{done}");
    let long = a.place(json!({"model": "multithreading", "io_ms": 600_000})).await;
    runs(&a, &long).await;
    let canceled = a.post(&format!("{}/cancel", link(&long, "self")), &json!({})).await;
    assert_eq!(canceled.status(), StatusCode::ACCEPTED);
    assert_eq!(a.json(&format!("{}?wait=60", link(&long, "self"))).await["status"], "canceled");
    assert_eq!(status(&b, &link(&done, "self")).await, StatusCode::OK);
    let gone = a.request(Method::DELETE, &link(&done, "self")).send().await.unwrap();
    assert_eq!(gone.status(), StatusCode::NO_CONTENT);
    eventually(Duration::from_secs(30), "it is gone for the other, too", async || {
        status(&b, &link(&done, "self")).await == StatusCode::GONE
    })
    .await;
}

#[tokio::test]
async fn who_listens_again_after_his_connection_was_cut_has_missed_nothing() {
    let kitchen = Kitchen::opened().await;
    let a = open_with(&["--store", &kitchen.url(), "--node", "a", "--models", "asyncio"]);
    let b = node(&kitchen, "b");
    let visitor = kitchen.visitor().await;
    let cut = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
               WHERE datname = current_database() AND query LIKE 'LISTEN %'";
    for _ in 0..3 {
        eventually(Duration::from_secs(30), "both listened and are cut off", async || {
            visitor.query_one(cut, &[]).await.unwrap().get::<_, i64>(0) > 0
        })
        .await;
        let done = a.cook(json!({"model": "multithreading", "io_ms": 1})).await;
        assert_eq!((&done["status"], &done["node"]), (&json!("succeeded"), &json!("b")), "{done}");
    }
    drop(b);
}

#[tokio::test]
async fn an_idle_node_asks_the_database_less_than_twice_a_second() {
    let kitchen = Kitchen::opened().await;
    // With the usual lease: each renewal is a statement.
    let idle = |name| open_with(&["--store", &kitchen.url(), "--node", name]);
    let (a, b) = (idle("a"), idle("b"));
    // From another database, so that these looks are not counted.
    let visitor = Server::shared().visitor("postgres").await;
    let seen = async || {
        let row = visitor
            .query_one(
                "SELECT xact_commit, extract(epoch FROM clock_timestamp())::float8 FROM pg_stat_database WHERE datname = $1",
                &[&kitchen.name],
            )
            .await
            .unwrap();
        (row.get::<_, i64>(0) as f64, row.get::<_, f64>(1))
    };
    // A session that has nothing to do tells what it did (here: connecting) up to ten seconds later.
    let begun = seen().await;
    eventually(Duration::from_secs(60), "they are at rest", async || seen().await.1 - begun.1 > 15.0).await;
    let before = seen().await;
    eventually(Duration::from_secs(60), "a while has passed", async || seen().await.1 - before.1 > 15.0).await;
    let after = seen().await;
    let each = (after.0 - before.0) / (after.1 - before.1) / 2.0;
    assert!((0.2..2.0).contains(&each), "{each} a second");
    drop((a, b));
}
