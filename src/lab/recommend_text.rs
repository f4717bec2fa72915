//! A recommendation in plain words: what, how sure, why, and what would change it.
//!
//! It deliberately adds no figure of its own.

use super::noise::Noise;
use super::objective::Objective;
use super::recommend::{Confidence, Recommendation};
use super::verdict::Verdict;

/// Says it, the most important first.
#[must_use]
pub(super) fn of(recommended: &Recommendation, verdict: &Verdict, noise: &Noise, objective: Objective) -> Vec<String> {
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
