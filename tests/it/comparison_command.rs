//! `pasta-fasta compare` as README shows it: five lines, within the time it was given.
//!
//! Which line comes first is deliberately left to `comparison_ranking.rs`: here it is the command that is tried.

use std::process::Command;
use std::time::Instant;

use crate::harness;

/// Time for all runs of all entries.
const BUDGET_MS: u32 = 10_000;
/// By how much the whole command may take longer: runs in progress have an eighth, the rest is for the start, the machine's
/// measurement before and after, and the forecasts of the recommendation.
const SLACK: f64 = 1.5;

#[test]
fn the_readmes_comparison_says_five_lines_and_keeps_within_its_budget() {
    let work = ["compare", "--io-ms", "60", "--cpu-ms", "8", "--dishes", "500"];
    let begun = Instant::now();
    let run = Command::new(harness::BINARY)
        .env("PASTA_FASTA_CACHE_DIR", "none")
        .args(work)
        .args(["--budget-ms", &BUDGET_MS.to_string()])
        .output()
        .expect("the binary runs");
    let budgets = begun.elapsed().as_secs_f64() * 1e3 / f64::from(BUDGET_MS);
    let [lines, said] = [run.stdout, run.stderr].map(|text| String::from_utf8(text).expect("text"));
    assert!(run.status.success() && lines.lines().count() == 5, "{lines}{said}");
    for (line, rank) in lines.lines().zip(1..) {
        assert!(line.starts_with(&format!("{rank}. ")), "{lines}");
    }
    let best = lines.lines().next().expect("five lines");
    assert!(
        best.ends_with("best") && ["dish mean", "p95", "cpu", "MiB"].iter().all(|part| best.contains(part)),
        "{lines}"
    );
    assert!(said.contains("of 500 dishes cooked") && said.contains("\nTake "), "{said}");
    assert!(said.contains("that was tried would change the answer (forecast): "), "{said}");
    assert!(budgets < SLACK, "took {budgets:.2} times its budget of {BUDGET_MS} ms: {said}");
}
