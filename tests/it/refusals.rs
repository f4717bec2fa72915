//! What is refused, and how: malformed and greedy requests, each with its status and the places it points to.
//!
//! Parameters of lists are in `orders_list.rs`. What happens below HTTP (headers, smuggling, slow clients) is
//! deliberately not looked at here.

use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::harness::{self, House};

/// The problem document of a refusal, after a look at all that every refusal must have.
pub(crate) async fn refused(house: &House, response: Response, status: u16, slug: &str) -> Value {
    let (got, url) = (response.status().as_u16(), response.url().to_string());
    let content_type = response.headers().get("content-type").map(|t| t.to_str().unwrap().to_owned());
    let text = response.text().await.expect("text");
    assert_eq!(got, status, "{url}: {text:.300}");
    assert_eq!(content_type.as_deref(), Some("application/problem+json"), "{url}");
    let problem: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(
        (&problem["type"], &problem["status"]),
        (&json!(format!("/problems/{slug}")), &json!(status)),
        "{problem}"
    );
    for field in ["title", "detail"] {
        let text = problem[field].as_str().unwrap_or_default();
        assert!(!text.is_empty() && !text.starts_with(':'), "{url}: {field} of {problem}");
    }
    assert_eq!(house.get(problem["type"].as_str().unwrap()).await.status(), StatusCode::OK, "{problem}");
    problem
}

/// The places a problem points to.
fn pointers(problem: &Value) -> Vec<&str> {
    problem["errors"].as_array().into_iter().flatten().map(|error| error["pointer"].as_str().unwrap()).collect()
}

/// Posts each body and expects this refusal and these pointers.
async fn all_refused(house: &House, status: u16, slug: &str, table: &[(&str, &[&str])]) {
    for (body, expected) in table {
        let request = house.request(Method::POST, "/orders").header("content-type", "application/json");
        let response = request.body((*body).to_owned()).send().await.unwrap();
        let problem = refused(house, response, status, slug).await;
        assert_eq!(pointers(&problem), *expected, "{body:.300}: {problem}");
    }
    assert_eq!(house.json("/stats").await["accepted"], 0, "nothing of it was accepted");
}

#[tokio::test]
async fn what_is_not_json_is_a_400_and_so_is_a_field_twice() {
    let house = harness::open();
    let far_too_deep = "[".repeat(100_000);
    let table: &[(&str, &[&str])] = &[
        (" ", &[""]),
        (&far_too_deep, &[""]),
        ("{", &[""]),
        ("asyncio", &[""]),
        ("model=asyncio", &[""]),
        (r#"{"model":"asyncio",}"#, &[""]),
        (r#"{'model':'asyncio'}"#, &[""]),
        (r#"{"model":"asyncio"} {}"#, &[""]),
        (r#"{"model":"asyncio"}]"#, &[""]),
        (r#"{"model":"asyncio","dishes":NaN}"#, &["/dishes"]),
        (r#"{"model":"asyncio","dishes":Infinity}"#, &["/dishes"]),
        (r#"{"model":"asyncio","dishes":1e400}"#, &["/dishes"]),
        (r#"{"model":"asyncio","dishes":01}"#, &["/dishes"]),
        (r#"{"model":"asyn"#, &["/model"]),
        (r#"{"model":"\ud800"}"#, &["/model"]),
        ("{\"model\":\"a\u{1}\"}", &["/model"]),
        ("\u{feff}{\"model\":\"asyncio\"}", &[""]),
        (r#"{"model":"asyncio","dishes":1,"dishes":2}"#, &[""]),
        (r#"{"model":"asyncio","labels":{"a":"1","a":"2"}}"#, &["/labels"]),
        (r#"{"model":"asyncio","setup":{"assistants":1,"assistants":2}}"#, &["/setup"]),
        (r#"{"model":"asyncio","recipe":{"name":"n","name":"m","steps":[]}}"#, &["/recipe"]),
        (
            r#"{"model":"asyncio","recipe":{"name":"n","steps":[{"name":"s","work":{"kind":"cpu","ms":1,"ms":2}}]}}"#,
            &["/recipe/steps/0/work"],
        ),
    ];
    all_refused(&house, 400, "invalid-json", table).await;
    let request = house.request(Method::POST, "/orders").header("content-type", "application/json");
    let problem =
        refused(&house, request.body(&b"{\"model\":\"\xff\"}"[..]).send().await.unwrap(), 400, "invalid-json").await;
    assert_eq!(pointers(&problem), ["/model"]);
}

#[tokio::test]
async fn a_wrong_type_or_an_unknown_field_is_a_422_with_its_place() {
    let house = harness::open();
    let deep = format!(r#"{{"model":{}{}}}"#, "[".repeat(200), "]".repeat(200));
    let huge = format!(r#"{{"model":"asyncio","dishes":1{}}}"#, "0".repeat(300));
    let table: &[(&str, &[&str])] = &[
        ("null", &[""]),
        ("[]", &[""]),
        ("[[[[[[[]]]]]]]", &[""]),
        (r#""asyncio""#, &[""]),
        // Fields by position would be a second, undocumented syntax.
        (r#"["seed-threads"]"#, &[""]),
        (r#"{"model":"asyncio","recipe":{"name":"n","steps":[["s",{"kind":"wait","ms":1}]]}}"#, &["/recipe/steps/0"]),
        (
            r#"{"model":"asyncio","recipe":{"name":"n","steps":[{"name":"s","work":["wait",1]}]}}"#,
            &["/recipe/steps/0/work"],
        ),
        (&deep, &["/model"]),
        (r#"{"model":7}"#, &["/model"]),
        (r#"{"modle":"asyncio"}"#, &["/modle"]),
        (r#"{"model":"asyncio","dishes":"3"}"#, &["/dishes"]),
        (r#"{"model":"asyncio","dishes":3.0}"#, &["/dishes"]),
        (r#"{"model":"asyncio","dishes":1e3}"#, &["/dishes"]),
        (r#"{"model":"asyncio","dishes":-1}"#, &["/dishes"]),
        (r#"{"model":"asyncio","dishes":-0}"#, &["/dishes"]),
        (r#"{"model":"asyncio","dishes":18446744073709551616}"#, &["/dishes"]),
        (&huge, &["/dishes"]),
        (r#"{"model":"asyncio","speed":0.5}"#, &["/speed"]),
        (r#"{"model":"asyncio","labels":["a"]}"#, &["/labels"]),
        (r#"{"model":"asyncio","labels":{"a":1}}"#, &["/labels/a"]),
        (r#"{"model":"asyncio","setup":"house"}"#, &["/setup"]),
        (r#"{"model":"asyncio","setup":{"assistants":1.5}}"#, &["/setup/assistants"]),
        (r#"{"model":"asyncio","setup":{"assistants":-1}}"#, &["/setup/assistants"]),
        (r#"{"model":"asyncio","setup":{"assistants":[1]}}"#, &["/setup/assistants"]),
        (r#"{"model":"asyncio","recipe":7}"#, &["/recipe"]),
        (r#"{"model":"asyncio","recipe":[]}"#, &["/recipe"]),
        (r#"{"model":"asyncio","recipe":{"steps":[]}}"#, &["/recipe"]),
        (r#"{"model":"asyncio","recipe":{"name":"n","steps":{}}}"#, &["/recipe/steps"]),
        (r#"{"model":"asyncio","recipe":{"name":"n","steps":[{"name":"s"}]}}"#, &["/recipe/steps/0"]),
        (
            r#"{"model":"asyncio","recipe":{"name":"n","steps":[{"name":"s","work":{"kind":"wait","s":1}}]}}"#,
            &["/recipe/steps/0/work/s"],
        ),
        (
            r#"{"model":"asyncio","recipe":{"name":"n","steps":[{"name":"s","work":{"kind":"wait","ms":1},"after":"s"}]}}"#,
            &["/recipe/steps/0/after"],
        ),
    ];
    all_refused(&house, 422, "invalid-order", table).await;
}

#[tokio::test]
async fn only_json_is_read_and_only_so_much_of_it() {
    let house = harness::open();
    let post = async |headers: &[(&str, &str)], body: Vec<u8>| {
        let request = house.request(Method::POST, "/orders").body(body);
        headers.iter().fold(request, |request, (name, value)| request.header(*name, *value)).send().await.unwrap()
    };
    let order = br#"{"model":"asyncio","io_ms":0}"#.to_vec();
    let wrong: &[&[(&str, &str)]] = &[
        &[],
        &[("content-type", "text/plain")],
        &[("content-type", "application/x-www-form-urlencoded")],
        &[("content-type", "application/jsonp")],
        &[("content-type", "text/html; application/json")],
        &[("content-type", "application/json; charset=utf-16")],
        &[("content-type", "application/json"), ("content-encoding", "gzip")],
    ];
    for headers in wrong {
        refused(&house, post(headers, order.clone()).await, 415, "unsupported-media-type").await;
    }
    for media_type in ["application/json", "APPLICATION/JSON; charset=UTF-8", "application/vnd.kitchen+json"] {
        assert_eq!(
            post(&[("content-type", media_type)], order.clone()).await.status(),
            StatusCode::ACCEPTED,
            "{media_type}"
        );
    }
    let padded = |bytes: usize| [order.clone(), vec![b' '; bytes - order.len()]].concat();
    let json = [("content-type", "application/json")];
    assert_eq!(post(&json, padded(256 * 1024)).await.status(), StatusCode::ACCEPTED);
    let response = post(&json, padded(256 * 1024 + 1)).await;
    assert_eq!(response.headers()["connection"], "close");
    refused(&house, response, 413, "body-too-large").await;
    let answer = chunked(&house, &padded(300_000)).await;
    for part in ["HTTP/1.1 413 ", "connection: close", "application/problem+json", "/problems/body-too-large"] {
        assert!(answer.contains(part), "{part} is not in {answer}");
    }
}

/// The answer to a body without a length up front, read from the bare connection: an HTTP client that is still sending
/// when the service has read enough may never look at it.
async fn chunked(house: &House, body: &[u8]) -> String {
    let address = house.base.trim_start_matches("http://");
    let mut connection = tokio::net::TcpStream::connect(address).await.unwrap();
    let head = "POST /orders HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n";
    let request = [head.as_bytes(), format!("{:x}\r\n", body.len()).as_bytes(), body, b"\r\n0\r\n\r\n"].concat();
    connection.write_all(&request).await.unwrap();
    let mut answer = Vec::new();
    // The service closes, perhaps with a part of the body unread: then the end is a reset behind the answer.
    while let Ok(1..) = connection.read_buf(&mut answer).await {}
    String::from_utf8(answer).expect("text")
}

#[tokio::test]
async fn a_parameter_that_a_path_does_not_have_is_refused() {
    let house = harness::open();
    let order = house.cook(json!({"model": "asyncio", "io_ms": 0})).await;
    let own = harness::link(&order, "self");
    for (method, path) in [
        (Method::POST, "/orders?model=asyncio"),
        (Method::POST, "/orders/batch"),
        (Method::POST, "/orders/cancel"),
        (Method::POST, &format!("{own}/cancel")),
        (Method::POST, &format!("{own}/retry")),
        (Method::DELETE, &own),
        (Method::GET, &own),
        (Method::GET, &format!("{own}/events")),
        (Method::GET, &format!("{own}/steps")),
        (Method::GET, &format!("{own}/timeline")),
        (Method::GET, &format!("{own}/report")),
        (Method::GET, &format!("{own}/trace")),
        (Method::GET, "/orders"),
        (Method::GET, "/events"),
        (Method::GET, "/stats"),
        (Method::GET, "/nodes"),
        (Method::GET, "/comparisons"),
        (Method::POST, "/comparisons/cmp_any/cancel"),
        (Method::DELETE, "/comparisons/cmp_any"),
        (Method::GET, "/comparisons/cmp_any/events"),
    ] {
        let path = format!("{path}{}key=something", if path.contains('?') { '&' } else { '?' });
        let response = house.request(method, &path).send().await.unwrap();
        assert_eq!(pointers(&refused(&house, response, 422, "invalid-query").await), ["key"], "{path}");
    }
    assert_eq!(house.json("/stats").await["accepted"], 1);
}

#[tokio::test]
async fn unknown_methods_and_paths_are_problems_too() {
    let house = harness::open();
    let order = house.place(json!({"model": "asyncio", "io_ms": 0})).await;
    let id = order["id"].as_str().unwrap();
    let table: &[(&str, String, &[&str])] = &[
        ("PUT", "/orders".to_owned(), &["GET", "HEAD", "POST"]),
        ("TRACE", "/orders".to_owned(), &["GET", "HEAD", "POST"]),
        ("BREW", "/orders".to_owned(), &["GET", "HEAD", "POST"]),
        ("POST", format!("/orders/{id}"), &["DELETE", "GET", "HEAD"]),
        ("GET", format!("/orders/{id}/cancel"), &["POST"]),
        ("DELETE", "/comparisons".to_owned(), &["GET", "HEAD", "POST"]),
        ("POST", "/".to_owned(), &["GET", "HEAD"]),
        ("POST", "/livez".to_owned(), &["GET", "HEAD"]),
        ("POST", "/docs/".to_owned(), &["GET", "HEAD"]),
    ];
    for (method, path, allowed) in table {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let response = house.request(method.clone(), path).send().await.unwrap();
        let allow = response.headers().get("allow").unwrap_or_else(|| panic!("{method} {path}: no Allow"));
        let mut methods: Vec<_> = allow.to_str().unwrap().split(',').map(|m| m.trim().to_owned()).collect();
        methods.sort_unstable();
        assert_eq!(methods, *allowed, "{method} {path}");
        refused(&house, response, 405, "method-not-allowed").await;
    }
    for path in [
        "/nothing",
        "//orders",
        "/orders/",
        "/Orders",
        "/orders/%00",
        "/recipes/none",
        "/problems/none",
        "/page/none",
        "/docs/none",
    ] {
        refused(&house, house.get(path).await, 404, "not-found").await;
    }
    for path in [format!("/orders/{id}/"), format!("/orders/{id}/recipe"), "/orders/x%2Fevents".to_owned()] {
        refused(&house, house.get(&path).await, 404, "not-found").await;
    }
    refused(&house, house.get("/orders/%ff").await, 400, "bad-request").await;
}

#[tokio::test]
async fn a_query_shorthand_is_checked_like_a_body() {
    let house = harness::open();
    let post = async |query: &str| house.request(Method::POST, &format!("/orders{query}")).send().await.unwrap();
    let table = [
        ("", "invalid-order", "/model"),
        ("?model=async", "invalid-order", "/model"),
        ("?preset=none", "invalid-order", "/preset"),
        ("?model=asyncio&dishes=0", "invalid-order", "/dishes"),
        ("?model=asyncio&io_ms=3600001", "invalid-order", "/io_ms"),
        ("?model=asyncio&recipe=none", "invalid-order", "/recipe"),
        ("?model=asyncio&dishes=1.0", "invalid-query", "dishes"),
        ("?model=asyncio&dishes=-1", "invalid-query", "dishes"),
        ("?model=asyncio&dishes=", "invalid-query", "dishes"),
        ("?model=asyncio&dishes=18446744073709551616", "invalid-query", "dishes"),
        ("?model=asyncio&model=asyncio", "invalid-query", "model"),
        ("?model=asyncio&dish=1", "invalid-query", "dish"),
        ("?model=asyncio&wait=-1", "invalid-query", "wait"),
        ("?model=asyncio&wait=1&wait=1", "invalid-query", "wait"),
    ];
    for (query, slug, pointer) in table {
        let problem = refused(&house, post(query).await, 422, slug).await;
        assert!(pointers(&problem).contains(&pointer), "{query}: {problem}");
    }
    // With a body the order is the body, and nothing beside it is silently ignored.
    let response = house.post("/orders?dishes=3", &json!({"model": "asyncio"})).await;
    assert_eq!(pointers(&refused(&house, response, 422, "invalid-query").await), ["dishes"]);
    assert_eq!(house.json("/stats").await["accepted"], 0);
}
