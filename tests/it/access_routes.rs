//! Every operation of the contract against every kind of key: none, wrong ones, one without the scope, the right one.
//!
//! The operations are read from the service, so that a new one without a rule is found. What a key sees of single orders
//! is deliberately not looked at here.

use std::collections::BTreeSet;
use std::process::Command;

use reqwest::{Method, RequestBuilder, Response};
use serde_json::{Value, json};

use crate::harness::{self, House};
use crate::refusals::refused;

pub(crate) const READER: &str = "reader-secret-0123456789";
pub(crate) const WRITER: &str = "writer-secret-0123456789";
pub(crate) const ADMIN: &str = "admin-secret-0123456789";

/// What anybody may ask; everything else needs a key.
const PUBLIC: &[&str] = &[
    "/healthz",
    "/limits",
    "/livez",
    "/metrics",
    "/models",
    "/openapi.json",
    "/openapi.yaml",
    "/presets",
    "/problems/{slug}",
    "/readyz",
    "/recipes",
    "/recipes/{name}",
    "/version",
];

/// A service with a reader, a writer and an admin.
pub(crate) fn locked(flags: &[&str]) -> House {
    let keys = format!("reader orders:read {READER}; writer orders:write {WRITER}; admin admin {ADMIN}");
    harness::open_as(Command::new(harness::BINARY).env("PASTA_FASTA_API_KEYS", keys), flags)
}

/// Path, method, and the scope the contract asks for.
fn operations(contract: &Value) -> Vec<(String, Method, Option<String>)> {
    let mut all = Vec::new();
    for (path, item) in contract["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let scope = operation["security"].as_array().map(|alternatives| {
                assert_eq!(alternatives[0], json!({}), "{method} {path}: keys are optional");
                alternatives[1]["bearer"][0].as_str().expect("a scope").to_owned()
            });
            all.push((path.clone(), method.to_uppercase().parse().unwrap(), scope));
        }
    }
    all
}

/// The path with ids of things that are not there: whoever is let in learns that.
fn filled_in(path: &str) -> String {
    let kind = if path.starts_with("/comparisons") { "cmp" } else { "ord" };
    let id = format!("{kind}_01900000-0000-7000-8000-000000000000");
    path.replace("{id}", &id).replace("{name}", "pasta").replace("{slug}", "not-found")
}

async fn send(request: RequestBuilder) -> Response {
    request.send().await.expect("an answer")
}

async fn unauthorized(house: &House, request: RequestBuilder, challenge: &str) {
    let response = send(request).await;
    assert_eq!(response.headers()["www-authenticate"], challenge, "{}", response.url());
    refused(house, response, 401, "unauthorized").await;
}

#[tokio::test]
async fn every_operation_lets_in_whom_it_should_and_nobody_else() {
    let house = locked(&[]);
    let contract = house.json("/openapi.json").await;
    assert_eq!(contract["components"]["securitySchemes"]["bearer"]["scheme"], "bearer");
    let (mut public, mut closed) = (BTreeSet::new(), 0);
    for (path, method, scope) in operations(&contract) {
        let ask = || house.request(method.clone(), &filled_in(&path));
        let is_let_in = async |request: RequestBuilder| ![401, 403].contains(&send(request).await.status().as_u16());
        let Some(scope) = scope else {
            assert!(is_let_in(ask()).await, "{method} {path}");
            public.insert(path);
            continue;
        };
        closed += 1;
        let (right, lacking) = if method == Method::GET { (READER, WRITER) } else { (WRITER, READER) };
        assert_eq!(scope, if method == Method::GET { "orders:read" } else { "orders:write" }, "{method} {path}");
        unauthorized(&house, ask(), "Bearer").await;
        let unknown = r#"Bearer error="invalid_token""#;
        for wrong in ["reader-secret-012345678", "reader-secret-01234567890", "reader", "sha256:00", "\u{20}"] {
            unauthorized(&house, ask().header("authorization", format!("Bearer {wrong}")), unknown).await;
        }
        let response = send(ask().bearer_auth(lacking)).await;
        let challenge = response.headers()["www-authenticate"].to_str().unwrap().to_owned();
        assert_eq!(challenge, format!(r#"Bearer error="insufficient_scope", scope="{scope}""#), "{method} {path}");
        refused(&house, response, 403, "forbidden").await;
        assert!(is_let_in(ask().bearer_auth(right)).await, "{method} {path}");
        assert!(is_let_in(ask().bearer_auth(ADMIN)).await, "{method} {path}");
    }
    assert_eq!(public.iter().map(String::as_str).collect::<Vec<_>>(), PUBLIC);
    assert!(closed >= 13, "{closed}");
    assert_eq!(send(house.request(Method::GET, "/stats").bearer_auth(READER)).await.status().as_u16(), 200);
}

#[tokio::test]
async fn a_key_counts_only_as_one_bearer_token_in_its_header() {
    let house = locked(&[]);
    let get = |path: &str| house.request(Method::GET, path);
    for path in [format!("/orders?key={READER}"), format!("/orders?access_token={READER}")] {
        unauthorized(&house, get(&path), "Bearer").await;
        refused(&house, send(get(&path).bearer_auth(READER)).await, 422, "invalid-query").await;
    }
    let unknown = r#"Bearer error="invalid_token""#;
    for value in [READER.to_owned(), format!("Basic {READER}"), format!("Bearer{READER}"), "Bearer".to_owned()] {
        unauthorized(&house, get("/orders").header("authorization", value), unknown).await;
    }
    unauthorized(&house, get("/orders").bearer_auth(READER).bearer_auth(READER), unknown).await;
    unauthorized(&house, get("/orders").header("x-api-key", READER), "Bearer").await;
    for scheme in ["Bearer", "bearer", "BEARER"] {
        let response = send(get("/orders").header("authorization", format!("{scheme} {READER}"))).await;
        assert_eq!(response.status().as_u16(), 200, "{scheme}");
    }
}

#[tokio::test]
async fn what_the_table_does_not_name_is_closed_and_pages_are_open() {
    let house = locked(&[]);
    for path in ["/nothing", "//livez", "//orders", "/orders/", "/page", "/livez/", "/events", "/Orders"] {
        unauthorized(&house, house.request(Method::GET, path), "Bearer").await;
    }
    unauthorized(&house, house.request(Method::OPTIONS, "/orders"), "Bearer").await;
    assert_eq!(send(house.request(Method::HEAD, "/orders")).await.status().as_u16(), 401);
    assert_eq!(send(house.request(Method::HEAD, "/orders").bearer_auth(READER)).await.status().as_u16(), 200);
    for path in
        ["/", "/page/app.js", "/page/key.js", "/page/style.css", "/docs/", "/recipes/pasta", "/problems/unauthorized"]
    {
        assert_eq!(house.get(path).await.status().as_u16(), 200, "{path}");
    }
    refused(&house, send(house.request(Method::GET, "/nothing").bearer_auth(READER)).await, 404, "not-found").await;
}

#[tokio::test]
async fn without_keys_everything_is_open_and_a_key_is_not_looked_at() {
    let house = harness::open();
    for request in [house.request(Method::GET, "/orders"), house.request(Method::GET, "/orders").bearer_auth("any")] {
        assert_eq!(send(request).await.status().as_u16(), 200);
    }
}

#[tokio::test]
async fn a_writer_places_what_a_reader_is_refused() {
    let house = locked(&[]);
    let order = json!({"model": "asyncio", "io_ms": 0});
    let place = |key: &str| house.request(Method::POST, "/orders?wait=60").bearer_auth(key).json(&order);
    assert_eq!(send(place(READER)).await.status().as_u16(), 403);
    assert_eq!(send(place(WRITER)).await.status().as_u16(), 200);
    let stats: Value = send(house.request(Method::GET, "/stats").bearer_auth(ADMIN)).await.json().await.unwrap();
    assert_eq!(stats["accepted"], 1);
}
