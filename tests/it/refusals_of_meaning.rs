//! Orders that are well written and still cannot be: above a limit or contradictory.
//!
//! Syntax and types are in `refusals.rs`. Whether the largest order that is accepted can be cooked is deliberately not
//! looked at here.

use serde_json::{Value, json};

use crate::harness::{self, House};
use crate::refusals::refused;

/// Posts each order and expects a 422 with exactly these pointers, in any order.
async fn all_refused(house: &House, table: Vec<(Value, &[&str])>) -> Vec<Value> {
    let mut problems = Vec::new();
    for (order, expected) in table {
        let problem = refused(house, house.post("/orders", &order).await, 422, "invalid-order").await;
        let errors = problem["errors"].as_array().expect("errors");
        let mut pointers: Vec<_> = errors.iter().map(|error| error["pointer"].as_str().unwrap()).collect();
        pointers.sort_unstable();
        assert_eq!(pointers, expected, "{order:.300}: {problem}");
        assert!(errors.iter().all(|error| !error["detail"].as_str().unwrap().is_empty()));
        problems.push(problem);
    }
    assert_eq!(house.json("/stats").await["accepted"], 0, "nothing of it was accepted");
    problems
}

fn with(field: &str, value: Value) -> Value {
    json!({"model": "asyncio", "io_ms": 0, field: value})
}

/// An order of a recipe with these steps.
fn of_steps(steps: Value) -> Value {
    json!({"model": "asyncio", "recipe": {"name": "n", "steps": steps}})
}

/// An order of a recipe with one step that does this.
fn of_work(work: Value) -> Value {
    of_steps(json!([{"name": "s", "work": work}]))
}

fn wait(name: &str, after: Value) -> Value {
    json!({"name": name, "work": {"kind": "wait", "ms": 0}, "after": after})
}

#[tokio::test]
async fn every_limit_is_refused_by_name_and_never_clamped() {
    let house = harness::open();
    let waits = |count: usize| Value::from_iter((0..count).map(|i| wait(&format!("s{i}"), json!([]))));
    let long_key = "k".repeat(64);
    let at_long_key = format!("/labels/{long_key}");
    let at_long_key = [at_long_key.as_str()];
    let labels = |count: usize| Value::from_iter((0..count).map(|i| (format!("l{i}"), json!(""))));
    let table: Vec<(Value, &[&str])> = vec![
        (with("dishes", json!(0)), &["/dishes"]),
        (with("dishes", json!(3_000_001)), &["/dishes"]),
        (with("dishes", json!(1_000_000_000)), &["/dishes"]),
        (with("dishes", json!(u64::MAX)), &["/dishes"]),
        (with("speed", json!(0)), &["/speed"]),
        (with("speed", json!(1_000_001)), &["/speed"]),
        (with("seed", json!(1_u64 << 53)), &["/seed"]),
        (with("max_in_flight", json!(0)), &["/max_in_flight"]),
        (with("max_in_flight", json!(3_000_001)), &["/max_in_flight"]),
        (with("timeout_ms", json!(0)), &["/timeout_ms"]),
        (with("max_attempts", json!(0)), &["/max_attempts"]),
        (with("max_attempts", json!(11)), &["/max_attempts"]),
        (with("retry_wait_ms", json!(60_001)), &["/retry_wait_ms"]),
        (with("timeout_ms", json!(86_400_001)), &["/timeout_ms"]),
        (with("io_ms", json!(3_600_001)), &["/io_ms"]),
        (with("cpu_ms", json!(3_600_001)), &["/cpu_ms"]),
        (with("labels", labels(17)), &["/labels"]),
        (with("labels", json!({long_key: ""})), &at_long_key),
        (with("labels", json!({"k": "v".repeat(64)})), &["/labels/k"]),
        (with("labels", json!({"": "v"})), &["/labels/"]),
        (with("labels", json!({"a/b~c": "\n"})), &["/labels/a~1b~0c"]),
        (of_steps(json!([])), &["/recipe/steps"]),
        (of_steps(waits(101)), &["/recipe/steps"]),
        (of_work(json!({"kind": "wait", "ms": 3_600_001})), &["/recipe/steps/0/work/ms"]),
        (of_work(json!({"kind": "blocking_wait", "ms": u64::MAX})), &["/recipe/steps/0/work/ms"]),
        (of_work(json!({"kind": "cpu", "ms": 3_600_001})), &["/recipe/steps/0/work/ms"]),
        (of_work(json!({"kind": "cpu", "iterations": 1_u64 << 63})), &["/recipe/steps/0/work/iterations"]),
        // No single number is too large here, what they come to is.
        (json!({"model": "asyncio", "io_ms": 0, "cpu_ms": 0, "dishes": 1_500_001}), &["/dishes"]),
        (json!({"model": "asyncio", "cpu_ms": 1000, "dishes": 3601}), &["/dishes"]),
        (json!({"model": "asyncio", "recipe": "pasta", "dishes": 72_001}), &["/dishes"]),
        (json!({"model": "multithreading", "setup": {"chefs": 4097}}), &["/setup/chefs"]),
        (json!({"model": "multithreading", "setup": {"chefs": 0}}), &["/setup/chefs"]),
        (json!({"model": "multithreading", "setup": {"chefs": "per_step"}, "dishes": 4097}), &["/setup"]),
        (json!({"model": "multiprocessing", "setup": {"kitchens": 1025}}), &["/setup/kitchens"]),
        (json!({"model": "multiprocessing", "setup": {"kitchens": u64::MAX}}), &["/setup/kitchens"]),
        (json!({"model": "asyncio", "setup": {"assistants": 257}}), &["/setup/assistants"]),
    ];
    let problems = all_refused(&house, table).await;
    for (problem, limit) in problems.iter().zip(["3000000"; 4]) {
        assert!(problem["errors"][0]["detail"].as_str().unwrap().contains(limit), "names the limit: {problem}");
    }
    // The largest that is allowed is allowed.
    for order in
        [with("labels", labels(16)), with("labels", json!({"k".repeat(63): "ü".repeat(63)})), of_steps(waits(100))]
    {
        assert_eq!(house.cook(order).await["status"], "succeeded");
    }
}

#[tokio::test]
async fn a_recipe_that_contradicts_itself_is_refused() {
    let house = harness::open();
    let step = |name: &str, after: &[&str]| wait(name, json!(after));
    let table: Vec<(Value, &[&str])> = vec![
        (of_steps(json!([step("a", &["a"])])), &["/recipe/steps/0/after"]),
        (of_steps(json!([step("a", &[]), step("b", &["c"]), step("c", &["b"])])), &["/recipe/steps/1/after"]),
        (of_steps(json!([step("a", &["c"]), step("b", &["a"]), step("c", &["b"])])), &["/recipe/steps/0/after"]),
        (of_steps(json!([step("a", &[]), step("b", &["a", "x"])])), &["/recipe/steps/1/after/1"]),
        (of_steps(json!([step("a", &[]), step("a", &[])])), &["/recipe/steps/1/name"]),
        (of_work(json!({"kind": "boil", "ms": 1})), &["/recipe/steps/0/work/kind"]),
        (of_work(json!({})), &["/recipe/steps/0/work/kind"]),
        (of_work(json!({"kind": "wait"})), &["/recipe/steps/0/work/ms"]),
        (of_work(json!({"kind": "wait", "ms": 1, "iterations": 1})), &["/recipe/steps/0/work/iterations"]),
        (of_work(json!({"kind": "cpu"})), &["/recipe/steps/0/work/iterations"]),
        (of_work(json!({"kind": "cpu", "ms": 1, "iterations": 1})), &["/recipe/steps/0/work/iterations"]),
        (with("recipe", json!("pasta")), &["/recipe"]),
        (json!({"model": "asyncio", "recipe": "no such"}), &["/recipe"]),
        (json!({"preset": "no such", "model": "asyncio"}), &["/preset"]),
        (json!({}), &["/model"]),
        (json!({"model": "Asyncio"}), &["/model"]),
        (with("step_order", json!("random")), &["/step_order"]),
        (with("isolation", json!("none")), &["/isolation"]),
        (json!({"model": "sequential", "setup": {"chefs": 1}}), &["/setup/chefs"]),
        (json!({"model": "asyncio", "setup": {"chefs": 2}}), &["/setup/chefs"]),
        (json!({"model": "multithreading", "setup": {"inside": "asyncio"}}), &["/setup/inside"]),
        (
            json!({"model": "multiprocessing", "setup": {"inside": "wok", "kitchens": "all"}}),
            &["/setup/inside", "/setup/kitchens"],
        ),
        (json!({"model": "asyncio", "setup": {"assistants": "7"}}), &["/setup/assistants"]),
        (json!({"model": "asyncio", "setup": {"assistants": true}}), &["/setup/assistants"]),
    ];
    all_refused(&house, table).await;
}

#[tokio::test]
async fn names_are_one_to_a_hundred_characters_that_can_be_printed() {
    let house = harness::open();
    let bad = [
        "",
        "a\nb",
        "a\r\nb",
        "\u{0}",
        "tab\t",
        "\u{7f}",
        "\u{85}",
        "\u{202e}gnp",
        "a\u{2066}b",
        "a\u{2069}b",
        "\u{202a}",
        "\u{fffe}",
    ];
    let long = "ü".repeat(101);
    for name in bad.iter().copied().chain([long.as_str()]) {
        let mut recipe = json!({"name": "n", "steps": [{"name": name, "work": {"kind": "wait", "ms": 0}}]});
        all_refused(&house, vec![(json!({"model": "asyncio", "recipe": recipe}), &["/recipe/steps/0/name"])]).await;
        recipe["steps"][0]["name"] = json!("s");
        recipe["name"] = json!(name);
        all_refused(&house, vec![(json!({"model": "asyncio", "recipe": recipe}), &["/recipe/name"])]).await;
        // An empty value of a label is a mark like any other.
        if !name.is_empty() {
            all_refused(&house, vec![(with("labels", json!({"k": name})), &["/labels/k"])]).await;
        }
    }
    let good =
        json!([wait(&"ü".repeat(100), json!([])), wait("<b>&\"'`$(x)", json!([])), wait("日本語 🍝", json!([]))]);
    assert_eq!(house.cook(of_steps(good)).await["status"], "succeeded");
}

#[tokio::test]
async fn faults_are_refused_unless_the_service_allows_them() {
    let fault = |what: &str| of_work(json!({"kind": "fault", "what": what}));
    let house = harness::open();
    for what in ["exit", "abort", "panic", "hang", "oom"] {
        let problems = all_refused(&house, vec![(fault(what), &["/recipe/steps/0/work/kind"])]).await;
        assert!(problems[0]["detail"].as_str().unwrap().contains("--allow-faults"));
    }
    let house = harness::open_with(&["--allow-faults"]);
    let mut exposed = fault("exit");
    exposed["isolation"] = json!("house");
    let table: Vec<(Value, &[&str])> = vec![
        (fault("fire"), &["/recipe/steps/0/work/what"]),
        (of_work(json!({"kind": "fault"})), &["/recipe/steps/0/work/what"]),
        (of_work(json!({"kind": "fault", "what": "exit", "ms": 1})), &["/recipe/steps/0/work/ms"]),
        // It would take the house down.
        (exposed, &["/isolation"]),
    ];
    all_refused(&house, table).await;
    let ended = house.cook(fault("exit")).await;
    assert_eq!(
        (&ended["status"], &ended["isolation"]),
        (&json!("failed"), &json!("kitchen")),
        "contained where nothing is said"
    );
}

#[tokio::test]
async fn everything_that_is_wrong_is_reported_at_once() {
    let house = harness::open();
    let order = json!({"model": "asyncio", "dishes": 0, "speed": 0, "timeout_ms": 0, "step_order": "x", "isolation": "y",
        "labels": {"": ""}, "arrivals": {"rate_per_s": 0}, "setup": {"gil": 1, "assistants": 999, "chefs": 1},
        "recipe": {"name": "", "steps": [{"name": "\n", "work": {"kind": "wait"}, "after": ["none"]}]}});
    let expected: &[&str] = &[
        "/arrivals/rate_per_s",
        "/dishes",
        "/isolation",
        "/labels/",
        "/recipe/name",
        "/recipe/steps/0/after/0",
        "/recipe/steps/0/name",
        "/recipe/steps/0/work/ms",
        "/setup/assistants",
        "/setup/chefs",
        "/setup/gil",
        "/speed",
        "/step_order",
        "/timeout_ms",
    ];
    all_refused(&house, vec![(order, expected)]).await;
}
