//! An order that runs at one node, followed at another: the same events while it runs, and how far it is. And what that costs
//! the database: nothing for orders that are over at once.
//!
//! It deliberately measures no time: an event counts as told while the order runs if it came before the order's end.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{House, eventually, link, number, open_with};
use crate::pg_server::Kitchen;
use crate::sse::{Event, Follower};

fn node(kitchen: &Kitchen, name: &str) -> House {
    open_with(&["--store", &kitchen.url(), "--node", name])
}

/// Places an order at this node that no other takes up.
async fn placed_at(house: &House, name: &str, order: Value) -> Value {
    let order = house.place(order).await;
    eventually(Duration::from_secs(20), "it runs", async || {
        house.json(&link(&order, "self")).await["status"] == "running"
    })
    .await;
    assert_eq!(house.json(&link(&order, "self")).await["node"], name);
    order
}

async fn rows(kitchen: &Kitchen, table: &str) -> i64 {
    kitchen.visitor().await.query_one(&format!("SELECT count(*) FROM {table}"), &[]).await.unwrap().get(0)
}

/// The events of steps, but for when: what is told live and what is recorded may be some microseconds apart.
fn steps_of(events: &[Event]) -> Vec<Event> {
    let mut steps: Vec<_> = events.iter().filter(|event| event.name.starts_with("step.")).cloned().collect();
    steps.iter_mut().for_each(|event| event.data["at_ms"] = Value::Null);
    steps
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_at_one_node_is_told_at_another_while_it_runs_and_the_same() {
    let kitchen = Kitchen::opened().await;
    let (a, b) = (node(&kitchen, "a"), node(&kitchen, "b"));
    for order in [
        json!({"model": "sequential", "io_ms": 100, "cpu_ms": 1, "dishes": 25}),
        json!({"model": "multiprocessing", "io_ms": 100, "cpu_ms": 1, "dishes": 25, "setup": {"kitchens": 1}}),
    ] {
        let order = placed_at(&a, "a", order).await;
        let (mut here, mut there) =
            (Follower::connect(&a, &order, None).await, Follower::connect(&b, &order, None).await);
        let mut seen = Vec::new();
        while steps_of(&seen).len() < 4 {
            seen.push(there.next().await.expect("it runs"));
        }
        // Not at the end: it runs still, at the first node and for the second.
        assert_eq!(a.json(&link(&order, "self")).await["status"], "running");
        let progress = || async { number(&b.json(&link(&order, "self")).await, "/progress/steps_done") };
        let first = progress().await;
        eventually(Duration::from_secs(20), "it goes on", async || progress().await > first).await;
        assert_eq!(b.json(&link(&order, "self")).await["status"], "running");
        // Who comes back is told the rest.
        let last = seen.last().unwrap().id.clone();
        there = Follower::connect(&b, &order, last.as_deref()).await;
        while let Some(event) = there.next().await {
            seen.push(event);
        }
        let mut told = Vec::new();
        while let Some(event) = here.next().await {
            told.push(event);
        }
        let seqs: Vec<_> = seen[1..].iter().map(|event| event.seq().expect("a number")).collect();
        assert_eq!(seqs, Vec::from_iter(1..seen.len() as u32), "gap-free from 1");
        assert_eq!(steps_of(&seen), steps_of(&told));
        assert_eq!((steps_of(&seen).len(), &*seen.last().unwrap().name), (2 * 50, "order.succeeded"));
        let again = Follower::connect(&b, &order, None).await.all().await;
        assert_eq!(steps_of(&again), steps_of(&seen), "told from the records");
    }
    eventually(Duration::from_secs(20), "what was published is forgotten", async || {
        rows(&kitchen, "order_progress").await + rows(&kitchen, "order_events").await == 0
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_begins_again_at_another_node_is_told_from_its_first_event() {
    let kitchen = Kitchen::opened().await;
    let node = |name| open_with(&["--store", &kitchen.url(), "--node", name, "--lease-ms", "2000"]);
    let (mut a, b) = (node("a"), node("b"));
    let order = json!({"model": "asyncio", "io_ms": 300, "dishes": 10, "max_in_flight": 1});
    let order = placed_at(&a, "a", order).await;
    let mut there = Follower::connect(&b, &order, None).await;
    let mut ids: Vec<(u32, u32)> = Vec::new();
    let mut is_killed = false;
    while let Some(event) = there.next().await {
        let id = event.id.as_deref().and_then(|id| id.split_once('.'));
        ids.extend(id.map(|(attempt, seq)| (attempt.parse().unwrap(), seq.parse().unwrap())));
        if ids.len() > 5 && !is_killed {
            a.end_with("KILL");
            is_killed = true;
        }
    }
    let (first, second): (Vec<_>, Vec<_>) = ids.into_iter().partition(|(attempt, _)| *attempt == 1);
    assert!(first.len() > 5 && first.iter().map(|id| id.1).eq(1..=first.len() as u32), "{first:?}");
    // It runs, ten times a start and an end, it has ended.
    assert_eq!(second, Vec::from_iter((1..=22).map(|seq| (2, seq))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_order_at_one_node_tells_at_another_how_far_it_is() {
    let kitchen = Kitchen::opened().await;
    let (a, b) = (node(&kitchen, "a"), node(&kitchen, "b"));
    let order = json!({"model": "asyncio", "io_ms": 500, "dishes": 10_001, "max_in_flight": 2_001});
    let order = placed_at(&a, "a", order).await;
    let events = Follower::connect(&b, &order, None).await.all().await;
    let names: Vec<_> = events.iter().filter(|e| e.name != "progress").map(|e| e.name.as_str()).collect();
    assert_eq!(names, ["snapshot", "order.running", "order.succeeded"]);
    let done: Vec<_> = events.iter().filter(|e| e.name == "progress").map(|e| number(&e.data, "/steps_done")).collect();
    assert!(done.is_sorted() && done.iter().any(|n| (1.0..10_001.0).contains(n)), "{done:?}");
    assert_eq!(rows(&kitchen, "order_events").await, 0, "no step of it is told");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_that_is_over_at_once_leaves_no_trace_in_the_tables_of_those_that_run() {
    let kitchen = Kitchen::opened().await;
    let (a, _b) = (node(&kitchen, "a"), node(&kitchen, "b"));
    // Every row there ever was, also those that are gone.
    let count = "CREATE TABLE written (id uuid);
        CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS
            'BEGIN INSERT INTO written VALUES (NEW.order_id); RETURN NULL; END';
        CREATE TRIGGER note AFTER INSERT OR UPDATE ON order_progress FOR EACH ROW EXECUTE FUNCTION note();
        CREATE TRIGGER note AFTER INSERT OR UPDATE ON order_events FOR EACH ROW EXECUTE FUNCTION note();";
    kitchen.visitor().await.batch_execute(count).await.unwrap();
    for _ in 0..100 {
        let ended = a.cook(json!({"model": "asyncio", "io_ms": 0, "dishes": 3})).await;
        assert_eq!(ended["status"], "succeeded");
    }
    assert_eq!(rows(&kitchen, "written").await, 0);
    assert_eq!(rows(&kitchen, "orders").await, 100);
    // One that lasts does, so the count counts.
    a.cook(json!({"model": "asyncio", "io_ms": 1_500})).await;
    assert!(rows(&kitchen, "written").await > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_stream_of_all_orders_tells_the_end_of_every_order_wherever_it_ran() {
    let kitchen = Kitchen::opened().await;
    let (a, b) = (node(&kitchen, "a"), node(&kitchen, "b"));
    let mut all = Follower::at(&a, "/events", None).await;
    assert_eq!(all.next().await.unwrap().name, "snapshot");
    let succeeded = b.cook(json!({"model": "asyncio", "io_ms": 1})).await;
    let failing = json!({"name": "n", "steps": [{"name": "n", "work": {"kind": "wait", "ms": 60_000}}]});
    let failed = b.cook(json!({"model": "asyncio", "recipe": failing, "timeout_ms": 50})).await;
    let canceled = placed_at(&b, "b", json!({"model": "asyncio", "io_ms": 600_000})).await;
    a.post(&format!("{}/cancel", link(&canceled, "self")), &json!({})).await;
    let here = a.cook(json!({"model": "asyncio", "io_ms": 1})).await;
    let mut ends = Vec::new();
    while ends.len() < 4 {
        let event = all.next().await.unwrap();
        if event.data["done"] == true {
            ends.push((event.name, event.data["id"].clone()));
        }
    }
    for (order, name) in [
        (succeeded, "order.succeeded"),
        (failed, "order.failed"),
        (canceled, "order.canceled"),
        (here, "order.succeeded"),
    ] {
        let told = ends.iter().filter(|(_, id)| *id == order["id"]).map(|(name, _)| &**name).collect::<Vec<_>>();
        assert_eq!(told, [name], "once");
    }
}
