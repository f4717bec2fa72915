//! What the house shows of itself: catalog, limits, counts, probes, metrics, the page and the API docs.
//!
//! How the page behaves in a browser is deliberately left to `tests/browser`.

use std::collections::HashSet;
use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::harness::{self, House, eventually, link};
use crate::orders_api::{FOR_EVER_MS, header};
use crate::refusals::refused;

fn names(list: &Value) -> Vec<&str> {
    list["data"].as_array().unwrap().iter().map(|entry| entry["name"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn the_catalog_lists_what_can_be_ordered_and_all_of_it_can() {
    let house = harness::open();
    let models = house.json("/models").await;
    assert!(names(&models).starts_with(&["sequential", "asyncio", "multithreading", "multiprocessing"]));
    for model in models["data"].as_array().unwrap() {
        let echoed = house.cook(json!({"model": model["name"], "io_ms": 0})).await;
        // What means something only with another option is not echoed without it.
        let options = model["setup"].as_object().unwrap().iter().filter(|(_, option)| option["only_with"].is_null());
        let defaults = options.map(|(name, option)| {
            assert!(!option["accepts"].as_str().unwrap().is_empty() && !option["summary"].as_str().unwrap().is_empty());
            (name.clone(), option["default"].clone())
        });
        assert_eq!(echoed["setup"], Value::from_iter(defaults), "defaults of {}", model["name"]);
    }
    let recipes = house.json("/recipes").await;
    for name in ["pasta", "pasta-fasta", "thousand-pastas", "chopping", "crawl"] {
        assert!(names(&recipes).contains(&name), "{name}");
    }
    for entry in recipes["data"].as_array().unwrap() {
        let name = entry["name"].as_str().unwrap();
        assert_eq!(house.json(&format!("/recipes/{name}")).await, *entry);
        let by_name = house.cook(json!({"model": "asyncio", "recipe": name, "speed": 1_000_000})).await;
        assert_eq!(by_name["recipe"], entry["recipe"], "a recipe is echoed as it is listed");
        let inline = house.cook(json!({"model": "asyncio", "recipe": entry["recipe"], "speed": 1_000_000})).await;
        assert_eq!(inline["recipe"], entry["recipe"], "and can be sent as it is listed");
    }
    refused(&house, house.get("/recipes/one%20stove").await, 404, "not-found").await;
    let presets = house.json("/presets").await;
    for name in
        ["seed-asyncio", "seed-to-thread", "seed-threads", "seed-processes", "thousand-chefs", "uvicorn-workers"]
    {
        assert!(names(&presets).contains(&name), "{name}");
    }
    for preset in presets["data"].as_array().unwrap() {
        // Fewer dishes, waits divided: that it can be placed is asked here, not how long it takes.
        let mut order = preset["order"].clone();
        order["dishes"] = json!(2);
        // Chefs who hold nothing for any time never meet.
        let (speed, end) = if preset["name"] == "deadlock" { (1, "failed") } else { (1_000_000, "succeeded") };
        order["speed"] = json!(speed);
        let spelled = house.cook(order).await;
        let named = house.cook(json!({"preset": preset["name"], "dishes": 2, "speed": speed})).await;
        for field in ["model", "setup", "recipe", "step_order", "isolation", "status"] {
            assert_eq!(spelled[field], named[field], "{field} of {}", preset["name"]);
        }
        assert_eq!(named["status"], end);
    }
}

#[tokio::test]
async fn the_limits_that_are_listed_are_the_limits_that_hold() {
    let house = harness::open();
    let limits = house.json("/limits").await;
    let expected = json!({"body_bytes": 262_144, "steps_per_dish": 100, "steps_per_order": 3_000_000, "labels": 16,
        "cpu_ms_per_order": 3_600_000, "wait_ms": 3_600_000, "label_chars": 63, "name_chars": 100, "threads": 4096,
        "children": 1024, "assistants": 256, "recorded_steps": 10_000, "hold_s": 60, "page": 200});
    for (name, value) in expected.as_object().unwrap() {
        assert_eq!(limits[name], *value, "{name}");
    }
    // Those that a flag sets are told as they are set.
    let flags = ["--max-threads", "4", "--max-children", "3", "--max-active-orders", "5", "--max-ended-orders", "6"];
    let small = harness::open_with(&flags).json("/limits").await;
    for (name, value) in [("threads", 4), ("children", 3), ("active_orders", 5), ("ended_orders", 6)] {
        assert_eq!(small[name], value, "{name}");
    }
    // And those that only a flag makes limits.
    assert_eq!((&limits["child_memory_bytes"], &limits["writes_per_s"]), (&json!(512 << 20), &json!(null)));
    let flags = ["--kitchen-memory-mib", "0", "--rate-limit-per-s", "7", "--rate-limit-burst", "8"];
    let rated = harness::open_with(&flags).json("/limits").await;
    assert_eq!((&rated["child_memory_bytes"], &rated["writes_per_s"]), (&json!(null), &json!(7)));
    assert_eq!(rated["writes_at_once"], 8);
    assert_eq!(limits["lease_ms"], json!(null), "nobody else can take over");
}

/// What a limit is called on the wire, where that is not its name in the code.
const RENAMED: [(&str, &str); 5] = [
    ("batch", "batch_orders"),
    ("records", "recorded_steps"),
    ("process_rows", "recorded_processes"),
    ("streams", "event_streams"),
    ("attempts", "max_attempts"),
];

#[tokio::test]
async fn every_limit_in_the_code_is_listed_with_its_value() {
    let limits = harness::open().json("/limits").await;
    let code = include_str!("../../src/domain/limits.rs");
    let mut count = 0;
    for line in code.lines() {
        let Some((name, value)) = line.strip_prefix("pub const ").and_then(|line| line.split_once(" = ")) else {
            continue;
        };
        let name = name.split(':').next().unwrap().to_lowercase();
        if name.ends_with("_default") {
            continue;
        }
        let factors =
            value.trim_end_matches(';').split(" * ").map(|factor| factor.replace('_', "").parse::<u64>().unwrap());
        let listed = RENAMED.iter().find(|(own, _)| *own == name).map_or(name.as_str(), |(_, listed)| listed);
        assert_eq!(limits[listed], factors.product::<u64>(), "{listed}");
        count += 1;
    }
    assert!(count > 40, "{count} limits were found in the code");
}

#[tokio::test]
async fn accepted_is_at_any_moment_the_sum_of_all_states() {
    let house = harness::open_with(&["--max-threads", "1"]);
    let sum = |stats: &Value| -> u64 {
        let states = ["queued", "running", "succeeded", "failed", "canceled", "expired"];
        states.iter().map(|state| stats[state].as_u64().unwrap()).sum()
    };
    let threads = |io_ms: u64| json!({"model": "multithreading", "setup": {"chefs": 1}, "io_ms": io_ms});
    let running = house.place(threads(FOR_EVER_MS)).await;
    for order in [threads(0), threads(0), json!({"model": "asyncio", "io_ms": FOR_EVER_MS, "timeout_ms": 100})] {
        house.place(order).await;
    }
    let canceled = house.place(threads(0)).await;
    house.post(&link(&canceled, "cancel"), &json!({})).await;
    house.post("/orders", &json!({"model": "asyncio", "dishes": 0})).await;
    for i in 0..30 {
        house.place(json!({"model": "asyncio", "io_ms": i % 3})).await;
        let stats = house.json("/stats").await;
        assert_eq!((stats["accepted"].as_u64(), sum(&stats)), (Some(6 + i), 6 + i), "{stats}");
    }
    let settled = async || house.json("/stats").await["succeeded"] == 30 && house.json("/stats").await["failed"] == 1;
    eventually(Duration::from_secs(20), "30 succeeded, one timed out", settled).await;
    let stats = house.json("/stats").await;
    for (name, count) in [("queued", 2), ("running", 1), ("canceled", 1), ("kept", 32), ("expired", 0), ("children", 0)]
    {
        assert_eq!(stats[name], count, "{name} of {stats}");
    }
    assert!(stats["active_bytes"].as_u64().unwrap() > 0 && stats["ended_bytes"].as_u64().unwrap() > 0);
    house.post(&link(&running, "cancel"), &json!({})).await;
    let done = async || house.json("/stats").await["queued"] == 0 && house.json("/stats").await["running"] == 0;
    eventually(Duration::from_secs(20), "nothing is active", done).await;
    assert_eq!(house.json("/stats").await["active_bytes"], 0);
}

#[tokio::test]
async fn probes_and_version_answer_in_json() {
    let house = harness::open();
    for path in ["/livez", "/readyz", "/healthz"] {
        assert_eq!(house.json(path).await["status"], "ok", "{path}");
        let head = house.request(Method::HEAD, path).send().await.unwrap();
        assert_eq!((head.status(), head.bytes().await.unwrap().len()), (StatusCode::OK, 0));
    }
    assert_eq!(house.json("/readyz").await["durability"], "memory");
    let version = house.json("/version").await;
    assert_eq!((&version["name"], &version["version"]), (&json!("pasta-fasta"), &json!(env!("CARGO_PKG_VERSION"))));
    assert_ne!(version["boot"], harness::open().json("/version").await["boot"]);
}

/// The value of a series, its labels in any order.
fn series(text: &str, name: &str, labels: &[&str]) -> f64 {
    let matches =
        |line: &&str| line.starts_with(&format!("{name}{{")) && labels.iter().all(|label| line.contains(label));
    let line = text.lines().find(matches).unwrap_or_else(|| panic!("no {name} {labels:?}"));
    line.rsplit_once(' ').unwrap().1.parse().unwrap()
}

#[tokio::test]
async fn metrics_count_orders_steps_and_requests_and_have_no_label_from_a_client() {
    let house = harness::open();
    let order =
        json!({"model": "asyncio", "io_ms": 1, "cpu_ms": 1, "dishes": 3, "labels": {"canary-key": "canary-value"}});
    house.cook(order).await;
    house.place(json!({"model": "multithreading", "io_ms": FOR_EVER_MS})).await;
    house.get("/orders/canary-id").await;
    house.get("/canary-path").await;
    let response = house.get("/metrics").await;
    assert!(header(response.headers(), "content-type").starts_with("application/openmetrics-text; version=1.0.0"));
    let text = response.text().await.unwrap();
    assert!(text.ends_with("# EOF\n") && !text.contains("canary"));
    let of = |name: &str, labels: &[&str]| series(&text, &format!("pasta_fasta_{name}"), labels);
    assert_eq!(of("orders_total", &["model=\"asyncio\"", "status=\"succeeded\""]), 1.0);
    assert_eq!(of("orders_total", &["model=\"multithreading\"", "status=\"succeeded\""]), 0.0);
    assert_eq!(of("steps_total", &["model=\"asyncio\"", "outcome=\"succeeded\""]), 6.0);
    assert_eq!(of("order_run_seconds_count", &["model=\"asyncio\""]), 1.0);
    assert!(of("order_run_seconds_sum", &["model=\"asyncio\""]) >= 0.004);
    assert_eq!(of("order_queue_seconds_count", &["model=\"asyncio\""]), 1.0);
    assert_eq!(of("active_orders", &["status=\"running\""]), 1.0);
    assert_eq!(of("http_requests_total", &["method=\"POST\"", "route=\"/orders\"", "status=\"200\""]), 1.0);
    assert_eq!(of("http_requests_total", &["method=\"GET\"", "route=\"/orders/{id}\"", "status=\"404\""]), 1.0);
    assert_eq!(of("http_requests_total", &["method=\"GET\"", "route=\"unmatched\"", "status=\"404\""]), 1.0);
    let families = [
        "http_request_seconds",
        "loop_lag_seconds",
        "loop_lag_max_seconds",
        "pool_threads",
        "pool_idle_threads",
        "kitchens",
        "idle_kitchens",
        "children",
        "resident_bytes",
    ];
    for family in families {
        let declared = text.contains(&format!("# HELP pasta_fasta_{family} "))
            && text.contains(&format!("# TYPE pasta_fasta_{family} "));
        assert!(declared, "{family}");
    }
    // Each family once, and every series of a family that was declared.
    let declared: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    assert_eq!(declared.iter().collect::<HashSet<_>>().len(), declared.len());
    let known = |line: &str| declared.iter().any(|family| line.starts_with(family));
    assert!(text.lines().filter(|line| !line.starts_with('#')).all(known));
}

async fn page(house: &House, path: &str, content_type: &str) -> String {
    let response = house.get(path).await;
    assert_eq!(response.status(), StatusCode::OK, "{path}");
    assert!(header(response.headers(), "content-type").starts_with(content_type), "{path}");
    assert_eq!(header(response.headers(), "x-content-type-options"), "nosniff", "{path}");
    let policy = header(response.headers(), "content-security-policy");
    assert!(
        policy.contains("default-src 'none'") && !policy.contains("unsafe") && !policy.contains("http"),
        "{policy}"
    );
    response.text().await.unwrap()
}

#[tokio::test]
async fn the_page_and_the_docs_need_no_network() {
    let house = harness::open();
    let index = page(&house, "/", "text/html").await;
    let style = page(&house, "/page/style.css", "text/css").await;
    let script = page(&house, "/page/app.js", "text/javascript").await;
    let key = page(&house, "/page/key.js", "text/javascript").await;
    assert!(index.contains("<title>pasta-fasta</title>") && index.contains("href=\"/docs\""));
    for text in [&index, &style, &script, &key] {
        // The name of SVG's namespace is an address only by its looks.
        let text = text.replace("http://www.w3.org/2000/svg", "");
        for outside in ["http://", "https://", "src=\"//", "href=\"//", "url(//", "@import", "innerHTML", "eval("] {
            assert!(!text.contains(outside), "{outside}");
        }
    }
    assert!(
        !index.contains(" onclick=") && !index.contains("<style") && !index.contains(" style="),
        "the policy forbids it"
    );
    let docs = house.get("/docs").await;
    assert_eq!((docs.status(), docs.url().path()), (StatusCode::OK, "/docs/"));
    let docs = docs.text().await.unwrap();
    let sources = docs.split(['"', '\'']).filter(|text| text.ends_with(".js") || text.ends_with(".css"));
    let sources: Vec<_> = sources.map(|source| source.trim_start_matches("./").to_owned()).collect();
    assert!(sources.len() >= 3 && sources.iter().all(|source| !source.contains("//")), "{sources:?}");
    for source in &sources {
        assert_eq!(house.get(&format!("/docs/{source}")).await.status(), StatusCode::OK, "{source}");
    }
    let initializer = house.get("/docs/swagger-initializer.js").await.text().await.unwrap();
    assert!(initializer.contains("/openapi.json") && !initializer.contains("https://"), "{initializer}");
}
