//! `GET /orders/{id}/report`: its figures follow from the steps and from each other, for every model; its words follow
//! from its figures.
//!
//! Whether the steps themselves are right is deliberately left to `models.rs` and `books.rs`.

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{self, House, link, number};
use crate::ledger;
use crate::refusals::refused;

/// Every model, and the setups whose workers differ in kind.
const SETUPS: &[(&str, &str)] = &[
    ("sequential", "{}"),
    ("asyncio", "{}"),
    ("asyncio", r#"{"chef": "own", "assistants": 2}"#),
    ("multithreading", "{}"),
    ("multithreading", r#"{"chefs": "per_step"}"#),
    ("multiprocessing", r#"{"kitchens": 2}"#),
    ("multiprocessing", r#"{"kitchens": 2, "inside": "asyncio"}"#),
];

/// Terms of a chain and of the books.
const TERMS: [&str; 9] = [
    "wait_ms",
    "lag_ms",
    "cpu_ms",
    "core_wait_ms",
    "gil_wait_ms",
    "equipment_wait_ms",
    "exchange_ms",
    "yielded_ms",
    "residual_ms",
];

async fn report(house: &House, order: &Value) -> Value {
    house.json(&link(order, "report")).await
}

async fn report_text(house: &House, order: &Value) -> String {
    let path = format!("{}?format=text", link(order, "report"));
    let response = house.get(&path).await;
    assert_eq!(response.headers()["content-type"], "text/plain; charset=utf-8");
    response.text().await.unwrap()
}

fn sum(of: &Value, terms: &[&str]) -> f64 {
    terms.iter().map(|term| number(of, &format!("/{term}"))).sum()
}

fn assert_close(a: f64, b: f64, what: &str) {
    assert!((a - b).abs() < 0.02, "{what}: {a} and {b}");
}

/// The chain accounts for the whole makespan, the books for every step; the bounds hold, nothing taken away makes it longer,
/// and nobody is busy for longer than it took.
fn assert_adds_up(report: &Value) {
    let makespan = number(report, "/makespan_ms");
    let chain = sum(&report["chain"], &TERMS) + sum(&report["chain"], &["arrival_ms", "hand_over_ms"]);
    assert_close(chain, makespan, &format!("the chain of {report}"));
    let books = &report["books"];
    assert_close(sum(books, &TERMS), number(books, "/span_ms"), &format!("the books of {report}"));
    let (lower, upper) = (number(report, "/bounds/lower_ms"), number(report, "/bounds/upper_ms"));
    assert!(lower <= makespan * 1.001 + 0.01 && makespan <= upper * 1.001 + 0.01, "{report}");
    for without in report["without"].as_array().unwrap() {
        let (left, saved) = (number(without, "/makespan_ms"), number(without, "/saved_ms"));
        assert!(left >= 0.0 && saved > 0.0, "{report}");
        assert_close(left + saved, makespan, &report.to_string());
    }
    let shares = ["/overlap/chef_utilisation", "/lag/loop_utilisation"];
    let shares = shares.map(|share| report.pointer(share).and_then(Value::as_f64).unwrap_or(0.0));
    assert!(shares.iter().all(|share| (0.0..=1.0).contains(share)), "{report}");
}

/// What would be saved without this; nothing, if the report does not name it.
fn saved(report: &Value, term: &str) -> f64 {
    let without = report["without"].as_array().unwrap().iter().find(|view| view["term"] == term);
    without.map_or(0.0, |view| number(view, "/saved_ms"))
}

#[tokio::test]
async fn the_figures_of_every_model_follow_from_its_steps_and_from_each_other() {
    let house = harness::open();
    for isolation in ["house", "kitchen"] {
        for (model, setup) in SETUPS {
            let setup: Value = serde_json::from_str(setup).unwrap();
            let order = house
                .cook(json!({"model": model, "setup": setup, "isolation": isolation, "io_ms": 40, "cpu_ms": 10, "dishes": 5}))
                .await;
            let steps = ledger::of(&house, &order).await;
            let report = report(&house, &order).await;
            let what = format!("{model} {setup} {isolation}: {report}");
            let makespan = number(&report, "/makespan_ms");
            assert_eq!((makespan, &report["status"]), (ledger::makespan(&order), &json!("succeeded")), "{what}");
            assert_close(number(&report, "/dish_ms/mean"), number(&order, "/timings/mean_dish_ms"), &what);
            assert_adds_up(&report);
            let length = number(&report, "/chain/length") as usize;
            assert_eq!(length, report["chain"]["steps"].as_array().unwrap().len(), "{what}");
            let spans = steps.iter().map(ledger::Step::span).sum();
            assert_close(number(&report, "/books/span_ms"), spans, &what);
            // The profile covers the makespan, and the work does not depend on who does it.
            let profile = report["overlap"]["profile"].as_array().unwrap();
            assert_close(profile.iter().map(|row| number(row, "/ms")).sum(), makespan, &what);
            assert_close(number(&report, "/work/wait_ms"), 200.0, &what);
            assert_eq!(report["processes"].is_object(), isolation == "kitchen", "{what}");
        }
    }
}

#[tokio::test]
async fn one_chef_who_has_to_chop_it_all_is_told_so_and_what_more_chefs_would_bring() {
    let house = harness::open();
    let order = house.cook(json!({"model": "asyncio", "io_ms": 100, "cpu_ms": 50, "dishes": 4})).await;
    let report = report(&house, &order).await;
    // W + n C of the seed, as lower bound, from measured CPU times.
    let cpu = number(&report, "/work/cpu_ms");
    assert!((number(&report, "/bounds/lower_ms") - (100.0 + cpu)).abs() < 1.0, "{report}");
    assert_eq!((&report["bounds"]["lower_by"], &report["bounds"]["workers"]), (&json!("workers"), &json!(1)));
    // All CPU of all dishes is on the chain, for there is one chef; only the first wait is.
    assert_eq!((number(&report, "/chain/cpu_ms"), number(&report, "/chain/wait_ms")), (cpu, 100.0), "{report}");
    let without = |term: &str| {
        let found = report["without"].as_array().unwrap().iter().find(|view| view["term"] == term);
        number(found.unwrap_or_else(|| panic!("no {term}: {report}")), "/makespan_ms")
    };
    let makespan = number(&report, "/makespan_ms");
    // Clocks that disagree by some microseconds a step are no CPU that could be saved.
    let unexplained = number(&report, "/books/residual_ms").abs() + 0.01;
    let seen = [makespan, cpu, without("sharing"), without("cpu"), unexplained];
    assert!(without("sharing") < makespan && without("cpu") <= makespan - cpu + unexplained, "{seen:?}: {report}");
    assert!(number(&report, "/lag/wait_ms/max") >= 150.0 * 0.99, "the last wait is noticed behind three dishes");
    assert!(number(&report, "/lag/longest_slice_ms") >= 50.0);
    let text = report_text(&house, &order).await;
    let [makespan, lower] = ["/makespan_ms", "/bounds/lower_ms"].map(|at| format!("{:.1} ms", number(&report, at)));
    assert!(text.contains(&makespan) && text.contains(&lower), "{text}");
    assert!(text.lines().count() <= 30 && text.lines().all(|line| line.chars().count() <= 160), "{text}");
    for sentence in report["explanation"].as_array().unwrap() {
        assert!(text.contains(sentence.as_str().unwrap()), "{text}");
    }
}

#[tokio::test]
async fn a_step_that_lets_its_loop_turn_is_charged_with_its_own_pieces_and_the_rest_is_what_the_loop_did() {
    let house = harness::open();
    let recipe = json!({"name": "stirred", "steps": [
        {"name": "short", "work": {"kind": "wait", "ms": 10}},
        {"name": "stir", "work": {"kind": "cpu", "ms": 60, "yield_every_ms": 5}}]});
    let order = house
        .cook(json!({"model": "asyncio", "recipe": recipe, "dishes": 4, "step_order": "concurrent", "isolation": "kitchen"}))
        .await;
    let report = report(&house, &order).await;
    assert_adds_up(&report);
    let of = |at: &str| number(&report, at);
    let (makespan, cpu) = (of("/makespan_ms"), of("/work/cpu_ms"));
    // Each stood back while the three others had their pieces, and all of that is on one loop.
    assert!(of("/books/yielded_ms") > cpu * 1.5, "{report}");
    assert!((of("/chain/cpu_ms") - cpu).abs() < 1.0, "the chain is the loop's time: {report}");
    assert!(of("/chain/yielded_ms") < makespan * 0.1 && saved(&report, "yielded") < makespan * 0.1, "{report}");
    assert!(saved(&report, "cpu") >= cpu * 0.9, "{report}");
    // The loop was kept by one piece at a time, and no longer than pieces are.
    assert!(of("/lag/loop_utilisation") > 0.5 && of("/lag/longest_slice_ms") < 60.0, "{report}");
    let running = report["overlap"]["profile"].as_array().unwrap();
    assert!(running.len() <= 2, "one loop computes one step at a time: {report}");
}

#[tokio::test]
async fn a_loop_is_not_kept_by_steps_that_wait_for_equipment_or_hand_things_over() {
    let house = harness::open();
    let recipe = json!({"name": "one pan", "equipment": {"pan": {"capacity": 1}}, "steps": [
        {"name": "fry", "work": {"kind": "wait", "ms": 40}, "needs": ["pan"]},
        {"name": "chop", "work": {"kind": "cpu", "ms": 15}, "needs": ["pan"]},
        {"name": "pass", "work": {"kind": "exchange", "bytes": 100, "messages": 2_000}},
        {"name": "wash", "work": {"kind": "cpu", "ms": 10}}]});
    let fields = json!({"model": "asyncio", "recipe": recipe, "dishes": 4, "step_order": "concurrent"});
    let order = house.cook(fields).await;
    let report = report(&house, &order).await;
    assert_adds_up(&report);
    let of = |at: &str| number(&report, at);
    assert!(of("/books/equipment_wait_ms") > 200.0, "{report}");
    // Only chopping and washing keep the loop: their time, and what they wait for a core.
    let kept = of("/books/cpu_ms") + of("/books/core_wait_ms") + of("/books/residual_ms").abs();
    assert!(of("/lag/longest_slice_ms") <= kept && of("/lag/longest_slice_ms") >= 15.0, "{report}");
    let share = kept / of("/makespan_ms");
    assert!(of("/lag/loop_utilisation") <= share + 0.05 && of("/overlap/chef_utilisation") <= share + 0.05, "{report}");
    // What the loop did meanwhile is not the exchange's.
    assert!(saved(&report, "exchange") < of("/makespan_ms") * 0.2, "{report}");
}

#[tokio::test]
async fn processes_of_an_orders_own_tell_what_they_used() {
    let house = harness::open();
    let order = house
        .cook(json!({"model": "multiprocessing", "setup": {"kitchens": 2}, "isolation": "kitchen", "io_ms": 1, "cpu_ms": 10, "dishes": 6}))
        .await;
    let report = report(&house, &order).await;
    let processes = &report["processes"];
    let rows = processes["rows"].as_array().unwrap();
    assert_eq!((rows.len(), number(processes, "/count")), (3, 3.0), "the order's kitchen and two below it: {report}");
    let total = |field: &str| number(processes, &format!("/total/{field}"));
    let sum = |field: &str| rows.iter().map(|row| number(row, &format!("/{field}"))).sum::<f64>();
    for field in ["peak_rss_bytes", "pss_bytes", "voluntary_switches", "minor_faults", "messages", "message_bytes"] {
        assert_eq!(sum(field), total(field), "{field}: {report}");
    }
    for row in rows {
        let of = |field: &str| number(row, &format!("/{field}"));
        assert!(of("pss_bytes") > 0.0 && of("pss_bytes") <= of("peak_rss_bytes"), "{row}");
        assert!(of("spawn_ms") > 0.0 && of("spawn_ms") <= of("lived_ms") && of("cpu_ms") > 0.0, "{row}");
        assert!(of("messages") >= 3.0 && of("message_bytes") > of("messages"), "{row}");
    }
    // Each step is a message there and one back.
    assert!(rows[1..].iter().map(|row| number(row, "/messages")).sum::<f64>() >= 24.0, "{report}");
    assert!(number(&rows[1], "/transit_ms") > 0.0, "{report}");
    assert_eq!(total("peak_rss_bytes"), number(&order, "/timings/peak_memory_bytes"));
    assert!(total("cpu_ms") >= number(&order, "/timings/cpu_ms"), "{report}");
    assert!(number(&report, "/bill/gb_seconds") > 0.0 && number(&report, "/bill/core_seconds") >= 0.06);
}

#[tokio::test]
async fn of_very_many_processes_some_are_shown_and_all_are_counted() {
    let house = harness::open();
    let setup = json!({"kitchens": "per_step"});
    let recipe = json!({"name": "n", "steps": [{"name": "n", "work": {"kind": "wait", "ms": 1}}]});
    let order = house
        .cook(
            json!({"model": "multiprocessing", "setup": setup, "isolation": "kitchen", "recipe": recipe, "dishes": 80}),
        )
        .await;
    let processes = &report(&house, &order).await["processes"];
    assert_eq!((processes["rows"].as_array().unwrap().len(), number(processes, "/count")), (64, 81.0), "{processes}");
    let pss = number(processes, "/pss_bytes");
    assert!(pss > number(processes, "/total/pss_bytes") && pss < number(processes, "/total/peak_rss_bytes"));
}

#[tokio::test]
async fn a_sample_says_that_it_is_one_and_what_is_exact_stays_exact() {
    let house = harness::open();
    let order = house.cook(json!({"model": "multithreading", "io_ms": 0, "cpu_ms": 0, "dishes": 6_000})).await;
    let report = report(&house, &order).await;
    assert_eq!((&report["sampled"], &report["chain"]), (&json!(true), &json!(null)));
    assert_eq!(number(&report, "/steps_run"), 12_000.0);
    assert!(number(&report, "/books/steps") < 12_000.0);
    for unknown in ["/bounds/upper_ms", "/overlap/profile", "/overlap/chefs"] {
        assert_eq!(report.pointer(unknown), Some(&json!(null)), "{unknown}");
    }
    assert_close(number(&report, "/work/cpu_ms"), number(&order, "/timings/cpu_ms"), "CPU time is exact");
    assert_close(number(&report, "/lag/wait_ms/max"), number(&order, "/timings/max_lag_ms"), "so is the largest lag");
    assert!(report_text(&house, &order).await.contains("sample"));
}

#[tokio::test]
async fn a_report_is_of_an_ended_order_even_of_one_that_never_ran() {
    let house = harness::open();
    let running = house.place(json!({"model": "sequential", "io_ms": 600_000})).await;
    let path = link(&running, "report");
    refused(&house, house.get(&path).await, 409, "order-active").await;
    house.post(&link(&running, "cancel"), &json!(null)).await;
    house.ended(&running).await;
    let canceled = report(&house, &running).await;
    assert_eq!(canceled["status"], "canceled");
    assert!(!canceled["noise"].as_array().unwrap().is_empty(), "an order that was stopped is no measurement");
    // A start deadline that has passed: nobody ever took it up.
    let own = json!({"chefs": 4_096});
    let first = house.place(json!({"model": "multithreading", "setup": own, "io_ms": 600_000})).await;
    let late = json!({"model": "multithreading", "setup": own, "io_ms": 1, "expires_in_ms": 1});
    let expired = house.ended(&house.place(late).await).await;
    assert_eq!(expired["status"], "expired");
    let empty = report(&house, &expired).await;
    assert_eq!((&empty["makespan_ms"], &empty["explanation"]), (&json!(0.0), &json!(["No step ran."])), "{empty}");
    house.post(&link(&first, "cancel"), &json!(null)).await;
    for (query, name) in [("format=svg", "format"), ("page=1", "page")] {
        let problem = refused(&house, house.get(&format!("{path}?{query}")).await, 422, "invalid-query").await;
        assert_eq!(problem["errors"][0]["pointer"], name);
    }
    let text = house.request(Method::GET, &path).header("accept", "text/plain").send().await.unwrap();
    assert_eq!(text.headers()["content-type"], "text/plain; charset=utf-8");
    let json = house.request(Method::GET, &path).header("accept", "*/*").send().await.unwrap();
    assert_eq!(json.headers()["content-type"], "application/json");
}

#[tokio::test]
async fn a_loop_that_was_the_orders_own_tells_how_late_its_ticker_was_and_no_other_does() {
    let house = harness::open();
    for chef in ["house", "own"] {
        for isolation in ["house", "kitchen"] {
            // Three dishes are due at once, or one a millisecond earlier, and keep the loop one after another.
            let order = house
                .cook(json!({"model": "asyncio", "setup": {"chef": chef}, "isolation": isolation, "io_ms": 60, "cpu_ms": 50, "dishes": 3}))
                .await;
            let report = report(&house, &order).await;
            let ticker = ["p50", "p95", "max"].map(|which| report["lag"][format!("ticker_{which}_ms")].as_f64());
            let what = format!("{chef}, {isolation}: {report}");
            if isolation == "house" {
                assert_eq!(ticker, [None; 3], "{what}");
                continue;
            }
            let [p50, p95, max] = ticker.map(|ticker| ticker.unwrap_or_else(|| panic!("no ticker: {what}")));
            assert!(p50 <= p95 && p95 <= max && max >= 90.0, "{what}");
            assert_eq!(number(&report, "/processes/total/loop_lag_ms"), max, "{what}");
        }
    }
    // Two loops, in two kitchens below the order's own.
    let setup = json!({"kitchens": 2, "inside": "asyncio"});
    let order = json!({"model": "multiprocessing", "setup": setup, "isolation": "kitchen", "io_ms": 60, "cpu_ms": 50, "dishes": 2});
    let two = report(&house, &house.cook(order).await).await;
    let rows = two["processes"]["rows"].as_array().unwrap();
    let lags: Vec<_> = rows.iter().map(|row| row["loop_lag_ms"].as_f64()).collect();
    assert!(lags.len() == 3 && lags[0].is_none() && lags[1..].iter().all(Option::is_some), "{two}");
    assert_eq!(two["lag"]["ticker_max_ms"].as_f64(), lags.into_iter().flatten().max_by(f64::total_cmp), "{two}");
    let order = json!({"model": "multithreading", "isolation": "kitchen", "io_ms": 1, "cpu_ms": 1});
    let report = report(&house, &house.cook(order).await).await;
    assert_eq!(
        (&report["lag"]["ticker_max_ms"], &report["processes"]["total"]["loop_lag_ms"]),
        (&Value::Null, &Value::Null)
    );
}

#[tokio::test]
async fn what_is_handed_over_is_told_by_channel_and_costs_what_its_steps_say() {
    let house = harness::open();
    let channels = [
        ("move", json!({"model": "asyncio"})),
        ("move", json!({"model": "multithreading", "setup": {"chefs": 2}})),
        ("pipe", json!({"model": "multiprocessing", "setup": {"kitchens": 1}})),
        ("shared_memory", json!({"model": "multiprocessing", "setup": {"kitchens": 1, "channel": "shared_memory"}})),
    ];
    let (bytes, messages, dishes) = (10_000_u64, 2_000_u64, 3_u64);
    for (channel, mut order) in channels {
        let hand = json!({"name": "hand", "work": {"kind": "exchange", "bytes": bytes, "messages": messages}});
        order["recipe"] = json!({"name": "hands", "steps": [hand]});
        order["dishes"] = json!(dishes);
        let order = house.cook(order).await;
        let (report, steps) = (report(&house, &order).await, ledger::of(&house, &order).await);
        let told = &report["exchange"];
        assert_eq!(told["channel"], channel, "{report}");
        let counts = ["steps", "messages", "bytes"].map(|field| told[field].as_u64());
        assert_eq!(counts, [dishes, dishes * messages, dishes * messages * bytes].map(Some), "{report}");
        let time_ms: f64 = steps.iter().map(|step| step.busy() + step.exchange_ms.unwrap_or(0.0)).sum();
        assert_close(number(told, "/time_ms"), time_ms, channel);
        let per_message_us = 1e3 * time_ms / (dishes * messages) as f64;
        assert!((number(told, "/per_message_us") / per_message_us - 1.0).abs() < 0.05, "{report}");
        let mib_per_s = (dishes * messages * bytes) as f64 / f64::from(1 << 20) / (time_ms / 1e3);
        let shown = told["mib_per_s"].as_f64();
        let expected = (channel != "move").then_some(mib_per_s);
        assert!(shown.zip(expected).map_or(shown == expected, |(a, b)| (a / b - 1.0).abs() < 0.05), "{report}");
    }
    let none = house.cook(json!({"model": "asyncio", "io_ms": 1})).await;
    assert_eq!(report(&house, &none).await["exchange"], Value::Null);
}
