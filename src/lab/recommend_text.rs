//! A recommendation in plain words: what, how sure, why, what would change it, and what was measured to be wrong with others.
//!
//! It deliberately adds no figure of its own but shares and differences of measured ones.

use super::entry::Entry;
use super::noise::Noise;
use super::objective::Objective;
use super::recommend::{Confidence, Recommendation};
use super::verdict::Verdict;
use crate::domain::recipe::Work;

/// Share of the time it wanted to compute, above which an entry's wait for the GIL is worth a sentence.
const NOTABLE: f64 = 0.05;

/// Says it, the most important first.
#[must_use]
pub(super) fn of(
    recommended: &Recommendation,
    entries: &[Entry],
    verdict: &Verdict,
    noise: &Noise,
    objective: Objective,
) -> Vec<String> {
    let mut text = vec![advice(recommended, verdict, objective)];
    if let Some((term, percent)) = recommended.dominant {
        let (what, words) = (objective.words(), term.words());
        text.push(format!(
            "What costs most is {words}: without it the {what} would be {percent:.0} % less (forecast)."
        ));
    }
    text.extend(crossover(recommended));
    for (change, expected) in &recommended.changes {
        text.push(format!("If {}, {} would be best (forecast).", change.words(), expected.name));
    }
    if recommended.changes.is_empty() {
        text.push(
            "No change of CPU, waits or dishes by a factor of 16 would change that, nor of the GIL (forecast)."
                .to_owned(),
        );
    }
    text.extend(cores(recommended));
    text.extend(entries.iter().filter_map(waited_for_the_gil));
    text.extend(entries.iter().filter_map(lost_updates));
    let seed = &recommended.seed;
    let (kind, says) = (if seed.is_io_bound { "I/O-bound" } else { "CPU-bound" }, seed.says.join(" or "));
    let verb = if seed.agrees { "agrees" } else { "disagrees" };
    text.push(format!("The post's table, {says} for {kind} work, {verb}: {}.", seed.why));
    if noise.is_noisy() {
        text.push(format!("The machine was noisy: {}. Repeat it before you bet on it.", noise.reasons.join("; ")));
    }
    text
}

fn advice(recommended: &Recommendation, verdict: &Verdict, objective: Objective) -> String {
    let (name, what) = (&recommended.name, objective.words());
    let between = verdict.margin_interval.map_or_else(String::new, |interval| {
        format!(" (between {:.0} and {:.0} % in 95 of 100 resamples)", interval.low, interval.high)
    });
    let margin = format!("{:.0} %{between}", verdict.margin_percent);
    match recommended.confidence {
        Confidence::Low if verdict.tied.is_empty() => format!("Take {name}: it is the only one that was measured."),
        Confidence::Low => {
            let tied = verdict.tied.join("; ");
            format!("Take {name}; there is no significant difference in {what} to {tied}: the next is {margin} behind.")
        }
        _ => format!("Take {name}: the next in {what} is {margin} behind."),
    }
}

fn crossover(recommended: &Recommendation) -> Option<String> {
    let crossover = recommended.crossover?;
    let (cpu, start, cores) = (crossover.cpu_ms, crossover.start_ms, crossover.cores);
    Some(match crossover.above_ms {
        Some(above) => format!(
            "Processes beat one chef above {above:.2} ms of CPU a dish, the {start:.2} ms they cost by the {cores:.1} \
             cores they use but one; here a dish needs {cpu:.2} ms."
        ),
        None => format!("Processes never beat one chef here: they get {cores:.1} cores together."),
    })
}

fn waited_for_the_gil(entry: &Entry) -> Option<String> {
    let (wait, cpu) = (entry.totals.terms.gil_wait as f64, entry.totals.terms.cpu as f64);
    let share = wait / (wait + cpu);
    let text = || {
        format!(
            "{}: {:.0} % of the time its steps could have computed they waited for the GIL.",
            entry.name,
            1e2 * share
        )
    };
    (share > NOTABLE).then(text)
}

/// Of a counter that kitchens keep for themselves nothing is lost, and of a sample nothing is known.
fn lost_updates(entry: &Entry) -> Option<String> {
    let steps = || entry.spec.recipe.steps.iter().zip(&entry.step_cpu);
    let is_whole = u64::from(entry.totals.steps.iter().sum::<u32>()) == steps().map(|(_, ran)| ran.dishes).sum::<u64>();
    let increments = steps().map(|(step, ran)| match step.work {
        Work::Counter { increments, .. } => u64::from(increments) * ran.dishes,
        _ => 0,
    });
    let (expected, counted) = (increments.sum::<u64>(), entry.totals.counted);
    let text =
        || format!("{}: {} of {expected} updates of the shared counter were lost.", entry.name, expected - counted);
    (is_whole && (1..expected).contains(&counted)).then(text)
}

/// Neighbouring numbers of cores with the same answer are told together.
fn cores(recommended: &Recommendation) -> Option<String> {
    let mut told: Vec<(u32, u32, &str)> = Vec::new();
    for (cores, expected) in &recommended.on_cores {
        match told.last_mut().filter(|(.., name)| *name == expected.name) {
            Some((_, last, _)) => *last = *cores,
            None => told.push((*cores, *cores, &expected.name)),
        }
    }
    let part = |(from, to, name): (u32, u32, &str)| match (from, to) {
        (1, 1) => format!("1 core: {name}"),
        _ if from == to => format!("{from} cores: {name}"),
        _ => format!("{from} to {to} cores: {name}"),
    };
    let parts: Vec<_> = told.into_iter().map(part).collect();
    (!parts.is_empty()).then(|| format!("On {} (forecast).", parts.join("; ")))
}
