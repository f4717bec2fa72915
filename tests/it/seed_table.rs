//! The table at the end of the seed (which model for which work), as forecasts of a machine with eight cores: virtual time has no
//! neighbours, so where the answer flips is exact.
//!
//! That forecasts are right is asked by `scripts/accuracy`; what real comparisons say of the table is in `comparisons_advice.rs`.

use serde_json::{Value, json};

use crate::harness::{self, House};

/// What is better for this work, one chef or eight processes with a loop each; and the forecast.
async fn best(house: &House, work: Value) -> (String, Value) {
    let line_up =
        json!([{"model": "asyncio"}, {"model": "multiprocessing", "setup": {"kitchens": 8, "inside": "asyncio"}}]);
    foresee(house, work, line_up).await
}

async fn foresee(house: &House, work: Value, line_up: Value) -> (String, Value) {
    let response = house.post("/forecasts", &json!({"work": work, "line_up": line_up, "cores": 8})).await;
    let forecast: Value = response.json().await.expect("JSON");
    (forecast["entries"][0]["model"].as_str().unwrap_or_else(|| panic!("{forecast}")).to_owned(), forecast)
}

#[tokio::test]
async fn as_the_share_of_cpu_grows_the_winner_goes_from_one_chef_to_processes_at_the_crossover() {
    let house = harness::open();
    let mut winners = Vec::new();
    let (mut crossover, mut flip) = (0.0, None);
    for cpu_us in [0, 10, 20, 40, 80, 160, 320, 640, 1_280, 5_000, 20_000] {
        let steps = json!([{"name": "io", "work": {"kind": "wait", "ms": 100}},
            {"name": "cpu", "work": {"kind": "cpu", "iterations": cpu_us * 400}, "after": ["io"]}]);
        // Eight dishes for eight processes: each dish pays for a start, which is what the crossover is about.
        let (winner, forecast) = best(&house, json!({"recipe": {"name": "r", "steps": steps}, "dishes": 8})).await;
        crossover = harness::number(&forecast, "/crossover_ms");
        if flip.is_none() && winner == "multiprocessing" {
            flip = Some(cpu_us as f64 / 1e3);
        }
        winners.push(winner);
    }
    assert_eq!((winners[0].as_str(), winners.last().unwrap().as_str()), ("asyncio", "multiprocessing"), "{winners:?}");
    assert!(winners.is_sorted(), "it flips once: {winners:?}");
    // C* counts the CPU of a start alone; the way there and back is paid as well, so it flips somewhat later.
    let flip = flip.expect("the last one");
    assert!(flip >= crossover && flip <= 16.0 * crossover, "flips at {flip} ms, C* is {crossover} ms");
}

#[tokio::test]
async fn data_that_has_to_travel_takes_the_win_from_processes() {
    let house = harness::open();
    let work = |messages: u64| {
        json!({"dishes": 64, "recipe": {"name": "r", "steps": [
            {"name": "chop", "work": {"kind": "cpu", "ms": 20}},
            {"name": "hand", "work": {"kind": "exchange", "bytes": 64, "messages": messages}, "after": ["chop"]}]}})
    };
    // Kitchens that take single steps: chefs who share a kitchen hand things over in its memory.
    let line_up = json!([{"model": "asyncio"}, {"model": "multiprocessing", "setup": {"kitchens": 8}}]);
    assert_eq!(foresee(&house, work(10), line_up.clone()).await.0, "multiprocessing");
    let (winner, forecast) = foresee(&house, work(20_000), line_up).await;
    assert_eq!(winner, "asyncio", "{forecast}");
}

#[tokio::test]
async fn under_a_gil_more_threads_compute_no_faster_than_one_chef() {
    let house = harness::open();
    let line_up = json!([{"model": "asyncio"}, {"model": "multithreading", "setup": {"chefs": 64, "gil": true}},
        {"model": "multiprocessing", "setup": {"kitchens": 8, "inside": "asyncio"}}]);
    let (_, forecast) = foresee(&house, json!({"io_ms": 50, "cpu_ms": 10, "dishes": 64}), line_up).await;
    let of = |model: &str| {
        let all = forecast["entries"].as_array().expect("entries");
        harness::number(all.iter().find(|entry| entry["model"] == model).expect("the entry"), "/makespan_ms")
    };
    let (chef, threads, processes) = (of("asyncio"), of("multithreading"), of("multiprocessing"));
    assert!((threads / chef - 1.0).abs() < 0.05 && processes < chef / 4.0, "{chef} {threads} {processes}");
}
