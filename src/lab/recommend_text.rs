//! A recommendation in plain words: what, how sure, why, what would change it, and what was measured to be wrong with others.
//!
//! It deliberately adds no figure of its own but shares and differences of measured ones.

use super::entry::Entry;
use super::noise::Noise;
use super::objective::Objective;
use super::recommend::{Confidence, Recommendation};
use super::verdict::Verdict;
use super::what_if::{Change, fraction};
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
    text.extend(in_vain(recommended));
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

/// What was tried and changes nothing, factor by factor.
fn in_vain(recommended: &Recommendation) -> Option<String> {
    let other = if recommended.changes.is_empty() { "" } else { " else" };
    let tried = tried(&recommended.unmoved);
    (!tried.is_empty()).then(|| format!("Nothing{other} that was tried would change the answer (forecast): {tried}."))
}

/// What of an order these changes touch, and by how much: in words, for the ones that were tried in vain.
fn tried(changes: &[Change]) -> String {
    const TOUCHED: [&str; 5] =
        ["the CPU of a dish", "the waits", "the dishes", "the rate of arrivals", "the equipment"];
    let scaled = |change: &Change| match *change {
        Change::Cpu(factor) => Some((0, factor)),
        Change::Wait(factor) => Some((1, factor)),
        Change::Dishes(factor) => Some((2, factor)),
        Change::Rate(factor) => Some((3, factor)),
        Change::Capacity(factor) => Some((4, factor)),
        Change::Gil(_) => None,
    };
    let row = |(touched, words): (usize, &&str)| {
        let of_it = changes.iter().filter_map(scaled).filter(|(what, _)| *what == touched);
        let mut factors: Vec<f64> = of_it.map(|(_, factor)| factor).collect();
        factors.sort_by(f64::total_cmp);
        let factors: Vec<_> = factors.into_iter().map(fraction).collect();
        let (last, others) = factors.split_last()?;
        let and = if others.is_empty() { String::new() } else { format!("{} and ", others.join(", ")) };
        Some(format!("{words} times {and}{last}"))
    };
    let locks = [(Change::Gil(true), "a GIL"), (Change::Gil(false), "no GIL")];
    let lock = locks.into_iter().filter(|(change, _)| changes.contains(change)).map(|(_, words)| words.to_owned());
    TOUCHED.iter().enumerate().filter_map(row).chain(lock).collect::<Vec<_>>().join("; ")
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_tried_is_said_factor_by_factor() {
        let tried =
            tried(&[Change::Cpu(2.0), Change::Cpu(0.25), Change::Cpu(16.0), Change::Dishes(2.0), Change::Gil(false)]);
        assert_eq!(tried, "the CPU of a dish times 1/4, 2 and 16; the dishes times 2; no GIL");
        assert_eq!(Change::Rate(0.25).words(), "dishes arrived 1/4 as often");
    }
}
