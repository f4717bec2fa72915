//! Orders that survive the service: a file of SQLite, and the real binary killed, stopped and started again over it.
//!
//! What several nodes do with one database is in `cluster_*.rs`. It deliberately looks from outside only.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::harness::{BINARY, House, eventually, link, open_with};

/// A folder that goes with the test.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("pasta-fasta-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn store(&self) -> String {
        format!("sqlite:{}", self.0.join("orders.db").display())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn open(folder: &Folder) -> House {
    open_with(&["--store", &folder.store(), "--node", "laptop"])
}

/// An order that would take an hour.
fn long() -> Value {
    json!({"model": "asyncio", "dishes": 1, "io_ms": 3_600_000})
}

#[tokio::test]
async fn what_was_accepted_cooked_and_recorded_is_there_after_a_kill() {
    let folder = Folder::new("kill");
    let mut house = open(&folder);
    let cooked = house.cook(json!({"model": "multithreading", "dishes": 3, "io_ms": 5, "cpu_ms": 1})).await;
    let steps = house.json(&format!("{}/steps", link(&cooked, "self"))).await;
    let report = house.json(&format!("{}/report", link(&cooked, "self"))).await;
    let labeled = house.cook(json!({"model": "asyncio", "io_ms": 1, "labels": {"run": "7 'quoted' \"twice\""}})).await;
    house.end_with("KILL");

    let again = open(&folder);
    assert_eq!(again.json(&link(&cooked, "self")).await, cooked, "an ended order never changes");
    assert_eq!(again.json(&format!("{}/steps", link(&cooked, "self"))).await, steps);
    assert_eq!(again.json(&format!("{}/report", link(&cooked, "self"))).await, report);
    let found = again.json("/orders?label.run=7%20'quoted'%20%22twice%22&status=succeeded").await;
    assert_eq!(found["data"], json!([labeled]));
    let stats = again.json("/stats").await;
    assert_eq!((&stats["accepted"], &stats["succeeded"], &stats["kept"]), (&json!(2), &json!(2), &json!(2)));
    assert_eq!(
        again.request(Method::DELETE, &link(&cooked, "self")).send().await.unwrap().status(),
        StatusCode::NO_CONTENT
    );
    assert_eq!(
        again.get(&link(&cooked, "self")).await.status(),
        StatusCode::GONE,
        "of an earlier boot, but not lost on restart"
    );
}

#[tokio::test]
async fn a_run_that_a_kill_broke_off_is_run_again_and_says_so() {
    let folder = Folder::new("again");
    let mut house = open(&folder);
    let running = house.place(json!({"model": "asyncio", "dishes": 2, "io_ms": 400})).await;
    let hour = house.place(long()).await;
    for order in [&running, &hour] {
        let running = format!("{}?status=running", "/orders");
        eventually(Duration::from_secs(10), "it is written down as running", async || {
            let page = house.json(&running).await;
            page["data"].as_array().unwrap().iter().any(|job| job["id"] == order["id"])
        })
        .await;
    }
    house.end_with("KILL");

    let again = open(&folder);
    let ended = again.json(&format!("{}?wait=30", link(&running, "self"))).await;
    assert_eq!(
        (&ended["status"], &ended["attempt"], &ended["node"]),
        (&json!("succeeded"), &json!(2), &json!("laptop"))
    );
    let attempts = ended["attempts"].as_array().unwrap();
    assert_eq!(attempts.len(), 1, "{ended}");
    assert_eq!((&attempts[0]["attempt"], &attempts[0]["why"]), (&json!(1), &json!("node_lost")));
    assert!(attempts[0]["started_at"].is_string(), "{ended}");
    // Another attempt is told by other event ids.
    let events = again.get(&format!("{}/events", link(&running, "self"))).await.text().await.unwrap();
    assert!(events.contains("id: 2.1\n") && !events.contains("id: 1."), "{events}");
    let canceled = again.post(&format!("{}/cancel", link(&hour, "self")), &json!({})).await;
    assert_eq!(canceled.status(), StatusCode::ACCEPTED);
    assert_eq!(again.json(&format!("{}?wait=10", link(&hour, "self"))).await["status"], "canceled");
}

#[tokio::test]
async fn a_shutdown_gives_running_orders_back_loses_nothing_and_says_so_by_its_exit_code() {
    let folder = Folder::new("shutdown");
    let mut house = open_with(&["--store", &folder.store(), "--grace-s", "0"]);
    let hour = house.place(long()).await;
    eventually(Duration::from_secs(10), "it runs", async || {
        house.json(&link(&hour, "self")).await["status"] == "running"
    })
    .await;
    assert_eq!(house.end_with("TERM").code(), Some(0));

    let again = open(&folder);
    eventually(Duration::from_secs(10), "it runs again", async || {
        again.json(&link(&hour, "self")).await["status"] == "running"
    })
    .await;
    let order = again.json(&link(&hour, "self")).await;
    assert_eq!((&order["attempt"], &order["attempts"][0]["why"]), (&json!(2), &json!("shutdown")), "{order}");
}

#[tokio::test]
async fn a_key_is_known_after_a_restart_and_so_is_a_wish_to_stop() {
    let folder = Folder::new("key");
    let mut house = open(&folder);
    let keyed = |house: &House, order: &Value| {
        house.request(Method::POST, "/orders").header("idempotency-key", "k-1").json(order).send()
    };
    let first: Value = keyed(&house, &long()).await.unwrap().json().await.unwrap();
    house.end_with("KILL");
    let again = open(&folder);
    let replayed = keyed(&again, &long()).await.unwrap();
    assert_eq!(replayed.headers()["idempotency-replayed"], "true");
    assert_eq!(replayed.json::<Value>().await.unwrap()["id"], first["id"]);
    let other = keyed(&again, &json!({"model": "sequential", "io_ms": 1})).await.unwrap();
    assert_eq!(other.status(), StatusCode::UNPROCESSABLE_ENTITY);
}

#[test]
fn a_second_service_on_the_same_file_is_refused_and_the_first_goes_on() {
    let folder = Folder::new("second");
    let house = open(&folder);
    let second = Command::new(BINARY).args(["serve", "--bind", "127.0.0.1:0", "--store", &folder.store()]).output();
    let second = second.unwrap();
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert_eq!(second.status.code(), Some(2), "{said}");
    assert!(said.contains("another server has") && said.contains("orders.db"), "{said}");
    drop(house);
}

#[test]
fn a_node_without_others_offers_every_model_or_does_not_start() {
    let folder = Folder::new("models");
    for store in ["memory", &folder.store()] {
        let start = ["serve", "--bind", "127.0.0.1:0", "--models", "asyncio", "--store", store];
        let refused = Command::new(BINARY).args(start).output().unwrap();
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert_eq!(refused.status.code(), Some(2), "{said}");
        assert!(said.contains("--models") && said.contains("none can share"), "{said}");
    }
    assert!(!folder.0.join("orders.db").exists(), "nothing was opened for it");
}

#[test]
fn a_database_can_be_brought_up_to_date_apart_from_serving() {
    let folder = Folder::new("migrate");
    let migrate = |store: &str| Command::new(BINARY).args(["migrate", "--store", store]).output().unwrap();
    let done = migrate(&folder.store());
    assert!(done.status.success(), "{done:?}");
    assert!(Path::new(&folder.0.join("orders.db")).exists());
    assert!(migrate(&folder.store()).status.success(), "twice is once");
    assert_eq!(migrate("memory").status.code(), Some(1));
    assert_eq!(migrate("mysql://x").status.code(), Some(2));
}
