//! A report in sentences: what decided the makespan, what would change it, and what speaks against the figures.
//!
//! Every number in a sentence is one of the report's own. It deliberately recommends no model: that takes a comparison.

use super::build::Facts;
use super::{Report, WithoutView, ratio};

/// Part of the CPU time an order could have had that went to others, above which the figures are not the model's alone
/// (chosen: what five per cent of residual is to the books).
const CORES_TAKEN: f64 = 0.05;

/// What speaks against taking the figures for the model's own.
pub(super) fn noise(facts: &Facts<'_>, report: &Report) -> Vec<String> {
    let mut noise = Vec::new();
    let others = facts.job.concurrent_orders;
    if others > 0 {
        noise.push(format!("{others} other orders were running when it started"));
    }
    let books = &report.books;
    if let Some(taken) = taken(facts, report).filter(|taken| *taken > CORES_TAKEN) {
        noise.push(format!("others had the cores for {:.1} % of the time its steps could have used them", taken * 1e2));
    }
    if books.out_of_balance > 0 {
        noise.push(format!("{} steps have time that no clock explains", books.out_of_balance));
    }
    if report.status != "succeeded" {
        noise.push(format!("the order {}: not all of its steps ran to their end", report.status));
    }
    noise
}

/// Part of the CPU time that its steps could have had and did not get: as many as there are cores compute at once, and
/// with more of them they wait for each other, which is the model's doing. Unknown where steps hold each other up in
/// other ways too.
fn taken(facts: &Facts<'_>, report: &Report) -> Option<f64> {
    let only_cores = report.gil.is_none() && facts.spec.recipe.equipment.is_empty();
    let profile = report.overlap.profile.as_ref().filter(|_| only_cores)?;
    let could = |row: &super::ProfileRow| f64::from(row.running).min(report.bounds.cores) * row.ms;
    let wanted: f64 = profile.iter().map(could).sum();
    Some(ratio(wanted - report.work.cpu_ms, wanted))
}

/// What happened.
pub(super) fn explanation(facts: &Facts<'_>, report: &Report) -> Vec<String> {
    if report.steps_run == 0 {
        return vec!["No step ran.".to_owned()];
    }
    let mut sentences = Vec::new();
    match decided(report) {
        Some(sentence) => sentences.push(sentence),
        None => sentences.push(format!(
            "Of the {} steps a sample of {} was kept, so what decided the makespan is not known step by step.",
            report.steps_run, report.books.steps
        )),
    }
    sentences.extend(counterfactuals(report));
    sentences.push(bound(report));
    if facts.summary.dishes_failed > 0 {
        sentences.push(format!("{} dishes failed; their later steps never ran.", facts.summary.dishes_failed));
    }
    sentences
}

/// Which term dominated.
fn decided(report: &Report) -> Option<String> {
    let chain = report.chain.as_ref()?;
    let mut terms = chain.terms();
    terms.sort_by(|a, b| b.1.total_cmp(&a.1));
    let [first, second, ..] = &terms;
    let part = |(name, ms): &(&str, f64)| {
        let share = super::ChainView::share(*ms, report.makespan_ms) * 1e2;
        format!("{} ({ms:.1} ms, {share:.1} %)", words(name))
    };
    let then = if second.1 > 0.05 { format!(", then {}", part(second)) } else { String::new() };
    Some(format!("What decided the makespan was mostly {}{then}.", part(first)))
}

/// What removing it would do: the dominant reason that a recipe can change, and the one that a setup can.
fn counterfactuals(report: &Report) -> Vec<String> {
    let sentence = |change: &str, view: &WithoutView| {
        let less = ratio(view.saved_ms, report.makespan_ms) * 1e2;
        format!("{change} the same schedule would take {:.1} ms, {less:.1} % less.", view.makespan_ms)
    };
    let is_work = |view: &&WithoutView| matches!(view.term, "wait" | "cpu");
    let work = report.without.iter().find(is_work);
    let setup = report.without.iter().find(|view| !is_work(view));
    let mut sentences = Vec::new();
    if let Some(view) = work {
        let change = if view.term == "cpu" { "If its CPU steps cost nothing," } else { "Without its waits" };
        sentences.push(sentence(change, view));
    }
    if let Some(view) = setup.filter(|view| view.saved_ms >= report.makespan_ms / 1e2) {
        let change = match view.term {
            "sharing" => "With a worker for every step".to_owned(),
            term => format!("Without {}", words(term)),
        };
        sentences.push(sentence(&change, view));
    }
    sentences
}

/// How good it could have been.
fn bound(report: &Report) -> String {
    let bounds = &report.bounds;
    let workers = if bounds.workers == 1 { "one worker".to_owned() } else { format!("{} workers", bounds.workers) };
    let by = match bounds.lower_by {
        "critical_path" => "its longest dish alone takes that long".to_owned(),
        "cores" => format!("its CPU time on {} cores takes that long", bounds.cores),
        "workers" => format!("{workers} cannot do its steps faster"),
        "gil" => "only one step at a time may hold the GIL".to_owned(),
        "equipment" => "its equipment is in use that long".to_owned(),
        _ => "no more dishes may be in flight".to_owned(),
    };
    let percent = bounds.efficiency * 1e2;
    format!(
        "No schedule in this setup takes less than {:.1} ms, since {by}: this one reached {percent:.1} % of that.",
        bounds.lower_ms
    )
}

/// A term in words.
pub(super) fn words(term: &str) -> &'static str {
    match term {
        "wait" => "waiting as the recipe asks",
        "cpu" => "CPU",
        "core_wait" => "waiting for a core",
        "hand_over" => "handing steps over",
        "lag" => "waits noticed late",
        "gil_wait" => "waiting for the GIL",
        "equipment_wait" => "waiting for equipment",
        "exchange" => "exchanging data",
        "yielded" => "letting the loop turn",
        "arrival" => "dishes that had not arrived yet",
        _ => "what no clock explains",
    }
}
