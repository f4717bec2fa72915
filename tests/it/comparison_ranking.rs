//! Whether a comparison ranks as arithmetic does: a backend engineer's question, answered by hand and by measurement.
//!
//! How a comparison is asked for is in `comparisons_api.rs`. Absolute times are deliberately not looked at where they
//! depend on cores: the machine is shared.

use serde_json::{Value, json};

use crate::comparisons_api::{compare, entries};
use crate::harness::{self, number};

/// 60 ms of I/O and 8 ms of CPU, 500 dishes, on `m` effective cores, by hand: milliseconds.
fn by_hand(entry: &Value, m: f64) -> f64 {
    const N: f64 = 500.0;
    const W: f64 = 60.0;
    const C: f64 = 8.0;
    let count = |option: &str| entry["setup"][option].as_f64();
    let loops = |k: f64| W + N * C / k.min(m);
    // The steps of a pool are taken as they became ready: first all waits, then all CPU.
    let pool = |k: f64| N * W / k + N * C / k.min(m);
    match (entry["model"].as_str(), count("assistants"), count("chefs"), count("kitchens")) {
        (Some("asyncio"), Some(0.0), ..) => loops(1.0),
        (Some("asyncio"), Some(k), ..) => loops(k),
        (_, _, Some(k), _) => pool(k),
        (_, _, _, Some(k)) if entry["setup"]["inside"] == "asyncio" => loops(k),
        (_, _, _, Some(k)) => pool(k),
        _ => panic!("{entry}"),
    }
}

#[tokio::test]
async fn for_hybrid_work_the_ranking_is_the_one_that_arithmetic_expects() {
    let house = harness::open();
    let before = harness::effective_cores();
    let comparison = compare(&house, json!({"work": {"io_ms": 60, "cpu_ms": 8, "dishes": 500}})).await;
    let after = harness::effective_cores();
    let m = number(&comparison, "/effective_cores");
    assert_eq!((entries(&comparison).len(), &comparison["dishes"]), (5, &json!(500)));
    for entry in entries(&comparison) {
        let (expected, by_hand) = (number(entry, "/expected_makespan_ms"), by_hand(entry, m));
        assert!((expected / by_hand - 1.0).abs() < 0.02, "{expected} is shown, {by_hand} by hand: {entry}");
    }
    let is_pool_of_steps = |entry: &Value| entry["setup"]["inside"] == "steps";
    let spreads_cpu =
        |entry: &Value| entry["setup"]["inside"] == "asyncio" || entry["setup"]["assistants"].as_u64() > Some(0);
    let is_plain_loop = |entry: &Value| entry["model"] == "asyncio" && entry["setup"]["assistants"] == 0;
    let [first, second, .., last] = entries(&comparison) else { panic!("{comparison}") };
    let places: Vec<_> = entries(&comparison).iter().map(|e| (&e["name"], &e["makespan_ms"]["median"])).collect();
    let seen = format!("{m} cores, {before} before, {after} after: {places:?}");
    assert!(is_pool_of_steps(last), "waits fill its few kitchens: {seen}");
    if m.min(before).min(after) >= 1.2 {
        let is_even = comparison["verdict"]["significant"] == false && spreads_cpu(second);
        assert!(spreads_cpu(first) || is_even, "what spreads CPU over cores wins: {seen}");
    } else {
        assert!(spreads_cpu(first) || is_plain_loop(first), "one core: loops win over pools: {seen}");
    }
    let nproc = std::thread::available_parallelism().unwrap().get() as f64;
    let fewest = m.min(before).min(after);
    // Pools that are full of waits take mostly the time the waits take, however many cores there are.
    for entry in entries(&comparison).iter().filter(|e| e["model"] == "multithreading" || is_pool_of_steps(e)) {
        let makespan = number(entry, "/makespan_ms/median");
        let expected = 0.8 * by_hand(entry, nproc)..1.5 * by_hand(entry, fewest);
        assert!(expected.contains(&makespan), "{makespan} is not in {expected:?}: {seen}");
    }
    // Nothing is faster than the cores it can use: one loop uses one.
    for entry in entries(&comparison) {
        let (makespan, cpu) = (number(entry, "/makespan_ms/median"), number(entry, "/cpu_ms/median"));
        let usable = if is_plain_loop(entry) { 1.0 } else { nproc };
        assert!(makespan >= 0.9 * cpu / usable, "{cpu} ms of CPU in {makespan} ms on {usable} cores: {entry}");
    }
}
