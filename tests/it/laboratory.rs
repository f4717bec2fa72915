//! `docs/laboratory.md` against the report: every field of its schema has a row there, and every row speaks of a field.
//!
//! Whether a row is true is deliberately left to `report.rs` and `books.rs`.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

use crate::harness;

/// Parts of the report whose fields have their rows, by their own names, in a section of their own.
const SECTIONS: [(&str, &str); 4] = [
    ("books", "The step, and its books"),
    ("chain", "The step, and its books"),
    ("processes.rows", "Processes"),
    ("processes", "Processes"),
];

/// What a schema refers to: itself, its items, or the one thing that it is when it is not null.
fn inner<'a>(contract: &'a Value, schema: &'a Value) -> &'a Value {
    let candidates = ["/items", "/oneOf/0", "/oneOf/1", "/anyOf/0", "/anyOf/1"];
    let to = schema["$ref"].as_str().and_then(|to| contract.pointer(to.trim_start_matches('#')));
    let deeper = || {
        let each = candidates.iter().filter_map(|at| schema.pointer(at));
        each.map(|schema| inner(contract, schema)).find(|found| found["properties"].is_object())
    };
    to.or_else(deeper).unwrap_or(schema)
}

/// Paths of all fields below a schema; a distribution is one figure.
fn fields(contract: &Value, schema: &Value, path: &str, into: &mut BTreeSet<String>) {
    let properties = schema["properties"].as_object();
    let is_figure = properties.is_none_or(|all| all.contains_key("p95"));
    if !path.is_empty() && is_figure {
        into.insert(path.to_owned());
    }
    for (name, property) in properties.filter(|_| !is_figure).into_iter().flatten() {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        fields(contract, inner(contract, property), &path, into);
    }
}

/// What stands in backticks in the first cell of the rows of each section.
fn rows() -> Vec<(String, String)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/laboratory.md");
    let text = std::fs::read_to_string(path).expect("the page is part of the checkout");
    let mut section = String::new();
    let mut found = Vec::new();
    for line in text.lines() {
        if let Some(title) = line.strip_prefix("## ") {
            title.clone_into(&mut section);
        }
        let cell = line.strip_prefix('|').and_then(|row| row.split('|').next()).unwrap_or_default();
        found.extend(cell.split('`').skip(1).step_by(2).map(|name| (section.clone(), name.to_owned())));
    }
    found
}

#[tokio::test]
async fn every_field_of_a_report_has_a_row_and_every_row_of_an_order_is_a_field() {
    let house = harness::open();
    let contract = house.json("/openapi.json").await;
    let mut all = BTreeSet::new();
    fields(&contract, &contract["components"]["schemas"]["Report"], "", &mut all);
    assert!(all.contains("lag.wait_ms") && all.contains("processes.rows.pss_bytes"), "{all:#?}");
    let rows = rows();
    let has = |section: Option<&str>, name: &str| {
        rows.iter().any(|(of, row)| row == name && section.is_none_or(|section| of.starts_with(section)))
    };
    let is_told = |path: &&String| {
        // The total has the fields of a row.
        let path = path.replace("processes.total.", "processes.rows.");
        let (part, name) = path.rsplit_once('.').unwrap_or(("", &path));
        let own = SECTIONS.iter().find(|(of, _)| *of == part);
        has(None, &path) || own.is_some_and(|(_, section)| has(Some(section), name))
    };
    let untold: Vec<_> = all.iter().filter(|path| !is_told(path)).collect();
    assert!(untold.is_empty(), "docs/laboratory.md has no row for {untold:#?}");
    let order = rows.iter().filter(|(section, name)| section == "The order" && name.contains(['_', '.']));
    let is_bound = |name: &str| ["critical_path", "max_in_flight"].contains(&name);
    let begins = |name: &str| all.iter().any(|path| path == name || path.starts_with(&format!("{name}.")));
    let gone: Vec<_> = order.map(|(_, name)| name).filter(|name| !is_bound(name) && !begins(name)).collect();
    assert!(gone.is_empty(), "docs/laboratory.md has rows for {gone:#?}, which no report has");
}
