//! The house rules that neither the compiler nor clippy can hold: opening comments, file sizes, which room may use
//! which, and documents that speak only of what exists.
//!
//! Deliberately plain text checks, no parser: a path to a room inside a string literal would count as a use, and that
//! has not been a problem. Function length and forbidden calls are clippy's (clippy.toml), formatting is rustfmt's.

use std::fs;
use std::path::{Path, PathBuf};

/// Lines, tests apart. Chosen, not measured: what can be read in one sitting.
const MAX_SOURCE_LINES: usize = 300;

/// The rooms, and the rooms each may use. Everything absent here is a wall.
const EDGES: &[(&str, &[&str])] = &[
    ("domain", &[]),
    // Its readings are plain data, and plain data lives in `domain`.
    ("clock", &["domain"]),
    ("metrics", &["domain"]),
    ("telemetry", &[]),
    ("sim", &["domain"]),
    ("store", &["domain", "clock"]),
    ("model", &["domain", "clock"]),
    ("kitchen", &["domain", "clock", "metrics", "model", "store"]),
    ("lab", &["domain", "clock", "metrics", "model", "sim", "store", "kitchen"]),
    ("config", &["domain", "model", "store", "config_access", "config_lab", "config_store"]),
    ("config_access", &[]),
    ("config_lab", &["domain"]),
    ("config_store", &[]),
    (
        "http",
        &["domain", "clock", "metrics", "model", "store", "kitchen", "lab", "config", "config_access", "telemetry"],
    ),
    ("app", ANY),
    ("app_store", ANY),
    ("cli", ANY),
    ("main", ANY),
    // The map of the house names every room.
    ("lib", ANY),
];

/// The outermost rooms put the others together.
const ANY: &[&str] = &["*"];

/// The documents, and how long each may get; a document too long to read rots unread.
const DOCUMENTS: &[(&str, usize)] = &[("ARCHITECTURE.md", 110), ("CONTRIBUTING.md", 80), ("README.md", usize::MAX)];

/// What a document in backticks is taken for a path, and has to exist.
const PATH_STARTS: &[&str] = &["src/", "tests/", "scripts/", "docs/", "benches/", "load/", "migrations/", ".ci/"];

#[test]
fn every_rust_file_says_first_what_it_is_for() {
    let files = [rust_files("src"), rust_files("tests")].concat();
    complain(files.iter().filter_map(|file| {
        let text = read(file);
        (!text.starts_with("//! "))
            .then(|| format!("{}:1: does not start with `//! ` and what it is for", file.display()))
    }));
}

#[test]
fn no_source_file_is_longer_than_one_sitting() {
    complain(rust_files("src").iter().filter_map(|file| {
        let lines = read(file).lines().count();
        (lines > MAX_SOURCE_LINES).then(|| format!("{}:{lines}: longer than {MAX_SOURCE_LINES} lines", file.display()))
    }));
}

#[test]
fn rooms_use_only_the_rooms_they_may() {
    complain(rust_files("src").iter().flat_map(|file| {
        let room = room_of(file);
        let Some((_, allowed)) = EDGES.iter().find(|(name, _)| *name == room) else {
            return vec![format!(
                "{}:1: the room `{room}` has no row in the table of tests/it/tidy.rs",
                file.display()
            )];
        };
        rooms_used(&read(file), depth_of(file))
            .into_iter()
            .filter(|(_, used)| *used != room && *allowed != ANY && !allowed.contains(&used.as_str()))
            .map(|(line, used)| format!("{}:{line}: `{room}` may not use `{used}` (only {allowed:?})", file.display()))
            .collect()
    }));
}

#[test]
fn documents_mention_only_what_exists_and_stay_short() {
    complain(DOCUMENTS.iter().flat_map(|(document, max_lines)| {
        let text = read(Path::new(document));
        let lines = text.lines().count();
        let too_long = (lines > *max_lines).then(|| format!("{document}:{lines}: longer than {max_lines} lines"));
        let missing = paths_mentioned(&text)
            .into_iter()
            .filter(|(_, path)| !root().join(path).exists())
            .map(|(line, path)| format!("{document}:{line}: `{path}` does not exist"))
            .collect::<Vec<_>>();
        [too_long.into_iter().collect(), missing].concat()
    }));
}

#[test]
fn every_row_of_the_seed_names_a_test_that_exists_or_an_entry_that_says_it() {
    let (rows, entries) = (read(Path::new("docs/seed-rows.md")), read(Path::new("docs/seed-corrections.md")));
    let entries = entries.split_whitespace().collect::<Vec<_>>().join(" ");
    let ids = [('A', 15), ('B', 5), ('C', 11), ('D', 11), ('T', 5)];
    let ids = ids.into_iter().flat_map(|(part, count)| (1..=count).map(move |i| format!("\n| {part}{i} |")));
    let absent =
        ids.filter(|id| rows.matches(id.as_str()).count() != 1).map(|id| format!("not there once: {}", id.trim()));
    let tests = rows.split('`').skip(1).step_by(2).filter(|name| name.contains("::"));
    let gone = tests.filter(|name| !is_a_test(name)).map(|name| format!("there is no test {name}"));
    let table =
        || rows.lines().filter(|line| line.starts_with('|')).map(|line| line.rsplit("| ").next().unwrap_or(line));
    let quoted = table().flat_map(|held| held.split('"').skip(1).step_by(2));
    let unsaid = quoted.filter(|entry| !entries.contains(entry)).map(|entry| format!("there is no entry {entry:?}"));
    let bare =
        table().filter(|held| held.trim_matches(['|', ' ']).is_empty()).map(|_| "a row held by nothing".to_owned());
    complain(absent.chain(gone).chain(unsaid).chain(bare));
}

/// `file::test` of `tests/it/`, or `room::file::test` of `src/`.
fn is_a_test(name: &str) -> bool {
    let (file, test) = name.rsplit_once("::").unwrap_or_default();
    let folder = if file.contains("::") { "src" } else { "tests/it" };
    let path = root().join(folder).join(file.replace("::", "/")).with_extension("rs");
    fs::read_to_string(path).is_ok_and(|text| text.contains(&format!("fn {test}(")))
}

#[test]
fn a_use_of_a_room_is_seen_in_every_form_it_takes() {
    let text = "//! Talks of crate::http only.\n\
                use crate::domain::Recipe;\n\
                use crate::{\n    clock::Clock,\n    store::{Store, memory::Memory},\n};\n\
                fn f() { crate::kitchen::cook(); super::super::lab::plan(); super::own() }\n\
                // use crate::app;\n";
    let seen = rooms_used(text, 2);
    let expected = [(2, "domain"), (4, "clock"), (5, "store"), (7, "kitchen"), (7, "lab")];
    assert_eq!(seen, expected.map(|(line, room)| (line, room.to_owned())));
}

#[test]
fn a_path_in_a_document_is_seen_up_to_its_placeholder() {
    let text =
        "See `src/model/<name>.rs`, `tests/it/tidy.rs`, `GET /orders`.\n```\n`src/fenced.rs`\n```\n`load/*.js`\n";
    let expected = [(1, "src/model/"), (1, "tests/it/tidy.rs"), (5, "load/")];
    assert_eq!(paths_mentioned(text), expected.map(|(line, path)| (line, path.to_owned())));
}

/// Fails with every finding, one a line, so that one run shows all there is to mend.
fn complain(findings: impl Iterator<Item = String>) {
    let findings: Vec<String> = findings.collect();
    assert!(findings.is_empty(), "\n{}\n", findings.join("\n"));
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(file: &Path) -> String {
    fs::read_to_string(root().join(file)).unwrap_or_else(|error| panic!("{}:1: {error}", file.display()))
}

/// Every Rust file below a folder, named from the root of the repository, in a fixed order.
fn rust_files(folder: &str) -> Vec<PathBuf> {
    let mut folders = vec![PathBuf::from(folder)];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(root().join(&folder)).expect("the folder is part of the checkout");
        for entry in entries {
            let name = entry.expect("a folder that opened can be read").file_name();
            let path = folder.join(&name);
            if root().join(&path).is_dir() {
                // What package managers and compilers leave behind is not ours.
                if name != "node_modules" && name != "target" {
                    folders.push(path);
                }
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

/// `src/model/gil.rs` is in the room `model`, and so would be `src/model.rs`.
fn room_of(file: &Path) -> String {
    let first = file.iter().nth(1).map(Path::new).expect("it lies below src");
    let name = first.file_stem().expect("a Rust file has a name");
    name.to_string_lossy().into_owned()
}

/// How many `super` lead from the file's module to the root of the crate.
fn depth_of(file: &Path) -> usize {
    let folders = file.iter().count() - 2;
    folders + usize::from(!file.ends_with("mod.rs"))
}

/// Line and room of each `crate::room`, `crate::{room, ..}` and `super::..::room` that reaches the root of the crate.
fn rooms_used(text: &str, depth: usize) -> Vec<(usize, String)> {
    let code: String = text.lines().map(|line| without_comment(line) + "\n").collect();
    let to_root = "super::".repeat(depth);
    let mut used = Vec::new();
    for start in ["crate::", to_root.as_str()] {
        for (at, _) in code.match_indices(start) {
            for (offset, room) in first_names(&code[at + start.len()..]) {
                let line = code[..at + start.len() + offset].lines().count();
                if EDGES.iter().any(|(name, _)| *name == room) {
                    used.push((line, room.to_owned()));
                }
            }
        }
    }
    used.sort_by_key(|(line, _)| *line);
    used
}

/// The part of a line before `//`, unless that stands inside a URL.
fn without_comment(line: &str) -> String {
    let mut from = 0;
    while let Some(at) = line[from..].find("//").map(|at| at + from) {
        if !line[..at].ends_with(':') {
            return line[..at].to_owned();
        }
        from = at + 2;
    }
    line.to_owned()
}

/// The first name of a path, or of each path of a `{group}`, with its offset.
fn first_names(path: &str) -> Vec<(usize, &str)> {
    let mut names = Vec::new();
    let mut depth = 0;
    let mut name_comes = true;
    for (at, character) in path.char_indices() {
        match character {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 1 => name_comes = true,
            _ if character.is_whitespace() => continue,
            _ if name_comes && depth <= 1 => {
                let length = path[at..].find(|c: char| !c.is_alphanumeric() && c != '_');
                names.push((at, &path[at..at + length.unwrap_or(path.len() - at)]));
                name_comes = false;
            }
            _ => {}
        }
        if depth <= 0 && !name_comes {
            break;
        }
    }
    names
}

/// Line and path of everything in backticks that looks like a path, outside fenced blocks; a placeholder such as
/// `<name>` or `*` cuts it down to the folder that has to exist.
fn paths_mentioned(text: &str) -> Vec<(usize, String)> {
    let mut fenced = false;
    let mut paths = Vec::new();
    for (index, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if !fenced {
            let quoted = line.split('`').skip(1).step_by(2);
            let mentioned = quoted.filter(|text| PATH_STARTS.iter().any(|start| text.starts_with(start)));
            paths.extend(mentioned.map(|text| (index + 1, existing_part(text).to_owned())));
        }
    }
    paths
}

fn existing_part(path: &str) -> &str {
    let path = path.split(' ').next().unwrap_or(path);
    match path.find(['<', '*', '{']) {
        Some(placeholder) => &path[..path[..placeholder].rfind('/').map_or(0, |slash| slash + 1)],
        None => path,
    }
}
