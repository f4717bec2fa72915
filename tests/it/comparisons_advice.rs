//! What a comparison says in the end: verdict, intervals, noise, recommendation, forecasts and their errors.
//!
//! Whether it is right about the machine is asked by `scripts/accuracy`; here only what must hold on any machine.

use serde_json::{Value, json};

use crate::comparisons_api::{compare, entries};
use crate::harness::{self, number};

fn words(value: &Value) -> Vec<&str> {
    value.as_array().expect("a list").iter().map(|word| word.as_str().expect("a word")).collect()
}

#[tokio::test]
async fn a_clear_winner_is_named_with_its_margin_and_the_reasons() {
    let house = harness::open();
    let line_up = json!([{"model": "sequential"}, {"model": "asyncio"}]);
    let work = json!({"io_ms": 60, "cpu_ms": 1, "dishes": 8});
    let comparison = compare(&house, json!({"work": work, "line_up": line_up})).await;
    let verdict = &comparison["verdict"];
    assert_eq!((&verdict["outcome"], &verdict["significant"]), (&json!("winner"), &json!(true)));
    assert_eq!(verdict["tied"], json!([]));
    let second = &entries(&comparison)[1]["against_best"];
    let (low, high) = (number(second, "/interval/low"), number(second, "/interval/high"));
    let ratio = number(second, "/ratio");
    assert!(low <= ratio && ratio <= high && low > 2.0, "eight waits one after another: {second}");
    assert!(number(second, "/p_value") < 0.05 && second["differs"] == true);
    let margin = |end: &str| number(verdict, &format!("/margin_interval/{end}"));
    assert!((margin("low") - 100.0 * (low - 1.0)).abs() < 0.2 && (margin("high") - 100.0 * (high - 1.0)).abs() < 0.2);
    let best = &entries(&comparison)[0]["against_best"];
    assert_eq!((number(best, "/ratio"), &best["interval"], &best["differs"]), (1.0, &Value::Null, &json!(false)));

    let recommended = &comparison["recommendation"];
    assert_eq!((&recommended["model"], &recommended["name"]), (&json!("asyncio"), &json!("asyncio")));
    let noisy = comparison["noise"]["noisy"] == true;
    assert_eq!(noisy, comparison["noise"]["reasons"] != json!([]));
    assert_eq!(recommended["confidence"], if noisy { "medium" } else { "high" });
    assert_eq!(recommended["dominant"]["term"], "wait", "60 ms of it, and 8 of computing: {recommended}");
    let terms = &recommended["terms_ms"];
    assert!(number(terms, "/cpu") >= 1.0 && number(terms, "/queue") >= 0.0, "{terms}");
    assert_eq!(recommended["crossover"], Value::Null, "no processes were measured");
    let cores: Vec<_> = recommended["on_cores"].as_array().unwrap().iter().map(|on| on["cores"].clone()).collect();
    assert_eq!(json!(cores), json!([1, 2, 4, 8, 16, 32, 64]));
    let seed = &recommended["seed"];
    assert_eq!((&seed["work"], &seed["agrees"]), (&json!("io_bound"), &json!(true)));
    assert_eq!(words(&seed["says"]), ["asyncio", "multithreading"]);
    let text = words(&recommended["text"]);
    assert!(text[0].starts_with("Take asyncio") && text.iter().any(|line| line.contains("(forecast)")), "{text:?}");
    assert_eq!(noisy, text.last().unwrap().contains("noisy"));
}

#[tokio::test]
async fn equals_cannot_be_told_apart_and_that_is_said() {
    let house = harness::open();
    let line_up = json!([{"model": "asyncio"}, {"model": "asyncio", "setup": {"chef": "own"}}]);
    let comparison = compare(&house, json!({"work": {"io_ms": 200, "dishes": 2}, "line_up": line_up})).await;
    let verdict = &comparison["verdict"];
    assert_eq!((&verdict["outcome"], &verdict["significant"]), (&json!("no_significant_difference"), &json!(false)));
    assert_eq!(words(&verdict["tied"]), [entries(&comparison)[1]["name"].as_str().unwrap()]);
    assert_eq!(comparison["recommendation"]["confidence"], "low");
    assert!(words(&comparison["recommendation"]["text"])[0].contains("no significant difference"));
}

#[tokio::test]
async fn processes_and_one_chef_meet_at_sigma_over_m_minus_one() {
    let house = harness::open();
    let line_up = json!([{"model": "asyncio"}, {"model": "multiprocessing", "setup": {"kitchens": 2}}]);
    let ask = json!({"work": {"cpu_ms": 20, "dishes": 6}, "line_up": line_up, "repeats": 3});
    let comparison = compare(&house, ask).await;
    let crossover = &comparison["recommendation"]["crossover"];
    assert!((number(crossover, "/cpu_ms") / 20.0 - 1.0).abs() < 0.25, "{crossover}");
    match crossover["above_ms"].as_f64() {
        Some(above) => {
            let by_hand = number(crossover, "/start_ms") / (number(crossover, "/cores") - 1.0);
            assert!((above - by_hand).abs() <= 0.01 + 0.05 * by_hand, "{crossover}");
        }
        None => assert!(number(crossover, "/cores") <= 1.05, "{crossover}"),
    }
    assert_eq!(comparison["recommendation"]["seed"]["work"], "cpu_bound");
    let noise = &comparison["noise"];
    let nproc = std::thread::available_parallelism().unwrap().get() as f64;
    for cores in ["/cores_before", "/cores_after"] {
        assert!((0.1..=nproc).contains(&number(noise, cores)), "{noise}");
    }
    assert!(number(noise, "/spread") >= 0.0 && number(noise, "/core_wait_share") >= 0.0, "{noise}");
}

#[tokio::test]
async fn weights_decide_between_time_and_memory() {
    let house = harness::open();
    // Two processes wait half as long as one thread and take more memory.
    let line_up = json!([{"model": "sequential"}, {"model": "multiprocessing", "setup": {"kitchens": 2}}]);
    let work = json!({"io_ms": 40, "dishes": 4});
    let ask = |objective: Value| json!({"work": work, "line_up": line_up, "repeats": 3, "objective": objective});
    let winner = |comparison: &Value| comparison["recommendation"]["model"].clone();
    let time = compare(&house, ask(json!({"makespan": 1}))).await;
    assert_eq!((winner(&time), &time["objective"]), (json!("multiprocessing"), &json!("makespan")));
    let memory = compare(&house, ask(json!({"makespan": 1, "memory": 50}))).await;
    assert_eq!(winner(&memory), json!("sequential"));
    assert_eq!(memory["objective"], json!({"makespan": 1, "memory": 50}));
    assert!(memory["verdict"]["text"].as_str().unwrap().contains("1 makespan + 50 memory"));
}

#[tokio::test]
async fn every_measured_entry_has_a_forecast_and_its_error_is_summed_up() {
    let house = harness::open();
    let empty = house.json("/accuracy").await;
    assert!(empty["data"].as_array().unwrap().iter().all(|row| row["before"].is_null() && row["refit"].is_null()));
    let line_up =
        json!([{"model": "sequential"}, {"model": "asyncio"}, {"model": "multithreading", "setup": {"chefs": 4}}]);
    let ask = json!({"work": {"io_ms": 50, "cpu_ms": 2, "dishes": 4}, "line_up": line_up, "repeats": 3});
    let comparison = compare(&house, ask).await;
    let mut errors = Vec::new();
    for entry in entries(&comparison) {
        let forecast = &entry["forecast"];
        let (foreseen, measured) = (number(forecast, "/makespan_ms"), number(forecast, "/measured_makespan_ms"));
        assert_eq!(measured, number(entry, "/makespan_ms/median"), "{entry}");
        let error = number(forecast, "/error_percent");
        assert!((error - 100.0 * (foreseen / measured - 1.0)).abs() < 0.1, "{forecast}");
        assert!(number(forecast, "/refit_makespan_ms") > 0.0);
        errors.push(error);
    }
    let accuracy = house.json("/accuracy").await;
    let rows = accuracy["data"].as_array().unwrap();
    let all = rows.iter().find(|row| row["model"].is_null()).expect("a row for all");
    assert_eq!(all["before"]["n"], 3);
    let bias = errors.iter().sum::<f64>() / 3.0;
    assert!((number(all, "/before/bias_percent") - bias).abs() < 0.01, "{all}, not {bias}");
    let of = |model: &str| rows.iter().find(|row| row["model"] == model).expect("a row").clone();
    assert_eq!((&of("asyncio")["refit"]["n"], &of("multiprocessing")["refit"]), (&json!(1), &Value::Null));
}

#[tokio::test]
async fn what_threads_waited_for_the_lock_and_lost_without_one_is_said_with_its_figures() {
    let house = harness::open();
    let line_up = json!([{"model": "sequential"}, {"model": "multithreading", "setup": {"chefs": 4, "gil": true, "switch_interval_us": 500}}]);
    let recipe = json!({"name": "counting", "steps": [
        {"name": "count", "work": {"kind": "counter", "increments": 4_000_000}}]});
    let ask = json!({"work": {"recipe": recipe, "dishes": 4}, "line_up": line_up, "repeats": 3, "budget_ms": 60_000});
    let comparison = compare(&house, ask).await;
    let text = words(&comparison["recommendation"]["text"]);
    let said = |what: &str| text.iter().any(|line| line.starts_with("multithreading x 4") && line.contains(what));
    assert!(said("% of the time its steps could have computed they waited for the GIL"), "{text:?}");
    assert!(said("updates of the shared counter were lost"), "{text:?}");
    assert!(!text.iter().any(|line| line.starts_with("sequential:")), "who counts alone loses nothing: {text:?}");
}
