//! Lists of orders: youngest first, page by page without loss or repetition, filtered, bounded.
//!
//! What happens to the orders themselves is deliberately left to `orders_api.rs`.

use std::collections::HashSet;

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::harness::{self, House, link};
use crate::refusals::refused;

#[tokio::test]
async fn paging_through_many_orders_loses_none_and_repeats_none() {
    let house = harness::open();
    let mut placed = Vec::new();
    for _ in 0..120 {
        placed.push(id(&house.place(json!({"model": "asyncio", "io_ms": 0})).await));
    }
    placed.reverse();
    for limit in [7, 50, 120, 200] {
        let mut seen = Vec::new();
        let mut path = format!("/orders?limit={limit}");
        loop {
            let response = house.get(&path).await;
            let next = response.headers().get("link").map(|link| link.to_str().unwrap().to_owned());
            let page: Value = response.json().await.unwrap();
            let data = page["data"].as_array().unwrap();
            assert!(data.len() <= limit);
            seen.extend(data.iter().map(id));
            // What is placed meanwhile is younger than the cursor and moves no page.
            if seen.len() < 20 {
                house.place(json!({"model": "asyncio", "io_ms": 0, "labels": {"late": "1"}})).await;
            }
            assert_eq!(
                (page["has_more"].as_bool(), next.is_some()),
                (Some(page["next_cursor"].is_string()), page["has_more"] == true)
            );
            let Some(next) = next else { break };
            assert!(next.ends_with("; rel=\"next\""), "{next}");
            path = next[1..next.find('>').unwrap()].to_owned();
            assert_eq!(path, format!("/orders?limit={limit}&cursor={}", page["next_cursor"].as_str().unwrap()));
        }
        let ours: Vec<_> = seen.iter().filter(|id| placed.contains(id)).cloned().collect();
        assert_eq!(ours, placed, "youngest first, limit {limit}");
        assert_eq!(seen.iter().collect::<HashSet<_>>().len(), seen.len());
    }
    assert_eq!(ids(&house, "").await.len(), 50, "a page holds 50 when nothing is said");
}

#[tokio::test]
async fn filters_hold_all_at_once() {
    let house = harness::open_with(&["--max-threads", "1"]);
    let labeled = |model: &str, labels: Value| json!({"model": model, "io_ms": 0, "labels": labels});
    let red = id(&house.cook(labeled("asyncio", json!({"color": "red", "size": "1"}))).await);
    let blue = id(&house.cook(labeled("sequential", json!({"color": "blue", "size": "1"}))).await);
    let odd = id(&house.cook(labeled("asyncio", json!({"a&b=c/d": "ü ?"}))).await);
    let threads = |io_ms| json!({"model": "multithreading", "setup": {"chefs": 1}, "io_ms": io_ms});
    let running = house.place(threads(600_000)).await;
    let queued = house.place(threads(0)).await;
    let canceled = house.place(threads(0)).await;
    house.post(&link(&canceled, "cancel"), &json!({})).await;
    let [running, queued, canceled] = [running, queued, canceled].map(|order| id(&order));
    let table: &[(&str, &[&String])] = &[
        ("status=running", &[&running]),
        ("status=queued", &[&queued]),
        ("status=canceled,running", &[&canceled, &running]),
        ("status=succeeded&model=asyncio", &[&odd, &red]),
        ("model=multithreading", &[&canceled, &queued, &running]),
        ("model=multiprocessing", &[]),
        ("label.size=1", &[&blue, &red]),
        ("label.size=1&label.color=red", &[&red]),
        ("label.size=1&label.color=red&status=failed", &[]),
        ("label.color=red&label.color=blue", &[]),
        ("label.color=", &[]),
        ("label.a%26b%3Dc%2Fd=%C3%BC%20%3F", &[&odd]),
    ];
    for (query, expected) in table {
        assert_eq!(ids(&house, query).await.iter().collect::<Vec<_>>(), *expected, "{query}");
    }
}

#[tokio::test]
async fn orders_are_found_by_the_time_they_were_placed() {
    let house = harness::open();
    let mut placed = Vec::new();
    for _ in 0..3 {
        // Held for 20 ms, so that no two are of one millisecond.
        placed.push(house.cook(json!({"model": "asyncio", "io_ms": 20})).await);
    }
    let [first, second, third] = [0, 1, 2].map(|i: usize| id(&placed[i]));
    let middle = placed[1]["created_at"].as_str().unwrap();
    assert_eq!(ids(&house, &format!("created_after={middle}")).await, [third.clone(), second.clone()]);
    assert_eq!(ids(&house, &format!("created_before={middle}")).await, std::slice::from_ref(&first));
    let both = format!("created_after={}&created_before={middle}", placed[0]["created_at"].as_str().unwrap());
    assert_eq!(ids(&house, &both).await, [first]);
    // The same moment in another zone.
    let shifted: jiff::Timestamp = middle.parse().unwrap();
    let shifted =
        format!("{}+02:00", (shifted + jiff::SignedDuration::from_hours(2)).to_string().trim_end_matches('Z'));
    let after = ids(&house, &format!("created_after={}", shifted.replace('+', "%2B"))).await;
    assert_eq!(after, [third, second]);
    assert!(ids(&house, "created_before=2000-01-01T00:00:00Z").await.is_empty());
    assert!(ids(&house, "created_after=2020-01-01T00:00:00Z&created_before=2019-01-01T00:00:00Z").await.is_empty());
}

#[tokio::test]
async fn bad_parameters_of_a_list_are_refused_by_name() {
    let house = harness::open();
    let order = house.place(json!({"model": "asyncio", "io_ms": 0})).await;
    let table = [
        ("limit=0", "limit"),
        ("limit=201", "limit"),
        ("limit=-1", "limit"),
        ("limit=1000000000", "limit"),
        ("limit=1e2", "limit"),
        ("limit=%2B5", "limit"),
        ("limit=", "limit"),
        ("limit=5&limit=5", "limit"),
        ("limit=18446744073709551617", "limit"),
        ("cursor=", "cursor"),
        ("cursor=2", "cursor"),
        ("cursor=%FF", "cursor"),
        ("cursor=cmp_01a2047d-0954-7000-8032-a10c262ee9be", "cursor"),
        ("status=done", "status"),
        ("status=", "status"),
        ("status=running,", "status"),
        ("model=async", "model"),
        ("created_after=yesterday", "created_after"),
        ("created_before=2026-01-01", "created_before"),
        ("created_after=1700000000", "created_after"),
        ("offset=10", "offset"),
        ("label=a", "label"),
    ];
    for (query, name) in table {
        let problem = refused(&house, house.get(&format!("/orders?{query}")).await, 422, "invalid-query").await;
        assert_eq!(problem["errors"][0]["pointer"], name, "{query}: {problem}");
        assert_eq!(problem["errors"].as_array().unwrap().len(), 1, "{query}");
    }
    // A cursor needs not name an order that is still there.
    let path = link(&order, "self");
    house.ended(&order).await;
    house.request(reqwest::Method::DELETE, &path).send().await.unwrap();
    let page = house.json(&format!("/orders?limit=200&cursor={}", id(&order))).await;
    assert_eq!(page, json!({"data": [], "has_more": false, "next_cursor": null}));
}

fn id(order: &Value) -> String {
    order["id"].as_str().expect("an id").to_owned()
}

async fn ids(house: &House, query: &str) -> Vec<String> {
    let response = house.get(&format!("/orders?{query}")).await;
    let status = response.status();
    let page: Value = response.json().await.unwrap();
    assert_eq!(status, StatusCode::OK, "{query}: {page}");
    page["data"].as_array().unwrap().iter().map(id).collect()
}
