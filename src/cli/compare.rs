//! `pasta-fasta compare`: which model, and how many? Five lines on stdout, what they rest on on stderr.
//!
//! It deliberately uses the same comparison as the API.

use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::Duration;

use super::{EXIT_FAILURE, err, nothing_asked, out, refused};
use crate::app;
use crate::config::Cli;
use crate::config_lab::Compare;
use crate::domain::client::Client;
use crate::domain::resolve::Violation;
use crate::http::comparison_ask::{ComparisonAsk, LineUpAsk, ObjectiveAsk, plan};
use crate::http::comparison_wire::view;
use crate::lab::comparison::Comparison;
use crate::lab::comparisons::Comparisons;
use crate::lab::entry::Entry;
use crate::model::staff::StaffConfig;

/// Compares.
pub(super) fn run(compare: &Compare) -> ExitCode {
    super::on_runtime(run_on(compare))
}

async fn run_on(compare: &Compare) -> ExitCode {
    let serve = <Cli as clap::Parser>::parse_from(["pasta-fasta"]).serve;
    let (_kitchen, comparisons) = app::kitchen(&serve, StaffConfig::of_this_process());
    let asked = &compare.asked;
    let Some(work) = asked.work() else { return nothing_asked() };
    let (plan, bad) = plan(ComparisonAsk {
        work,
        line_up: Some(LineUpAsk::Named(asked.line_up.clone())),
        repeats: Some(compare.repeats),
        objective: Some(ObjectiveAsk::of_words(&asked.objective)),
        budget_ms: compare.budget_ms,
    });
    let id = match comparisons.submit(&Client::house(), plan, bad).await {
        Ok(Ok(state)) => state.id,
        Ok(Err(busy)) => return refused(&[Violation::new("", busy.to_string())]),
        Err(bad) => return refused(&bad),
    };
    let Some(state) = wait(&comparisons, id, !asked.json).await else { return ExitCode::from(EXIT_FAILURE) };
    if asked.json {
        out(&format!("{}\n", serde_json::to_string_pretty(&view(&state)).unwrap_or_default()));
    } else {
        tell(&state);
    }
    if state.error.is_none() { ExitCode::SUCCESS } else { ExitCode::from(EXIT_FAILURE) }
}

async fn wait(comparisons: &Comparisons, id: crate::domain::id::OrderId, tell: bool) -> Option<Comparison> {
    loop {
        let state = comparisons.get(id)?;
        if state.status.is_done() {
            return Some(state);
        }
        if tell && std::io::stderr().is_terminal() {
            use std::io::Write;
            let _ = write!(std::io::stderr(), "\rrun {} of {} ...", state.progress.0, state.progress.1);
        }
        comparisons.wait_here(id, Duration::from_millis(200)).await;
    }
}

fn tell(state: &Comparison) {
    if std::io::stderr().is_terminal() {
        err("\r                         ");
    }
    if let Some(error) = &state.error {
        return err(&format!("error: {error}"));
    }
    let width = state.entries.iter().map(|e| e.name.chars().count()).max().unwrap_or(0);
    for (entry, rank) in state.entries.iter().zip(1..) {
        out(&line(entry, rank, width));
    }
    let cores = state.effective_cores.unwrap_or_default();
    let (all, measured) = state.dishes;
    let runs = state.entries.iter().map(|entry| entry.runs.len()).max().unwrap_or(0);
    err(&format!("{measured} of {all} dishes cooked, {runs} runs each, {cores:.2} effective cores"));
    if let Some(recommended) = &state.recommendation {
        recommended.text.iter().for_each(|sentence| err(sentence));
    }
}

fn line(entry: &Entry, rank: usize, width: usize) -> String {
    let median = |of: fn(&crate::lab::entry::Figures) -> f64| entry.spread(of).map_or(f64::NAN, |s| s.median);
    if let Some(error) = &entry.failed {
        return format!("{rank}. {:<width$}  could not be measured: {error}\n", entry.name);
    }
    let place = match entry.against_best {
        _ if rank == 1 => "best".to_owned(),
        Some(beside) if !beside.differs => "no significant difference to 1".to_owned(),
        Some(beside) => format!("{:.2} x", beside.ratio),
        None => String::new(),
    };
    format!(
        "{rank}. {:<width$}  {:>8}  dish mean {:>8}  p95 {:>8}  cpu {:>8}  {:>6.1} MiB  {place}\n",
        entry.name,
        span(median(|f| f.makespan_ms)),
        span(median(|f| f.mean_dish_ms)),
        span(median(|f| f.p95_dish_ms)),
        span(median(|f| f.cpu_ms)),
        median(|f| f.peak_memory_bytes) / f64::from(1 << 20),
    )
}

/// Milliseconds as people write them.
pub(super) fn span(ms: f64) -> String {
    if ms < 1_000.0 { format!("{ms:.0} ms") } else { format!("{:.2} s", ms / 1e3) }
}
