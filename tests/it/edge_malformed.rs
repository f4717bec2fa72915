//! Malformed requests over a bare connection: each gets exactly one status, in the shape of a problem, and an end.
//!
//! Bodies that are merely wrong are in `refusals.rs`. It deliberately sends each case alone, so that no answer belongs to
//! another.

use std::fmt::Write;

use reqwest::StatusCode;
use serde_json::json;

use crate::edge_raw::{Raw, ask};
use crate::harness::{self, House};

const ORDER: &str = r#"{"model":"asyncio","io_ms":0}"#;

/// Sends each case; expects this problem, and the end of the connection.
async fn all_end(house: &House, status: u16, slug: &str, cases: &[(&str, String)]) {
    for (what, request) in cases {
        let mut raw = Raw::connect(house).await;
        raw.send(request).await;
        let said = raw.answer().await.unwrap_or_else(|| panic!("{what}: no answer"));
        said.is_problem(status, slug, what);
        assert_eq!(said.header("connection"), "close", "{what}");
        assert!(raw.answer().await.is_none(), "{what}: a second answer");
    }
    assert_eq!(house.json("/stats").await["accepted"], 0, "nothing of it was accepted");
}

fn post(fields: &str, body: &str) -> String {
    format!("POST /orders HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n{fields}\r\n{body}")
}

#[tokio::test]
async fn what_can_be_read_in_two_ways_is_a_400_and_the_end() {
    let house = harness::open();
    let n = ORDER.len();
    let chunked = format!("{n:x}\r\n{ORDER}\r\n0\r\n\r\n");
    let cases = [
        ("CL+TE", post(&format!("Content-Length: {n}\r\nTransfer-Encoding: chunked\r\n"), &chunked)),
        ("TE+CL", post(&format!("Transfer-Encoding: chunked\r\nContent-Length: {n}\r\n"), &chunked)),
        ("two equal lengths", post(&format!("Content-Length: {n}\r\nContent-Length: {n}\r\n"), ORDER)),
        ("two lengths", post(&format!("Content-Length: {n}\r\nContent-Length: 3\r\n"), ORDER)),
        ("a list of lengths", post(&format!("Content-Length: {n}, {n}\r\n"), ORDER)),
        ("a signed length", post(&format!("Content-Length: +{n}\r\n"), ORDER)),
        ("a negative length", post("Content-Length: -1\r\n", ORDER)),
        ("a hexadecimal length", post("Content-Length: 0x10\r\n", ORDER)),
        ("an endless length", post("Content-Length: 99999999999999999999999\r\n", ORDER)),
        ("chunked twice", post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", &chunked)),
        ("gzip, chunked", post("Transfer-Encoding: gzip, chunked\r\n", &chunked)),
        ("identity", post("Transfer-Encoding: identity\r\n", ORDER)),
        ("chunked not last", post("Transfer-Encoding: chunked, identity\r\n", &chunked)),
        ("bare line feeds", format!("POST /orders HTTP/1.1\nHost: localhost\nContent-Length: {n}\n\n{ORDER}")),
        ("one bare line feed", post(&format!("X: y\nContent-Length: {n}\r\n"), ORDER)),
        ("a folded field", post(&format!("X: y\r\n z\r\nContent-Length: {n}\r\n"), ORDER)),
        ("a space before the colon", post(&format!("Content-Length : {n}\r\n"), ORDER)),
        ("a field without a name", post(": y\r\n", "")),
        ("a field without a colon", post("Nonsense\r\n", "")),
        ("NUL in a field", post("X: a\0b\r\n", "")),
    ];
    all_end(&house, 400, "bad-request", &cases).await;
    // hyper notices these in the body.
    for (what, body) in [("no chunk size", "zz\r\n"), ("a chunk too long", "5\r\n123456\r\n"), ("signed", "-1\r\n\r\n")]
    {
        let said = ask(&house, post("Transfer-Encoding: chunked\r\n", body)).await;
        said.unwrap_or_else(|| panic!("{what}: no answer")).is_problem(400, "bad-request", what);
    }
}

#[tokio::test]
async fn a_request_line_that_is_none_is_a_400_and_other_protocols_get_no_foothold() {
    let house = harness::open();
    let line = |line: &str| format!("{line}\r\nHost: localhost\r\n\r\n");
    let cases = [
        ("two spaces", line("GET  /livez HTTP/1.1")),
        ("no version", line("GET /livez")),
        ("version 2", line("GET /livez HTTP/2.0")),
        ("version 1.2", line("GET /livez HTTP/1.2")),
        ("a control character", line("GET /liv\u{1}ez HTTP/1.1")),
        ("a method of brackets", line("(GET) /livez HTTP/1.1")),
        ("CONNECT", line("CONNECT localhost:443 HTTP/1.1")),
        ("no host", "GET /livez HTTP/1.1\r\n\r\n".to_owned()),
        ("two hosts", "GET /livez HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n".to_owned()),
        ("no host in 1.0", "GET /orders HTTP/1.0\r\n\r\n".to_owned()),
    ];
    all_end(&house, 400, "bad-request", &cases).await;
    let old = ask(&house, "GET /livez HTTP/1.0\r\n\r\n").await.expect("probes of load balancers speak 1.0");
    assert_eq!(old.status, 200);
    let hello = [&[0x16_u8, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3][..], &[7; 512]].concat();
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec();
    for (what, bytes) in [("HTTP/0.9", b"GET /livez\r\n\r\n".to_vec()), ("TLS", hello), ("HTTP/2", preface)] {
        let mut raw = Raw::connect(&house).await;
        raw.send(bytes).await;
        if let Some(said) = raw.answer().await {
            said.is_problem(400, "bad-request", what);
            assert!(raw.answer().await.is_none(), "{what}");
        }
    }
    for method in ["TRACE", "BREW", "get"] {
        let said = ask(&house, format!("{method} /orders HTTP/1.1\r\nHost: localhost\r\n\r\n")).await.expect(method);
        said.is_problem(405, "method-not-allowed", method);
        assert!(said.header("allow").contains("POST"), "{said:?}");
    }
    assert_eq!(house.get("/livez").await.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_head_above_a_limit_is_a_431_or_414_and_the_end() {
    let house = harness::open();
    let get = |target: &str, fields: &str| format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n");
    let fields = |count: usize| {
        (0..count).fold(String::new(), |mut all, i| {
            let _ = write!(all, "X-{i}: y\r\n");
            all
        })
    };
    let long = |bytes: usize| "a".repeat(bytes);
    let limits = house.json("/limits").await;
    assert_eq!(
        (&limits["head_bytes"], &limits["headers"], &limits["uri_bytes"]),
        (&json!(16384), &json!(64), &json!(8192))
    );
    for (what, request) in
        [("64 fields", get("/livez", &fields(63))), ("15 KiB", get("/livez", &format!("X: {}\r\n", long(15_000))))]
    {
        assert_eq!(ask(&house, request).await.expect(what).status, 200, "{what}");
    }
    let cases = [
        ("65 fields", get("/livez", &fields(64))),
        ("101 fields", get("/livez", &fields(100))),
        ("1,000 fields", get("/livez", &fields(1_000))),
        ("a field of 17 KiB", get("/livez", &format!("X: {}\r\n", long(17_000)))),
        ("a field of 64 KiB", get("/livez", &format!("X: {}\r\n", long(65_536)))),
        ("a field without an end", format!("GET /livez HTTP/1.1\r\nX: {}", long(20_000))),
    ];
    all_end(&house, 431, "head-too-large", &cases).await;
    // A path that nobody has, but not too long.
    assert_eq!(ask(&house, get(&format!("/{}", long(8_000)), "")).await.expect("8,001 bytes").status, 404);
    let cases = [
        ("8,193 bytes", get(&format!("/{}", long(8_192)), "")),
        ("9 KiB of query", get(&format!("/orders?model={}", long(9_000)), "")),
        ("20 KiB", get(&format!("/{}", long(20_000)), "")),
        ("70 KiB", get(&format!("/{}", long(70_000)), "")),
        ("without an end", format!("GET /{}", long(20_000))),
    ];
    all_end(&house, 414, "uri-too-long", &cases).await;
    // The second request of a connection is measured like the first.
    let mut raw = Raw::connect(&house).await;
    raw.send(get("/livez", "")).await;
    assert_eq!(raw.answer().await.expect("the first").status, 200);
    raw.send(get(&format!("/{}", long(70_000)), "")).await;
    raw.answer().await.expect("the second").is_problem(414, "uri-too-long", "the second request");
}

#[tokio::test]
async fn a_body_above_its_limit_is_answered_before_it_is_read_and_the_answer_arrives() {
    let house = harness::open();
    // The client waits for 100 and never gets it.
    let said = ask(&house, post("Content-Length: 10000000\r\nExpect: 100-continue\r\n", "")).await.expect("an answer");
    said.is_problem(413, "body-too-large", "expect");
    assert_eq!(said.header("connection"), "close");
    // One that fits gets both.
    let mut raw = Raw::connect(&house).await;
    raw.send(post(&format!("Content-Length: {}\r\nExpect: 100-continue\r\n", ORDER.len()), "")).await;
    assert_eq!(raw.answer().await.expect("100").status, 100);
    raw.send(ORDER).await;
    assert_eq!(raw.answer().await.expect("202").status, 202);
    // Whoever sends without waiting reads the answer too, although the service has closed before the end: not once a reset.
    let body = "x".repeat(3_000_000);
    for round in 0..30 {
        let fields = format!("Content-Length: {}\r\n", body.len());
        let chunked = format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
        let request = match round % 2 {
            0 => post(&fields, &body),
            _ => post("Transfer-Encoding: chunked\r\n", &chunked),
        };
        let mut raw = Raw::connect(&house).await;
        assert!(raw.send(request).await, "reset while it sent, round {round}");
        let said = raw.answer().await.unwrap_or_else(|| panic!("reset before the answer, round {round}"));
        said.is_problem(413, "body-too-large", "sent at once");
    }
}

#[tokio::test]
async fn strange_paths_and_numbers_are_404_400_or_422() {
    let house = harness::open();
    let table = [
        ("//orders", 404),
        ("/orders/../stats", 404),
        ("/orders/%2e%2e", 404),
        ("/orders/%2e%2e/events", 404),
        ("/orders%2f", 404),
        ("/orders/a%2fb", 404),
        ("/orders/%00", 404),
        ("/orders/%zz", 404),
        ("/orders/%ff", 400),
        ("*", 404),
        ("/orders?limit=0", 422),
        ("/orders?limit=-1", 422),
        ("/orders?limit=1000000000", 422),
        ("/orders?limit=1e9", 422),
        ("/orders?limit=", 422),
        ("/orders?limit=1&limit=1", 422),
    ];
    for (target, status) in table {
        let said = ask(&house, format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n")).await.expect(target);
        assert_eq!((said.status, said.header("content-type")), (status, "application/problem+json"), "{target}");
    }
    for name in ["a\0b", "a\u{7}b", "a\u{85}b", "a\u{202e}b"] {
        let recipe = json!({"name": name, "steps": [{"name": "s", "work": {"kind": "wait", "ms": 0}}]});
        let response = house.post("/orders", &json!({"model": "asyncio", "recipe": recipe})).await;
        assert_eq!(response.status(), StatusCode::UNPROCESSABLE_ENTITY, "{name:?}");
    }
}

#[tokio::test]
async fn a_thousand_requests_in_a_row_are_answered_in_their_order() {
    let house = harness::open();
    let mut all = String::new();
    for i in 0..1_000 {
        let path = ["/livez", "/limits", "/nothing"][i % 3];
        let _ = write!(all, "GET {path} HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: row-{i}\r\n\r\n");
    }
    // Broken at its end: what came before is answered all the same.
    all.push_str("NONSENSE\r\n\r\n");
    let mut raw = Raw::connect(&house).await;
    raw.send(all).await;
    for i in 0..1_000 {
        let said = raw.answer().await.unwrap_or_else(|| panic!("no answer to {i}"));
        assert_eq!(said.header("x-request-id"), format!("row-{i}"));
        assert_eq!(said.status, [200, 200, 404][i % 3]);
    }
    raw.answer().await.expect("a last one").is_problem(400, "bad-request", "behind a thousand");
    assert!(raw.answer().await.is_none());
}
