//! `GET /orders/{id}/trace`: what Perfetto insists on (nesting, pairs, ids, top-level keys), and that it shows what the
//! steps say.
//!
//! The rules and their sources are in `docs/laboratory.md`. The page that hands a trace over is tested in a browser
//! (`tests/browser`); here only what it may do and to whom.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::harness::{self, House, link, number};
use crate::ledger;
use crate::refusals::refused;

/// Nanoseconds of a time in microseconds.
fn ns(event: &Value, field: &str) -> i64 {
    (event[field].as_f64().unwrap_or_else(|| panic!("no {field}: {event}")) * 1e3).round() as i64
}

fn with<'a>(events: &'a [Value], phase: &str) -> Vec<&'a Value> {
    events.iter().filter(|event| event["ph"] == phase).collect()
}

fn lane(event: &Value) -> (u64, u64) {
    (event["pid"].as_u64().expect("a process"), event["tid"].as_u64().expect("a thread"))
}

/// The trace of an order, held against every rule of the format.
async fn trace(house: &House, order: &Value) -> Vec<Value> {
    let response = house.get(&link(order, "trace")).await;
    assert_eq!(response.headers()["content-type"], "application/json");
    let text = response.text().await.unwrap();
    assert!(text.starts_with("{\"traceEvents\":["), "the events come first");
    let trace: Value = serde_json::from_str(&text).expect("JSON");
    let keys: BTreeSet<_> = trace.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(keys, BTreeSet::from(["traceEvents", "displayTimeUnit", "otherData"]));
    assert_eq!(trace["displayTimeUnit"], "ms");
    let events = trace["traceEvents"].as_array().unwrap().clone();
    for event in &events {
        assert!(event["ph"] == "M" || event["ts"].as_f64().is_some_and(|ts| ts >= 0.0), "{event}");
        assert!(event["name"].is_string() && event["pid"].is_u64() && event["tid"].is_u64(), "{event}");
        assert!(event["ph"] == "M" || event["ph"] == "C" || event["cat"].is_string(), "{event}");
    }
    assert_lanes_nest(&events);
    assert_pairs(&events);
    assert_arrows_end_in_slices(&events);
    events
}

/// Slices of one thread are inside of each other or apart, as a stack; the ids of threads are unique.
fn assert_lanes_nest(events: &[Value]) {
    let mut lanes: BTreeMap<u64, (u64, Vec<(i64, i64)>)> = BTreeMap::new();
    for slice in with(events, "X") {
        let (pid, tid) = lane(slice);
        let (known, spans) = lanes.entry(tid).or_insert((pid, Vec::new()));
        assert_eq!(*known, pid, "thread {tid} is in two processes");
        spans.push((ns(slice, "ts"), ns(slice, "ts") + ns(slice, "dur")));
    }
    for (tid, (_, mut spans)) in lanes {
        // Outer ones first.
        spans.sort_by_key(|(from, to)| (*from, -*to));
        let mut open: Vec<(i64, i64)> = Vec::new();
        for (from, to) in spans {
            while open.last().is_some_and(|outer| outer.1 <= from) {
                open.pop();
            }
            assert!(open.last().is_none_or(|outer| to <= outer.1), "lane {tid}: {from}..{to} crosses {open:?}");
            open.push((from, to));
        }
    }
}

/// Every beginning has its end, under an id of its own.
fn assert_pairs(events: &[Value]) {
    let key =
        |event: &&Value| (event["cat"].to_string(), event["id"].as_u64().expect("an id"), event["name"].to_string());
    let ends: BTreeMap<_, _> = with(events, "e").iter().map(|event| (key(event), ns(event, "ts"))).collect();
    let begins = with(events, "b");
    assert_eq!((begins.len(), ends.len()), (ends.len(), with(events, "e").len()));
    for begin in begins {
        let end = ends.get(&key(&begin)).unwrap_or_else(|| panic!("never ends: {begin}"));
        assert!(ns(begin, "ts") <= *end, "{begin}");
    }
}

/// An arrow needs a slice of a thread around its start and its end: the importer drops and counts others as errors.
fn assert_arrows_end_in_slices(events: &[Value]) {
    let mut slices: BTreeMap<(u64, u64), Vec<(i64, i64)>> = BTreeMap::new();
    for slice in with(events, "X") {
        slices.entry(lane(slice)).or_default().push((ns(slice, "ts"), ns(slice, "ts") + ns(slice, "dur")));
    }
    let inside = |event: &Value| {
        let at = ns(event, "ts");
        slices.get(&lane(event)).is_some_and(|spans| spans.iter().any(|(from, to)| *from <= at && at < *to))
    };
    let ids =
        |phase: &str| with(events, phase).iter().map(|event| event["id"].as_u64().unwrap()).collect::<BTreeSet<_>>();
    assert_eq!((ids("s"), ids("s").len()), (ids("f"), with(events, "s").len()));
    for end in with(events, "s").into_iter().chain(with(events, "f")) {
        assert!(inside(end), "{end}");
    }
}

#[tokio::test]
async fn the_trace_of_every_model_keeps_the_rules_and_shows_its_steps() {
    let house = harness::open();
    let models = house.json("/models").await;
    let names = models["data"].as_array().unwrap().iter().map(|model| model["name"].as_str().unwrap());
    let more = [("multithreading", json!({"chefs": "per_step"})), ("asyncio", json!({"assistants": 2}))];
    for (model, setup) in names.map(|name| (name, json!({}))).chain(more) {
        for isolation in ["house", "kitchen"] {
            let fields =
                json!({"model": model, "setup": setup, "isolation": isolation, "io_ms": 20, "cpu_ms": 5, "dishes": 6});
            let order = house.cook(fields).await;
            let steps = ledger::of(&house, &order).await;
            let events = trace(&house, &order).await;
            let on_cpu: Vec<_> = with(&events, "X").into_iter().filter(|slice| slice["cat"] == "cpu").collect();
            let drawn: f64 = on_cpu.iter().map(|slice| number(slice, "/dur")).sum::<f64>() / 1e3;
            let measured: f64 = on_cpu.iter().map(|slice| number(slice, "/tdur")).sum::<f64>() / 1e3;
            let said = number(&order, "/timings/cpu_ms");
            assert!((measured - said).abs() < 0.01 && (drawn - said).abs() < 1.0, "{model}: {drawn} {measured} {said}");
            // Who computed is a lane; each step is one pair, and as many wait as the recipe asks at first.
            let chefs: BTreeSet<u64> = on_cpu.iter().map(|slice| lane(slice).1).collect();
            let tids: BTreeSet<u64> = ledger::tids(ledger::kind(&steps, "cpu")).into_iter().map(u64::from).collect();
            assert_eq!(chefs, tids, "{model}");
            let pairs = with(&events, "b").into_iter().filter(|pair| pair["cat"] != "queue").count();
            assert_eq!(pairs, steps.len(), "{model}");
            let last = |name: &str| {
                with(&events, "C").into_iter().rfind(|c| c["name"] == name).map(|c| number(c, "/args/steps"))
            };
            assert_eq!((last("runnable"), last("open waits")), (Some(0.0), Some(0.0)), "{model}: all has ended");
        }
    }
}

/// Steps that wait for a lock, for equipment, for each other and between their pieces, under every setup that treats them
/// differently.
#[tokio::test]
async fn what_keeps_a_chef_is_on_his_lane_whatever_his_steps_wait_for() {
    let house = harness::open();
    let setups = [
        ("asyncio", json!({})),
        ("asyncio", json!({"assistants": 2, "gil": true})),
        ("multithreading", json!({"chefs": 3, "gil": true})),
        ("multiprocessing", json!({"kitchens": 2, "inside": "asyncio"})),
        ("multiprocessing", json!({"kitchens": 2, "inside": "threads", "gil": true})),
    ];
    let recipe = json!({"name": "all kinds", "equipment": {"pan": {"capacity": 1}}, "steps": [
        {"name": "fry", "work": {"kind": "wait", "ms": 10}, "needs": ["pan"]},
        {"name": "chop", "work": {"kind": "cpu", "ms": 6}, "needs": ["pan"]},
        {"name": "stir", "work": {"kind": "cpu", "ms": 12, "yield_every_ms": 2}},
        {"name": "knead", "work": {"kind": "cpu", "ms": 8, "yield_every_ms": 3}, "needs": ["pan"]},
        {"name": "pass", "work": {"kind": "exchange", "bytes": 64, "messages": 500}},
        {"name": "wash", "work": {"kind": "cpu", "ms": 4}}]});
    for (model, setup) in setups {
        let fields = json!({"model": model, "setup": setup, "recipe": recipe, "dishes": 4, "step_order": "concurrent"});
        let order = house.cook(fields).await;
        let events = trace(&house, &order).await;
        let slices = with(&events, "X");
        let on_cpu: Vec<_> = slices.iter().filter(|slice| slice["cat"] == "cpu").collect();
        let drawn: f64 = on_cpu.iter().map(|slice| number(slice, "/dur")).sum::<f64>() / 1e3;
        let measured: f64 = on_cpu.iter().map(|slice| number(slice, "/tdur")).sum::<f64>() / 1e3;
        let said = number(&order, "/timings/cpu_ms");
        let what = format!("{model} {setup}: {drawn} ms drawn, {measured} ms of {said} ms on lanes");
        assert!((measured - said).abs() < 0.05 && (drawn - said).abs() < 2.0, "{what}");
        // Every CPU step is on a lane, with an arrow to where its chef took it up.
        let drawn: BTreeSet<_> =
            slices.iter().filter(|slice| slice["cat"] == "step").map(|s| s["name"].to_string()).collect();
        let names = ["chop", "stir", "knead", "wash"]
            .iter()
            .flat_map(|step| (1..=4).map(move |dish| format!("\"{step} #{dish}\"")));
        names.for_each(|name| assert!(drawn.contains(&name), "no {name}: {what}"));
        // A loop waits for nobody's equipment, and is not busy while it turns.
        let is_loop = model == "asyncio" && setup == json!({}) || setup["inside"] == "asyncio";
        let waits = slices.iter().filter(|slice| slice["cat"] == "equipment_wait" || slice["cat"] == "yielded").count();
        assert_eq!(waits == 0, is_loop, "{what}");
    }
}

#[tokio::test]
async fn what_went_wrong_is_marked_and_hostile_names_stay_text() {
    let house = harness::open_with(&["--allow-faults"]);
    let hostile = "\"},{\"ph\":\"X\"</script>\u{2028}";
    let recipe = json!({"name": hostile, "steps": [
        {"name": hostile, "work": {"kind": "cpu", "ms": 1}},
        {"name": "slip", "work": {"kind": "fault", "what": "abort"}, "after": [hostile]}]});
    let order = house.cook(json!({"model": "multiprocessing", "recipe": recipe, "dishes": 3})).await;
    assert_eq!(order["status"], "failed");
    let events = trace(&house, &order).await;
    let marks: Vec<_> = with(&events, "i")
        .into_iter()
        .filter(|mark| mark["name"].as_str().unwrap().starts_with("failed: slip"))
        .collect();
    assert_eq!(marks.len(), 3, "{marks:?}");
    assert!(events.iter().any(|event| event["name"] == format!("{hostile} #1")));
    // A running order shows what is over.
    let running = house.place(json!({"model": "sequential", "dishes": 100, "io_ms": 600_000})).await;
    trace(&house, &running).await;
}

#[tokio::test]
async fn the_largest_trace_is_whole_and_comes_in_parts() {
    let house = harness::open();
    let order = house.cook(json!({"model": "asyncio", "io_ms": 1, "cpu_ms": 0, "dishes": 5_000})).await;
    let response = house.get(&link(&order, "trace")).await;
    assert!(!response.headers().contains_key("content-length"), "it is made while it is read");
    assert_eq!(with(&trace(&house, &order).await, "b").iter().filter(|pair| pair["cat"] == "wait").count(), 5_000);
    let sampled = house.cook(json!({"model": "asyncio", "io_ms": 0, "cpu_ms": 0, "dishes": 20_000})).await;
    assert!(trace(&house, &sampled).await.len() > 10_000);
}

#[tokio::test]
async fn the_page_that_hands_a_trace_on_may_read_it_and_knows_no_stranger() {
    let house = harness::open();
    let order = house.cook(json!({"model": "asyncio", "io_ms": 1})).await;
    let path = format!("{}/open", link(&order, "trace"));
    let page = house.get(&path).await;
    assert_eq!(page.status(), 200);
    assert!(!page.headers().contains_key("cross-origin-opener-policy"), "it has to keep hold of the window it opens");
    let policy = page.headers()["content-security-policy"].to_str().unwrap().to_owned();
    assert!(policy.starts_with("default-src 'none'; script-src 'self'") && !policy.contains("unsafe"), "{policy}");
    for good in ["http://127.0.0.1:10000", "http://localhost"] {
        assert_eq!(house.get(&format!("{path}?ui={good}")).await.status(), 200, "{good}");
    }
    for bad in ["https://example.org", "http://127.0.0.1.example.org", "http://localhost:1@example.org", "javascript:x"]
    {
        let problem = refused(&house, house.get(&format!("{path}?ui={bad}")).await, 422, "invalid-query").await;
        assert_eq!(problem["errors"][0]["pointer"], "ui", "{bad}");
    }
    let gone = "/orders/ord_01900000-0000-7000-8000-000000000000/trace/open";
    refused(&house, house.get(gone).await, 404, "not-found").await;
}
