//! Who may ask and from where, and what every answer carries.
//!
//! API keys are deliberately not looked at here.

use reqwest::Method;

use crate::edge_raw::{Said, ask};
use crate::harness::{self, House};

/// A request of these lines.
async fn say(house: &House, line: &str, fields: &[&str]) -> Said {
    let fields: String = fields.iter().map(|field| format!("{field}\r\n")).collect();
    ask(house, format!("{line} HTTP/1.1\r\n{fields}\r\n")).await.unwrap_or_else(|| panic!("no answer: {line} {fields}"))
}

#[tokio::test]
async fn on_a_loopback_address_only_its_own_names_are_answered() {
    let house = harness::open_with(&["--allowed-host", "kitchen.example", "--allowed-host", "Pasta.Test"]);
    let port = house.base.rsplit_once(':').expect("a port").1.to_owned();
    let own = format!("Host: 127.0.0.1:{port}");
    for host in [
        &own,
        "Host: localhost",
        "Host: LOCALHOST:1",
        "Host: [::1]:80",
        "Host: 127.0.0.1",
        "Host: kitchen.example",
        "Host: pasta.test:80",
    ] {
        assert_eq!(say(&house, "GET /orders", &[host]).await.status, 200, "{host}");
    }
    for host in [
        "Host: evil.example",
        "Host: localhost.evil.example",
        "Host: 127.0.0.1.evil.example",
        "Host: 10.0.0.1",
        "Host: x",
        "Host: ",
        "Host: localhost@evil.example",
        "Host: \u{e9}",
    ] {
        let said = say(&house, "GET /orders", &[host]).await;
        said.is_problem(421, "misdirected", host);
        assert_eq!(said.header("connection"), "close");
        for probe in ["/livez", "/readyz", "/healthz", "/metrics", "/version"] {
            assert_eq!(say(&house, &format!("GET {probe}"), &[host]).await.status, 200, "{probe} for {host}");
        }
    }
    // The host of an absolute target is the one that counts.
    assert_eq!(say(&house, "GET http://localhost/orders", &["Host: evil.example"]).await.status, 200);
    say(&house, "GET http://evil.example/orders", &["Host: localhost"]).await.is_problem(
        421,
        "misdirected",
        "absolute",
    );
}

#[tokio::test]
async fn a_page_of_another_site_changes_nothing() {
    let house = harness::open_with(&["--allowed-origin", "https://lab.example"]);
    let line = "POST /orders?model=asyncio&io_ms=0";
    for origin in [
        "Origin: http://evil.example",
        "Origin: null",
        "Origin: http://localhost:1",
        "Origin: https://localhost.evil.example",
        "Origin: https://lab.example.evil",
        "Origin: file://",
        "Origin: localhost",
    ] {
        let said = say(&house, line, &["Host: localhost", "Content-Length: 0", origin]).await;
        said.is_problem(403, "cross-site", origin);
        assert_eq!(
            say(&house, "GET /orders", &["Host: localhost", origin]).await.status,
            200,
            "{origin}: a read is not a change"
        );
        say(&house, "DELETE /orders/x", &["Host: localhost", origin]).await.is_problem(403, "cross-site", origin);
    }
    assert_eq!(house.json("/stats").await["accepted"], 0);
    for (host, origin) in [
        ("Host: localhost:80", "Origin: http://localhost:80"),
        ("Host: localhost", "Origin: https://localhost"),
        ("Host: localhost", "Origin: https://lab.example"),
    ] {
        let said = say(&house, line, &[host, "Content-Length: 0", origin]).await;
        assert_eq!((said.status, said.header("access-control-allow-origin")), (202, ""), "{origin}");
    }
}

#[tokio::test]
async fn every_answer_has_an_id_and_the_clients_own_if_it_is_decent() {
    let house = harness::open();
    for id in ["a", "7f3c-2.x_Y:/=+", &"z".repeat(128)] {
        let said = say(&house, "GET /livez", &["Host: localhost", &format!("X-Request-Id: {id}")]).await;
        assert_eq!(said.header("x-request-id"), id);
    }
    let mut ours = Vec::new();
    for id in ["", "a b", "\"a\"", "it's", "a\tb", "\u{e9}", &"z".repeat(129)] {
        let said = say(&house, "GET /nothing", &["Host: localhost", &format!("X-Request-Id: {id}")]).await;
        assert_ne!(said.header("x-request-id"), id);
        ours.push(said.header("x-request-id").to_owned());
    }
    for (line, fields) in [("PUT /orders", "Host: localhost"), ("GET /orders", "Host: evil.example"), ("NONSENSE", "")]
    {
        ours.push(say(&house, line, &[fields]).await.header("x-request-id").to_owned());
    }
    assert!(ours.iter().all(|id| id.len() == 21), "{ours:?}");
    ours.sort_unstable();
    ours.dedup();
    assert_eq!(ours.len(), 10, "an id twice: {ours:?}");
}

#[tokio::test]
async fn pages_may_not_be_framed_or_scripted_and_nothing_is_sniffed_or_shared() {
    let house = harness::open();
    let paths = [
        "/",
        "/page/app.js",
        "/page/key.js",
        "/page/style.css",
        "/docs/",
        "/docs/swagger-ui.css",
        "/openapi.yaml",
        "/livez",
        "/orders",
        "/nothing",
        "/problems/internal",
    ];
    for path in paths {
        let response = house.get(path).await;
        let header = |name: &str| response.headers().get(name).map_or("", |value| value.to_str().expect("text"));
        assert_eq!(header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(header("access-control-allow-origin"), "", "{path}");
        let is_page = path == "/" || path.starts_with("/page") || path.starts_with("/docs");
        let policy = header("content-security-policy");
        assert_eq!(policy.contains("default-src 'none'; script-src 'self';"), is_page, "{path}: {policy}");
        assert_eq!(
            policy.contains("frame-ancestors 'none'") && policy.contains("base-uri 'none'"),
            is_page,
            "{path}: {policy}"
        );
        assert_eq!(
            (header("x-frame-options"), header("referrer-policy")),
            if is_page { ("DENY", "no-referrer") } else { ("", "") }
        );
        assert!(
            !policy.contains("unsafe-eval") && !policy.contains("http") && !policy.contains('*'),
            "{path}: {policy}"
        );
        assert!(!policy.contains("script-src 'self' '"), "{path}: {policy}");
    }
    let preflight = house.request(Method::OPTIONS, "/orders").header("origin", "http://evil.example");
    let response = preflight.header("access-control-request-method", "POST").send().await.expect("an answer");
    assert!(response.headers().keys().all(|name| !name.as_str().starts_with("access-control")));
}
