//! The contract against the service, both ways: what `openapi.yaml` promises exists, and what exists is in it.
//!
//! Whether the document is valid `OpenAPI` is deliberately left to the validator in `scripts/test`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{self, House};

const METHODS: [&str; 7] = ["get", "post", "put", "patch", "delete", "head", "options"];

/// Places whose integers have no end: none today.
const UNBOUNDED: &[&str] = &[];

fn committed() -> String {
    read("openapi.yaml")
}

fn read(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

async fn contract(house: &House) -> Value {
    house.json("/openapi.json").await
}

/// Every operation as (path, method, operation).
fn operations(contract: &Value) -> Vec<(&str, &str, &Value)> {
    let paths = contract["paths"].as_object().expect("paths");
    let mut all = Vec::new();
    for (path, item) in paths {
        for (method, operation) in item.as_object().expect("an object") {
            assert!(METHODS.contains(&method.as_str()), "{path} has {method}");
            all.push((path.as_str(), method.as_str(), operation));
        }
    }
    all
}

/// What a reference refers to, or the thing itself.
fn resolved<'a>(contract: &'a Value, thing: &'a Value) -> &'a Value {
    let to = thing["$ref"].as_str().map(|to| to.trim_start_matches('#'));
    to.map_or(thing, |to| contract.pointer(to).unwrap_or_else(|| panic!("{to} is not there")))
}

/// Calls `look` with every object of a document and its place.
fn walk(value: &Value, place: &str, look: &mut impl FnMut(&str, &Value)) {
    match value {
        Value::Object(map) => {
            look(place, value);
            map.iter().for_each(|(name, inner)| walk(inner, &format!("{place}/{name}"), look));
        }
        Value::Array(list) => list.iter().enumerate().for_each(|(i, inner)| walk(inner, &format!("{place}/{i}"), look)),
        _ => {}
    }
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the command line is what is tested; the child is waited for")]
fn the_committed_contract_is_what_the_binary_says() {
    let output = Command::new(harness::BINARY).arg("openapi").output().expect("the binary runs");
    assert!(output.status.success() && output.stderr.is_empty());
    let said = String::from_utf8(output.stdout).expect("text");
    // Line by line, so that a failure shows the first difference instead of two documents.
    for (number, (committed, said)) in committed().lines().zip(said.lines()).enumerate() {
        assert_eq!(committed, said, "openapi.yaml:{}: run `pasta-fasta openapi > openapi.yaml`", number + 1);
    }
    assert_eq!(committed(), said, "one is longer: run `pasta-fasta openapi > openapi.yaml`");
}

#[tokio::test]
async fn the_service_serves_the_committed_contract() {
    let house = harness::open();
    let yaml = house.get("/openapi.yaml").await;
    assert_eq!(yaml.headers()["content-type"], "application/yaml");
    assert_eq!(yaml.text().await.unwrap(), committed());
    let contract = contract(&house).await;
    assert_eq!(contract["openapi"], "3.1.0");
    assert_eq!(contract["info"]["version"], env!("CARGO_PKG_VERSION"));
    // The same document in its other spelling: no path, operation or schema of one is missing in the other.
    let yaml = committed();
    for (path, _, operation) in operations(&contract) {
        assert!(yaml.contains(&format!("\n  {path}:\n")), "{path}");
        assert!(yaml.contains(&format!("\n      operationId: {}\n", operation["operationId"].as_str().unwrap())));
    }
    for name in contract["components"]["schemas"].as_object().unwrap().keys() {
        assert!(yaml.contains(&format!("\n    {name}:\n")), "{name}");
    }
}

/// Paths with ids of things that exist.
async fn filled_in(house: &House, path: &str) -> String {
    let order = house.cook(json!({"model": "asyncio", "io_ms": 0})).await;
    let comparison = json!({"work": {"io_ms": 1}, "line_up": [{"model": "asyncio"}], "repeats": 1});
    let id = match path {
        _ if path.starts_with("/orders/") => order["id"].as_str().unwrap().to_owned(),
        _ if path.starts_with("/comparisons/") => {
            let placed: Value = house.post("/comparisons", &comparison).await.json().await.unwrap();
            placed["id"].as_str().unwrap().to_owned()
        }
        _ if path.starts_with("/recipes/") => "pasta".to_owned(),
        _ if path.starts_with("/problems/") => "not-found".to_owned(),
        _ => String::new(),
    };
    let named = path.replace("{id}", &id).replace("{name}", &id).replace("{slug}", &id);
    assert!(!named.contains('{'), "nothing is known of a parameter of {path}");
    named
}

#[tokio::test]
async fn every_operation_exists_and_answers_as_documented() {
    let house = harness::open();
    let contract = contract(&house).await;
    for (path, method, operation) in operations(&contract) {
        let method = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
        let response = house.request(method.clone(), &filled_in(&house, path).await).send().await.unwrap();
        let status = response.status().as_u16();
        assert!(![404, 405].contains(&status), "{method} {path}: {status}");
        let documented = resolved(&contract, &operation["responses"][status.to_string()]);
        assert!(documented.is_object(), "{method} {path} answers {status}, of which the contract says nothing");
        let content_type =
            response.headers().get("content-type").map(|t| t.to_str().unwrap().split(';').next().unwrap().to_owned());
        let types: Vec<_> = documented["content"].as_object().into_iter().flat_map(|content| content.keys()).collect();
        match content_type {
            Some(given) => assert!(types.contains(&&given), "{method} {path}: {status} as {given}, not {types:?}"),
            None => assert!(types.is_empty(), "{method} {path}: {status} without the promised {types:?}"),
        }
        for header in documented["headers"].as_object().into_iter().flat_map(|headers| headers.keys()) {
            let is_there = response.headers().contains_key(header.as_str());
            // A page that is the last has no next, and what is asked for the first time is no replay.
            let is_for_some = ["Link", "Idempotency-Replayed"].contains(&header.as_str());
            assert!(is_there || is_for_some, "{method} {path}: {status} without the promised {header}");
        }
    }
}

/// The operation ids of the handlers that `src/http/router.rs` lists, read from the annotation before each handler.
fn routed() -> BTreeSet<String> {
    let router = read("src/http/router.rs");
    let lists = router.split("routes!(").skip(1).map(|rest| rest.split(')').next().unwrap());
    let handlers = lists.flat_map(|list| list.split(',').map(str::trim)).filter(|handler| handler.contains("::"));
    let operation_id = |handler: &str| {
        let (module, function) = handler.split_once("::").unwrap();
        let source = read(&format!("src/http/{module}.rs"));
        let before =
            source.split(&format!("pub async fn {function}(")).next().filter(|before| before.len() < source.len());
        let before = before.unwrap_or_else(|| panic!("{handler} is not in src/http/{module}.rs"));
        let id = before.rsplit("operation_id = \"").next().and_then(|rest| rest.split('"').next());
        id.unwrap_or_else(|| panic!("{handler} has no operation id")).to_owned()
    };
    handlers.map(operation_id).collect()
}

#[tokio::test]
async fn every_route_is_in_the_contract_under_a_name_of_its_own() {
    let house = harness::open();
    let contract = contract(&house).await;
    let ids: Vec<_> =
        operations(&contract).iter().map(|(.., o)| o["operationId"].as_str().unwrap().to_owned()).collect();
    let unique: BTreeSet<_> = ids.iter().cloned().collect();
    assert_eq!(unique.len(), ids.len(), "{ids:?}");
    assert_eq!(routed(), unique);
    // What is routed besides is for browsers: the page and its parts.
    let router = read("src/http/router.rs");
    let others = router.split(".route(\"").skip(1).map(|rest| rest.split('"').next().unwrap());
    assert_eq!(others.collect::<Vec<_>>(), ["/", "/page/style.css", "/page/app.js", "/page/trace.js", "/page/key.js"]);
}

#[tokio::test]
async fn every_answer_is_described_and_every_refusal_is_a_problem() {
    let house = harness::open();
    let contract = contract(&house).await;
    let mut findings = Vec::new();
    for (path, method, operation) in operations(&contract) {
        let mut complain = |what: String| findings.push(format!("{method} {path}: {what}"));
        for field in ["summary", "operationId"] {
            if operation[field].as_str().is_none_or(str::is_empty) {
                complain(format!("no {field}"));
            }
        }
        let tags: Vec<_> = operation["tags"].as_array().into_iter().flatten().collect();
        if tags.len() != 1 || !contract["tags"].as_array().unwrap().iter().any(|tag| tag["name"] == *tags[0]) {
            complain(format!("tags {tags:?}"));
        }
        for (status, response) in operation["responses"].as_object().unwrap() {
            let response = resolved(&contract, response);
            if response["description"].as_str().is_none_or(str::is_empty) {
                complain(format!("{status} has no description"));
            }
            let types: Vec<_> = response["content"].as_object().into_iter().flat_map(|c| c.keys()).collect();
            if status.starts_with(['4', '5']) && types != ["application/problem+json"] {
                complain(format!("{status} is {types:?}, no problem"));
            }
        }
        let in_path: BTreeSet<_> = path.split('{').skip(1).map(|rest| rest.split('}').next().unwrap()).collect();
        let parameters: Vec<_> = operation["parameters"].as_array().into_iter().flatten().collect();
        let declared: BTreeSet<_> =
            parameters.iter().filter(|p| p["in"] == "path").map(|p| p["name"].as_str().unwrap()).collect();
        if in_path != declared {
            complain(format!("parameters {declared:?}"));
        }
        if parameters.iter().any(|p| p["description"].as_str().is_none_or(str::is_empty)) {
            complain("a parameter without a description".to_owned());
        }
    }
    assert!(findings.is_empty(), "{findings:#?}");
}

#[tokio::test]
async fn every_whole_number_has_a_smallest_and_a_largest_value_and_every_name_exists() {
    let house = harness::open();
    let contract = contract(&house).await;
    let mut unbounded = Vec::new();
    let mut references = BTreeMap::new();
    walk(&contract, "", &mut |place, object| {
        let kinds = object["type"].as_array().cloned().unwrap_or_else(|| vec![object["type"].clone()]);
        let is_bounded = object["minimum"].is_number() && object["maximum"].is_number();
        if kinds.contains(&json!("integer")) && !is_bounded && !UNBOUNDED.contains(&place) {
            unbounded.push(place.to_owned());
        }
        if let Some(to) = object["$ref"].as_str() {
            references.insert(to.to_owned(), place.to_owned());
        }
    });
    assert!(unbounded.is_empty(), "no minimum or maximum: {unbounded:#?}");
    for (to, from) in references {
        assert!(contract.pointer(to.trim_start_matches('#')).is_some(), "{from} refers to {to}, which is not there");
    }
}

#[tokio::test]
async fn an_order_and_a_comparison_look_as_their_schemas_say() {
    let house = harness::open();
    let contract = contract(&house).await;
    let fields = |schema: &str| -> BTreeSet<String> {
        let properties = contract["components"]["schemas"][schema]["properties"].as_object();
        properties.unwrap_or_else(|| panic!("no schema {schema}")).keys().cloned().collect()
    };
    let has = |value: &Value| -> BTreeSet<String> { value.as_object().unwrap().keys().cloned().collect() };
    let order = house.cook(json!({"model": "asyncio", "io_ms": 1, "isolation": "kitchen"})).await;
    assert_eq!(has(&order), fields("Order"));
    for (part, schema) in
        [("progress", "Progress"), ("timings", "Timings"), ("result", "OrderResult"), ("links", "Links")]
    {
        assert_eq!(has(&order[part]), fields(schema), "{part}");
    }
    assert_eq!(has(&house.steps(&order).await[0]), fields("StepRecord"));
    assert_eq!(has(&house.json("/stats").await), fields("Stats"));
    let ask = json!({"work": {"io_ms": 1}, "line_up": [{"model": "asyncio"}], "repeats": 1});
    let comparison: Value = house.post("/comparisons?wait=60", &ask).await.json().await.unwrap();
    assert_eq!(has(&comparison), fields("Comparison"));
    assert_eq!(has(&comparison["entries"][0]), fields("Entry"));
    assert_eq!(has(&comparison["verdict"]), fields("Verdict"));
    let problem: Value = house.post("/orders", &json!({})).await.json().await.unwrap();
    assert_eq!(has(&problem), fields("Problem"));
}
