//! The events of an order: complete, in order, narrated, resumable, and impossible to forge by a name.
//!
//! How a stream is taken apart is in `sse.rs`. What the models do is deliberately looked at only as far as they tell it.

use std::collections::HashSet;
use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::harness::{self, House, link};
use crate::sse::{Event, Follower};

async fn follow(house: &House, order: &Value, last: Option<&str>) -> Vec<Event> {
    Follower::connect(house, order, last).await.all().await
}

/// Checks a stream that was followed from the beginning: snapshot, then numbers without a gap, each step started
/// before it finished, the end last.
fn whole(events: &[Event], end: &str) {
    assert_eq!((events[0].name.as_str(), &events[0].id), ("snapshot", &None));
    let seqs: Vec<_> = events[1..].iter().map(|event| event.seq().expect("a number")).collect();
    assert_eq!(seqs, Vec::from_iter(1..events.len() as u32), "gap-free from 1");
    assert_eq!(events[1].name, "order.running");
    assert_eq!(events.last().expect("an end").name, end);
    let mut open = HashSet::new();
    for event in &events[2..events.len() - 1] {
        let step = event.step();
        match event.name.as_str() {
            "step.started" => assert!(open.insert(step), "{step:?} started twice"),
            "step.finished" => assert!(open.remove(&step), "{step:?} finished without a start"),
            other => panic!("{other} is no event of a step"),
        }
    }
    assert!(open.is_empty(), "started and never finished: {open:?}");
}

#[tokio::test]
async fn a_stream_tells_the_seeds_program_from_its_first_word_to_its_last() {
    let house = harness::open();
    let order = house.place(json!({"preset": "seed-threads", "speed": 1000})).await;
    let events = follow(&house, &order, None).await;
    whole(&events, "order.succeeded");
    assert_eq!(events[0].data["id"], order["id"]);
    assert_eq!(events.last().unwrap().data, house.json(&link(&order, "self")).await, "the end tells the whole order");
    let told: HashSet<_> = events.iter().filter_map(|event| event.data["narration"].as_str()).collect();
    let sentences = [
        "Boiling pasta (30s)...",
        "Pasta ready!",
        "Chopping veggies...",
        "Veggies chopped.",
        "Preparing pasta sauce...",
        "Sauce ready.",
    ];
    let expected: HashSet<_> = (1..=3).flat_map(|dish| sentences.map(|s| format!("Order {dish}: {s}"))).collect();
    assert_eq!(told, expected.iter().map(String::as_str).collect());
    assert_eq!(events.len(), 2 + 2 * 9 + 1);
    for event in &events[2..20] {
        assert_eq!(event.data.get("outcome").is_some(), event.name == "step.finished");
    }
}

#[tokio::test]
async fn every_model_tells_each_step_once_and_in_order() {
    let house = harness::open();
    let setups = [
        ("sequential", json!({})),
        ("asyncio", json!({"assistants": 2})),
        ("multithreading", json!({"chefs": 3})),
        ("multiprocessing", json!({})),
        ("multiprocessing", json!({"kitchens": 2, "inside": "asyncio"})),
    ];
    for (model, setup) in setups {
        for isolation in ["house", "kitchen"] {
            let mut order =
                json!({"model": model, "setup": setup, "io_ms": 30, "cpu_ms": 5, "dishes": 4, "isolation": isolation});
            order["labels"] = json!({"case": model});
            let placed = house.place(order).await;
            let events = follow(&house, &placed, None).await;
            whole(&events, "order.succeeded");
            assert_eq!(events.len(), 2 + 2 * 8 + 1, "{model} {isolation}");
            let finished: Vec<_> = events.iter().filter(|e| e.name == "step.finished").map(Event::step).collect();
            let records = house.steps(&placed).await;
            assert_eq!(finished.iter().collect::<HashSet<_>>().len(), records.len());
            let at = |step: &str, name: &str| events.iter().position(|e| e.name == name && e.step() == (1, step));
            assert!(at("io", "step.finished") < at("cpu", "step.started"), "{model} {isolation}");
        }
    }
}

#[tokio::test]
async fn a_reader_that_comes_back_gets_exactly_what_he_missed() {
    let house = harness::open();
    let order = house.place(json!({"model": "multithreading", "io_ms": 100, "cpu_ms": 1, "dishes": 12})).await;
    // Leaves again and again while it runs, after three events each time.
    let mut seen: Vec<Event> = Vec::new();
    'order: loop {
        let last = seen.last().and_then(|event| event.id.clone());
        let mut follower = Follower::connect(&house, &order, last.as_deref()).await;
        for _ in 0..3 {
            let Some(event) = follower.next().await else { break 'order };
            seen.push(event);
        }
        if seen.last().unwrap().name == "order.succeeded" {
            break;
        }
    }
    whole(&seen, "order.succeeded");
    // After the end the same is told again, from any point.
    let again = follow(&house, &order, None).await;
    let without_orders = |events: &[Event]| {
        events[2..].iter().filter(|e| e.seq() < seen.last().unwrap().seq()).cloned().collect::<Vec<_>>()
    };
    assert_eq!(without_orders(&again), without_orders(&seen));
    for from in 1..again.len() - 1 {
        let rest = follow(&house, &order, again[from].id.as_deref()).await;
        assert_eq!(rest, again[from + 1..], "after {:?}", again[from].id);
    }
    // Nothing is left to tell: an EventSource stops to reconnect at 204.
    let request = house
        .request(Method::GET, &link(&order, "events"))
        .header("last-event-id", again.last().unwrap().id.clone().unwrap());
    assert_eq!(request.send().await.unwrap().status(), StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn an_id_that_is_none_is_answered_by_a_gap_and_a_new_beginning() {
    let house = harness::open();
    let running = house.place(json!({"model": "asyncio", "io_ms": 600_000})).await;
    let ended = house.cook(json!({"model": "asyncio", "io_ms": 0})).await;
    for last in
        ["", "garbage", "1", "1.x", "1.-1", "2.1", "0.1", "1.1.1", "1.99", "1.4294967295", "1.18446744073709551616"]
    {
        let events = follow(&house, &ended, Some(last)).await;
        assert_eq!((events[0].name.as_str(), &events[0].data), ("gap", &json!({})), "{last:?}");
        whole(&events[1..], "order.succeeded");
        let mut follower = Follower::connect(&house, &running, Some(last)).await;
        let mut names = Vec::new();
        for _ in 0..3 {
            let next = tokio::time::timeout(Duration::from_secs(10), follower.next()).await;
            names.push(
                next.unwrap_or_else(|_| panic!("{last:?} on a running order: silence after {names:?}")).unwrap().name,
            );
        }
        assert_eq!(names, ["gap", "snapshot", "order.running"], "{last:?}");
    }
}

#[tokio::test]
async fn a_large_order_only_tells_how_far_it_is() {
    let house = harness::open();
    let order = json!({"model": "asyncio", "io_ms": 200, "dishes": 10_001, "max_in_flight": 2_001});
    let placed = house.place(order).await;
    let events = follow(&house, &placed, None).await;
    let steps: Vec<_> =
        events.iter().filter(|e| e.name == "progress").map(|e| harness::number(&e.data, "/steps_done")).collect();
    assert!(steps.is_sorted() && steps.iter().any(|n| (1.0..10_001.0).contains(n)), "{steps:?}");
    assert!(events.iter().filter(|e| e.name == "progress").all(|e| {
        e.id.is_none()
            && e.data["steps_total"] == 10_001
            && e.data["dishes_total"] == 10_001
            && e.data["dishes_done"].is_u64()
    }));
    let last = events.last().unwrap();
    let ten_a_second = harness::number(&last.data, "/timings/makespan_ms") / 100.0;
    assert!(steps.len() as f64 <= ten_a_second + 3.0, "{} in {ten_a_second} tenths of a second", steps.len());
    let others: Vec<_> = events.iter().filter(|e| e.name != "progress").map(|e| e.name.as_str()).collect();
    assert_eq!(others, ["snapshot", "order.running", "order.succeeded"]);
    let request =
        house.request(Method::GET, &link(&placed, "events")).header("last-event-id", last.id.clone().unwrap());
    assert_eq!(request.send().await.unwrap().status(), StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn no_name_can_break_out_of_an_event() {
    let house = harness::open();
    let names = [
        "data: x\\n\\nevent: order.failed",
        "\u{2028}\u{2029}event: forged",
        "</script><script>",
        "\"}\\r\\nid: 9.9",
        ": ",
        "id: 7.7",
    ];
    let steps: Vec<_> = names.iter().map(|name| json!({"name": name, "work": {"kind": "wait", "ms": 0}})).collect();
    let labels = json!({"event: forged": "\u{2028}data: {}"});
    let order = json!({"model": "sequential", "recipe": {"name": names[0], "steps": steps}, "labels": labels});
    let placed = house.place(order).await;
    let events = follow(&house, &placed, None).await;
    whole(&events, "order.succeeded");
    let told: Vec<_> = events.iter().filter(|e| e.name == "step.finished").map(|e| e.step().1).collect();
    assert_eq!(told, names);
    assert!(events.iter().filter_map(|e| e.data["narration"].as_str()).all(|s| s.starts_with("Order 1: ")));
    assert_eq!(events[0].data["labels"], labels);
}

#[tokio::test]
async fn an_order_that_never_ran_tells_only_that_it_was_canceled() {
    let house = harness::open_with(&["--max-threads", "1"]);
    let threads = json!({"model": "multithreading", "setup": {"chefs": 1}, "io_ms": 600_000});
    let running = house.place(threads.clone()).await;
    let waiting = house.place(threads).await;
    let mut follower = Follower::connect(&house, &waiting, None).await;
    let snapshot = follower.next().await.unwrap();
    assert_eq!((snapshot.name.as_str(), &snapshot.data["status"]), ("snapshot", &json!("queued")));
    house.post(&link(&waiting, "cancel"), &json!({})).await;
    let rest = follower.all().await;
    assert_eq!(rest.iter().map(|e| e.name.as_str()).collect::<Vec<_>>(), ["order.canceled"]);
    let request = house
        .request(Method::GET, &link(&waiting, "events"))
        .header("last-event-id", rest[0].id.clone().expect("an id"));
    assert_eq!(request.send().await.unwrap().status(), StatusCode::NO_CONTENT);
    // One that ran also tells how its steps ended.
    let mut follower = Follower::connect(&house, &running, None).await;
    let mut events = Vec::new();
    while events.last().is_none_or(|event: &Event| event.name != "step.started") {
        events.push(follower.next().await.unwrap());
    }
    house.post(&link(&running, "cancel"), &json!({})).await;
    events.extend(follower.all().await);
    whole(&events, "order.canceled");
    assert_eq!(events[3].data["outcome"], "canceled");
}
