//! Forecasts and calibrations over HTTP and on the command line: what they answer, how they stand to what is really cooked,
//! what they refuse.
//!
//! The laws themselves are tested in virtual time, in `src/sim/`. Absolute times are deliberately not looked at.

use std::process::Command;

use pasta_fasta::lab::feasible::Limits;
use pasta_fasta::model::Demand;
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::harness::{self, House, number};
use crate::refusals::refused;

/// Places a forecast that must be answered.
async fn foresee(house: &House, ask: Value) -> Value {
    let response = house.post("/forecasts", &ask).await;
    let status = response.status();
    let answer: Value = response.json().await.expect("JSON");
    assert_eq!(status, StatusCode::OK, "{ask}: {answer}");
    answer
}

fn entries(forecast: &Value) -> &[Value] {
    forecast["entries"].as_array().expect("entries")
}

fn makespan(entry: &Value) -> f64 {
    number(entry, "/makespan_ms")
}

#[tokio::test]
async fn a_forecast_ranks_its_entries_explains_them_and_is_the_same_twice() {
    let house = harness::open();
    let ask = json!({"work": {"io_ms": 60, "cpu_ms": 8, "dishes": 500}, "cores": 4});
    let forecast = foresee(&house, ask.clone()).await;
    assert_eq!(forecast, foresee(&house, ask).await);
    assert_eq!((&forecast["calibrated"], &forecast["cores"]), (&json!(false), &json!(4.0)));
    assert!(number(&forecast, "/crossover_ms") > 0.0);
    assert!(entries(&forecast).len() == 5 && entries(&forecast).is_sorted_by_key(makespan), "{forecast}");
    for (entry, rank) in entries(&forecast).iter().zip(1..) {
        assert_eq!(
            (&entry["rank"], &entry["feasible"], &entry["infeasible"]),
            (&json!(rank), &json!(true), &Value::Null)
        );
        let path = entry["path_ms"].as_object().unwrap();
        let sum: f64 = path.values().filter_map(Value::as_f64).sum();
        assert!((sum - makespan(entry)).abs() < 0.01, "its path adds up to it: {entry}");
        let largest = path.iter().max_by(|a, b| a.1.as_f64().unwrap().total_cmp(&b.1.as_f64().unwrap())).unwrap();
        assert_eq!(entry["dominant"], **largest.0);
        assert!(number(entry, "/lower_bound_ms") <= makespan(entry) + 0.01, "{entry}");
        assert!(makespan(entry) <= number(entry, "/upper_bound_ms") + 0.01, "{entry}");
        assert!(number(entry, "/p50_dish_ms") <= number(entry, "/p95_dish_ms"));
    }
}

#[tokio::test]
async fn more_cores_help_who_computes_on_many_and_nobody_else() {
    let house = harness::open();
    let line_up = json!([{"model": "asyncio"}, {"model": "asyncio", "setup": {"assistants": 16}}]);
    let mut makespans = Vec::new();
    for cores in [1, 4, 16] {
        let ask = json!({"work": {"io_ms": 20, "cpu_ms": 10, "dishes": 160}, "line_up": line_up, "cores": cores});
        let forecast = foresee(&house, ask).await;
        let of = |assistants: u64| {
            let entry = entries(&forecast).iter().find(|entry| entry["setup"]["assistants"] == assistants);
            makespan(entry.expect("the entry"))
        };
        makespans.push((of(0), of(16)));
    }
    let [(alone_1, many_1), (_, many_4), (alone_16, many_16)] = makespans[..] else { panic!("three") };
    assert!((alone_1 / alone_16 - 1.0).abs() < 0.01, "{makespans:?}");
    assert!(many_1 > 3.0 * many_4 && many_4 > 3.0 * many_16, "{makespans:?}");
}

#[tokio::test]
async fn what_waits_is_foreseen_as_it_is_cooked() {
    let house = harness::open();
    let work = json!({"io_ms": 100, "dishes": 12, "seed": 1});
    let table = [
        ("asyncio", json!({})),
        ("multithreading", json!({"chefs": 3})),
        ("multiprocessing", json!({"kitchens": 3, "start": "prewarmed"})),
        ("sequential", json!({})),
    ];
    for (model, setup) in table {
        let line_up = json!([{"model": model, "setup": setup}]);
        let forecast = foresee(&house, json!({"work": work, "line_up": line_up})).await;
        let mut order = work.clone();
        order["model"] = json!(model);
        order["setup"] = setup;
        order["isolation"] = json!("kitchen");
        let cooked = house.cook(order).await;
        let ratio = makespan(&entries(&forecast)[0]) / number(&cooked, "/timings/makespan_ms");
        // What is late on a busy machine is late in one direction.
        assert!((0.5..1.05).contains(&ratio), "{model}: {ratio} of {forecast}");
    }
}

#[tokio::test]
async fn a_million_dishes_are_foreseen_and_what_no_machine_has_is_named() {
    let house = harness::open();
    let line_up = json!([{"model": "asyncio"}, {"model": "multiprocessing", "setup": {"kitchens": "per_step"}}]);
    let forecast = foresee(&house, json!({"work": {"io_ms": 1000, "dishes": 1_000_000}, "line_up": line_up})).await;
    let [loop_, processes] = entries(&forecast) else { panic!("two: {forecast}") };
    assert_eq!((&loop_["model"], &loop_["feasible"]), (&json!("asyncio"), &json!(true)));
    assert_eq!(processes["feasible"], false);
    // A dish that computes for two minutes, a million times: no order may, a forecast may.
    let ask = json!({"work": {"cpu_ms": 2, "dishes": 1_000_000}, "line_up": [{"model": "sequential"}]});
    let forecast = foresee(&house, ask).await;
    assert!(makespan(&entries(&forecast)[0]) > 2e6, "{forecast}");
}

/// A number in a file of `/proc`.
fn proc_number(path: &str) -> u64 {
    let text = std::fs::read_to_string(path).expect("Linux");
    text.split_whitespace().find_map(|word| word.parse().ok()).unwrap_or(u64::MAX)
}

#[tokio::test]
async fn the_limit_that_stands_in_the_way_is_named_with_its_size() {
    let house = harness::open();
    let limits = std::fs::read_to_string("/proc/self/limits").expect("Linux");
    let of_process = |name: &str| -> Option<u64> {
        limits.lines().find_map(|line| line.strip_prefix(name)?.split_whitespace().next()?.parse().ok())
    };
    let (nproc, nofile) = (of_process("Max processes"), of_process("Max open files").unwrap_or(u64::MAX));
    let none = Demand { threads: 0, children: 0 };
    let (group_tasks, group_memory) = (Limits::read(none).group_tasks, Limits::read(none).group_memory);
    let (pid_max, threads_max) = (proc_number("/proc/sys/kernel/pid_max"), proc_number("/proc/sys/kernel/threads-max"));
    let memory = proc_number("/proc/meminfo") * 1024;
    // A million processes, and as many as process ids leave room for; a million threads.
    let ask = |model: &str, option: &str, dishes: u64| json!({"work": {"io_ms": 1000, "dishes": dishes}, "line_up": [{"model": model, "setup": {option: "per_step"}}]});
    let few = (pid_max.min(threads_max).min(nproc.unwrap_or(u64::MAX)) - 100).min(1_000_000);
    let table = [
        ("multiprocessing", "kitchens", 1_000_000),
        ("multithreading", "chefs", 1_000_000),
        ("multiprocessing", "kitchens", few),
        ("multithreading", "chefs", 5_000),
    ];
    for (model, option, dishes) in table {
        let forecast = foresee(&house, ask(model, option, dishes)).await;
        let entry = &entries(&forecast)[0];
        let why = entry["infeasible"].as_str().unwrap_or_else(|| panic!("feasible: {entry}"));
        let peak = number(entry, "/peak_memory_bytes") as u64;
        let limit = match dishes {
            n if n > pid_max => format!("process ids; pid_max is {pid_max}"),
            n if n > threads_max => format!("threads; threads-max is {threads_max}"),
            n if Some(n) > nproc.or(Some(u64::MAX)) => {
                format!("threads and processes; RLIMIT_NPROC is {}", nproc.unwrap())
            }
            n if group_tasks.as_ref().is_some_and(|limit| n > limit.most) => "pids.max of its cgroup is".to_owned(),
            n if model == "multiprocessing" && 64 + 4 * n > nofile => format!("descriptors; RLIMIT_NOFILE is {nofile}"),
            _ if peak > memory => format!("would need {peak} bytes; the memory of this machine is {memory}"),
            _ if group_memory.as_ref().is_some_and(|limit| peak > limit.most) => "of its cgroup is".to_owned(),
            _ => "the house's budget is".to_owned(),
        };
        assert!(why.contains(&limit), "{dishes} {option}: {why}, not {limit}");
        println!("{model}, {dishes} dishes: {why}");
    }
}

#[tokio::test]
async fn a_sweep_shows_the_best_of_each_way_of_scaling() {
    let house = harness::open();
    let ask = json!({"work": {"io_ms": 50, "cpu_ms": 5, "dishes": 64}, "line_up": "sweep", "cores": 8});
    let forecast = foresee(&house, ask).await;
    assert_eq!(entries(&forecast).len(), 5, "{forecast}");
    assert!(entries(&forecast).is_sorted_by_key(makespan));
}

#[tokio::test]
async fn what_cannot_be_foreseen_is_refused_with_its_place() {
    let house = harness::open();
    let table = [
        (json!({"work": {"io_ms": 1, "dishes": 1_000_001}}), "/work/dishes"),
        (json!({"work": {"io_ms": 1, "dishes": 0}}), "/work/dishes"),
        (json!({"work": {"io_ms": 1}, "cores": 0}), "/cores"),
        (json!({"work": {"io_ms": 1}, "cores": 2000}), "/cores"),
        (json!({"work": {"io_ms": 1}, "line_up": "all"}), "/line_up"),
        (json!({"work": {"io_ms": 1}, "line_up": []}), "/line_up"),
        (json!({"work": {"io_ms": 1}, "objective": "beauty"}), "/objective"),
        (json!({"work": {"io_ms": 1, "model": "asyncio"}}), "/work/model"),
        (
            json!({"work": {"io_ms": 1}, "line_up": [{"model": "asyncio", "setup": {"chefs": 2}}]}),
            "/line_up/0/setup/chefs",
        ),
        (json!({"work": {"io_ms": 1, "dishes": 1_000_000}, "line_up": "sweep"}), "/work/dishes"),
    ];
    for (ask, pointer) in table {
        let problem = refused(&house, house.post("/forecasts", &ask).await, 422, "invalid-order").await;
        let pointers: Vec<_> = problem["errors"].as_array().unwrap().iter().map(|e| e["pointer"].as_str()).collect();
        assert!(pointers.contains(&Some(pointer)), "{ask}: {problem}");
    }
}

#[tokio::test]
async fn a_calibration_is_measured_kept_for_who_starts_later_and_foreseen_with() {
    let folder = std::env::temp_dir().join(format!("pasta-fasta-cache-{}", std::process::id()));
    let cache_dir = ["--cache-dir", folder.to_str().unwrap()];
    let house = harness::open_with(&cache_dir);
    let assumed = house.json("/calibrations").await;
    assert_eq!((&assumed["calibrated"], &assumed["measured_at"]), (&json!(false), &Value::Null));
    let response = house.request(reqwest::Method::POST, "/calibrations").send().await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    let measured: Value = response.json().await.unwrap();
    assert_eq!(measured["calibrated"], true, "{measured}");
    assert!(measured["host"].as_str().unwrap().contains("cores"));
    for figure in ["spawn_us", "thread_birth_us", "loop_late_us", "process_bytes", "thread_bytes", "iterations_per_ms"]
    {
        assert!(number(&measured, &format!("/{figure}")) > 0.0, "{figure} of {measured}");
    }
    // A hand-over of the lock wakes a thread, and so may one of a message; what is copied costs by its size.
    let us = |figure: &str| number(&measured, &format!("/{figure}_us"));
    assert!(us("gil_switch") > 0.0 && us("message") > 0.0 && us("pipe_message") > 0.0, "{measured}");
    assert!(us("pipe_mebibyte") > us("mebibyte") && us("shared_memory_mebibyte") > 0.0, "{measured}");
    let burners = measured["effective_cores"].as_array().unwrap();
    assert!(burners.len() >= 2 && burners.iter().all(|b| number(b, "/cores") <= number(b, "/burners")), "{measured}");
    let kept = house.json("/calibrations").await;
    assert_eq!((&kept["measured_at"], &kept["spawn_us"]), (&measured["measured_at"], &measured["spawn_us"]));
    let forecast = foresee(&house, json!({"work": {"io_ms": 1, "cpu_ms": 1}})).await;
    assert_eq!((&forecast["calibrated"], &forecast["calibrated_at"]), (&json!(true), &measured["measured_at"]));

    let later = harness::open_with(&cache_dir);
    let found = later.json("/calibrations").await;
    assert_eq!((&found["measured_at"], &found["spawn_us"]), (&measured["measured_at"], &measured["spawn_us"]));
    let said = command(&[]).env("PASTA_FASTA_CACHE_DIR", &folder).output().unwrap();
    assert!(String::from_utf8(said.stderr).unwrap().contains("costs as measured"));
    std::fs::remove_dir_all(&folder).unwrap();
}

/// A forecast by the command line.
fn command(more: &[&str]) -> Command {
    let mut command = Command::new(harness::BINARY);
    command.env("PASTA_FASTA_CACHE_DIR", "none");
    command.args(["forecast", "--io-ms", "60", "--cpu-ms", "8", "--dishes", "500", "--cores", "8"]).args(more);
    command
}

#[tokio::test]
async fn a_calibration_that_is_not_over_in_time_says_so_and_changes_nothing() {
    let house = harness::open();
    let place = async |query: &str| {
        house.request(reqwest::Method::POST, &format!("/calibrations?{query}")).send().await.unwrap()
    };
    for budget_ms in [1, 700] {
        let problem = refused(&house, place(&format!("budget_ms={budget_ms}")).await, 503, "house-full").await;
        let detail = problem["detail"].as_str().unwrap();
        assert!(
            detail.contains(&format!("not over within {budget_ms} ms")) && detail.contains("runs were cooked"),
            "{detail}"
        );
    }
    assert_eq!(house.json("/calibrations").await["calibrated"], false);
    assert_eq!(
        house.cook(json!({"model": "asyncio", "io_ms": 1})).await["status"],
        "succeeded",
        "the house is open again"
    );
    for budget_ms in ["0", "600001", "soon"] {
        refused(&house, place(&format!("budget_ms={budget_ms}")).await, 422, "invalid-query").await;
    }
}

#[test]
fn the_command_line_prints_a_line_for_each_entry() {
    let run = |more: &[&str]| command(more).output().expect("the binary runs");
    let table = run(&[]);
    let text = String::from_utf8(table.stdout).unwrap();
    assert!(table.status.success() && text.lines().count() == 5 && text.starts_with("1. "), "{text}");
    let rests_on = String::from_utf8(table.stderr).unwrap();
    assert!(rests_on.contains("foreseen, not measured: 8.00 cores, costs as assumed"), "{rests_on}");
    let forecast: Value = serde_json::from_slice(&run(&["--json"]).stdout).expect("JSON");
    assert_eq!(entries(&forecast).len(), 5);
    assert_eq!(run(&["--objective", "beauty"]).status.code(), Some(2));
}
