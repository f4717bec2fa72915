//! The door's own answers and the contract, both ways: each operation is really refused in each way, and its shared
//! answers are exactly those that came.
//!
//! What handlers answer is in `openapi.rs`; who may come in is deliberately left to `access_routes.rs`.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::edge_connections::busy;
use crate::edge_raw::{Raw, ask};
use crate::harness::{self, House};
use crate::orders_api::FOR_EVER_MS;

/// Answers that no handler gives, by status and name.
const SHARED: [(u16, &str); 6] = [
    (400, "BadRequest"),
    (408, "RequestTimeout"),
    (414, "UriTooLong"),
    (421, "Misdirected"),
    (431, "HeadTooLarge"),
    (503, "HouseFull"),
];

/// A request that is refused with this status, where that can happen.
fn refused(status: u16, method: &str, path: &str) -> String {
    let request = |target: &str, fields: &str| format!("{method} {target} HTTP/1.1\r\n{fields}\r\n");
    let host = "Host: localhost\r\n";
    match status {
        400 => request(path, &format!("{host}Content-Length: 0\r\nContent-Length: 0\r\n")),
        408 => format!("{method} {path} HTTP/1.1\r\n{host}"),
        414 => request(&format!("{path}?x={}", "x".repeat(9_000)), host),
        421 => request(path, "Host: example.org\r\n"),
        431 => request(path, &format!("{host}{}", "X: y\r\n".repeat(70))),
        _ => request(path, host),
    }
}

/// The status of the answer; the connection ends with it.
async fn status(house: &House, request: &str) -> u16 {
    let mut raw = Raw::connect(house).await;
    raw.send(request).await;
    raw.answer().await.map_or(0, |said| said.status)
}

#[tokio::test]
async fn every_operation_lists_what_the_door_answers_in_its_place() {
    let house = harness::open_with(&["--header-timeout-ms", "50"]);
    let full = harness::open_with(&["--max-connections", "5"]);
    let order = full.place(json!({"model": "asyncio", "io_ms": FOR_EVER_MS})).await;
    let _busy = busy(&full, &order).await;
    let contract = house.json("/openapi.json").await;
    for (path, item) in contract["paths"].as_object().expect("paths") {
        for (method, operation) in item.as_object().expect("operations") {
            let (method, path) = (method.to_uppercase(), path.replace(['{', '}'], "x"));
            let (mut came, mut listed) = (BTreeSet::new(), BTreeSet::new());
            for (code, name) in SHARED {
                let documented = &operation["responses"][code.to_string()];
                let place = if code == 503 { &full } else { &house };
                if status(place, &refused(code, &method, &path)).await == code {
                    assert!(
                        documented.is_object(),
                        "{method} {path} answers {code}, of which the contract says nothing"
                    );
                    came.insert(name);
                }
                if documented["$ref"] == format!("#/components/responses/{name}") {
                    listed.insert(name);
                } else if documented.is_object() {
                    // The handler's own words count for both.
                    came.remove(name);
                }
            }
            assert_eq!(came, listed, "{method} {path}");
        }
    }
    assert_eq!(ask(&full, "GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n").await.map(|said| said.status), Some(200));
}

#[tokio::test]
async fn shared_answers_are_problems_and_each_is_used() {
    let contract = harness::open().json("/openapi.json").await;
    let text = contract["paths"].to_string();
    for (name, answer) in contract["components"]["responses"].as_object().expect("shared answers") {
        assert!(text.contains(&format!("\"#/components/responses/{name}\"")), "nobody refers to {name}");
        assert!(answer["description"].as_str().is_some_and(|text| !text.is_empty()), "{name}");
        let types: Vec<_> = answer["content"].as_object().expect("a body").keys().collect();
        assert_eq!(types, ["application/problem+json"], "{name}");
        let schema: &Value = &answer["content"]["application/problem+json"]["schema"];
        assert_eq!(schema["$ref"], "#/components/schemas/Problem", "{name}");
    }
}
