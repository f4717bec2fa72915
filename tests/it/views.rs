//! What can be seen of an order once it cooks: its steps as JSON, CSV and NDJSON, its chart as text and SVG.
//!
//! The page, the catalog and the figures of the house are in `house_views.rs`. Whether the figures are right is
//! deliberately left to `models.rs` and `ledger.rs`.

use std::collections::HashSet;

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{self, House, link};
use crate::refusals::refused;

/// Names that would break out of a table, a formula or a drawing that does not escape.
const HOSTILE: [&str; 8] = [
    "<script>alert(1)</script>",
    "\"><svg onload=x>",
    "]]>&amp;&#x3c;'",
    "=HYPERLINK(\"http://x\")",
    "a,b;\"c\"",
    "@SUM(A1)",
    "\u{2028}\u{200f}x",
    "日本語 🍝",
];

fn hostile_order() -> Value {
    let steps: Vec<_> = HOSTILE.iter().map(|name| json!({"name": name, "work": {"kind": "wait", "ms": 1}})).collect();
    json!({"model": "asyncio", "recipe": {"name": HOSTILE[0], "steps": steps}})
}

async fn text(house: &House, path: &str, accept: &str) -> (String, String) {
    let response = house.request(Method::GET, path).header("accept", accept).send().await.unwrap();
    assert_eq!(response.status(), 200, "{path}");
    let content_type = response.headers()["content-type"].to_str().unwrap().to_owned();
    (content_type, response.text().await.unwrap())
}

/// The fields of a line of comma-separated values (RFC 4180), without line breaks inside.
fn fields(line: &str) -> Vec<String> {
    let (mut fields, mut quoted) = (vec![String::new()], false);
    let mut rest = line.chars().peekable();
    while let Some(c) = rest.next() {
        let field = fields.last_mut().expect("one at least");
        match (c, quoted) {
            ('"', true) if rest.next_if_eq(&'"').is_some() => field.push('"'),
            ('"', _) => quoted = !quoted,
            (',', false) => fields.push(String::new()),
            (c, _) => field.push(c),
        }
    }
    assert!(!quoted, "{line}");
    fields
}

#[tokio::test]
async fn steps_are_read_page_by_page_or_all_at_once_and_are_the_same() {
    let house = harness::open();
    let order = house.cook(json!({"model": "multithreading", "io_ms": 0, "cpu_ms": 0, "dishes": 61})).await;
    let path = link(&order, "steps");
    let mut paged = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = house.json(&format!("{path}?limit=50{cursor}")).await;
        assert_eq!(page["sampled"], false);
        let data = page["data"].as_array().unwrap();
        assert_eq!(data.len(), if page["has_more"] == true { 50 } else { 22 });
        paged.extend(data.clone());
        assert_eq!(page["has_more"].as_bool(), Some(page["next_cursor"].is_string()));
        let Some(next) = page["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    let all = house.steps(&order).await;
    assert_eq!(paged, all);
    let places: HashSet<_> = all.iter().map(|step| (step["dish"].as_u64(), step["step"].as_str())).collect();
    assert_eq!((places.len(), all.len()), (122, 122));
    assert!(all.is_sorted_by_key(|step| harness::number(step, "/finished_ms")), "in order of their end");
    for step in &all {
        for field in ["ready_ms", "started_ms", "finished_ms", "queue_ms", "cpu_ms", "core_wait_ms", "residual_ms"] {
            assert!(step[field].is_number(), "{field} of {step}");
        }
        assert!(step["worker"]["pid"].is_u64() && step["outcome"] == "succeeded");
        assert_eq!(step["lag_ms"].is_number(), step["kind"] == "wait");
    }
    assert_eq!(house.json(&path).await["data"].as_array().unwrap().len(), 50, "a page holds 50 when nothing is said");
    assert_eq!(house.json(&format!("{path}?cursor=122")).await["data"], json!([]));
    for (query, name) in [
        ("limit=0", "limit"),
        ("limit=201", "limit"),
        ("cursor=-1", "cursor"),
        ("format=xml", "format"),
        ("page=2", "page"),
    ] {
        let problem = refused(&house, house.get(&format!("{path}?{query}")).await, 422, "invalid-query").await;
        assert_eq!(problem["errors"][0]["pointer"], name);
    }
}

#[tokio::test]
async fn a_table_of_steps_says_what_the_json_says() {
    let house = harness::open();
    let order = house.cook(hostile_order()).await;
    let path = link(&order, "steps");
    let (content_type, csv) = text(&house, &path, "text/csv").await;
    assert!(content_type.starts_with("text/csv"));
    assert_eq!(text(&house, &format!("{path}?format=csv"), "*/*").await.1, csv);
    let mut lines = csv.lines().map(fields);
    let head = lines.next().unwrap();
    let rows: Vec<_> = lines.collect();
    let steps = house.steps(&order).await;
    assert_eq!(rows.len(), steps.len());
    for (row, step) in rows.iter().zip(&steps) {
        assert_eq!(row.len(), head.len());
        for (name, field) in head.iter().zip(row) {
            let value = if ["pid", "tid"].contains(&name.as_str()) { &step["worker"][name] } else { &step[name] };
            match value {
                Value::Null => assert_eq!(field, "", "{name}"),
                Value::Number(n) => assert_eq!(field.parse::<f64>().ok(), n.as_f64(), "{name}"),
                Value::String(text) => assert_eq!(field.trim_start_matches('\''), text, "{name}"),
                other => panic!("{name} is {other}"),
            }
            assert!(!field.starts_with(['=', '+', '-', '@']) || value.is_number(), "a formula: {field}");
        }
    }
    let (content_type, ndjson) = text(&house, &path, "application/x-ndjson").await;
    assert_eq!(content_type, "application/x-ndjson");
    assert_eq!(ndjson.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()).collect::<Vec<_>>(), steps);
    // What is named comes before what is accepted.
    assert_eq!(text(&house, &format!("{path}?format=json"), "text/csv").await.0, "application/json");
}

#[tokio::test]
async fn of_a_large_order_a_uniform_sample_is_kept_beside_exact_sums() {
    let house = harness::open();
    let order = house.cook(json!({"model": "asyncio", "io_ms": 0, "cpu_ms": 0, "dishes": 20_000, "seed": 7})).await;
    assert_eq!(
        order["progress"],
        json!({"steps_done": 40_000, "steps_total": 40_000, "dishes_done": 20_000, "dishes_total": 20_000})
    );
    assert_eq!(order["result"]["dishes_succeeded"], 20_000);
    assert_eq!(house.json(&link(&order, "steps")).await["sampled"], true);
    let sample = house.steps(&order).await;
    assert!((9_500..=10_500).contains(&sample.len()), "{}", sample.len());
    let places: HashSet<_> =
        sample.iter().map(|step| (step["dish"].as_u64().unwrap(), step["step"].as_str())).collect();
    assert_eq!(places.len(), sample.len());
    // Uniform: of each half and each step about as many. 5,000 +- 7 standard deviations.
    let fair = 4_570..=5_430;
    assert!(fair.contains(&places.iter().filter(|(dish, _)| *dish <= 10_000).count()));
    assert!(fair.contains(&places.iter().filter(|(_, step)| *step == Some("cpu")).count()));
    // Drawn by the seed alone: another model keeps the same steps.
    let other =
        house.cook(json!({"model": "multithreading", "io_ms": 0, "cpu_ms": 0, "dishes": 20_000, "seed": 7})).await;
    let others: Vec<_> = house.steps(&other).await;
    assert!(
        others.len() == sample.len()
            && others.iter().all(|s| places.contains(&(s["dish"].as_u64().unwrap(), s["step"].as_str())))
    );
    let (_, chart) = text(&house, &link(&order, "timeline"), "*/*").await;
    assert!(chart.lines().count() < 200 && chart.contains("more steps"), "a chart stays readable");
}

#[tokio::test]
async fn a_chart_is_text_for_a_terminal_and_a_picture_for_a_browser() {
    let house = harness::open();
    let order = house.cook(json!({"model": "asyncio", "io_ms": 100, "cpu_ms": 20, "dishes": 2})).await;
    let path = link(&order, "timeline");
    let (content_type, chart) = text(&house, &path, "*/*").await;
    assert!(content_type.starts_with("text/plain"));
    let rows: Vec<_> = chart.lines().collect();
    for (row, label) in rows.iter().zip(["1 io", "1 cpu", "2 io", "2 cpu"]) {
        assert!(row.starts_with(label) && row.ends_with(" ms"), "{chart}");
    }
    // Who waits is drawn before who computes, in every dish.
    let first = |row: &str, mark: char| row.chars().position(|c| c == mark).unwrap_or_else(|| panic!("{chart}"));
    assert!(first(rows[0], '░') < first(rows[1], '▓') && first(rows[2], '░') < first(rows[3], '▓'));
    let (content_type, picture) = text(&house, &path, "text/html,image/svg+xml,*/*;q=0.8").await;
    assert_eq!(content_type, "image/svg+xml");
    well_formed(&picture);
    assert_eq!(text(&house, &format!("{path}?format=svg"), "*/*").await.1, picture);
    assert_eq!(text(&house, &format!("{path}?format=text"), "image/svg+xml").await.1, chart);
    refused(&house, house.get(&format!("{path}?format=png")).await, 422, "invalid-query").await;
    // Before the first step is over there is nothing to draw, and that is no error.
    let waiting = house.place(json!({"model": "asyncio", "io_ms": 600_000})).await;
    text(&house, &link(&waiting, "timeline"), "*/*").await;
    well_formed(&text(&house, &link(&waiting, "timeline"), "image/svg+xml").await.1);
}

#[tokio::test]
async fn a_chart_tells_every_kind_of_time_apart() {
    let house = harness::open();
    let stirred =
        json!({"name": "stirred", "steps": [{"name": "stir", "work": {"kind": "cpu", "ms": 40, "yield_every_ms": 5}}]});
    let one_pan = json!({"name": "one pan", "equipment": {"pan": {"capacity": 1}}, "steps": [
        {"name": "fry", "work": {"kind": "wait", "ms": 40}, "needs": ["pan"]}]});
    let chopped = json!({"name": "chopped", "steps": [{"name": "chop", "work": {"kind": "cpu", "ms": 40}}]});
    let passed = json!({"name": "passed", "steps": [
        {"name": "pass", "work": {"kind": "exchange", "bytes": 1_000_000, "messages": 20}}]});
    let under_gil = json!({"chefs": 2, "gil": true});
    for (model, setup, recipe, mark, words) in [
        ("asyncio", json!({}), stirred, 'y', "lets the loop turn"),
        ("asyncio", json!({}), one_pan, 'e', "waits for equipment"),
        ("multithreading", under_gil, chopped, 'g', "waits for the GIL"),
        ("multiprocessing", json!({"kitchens": 2}), passed, '=', "exchange"),
    ] {
        let order = house.cook(json!({"model": model, "setup": setup, "recipe": recipe, "dishes": 3})).await;
        let path = link(&order, "timeline");
        let (_, chart) = text(&house, &path, "*/*").await;
        let (rows, legend) = chart.trim_end().rsplit_once('\n').expect("rows and a legend");
        let bars: String = rows.lines().filter_map(|row| row.split('|').nth(1)).collect();
        assert!(bars.contains(mark) && legend.contains(&format!("{mark} {words}")), "{chart}");
        let count = |mark: char| bars.chars().filter(|c| *c == mark).count();
        assert!(count('?') < count(mark), "it is not unexplained: {chart}");
        let (_, picture) = text(&house, &format!("{path}?format=svg"), "*/*").await;
        well_formed(&picture);
        assert!(picture.contains(words), "{picture}");
    }
}

#[tokio::test]
async fn no_name_can_break_out_of_a_chart() {
    let house = harness::open();
    let order = house.cook(hostile_order()).await;
    let (_, picture) = text(&house, &link(&order, "timeline"), "image/svg+xml").await;
    let elements = well_formed(&picture);
    assert!(elements.iter().all(|name| ["svg", "title", "rect", "text"].contains(&name.as_str())), "{elements:?}");
    assert!(picture.contains("&lt;script&gt;") && picture.contains("日本語 🍝"));
    let (_, chart) = text(&house, &link(&order, "timeline"), "*/*").await;
    assert_eq!(chart.lines().count(), HOSTILE.len() + 1, "one row each and the legend");
}

/// Checks the little of XML that a drawing needs: legal characters, known entities, balanced elements, quoted
/// attributes. Answers the names of the elements.
fn well_formed(xml: &str) -> Vec<String> {
    let legal = |c: char| matches!(c, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..);
    assert!(xml.chars().all(legal), "a character that XML does not allow: {:?}", xml.chars().find(|c| !legal(*c)));
    for (at, _) in xml.match_indices('&') {
        let entity = &xml[at..at + xml[at..].find(';').expect("an entity ends") + 1];
        assert!(
            ["&amp;", "&lt;", "&gt;", "&quot;", "&apos;"].contains(&entity) || entity.starts_with("&#"),
            "{entity}"
        );
    }
    let (mut open, mut names) = (Vec::new(), Vec::new());
    for tag in xml.split('<').skip(1) {
        let (tag, after) = tag.split_once('>').expect("a tag ends");
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name));
        } else {
            let (name, attributes) = tag.trim_end_matches('/').split_once(' ').unwrap_or((tag, ""));
            assert!(attributes.matches('"').count().is_multiple_of(2), "{tag}");
            names.push(name.to_owned());
            if !tag.ends_with('/') {
                open.push(name);
            }
        }
        assert!(!open.is_empty() || after.trim().is_empty(), "text outside of the root: {after}");
    }
    assert!(open.is_empty(), "never closed: {open:?}");
    names
}
