//! L2: what is malformed is refused in the same words, whatever keeps the orders.
//!
//! It deliberately compares answers with each other, not with a list: tests/contract holds them to the list.

use std::time::Duration;

use serde_json::Value;

use super::crash::directory;
use super::nodes::Nodes;
use crate::Try;
use crate::figures::Finding;
use crate::postgres::Postgres;
use crate::service::Setting;
use crate::wire::{Answer, request};

const LEASE: Duration = Duration::from_secs(15);
/// Bodies of orders that are wrong, or look as if a database might mind.
const BODIES: &[&str] = &[
    "",
    "{",
    "[]",
    "null",
    "{} x",
    r#"{"model":"asyncio","dishes":0}"#,
    r#"{"model":"asyncio","dishes":-1}"#,
    r#"{"model":"asyncio","dishes":1.0}"#,
    r#"{"model":"asyncio","dishes":1e3}"#,
    r#"{"model":"asyncio","dishes":9007199254740993}"#,
    r#"{"model":"asyncio","dishes":18446744073709551616}"#,
    r#"{"model":"asyncio","dishes":1,"dishes":2}"#,
    r#"{"model":"asyncio","unknown":1}"#,
    r#"{"model":"celery"}"#,
    r#"{"model":"asyncio","setup":{"chefs":2}}"#,
    r#"{"model":"asyncio","labels":{"a":"\u0000"}}"#,
    r#"{"model":"asyncio","labels":{"\u0000":"a"}}"#,
    r#"{"model":"asyncio","labels":{"a":"\u0007"}}"#,
    r#"{"model":"asyncio","labels":{"a":"\ud800"}}"#,
    r#"{"model":"asyncio","labels":{"a":"\u202egnp.exe"}}"#,
    r#"{"model":"asyncio","labels":{"a":"it's \"quoted\"; drop table orders; --"}}"#,
    r#"{"model":"asyncio","timeout_ms":0}"#,
    r#"{"model":"asyncio","expires_in_ms":99999999999999}"#,
    r#"{"model":"asyncio","recipe":{"name":"\u0000","steps":[{"name":"s","work":{"kind":"wait","ms":1}}]}}"#,
    r#"{"model":"asyncio","recipe":{"name":"n","steps":[]}}"#,
    r#"{"model":"asyncio","recipe":{"name":"n","steps":[{"name":"s","work":{"kind":"wait","ms":1},"after":["s"]}]}}"#,
];
/// Everything else that is asked of a store.
const PATHS: &[(&str, &str)] = &[
    ("GET", "/orders?limit=0"),
    ("GET", "/orders?limit=-1"),
    ("GET", "/orders?limit=1000000000"),
    ("GET", "/orders?limit=1&limit=2"),
    ("GET", "/orders?cursor=x"),
    ("GET", "/orders?cursor=%00"),
    ("GET", "/orders?status=burnt"),
    ("GET", "/orders?label.a=%00"),
    ("GET", "/orders?label.a=%27%20or%201=1"),
    ("GET", "/orders?created_after=yesterday"),
    ("GET", "/orders/x"),
    ("GET", "/orders/%00"),
    ("GET", "/orders/ord_00000000-0000-7000-8000-000000000000"),
    ("GET", "/orders/ord_00000000-0000-7000-8000-000000000000/events"),
    ("GET", "/orders/ord_00000000-0000-7000-8000-000000000000/steps"),
    ("POST", "/orders/ord_00000000-0000-7000-8000-000000000000/cancel"),
    ("DELETE", "/orders/ord_00000000-0000-7000-8000-000000000000"),
    ("PATCH", "/orders"),
    ("TRACE", "/orders"),
    ("GET", "//orders"),
];
/// Keys of requests that take effect once.
const KEYS: &[&str] = &["", "\"", "a b", "k\u{e9}", "\u{1}"];

/// What the order is about, but for what differs by nature.
fn plain(answer: &Answer) -> Value {
    let mut body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    if let Some(order) = body.as_object_mut() {
        for key in ["id", "seed", "node", "status", "attempt", "links", "request_id", "instance", "timings", "progress"]
        {
            order.remove(key);
        }
        order.retain(|key, _| !key.ends_with("_at"));
    }
    body
}

/// L2.
pub(super) async fn answers(setting: &Setting) -> Try<Finding> {
    let body = |body: &&str| request("POST", "/orders", &[("content-type", "application/json")], body);
    let mut table: Vec<(String, Vec<u8>)> = BODIES.iter().map(|text| ((*text).to_owned(), body(text))).collect();
    table.extend(PATHS.iter().map(|(method, path)| (format!("{method} {path}"), request(method, path, &[], ""))));
    let long = "k".repeat(256);
    for key in KEYS.iter().copied().chain([long.as_str()]) {
        let order = r#"{"model":"asyncio","io_ms":1,"cpu_ms":0}"#;
        table.push((format!("key {key:?}"), request("POST", "/orders", &[("idempotency-key", key)], order)));
    }
    let mut finding = Finding::of(
        "L2 malformed, three stores",
        format!("{} requests", table.len()),
        "the same status and words from each",
    );
    let file = directory(setting, "L2")?.join("orders.db");
    let postgres = Postgres::start(&[])?;
    let stores = ["memory".to_owned(), format!("sqlite:{}", file.display()), postgres.url.clone()];
    let mut seen: Vec<Vec<(u16, Value)>> = Vec::new();
    for (store, row) in stores.iter().zip(["L2-memory", "L2-sqlite", "L2-postgres"]) {
        let nodes = Nodes::start(setting, row, store, 1, LEASE).await?;
        let mut said = Vec::new();
        for (name, bytes) in &table {
            // On a connection of its own: some requests end theirs.
            let answer = nodes.all[0].client().call(bytes).await.map_err(|error| format!("{row}: {name}: {error}"))?;
            said.push((answer.status, plain(&answer)));
        }
        finding.must(nodes.all[0].panics() == 0, format!("{row}: a panic"));
        seen.push(said);
    }
    let refused = seen[0].iter().filter(|(status, _)| (400..500).contains(status)).count();
    for (at, (name, _)) in table.iter().enumerate() {
        for (store, said) in ["sqlite", "postgres"].iter().zip(&seen[1..]) {
            let same = said[at] == seen[0][at];
            finding.must(same, format!("{name}: memory {:?}, {store} {:?}", seen[0][at], said[at]));
        }
        finding.must(seen[0][at].0 < 500, format!("{name}: {}", seen[0][at].0));
    }
    finding.fault(refused > table.len() / 2, format!("{refused} were refused"));
    Ok(finding)
}
