//! Who won, and whether that is more than chance.
//!
//! A difference counts when the Mann-Whitney test says so (5 %) and it is at least one percent. It deliberately never
//! names a winner louder than the runs allow: no significant difference is a verdict too.

use super::entry::{Against, Entry};
use super::objective::Objective;
use super::statistics::{self, Interval};

/// Chance of a difference between equals below which it counts.
const SIGNIFICANCE: f64 = 0.05;
/// Ratio below which nobody would choose by it; chosen.
const WORTH_IT: f64 = 1.01;

/// How a comparison came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// One is better than all others.
    Winner,
    /// The best and others cannot be told apart.
    NoSignificantDifference,
    /// Only one could be measured.
    OnlyOne,
}

impl Outcome {
    /// Name on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        ["winner", "no_significant_difference", "only_one"][self as usize]
    }
}

/// Who won.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// How it came out.
    pub outcome: Outcome,
    /// Name of the best entry.
    pub winner: String,
    /// Whether it differs from the second beyond chance.
    pub significant: bool,
    /// By how much the second is worse, percent.
    pub margin_percent: f64,
    /// Where that lies, percent.
    pub margin_interval: Option<Interval>,
    /// Names of all that cannot be told apart from the best.
    pub tied: Vec<String>,
    /// All of it in a sentence.
    pub text: String,
}

fn values(entry: &Entry, objective: Objective) -> Vec<f64> {
    entry.runs.iter().map(|run| objective.of_run(run)).collect()
}

/// Its median of what counts; infinite if it has never run.
#[must_use]
pub fn score(entry: &Entry, objective: Objective) -> f64 {
    entry.spread(|run| objective.of_run(run)).map_or(f64::INFINITY, |spread| spread.median)
}

/// Sorts the entries, best first, sets each beside the best, and says who won.
pub fn judge(entries: &mut [Entry], objective: Objective, dishes: (u32, u32)) -> Option<Verdict> {
    entries.sort_by(|a, b| score(a, objective).total_cmp(&score(b, objective)));
    let best = values(entries.first().filter(|entry| !entry.runs.is_empty())?, objective);
    for (place, entry) in entries.iter_mut().enumerate().filter(|(_, entry)| !entry.runs.is_empty()) {
        entry.against_best = Some(against(&values(entry, objective), &best, place == 0));
    }
    let name = |entry: &Entry| entry.name.clone();
    let sample = if dishes.0 == dishes.1 {
        format!("{} dishes", dishes.0)
    } else {
        format!("{} dishes, extended from {} and half as many", dishes.0, dishes.1)
    };
    let (first, others) = entries.split_first()?;
    let Some((second, beside)) = others.first().and_then(|second| Some((second, second.against_best?))) else {
        let text = format!("{} is the only one that could be measured ({sample}).", first.name);
        let (outcome, winner) = (Outcome::OnlyOne, name(first));
        let tied = Vec::new();
        return Some(Verdict {
            outcome,
            winner,
            significant: false,
            margin_percent: 0.0,
            margin_interval: None,
            tied,
            text,
        });
    };
    let tied: Vec<_> =
        others.iter().filter(|other| other.against_best.is_some_and(|beside| !beside.differs)).map(name).collect();
    let percent = |ratio: f64| 100.0 * (ratio - 1.0);
    let margin_percent = percent(beside.ratio);
    let margin_interval = beside.interval.map(|i| Interval { low: percent(i.low), high: percent(i.high) });
    let what = objective.words();
    let text = if beside.differs {
        format!("{} has the least {what}, {margin_percent:.0} % ahead of {} ({sample}).", first.name, second.name)
    } else {
        let runs = first.runs.len().min(second.runs.len());
        format!(
            "No significant difference in {what} between {} and {}: {margin_percent:.1} % at the median is within chance \
             for {runs} runs each ({sample}).",
            first.name, second.name
        )
    };
    let outcome = if tied.is_empty() { Outcome::Winner } else { Outcome::NoSignificantDifference };
    let significant = beside.differs;
    Some(Verdict { outcome, winner: name(first), significant, margin_percent, margin_interval, tied, text })
}

fn against(own: &[f64], best: &[f64], is_best: bool) -> Against {
    let median = |values: &[f64]| statistics::Spread::of(values).map_or(f64::NAN, |spread| spread.median);
    let ratio = median(own) / median(best);
    if is_best {
        return Against { ratio, interval: None, p_value: 1.0, differs: false };
    }
    let p_value = statistics::p_value(best, own);
    let differs = p_value < SIGNIFICANCE && ratio >= WORTH_IT;
    Against { ratio, interval: statistics::ratio_interval(own, best), p_value, differs }
}
