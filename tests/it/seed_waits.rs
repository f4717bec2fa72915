//! The seed's statements about work that waits: a crawl, and what one chef, many threads and many processes need for it.
//!
//! Memory is compared in multiples, time only where theory leaves no doubt. It deliberately knows no figure of any machine.

use serde_json::{Value, json};

use crate::comparisons_api::{compare, entries};
use crate::harness::{self, number};
use crate::ledger::{self, Step, assert_about};

/// Pages of which half come within 60 ms and one in twenty takes longer than 240 ms.
fn crawl(parse: bool) -> Value {
    let fetch = json!({"kind": "wait", "distribution": {"kind": "log_normal", "median_ms": 60, "p95_ms": 240}});
    let mut steps = vec![json!({"name": "fetch", "work": fetch})];
    if parse {
        steps.push(json!({"name": "parse", "work": {"kind": "cpu", "iterations": 20_000}, "after": ["fetch"]}));
    }
    json!({"name": "crawl", "steps": steps})
}

#[tokio::test]
async fn a_crawl_takes_as_long_as_its_slowest_page_and_with_a_limit_at_least_its_share_of_all() {
    let house = harness::open();
    let order = json!({"model": "asyncio", "recipe": crawl(false), "dishes": 5_000, "seed": 3});
    let free = house.cook(order.clone()).await;
    let pages = ledger::of(&house, &free).await;
    let slowest = pages.iter().map(|page| page.finished() - page.lag()).fold(0.0, f64::max);
    assert!(ledger::most_at_once(&pages) > 2_500, "concurrent: most of them at once");
    assert_about(ledger::makespan(&free), slowest, "the slowest of 5,000 pages");

    let mut limited = order;
    limited["max_in_flight"] = json!(500);
    let limited = house.cook(limited).await;
    let pages = ledger::of(&house, &limited).await;
    let all: f64 = pages.iter().map(|page| page.span() - page.lag()).sum();
    assert!(ledger::most_at_once(&pages) <= 500);
    assert!(ledger::makespan(&limited) >= all / 500.0, "{limited}");
}

#[tokio::test]
async fn a_crawl_that_parses_on_the_loop_takes_as_long_as_the_parsing() {
    let house = harness::open();
    let order = house.cook(json!({"model": "asyncio", "recipe": crawl(true), "dishes": 2_000, "seed": 3})).await;
    let steps = ledger::of(&house, &order).await;
    assert_eq!(ledger::most_at_once(ledger::kind(&steps, "cpu")), 1, "concurrent, not parallel");
    assert!(ledger::makespan(&order) >= ledger::kind(&steps, "cpu").into_iter().filter_map(|step| step.cpu_ms).sum());
}

#[tokio::test]
async fn for_waits_alone_one_chef_is_recommended_with_the_bill_of_the_others() {
    const DISHES: u64 = 200;
    let house = harness::open();
    let line_up = json!([{"model": "asyncio"}, {"model": "multithreading", "setup": {"chefs": "per_step"}},
        {"model": "multiprocessing", "setup": {"kitchens": "per_step"}}]);
    let work = json!({"recipe": {"name": "io", "steps": [{"name": "io", "work": {"kind": "wait", "ms": 300}}]}, "dishes": DISHES});
    let ask = json!({"work": work, "line_up": line_up, "repeats": 3, "budget_ms": 60_000, "objective": {"makespan": 1, "memory": 1}});
    let comparison = compare(&house, ask).await;
    assert_eq!(comparison["recommendation"]["model"], "asyncio", "{comparison}");
    let of = |model: &str, figure: &str| {
        let entry = entries(&comparison).iter().find(|entry| entry["model"] == model).expect("the entry");
        number(entry, &format!("/{figure}/median"))
    };
    let [chef, threads, processes] = ["asyncio", "multithreading", "multiprocessing"]
        .map(|model| (of(model, "makespan_ms"), of(model, "peak_memory_bytes")));
    assert!(chef.0 >= 300.0 && processes.0 > chef.0, "{chef:?} {processes:?}");
    assert!(chef.1 < threads.1 && threads.1 < processes.1, "{chef:?} {threads:?} {processes:?}");
    assert!(processes.1 > 50.0 * chef.1, "{processes:?} beside {chef:?}");
    // Threads wait as well as a loop does, once they have been started.
    assert!(threads.0 < processes.0, "{threads:?} {processes:?}");
}

#[tokio::test]
async fn a_dish_on_a_loop_takes_a_fraction_of_the_memory_of_a_thread() {
    let house = harness::open();
    let mut peaks = Vec::new();
    let per_dish = [("asyncio", json!({}), 20_000_u64), ("multithreading", json!({"chefs": "per_step"}), 1_000)];
    for (model, setup, dishes) in per_dish {
        let peak = async |dishes: u64| {
            let recipe = json!({"name": "io", "steps": [{"name": "io", "work": {"kind": "wait", "ms": 300}}]});
            let order =
                json!({"model": model, "setup": setup, "recipe": recipe, "dishes": dishes, "isolation": "kitchen"});
            number(&house.cook(order).await, "/timings/peak_memory_bytes")
        };
        peaks.push((peak(dishes).await - peak(1).await) / dishes as f64);
    }
    println!("a boil on a loop takes {:.0} bytes, on a thread of its own {:.0}", peaks[0], peaks[1]);
    assert!(peaks[0] > 0.0 && peaks[0] < peaks[1] / 5.0, "{peaks:?} bytes");
}

#[tokio::test]
async fn processes_add_up_by_what_is_theirs_and_count_twice_what_they_share() {
    let house = harness::open();
    let mut shares = Vec::new();
    for kitchens in [2, 10] {
        let order = json!({"model": "multiprocessing", "setup": {"kitchens": kitchens, "start": "prewarmed"},
            "isolation": "kitchen", "io_ms": 20, "dishes": kitchens});
        let ended = house.cook(order).await;
        let report = house.json(&harness::link(&ended, "report")).await;
        let of = |at: &str| number(&report, &format!("/processes/total/{at}"));
        assert!(of("pss_bytes") < of("peak_rss_bytes"), "{report}");
        shares.push(of("pss_bytes"));
    }
    // Eight more, each with at least a third of what one of the few has: what they share is less.
    assert!(shares[1] - shares[0] > 8.0 * shares[0] / 3.0 / 3.0, "{shares:?} bytes");
}

#[tokio::test]
async fn more_processes_than_cores_stand_ready_and_wait_for_one() {
    let house = harness::open();
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let setup = json!({"kitchens": 2 * cores, "start": "prewarmed"});
    let order = json!({"model": "multiprocessing", "setup": setup, "cpu_ms": 100, "dishes": 2 * cores});
    let steps = ledger::of(&house, &house.cook(order).await).await;
    let (cpu, waited) =
        (steps.iter().filter_map(|step| step.cpu_ms), steps.iter().filter_map(|step| step.core_wait_ms));
    let (cpu, waited) = (cpu.sum::<f64>(), waited.sum::<f64>());
    let at_once = ledger::most_at_once(&steps);
    // All of them computed all the time they were there: what their spans have beyond CPU is the wait for a core.
    let spans: f64 = steps.iter().map(Step::span).sum();
    assert!(at_once > cores, "{at_once} at once on {cores} cores: {steps:?}");
    assert!(waited > 0.1 * cpu && waited <= spans - cpu + 1.0, "{waited} ms beside {cpu} ms of CPU: {steps:?}");
}
