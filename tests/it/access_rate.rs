//! The rate limit: what it counts, whom it tells apart, and what it says.
//!
//! It deliberately measures no rate: a loaded machine would make that a matter of luck. One write per second is slow
//! enough for a burst to be used up.

use std::time::Duration;

use reqwest::{Method, Response};
use serde_json::{Value, json};

use pasta_fasta::config_access::RateLimit;
use pasta_fasta::domain::client::Client;
use pasta_fasta::http::rate::Rate;

use crate::access_keys;
use crate::access_routes::{ADMIN, READER, WRITER, locked};
use crate::harness::{self, House, eventually};
use crate::refusals::refused;

const SLOW: &[&str] = &["--rate-limit-per-s", "1", "--rate-limit-burst", "3"];

async fn place(house: &House, key: &str) -> Response {
    let order = json!({"model": "asyncio", "io_ms": 0});
    house.request(Method::POST, "/orders").bearer_auth(key).json(&order).send().await.unwrap()
}

fn header(response: &Response, name: &str) -> String {
    response.headers().get(name).unwrap_or_else(|| panic!("no {name}")).to_str().unwrap().to_owned()
}

/// Writes until one is refused; the burst is small and comes back slowly.
async fn use_up(house: &House, key: &str) -> Response {
    for _ in 0..100 {
        let response = place(house, key).await;
        if response.status().as_u16() == 429 {
            return response;
        }
        assert_eq!(response.status().as_u16(), 202);
        assert_eq!(header(&response, "ratelimit-policy"), r#""writes";q=3;w=3"#);
        let left = header(&response, "ratelimit");
        assert!([0, 1, 2].iter().any(|r| left == format!(r#""writes";r={r};t=1"#)), "{left}");
    }
    panic!("100 writes within the limit of 1 per second");
}

#[tokio::test]
async fn above_the_limit_a_client_is_told_when_to_come_back_and_others_are_not_affected() {
    let house = locked(SLOW);
    let refusal = use_up(&house, WRITER).await;
    assert_eq!(header(&refusal, "retry-after"), "1");
    assert_eq!(header(&refusal, "ratelimit"), r#""writes";r=0;t=1"#);
    assert_eq!(header(&refusal, "ratelimit-policy"), r#""writes";q=3;w=3"#);
    refused(&house, refusal, 429, "rate-limited").await;
    assert_eq!(place(&house, ADMIN).await.status().as_u16(), 202, "another key has a bucket of its own");
    assert_eq!(place(&house, READER).await.status().as_u16(), 403, "who may not write is told that");
    let soon = Duration::from_secs(30);
    eventually(soon, "a write comes back", async || place(&house, WRITER).await.status().as_u16() == 202).await;
}

#[tokio::test]
async fn reads_probes_and_cancels_are_never_limited() {
    let house = harness::open_with(SLOW);
    let order = house.place(json!({"model": "asyncio", "io_ms": 3_600_000})).await;
    let id = order["id"].as_str().unwrap();
    use_up(&house, "").await;
    for _ in 0..20 {
        for path in ["/livez", "/stats", "/orders", &format!("/orders/{id}")] {
            let response = house.get(path).await;
            assert_eq!(response.status().as_u16(), 200, "{path}");
            assert!(!response.headers().contains_key("ratelimit"), "{path}");
        }
        let cancel = house.request(Method::POST, &format!("/orders/{id}/cancel")).send().await.unwrap();
        assert!([200, 202].contains(&cancel.status().as_u16()), "{}", cancel.status());
    }
}

#[tokio::test]
async fn every_other_write_is_limited() {
    let house = harness::open_with(&["--rate-limit-per-s", "1", "--rate-limit-burst", "1000"]);
    let contract = house.json("/openapi.json").await;
    let mut writes = 0;
    for (path, item) in contract["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let method: Method = method.to_uppercase().parse().unwrap();
            let counts = method != Method::GET && !path.ends_with("/cancel");
            let id = if path.starts_with("/orders") { "ord_x" } else { "cmp_x" };
            let response = house.request(method.clone(), &path.replace("{id}", id)).send().await.unwrap();
            assert_eq!(response.headers().contains_key("ratelimit"), counts, "{method} {path}");
            assert_eq!(operation["responses"]["429"] != Value::Null, counts, "{method} {path}");
            writes += u32::from(counts);
        }
    }
    assert!(writes >= 4, "{writes}");
}

#[tokio::test]
async fn without_a_limit_nothing_is_said_and_without_a_burst_it_is_at_least_ten() {
    let house = harness::open();
    assert!(!place(&house, "").await.headers().contains_key("ratelimit-policy"));
    for (per_s, policy) in [("1", "q=10;w=10"), ("10", "q=10;w=1"), ("100", "q=100;w=1")] {
        let house = harness::open_with(&["--rate-limit-per-s", per_s]);
        assert_eq!(header(&place(&house, "").await, "ratelimit-policy"), format!(r#""writes";{policy}"#));
    }
}

/// On the type itself: it takes more clients than one machine has addresses for.
#[test]
fn a_flood_of_clients_gives_a_client_that_used_up_its_writes_none_back() {
    let rate = Rate::new(RateLimit { per_s: 1, burst: 1_000 });
    let busy = Client::key("busy");
    let taken = || (0..1_000).filter(|_| rate.take(&busy).is_ok()).count();
    assert_eq!(taken(), 1_000);
    let new = |number: u32| {
        let mut headers = reqwest::header::HeaderMap::new();
        rate.take(&Client::key(&number.to_string())).ok().unwrap().stamp(&mut headers);
        headers["ratelimit"].to_str().unwrap().to_owned()
    };
    (0..30_000).for_each(|number| assert_eq!(new(number), r#""writes";r=999;t=1"#));
    assert_eq!(new(29_999), r#""writes";r=998;t=1"#, "the youngest are remembered");
    assert_eq!(new(0), r#""writes";r=999;t=1"#, "the oldest are not");
    // A second gives one back, and this takes no quarter of an hour.
    assert!(taken() < 900);
}

#[test]
fn a_burst_without_a_limit_and_a_limit_of_nothing_are_refused() {
    assert!(access_keys::refused(&["--rate-limit-burst", "5"], None).contains("--rate-limit-per-s"));
    access_keys::refused(&["--rate-limit-per-s", "0"], None);
    access_keys::refused(&["--rate-limit-per-s", "many"], None);
}
