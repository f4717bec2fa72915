//! The committed corpus of `fuzz/`, once through every target: what the fuzzer has found stays found, on any compiler.
//!
//! It deliberately makes nothing up; that is `scripts/fuzz`.

use std::fs;
use std::path::Path;

use crate::fuzz_targets::ALL;

#[test]
fn what_the_fuzzer_has_seen_breaks_no_promise() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    for (name, target) in ALL {
        let entries = fs::read_dir(corpus.join(name)).unwrap_or_else(|error| panic!("the corpus of {name}: {error}"));
        let files: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
        assert!(files.len() >= 3, "{name} has hardly a corpus");
        for file in files {
            let bytes = fs::read(&file).expect("a file");
            // The panic says what is broken, this says by what.
            let held = std::panic::catch_unwind(|| target(&bytes));
            assert!(held.is_ok(), "broken by {}", file.display());
        }
    }
}

#[test]
fn every_target_has_a_program() {
    let manifest = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/Cargo.toml")).expect("a file");
    let programs =
        manifest.lines().filter_map(|line| line.strip_prefix("path = \"fuzz_targets/")?.strip_suffix(".rs\""));
    assert_eq!(programs.collect::<Vec<_>>(), ALL.iter().map(|(name, _)| *name).collect::<Vec<_>>());
}
