//! What to do with a comparison: which entry, how sure that is, why, and what would change it.
//!
//! Pure: it is given what was measured and a function that foresees. What comes from a forecast is kept apart from what
//! was measured. It deliberately says nothing in words (that is `recommend_text.rs`).

use super::entry::Entry;
use super::foresee::{Foreseen, Place};
use super::noise::Noise;
use super::objective::Objective;
use super::plan;
use super::seed_row::{self, SeedRow};
use super::verdict::{self, Verdict};
use super::what_if::{Change, Term};
use crate::domain::spec::Spec;
use crate::model;

/// Cores that a recommendation looks ahead to.
pub const CORES: [u32; 7] = [1, 2, 4, 8, 16, 32, 64];
/// How far another must be ahead for a forecast to change the answer: forecasts err.
const CLEARLY: f64 = 1.05;

/// How much to bet on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Confidence {
    /// Beyond chance, on a quiet machine.
    High,
    /// Beyond chance, but the machine was noisy.
    Medium,
    /// Within chance.
    Low,
}

impl Confidence {
    /// Name on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        ["high", "medium", "low"][self as usize]
    }
}

/// Above which CPU per dish processes beat one chef.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Crossover {
    /// CPU that processes cost beyond the work, per dish, milliseconds: sigma.
    pub start_ms: f64,
    /// Cores that its processes can use: m.
    pub cores: f64,
    /// sigma / (m - 1), milliseconds of CPU per dish; `None` on one core: never.
    pub above_ms: Option<f64>,
    /// What a dish needs, milliseconds.
    pub cpu_ms: f64,
}

/// What another machine, or other work, would make of it; a forecast.
#[derive(Clone, Debug, PartialEq)]
pub struct Expected {
    /// The entry that would be best.
    pub name: String,
    /// Its order.
    pub spec: Spec,
    /// Its makespan, milliseconds, of as many dishes as were looked at.
    pub makespan_ms: f64,
}

/// What to do.
#[derive(Clone, Debug, PartialEq)]
pub struct Recommendation {
    /// Name of the entry to take.
    pub name: String,
    /// Its order.
    pub spec: Spec,
    /// How sure.
    pub confidence: Confidence,
    /// The part of its time without which it would be shortest, and how much shorter, percent; a forecast.
    pub dominant: Option<(Term, f64)>,
    /// Where the time of a dish's steps went, milliseconds.
    pub terms: Vec<(&'static str, f64)>,
    /// Where one chef and several processes meet.
    pub crossover: Option<Crossover>,
    /// What would change the answer; a forecast.
    pub changes: Vec<(Change, Expected)>,
    /// What was tried in forecasts and would not.
    pub unmoved: Vec<Change>,
    /// What it would be on other numbers of cores; a forecast.
    pub on_cores: Vec<(u32, Expected)>,
    /// Dishes that forecasts looked at.
    pub looked_at: u32,
    /// What the post's table says.
    pub seed: SeedRow,
    /// All of it in words, the most important first.
    pub text: Vec<String>,
}

/// Says what would come of an order at a place.
pub type Foresees = dyn Fn(&Spec, &Place) -> Option<Foreseen>;

/// What a recommendation is made of.
pub struct Question<'a> {
    /// Best first.
    pub entries: &'a [Entry],
    /// What is best.
    pub objective: Objective,
    /// Who won.
    pub verdict: &'a Verdict,
    /// How far the machine can be trusted.
    pub noise: &'a Noise,
    /// Where it was measured.
    pub place: &'a Place,
    /// Who would be compared on so many cores.
    pub line_ups: &'a [(u32, Vec<(String, Spec)>)],
    /// Dishes to look at in forecasts.
    pub looked_at: u32,
    /// Dishes that a forecast of more of them may have.
    pub most_dishes: u32,
}

/// What to do, given what was measured; `foresee` says what would come of other work or another machine.
#[must_use]
pub fn recommend(q: &Question<'_>, foresee: &Foresees) -> Option<Recommendation> {
    let best = q.entries.first().filter(|entry| !entry.runs.is_empty())?;
    let crossover = crossover(q);
    let (changes, unmoved) = changes(q, foresee);
    Some(Recommendation {
        name: best.name.clone(),
        spec: best.spec.clone(),
        confidence: match (q.verdict.significant, q.noise.is_noisy()) {
            (true, false) => Confidence::High,
            (true, true) => Confidence::Medium,
            (false, _) => Confidence::Low,
        },
        dominant: dominant(q, best, foresee),
        terms: terms(best),
        changes,
        unmoved,
        on_cores: q.line_ups.iter().filter_map(|(cores, who)| Some((*cores, on(q, *cores, who, foresee)?))).collect(),
        looked_at: q.looked_at,
        seed: seed_row::of(&best.spec, q.place.machine, crossover),
        crossover,
        text: Vec::new(),
    })
}

/// Where the time of a dish's steps went; queueing is beside it, for several steps may queue at once.
fn terms(entry: &Entry) -> Vec<(&'static str, f64)> {
    let dishes = f64::from(entry.totals.steps.iter().sum::<u32>()) / entry.spec.recipe.steps.len() as f64;
    let per_dish = |ns: u64| ns as f64 / 1e6 / dishes.max(1.0);
    let terms = &entry.totals.terms;
    vec![
        ("cpu", per_dish(terms.cpu)),
        ("core_wait", per_dish(terms.core_wait)),
        ("gil_wait", per_dish(terms.gil_wait)),
        ("equipment_wait", per_dish(terms.equipment_wait)),
        ("exchange", per_dish(terms.exchange)),
        ("queue", per_dish(entry.totals.queue)),
    ]
}

/// The term without which the objective would be least, and how much less.
fn dominant(q: &Question<'_>, best: &Entry, foresee: &Foresees) -> Option<(Term, f64)> {
    let spec = Spec { dishes: q.looked_at, ..best.spec.clone() };
    let score = |spec: &Spec, place: &Place| score(q, foresee(spec, place));
    let with = score(&spec, q.place);
    let gain = |term: Term| {
        let (spec, place) = term.without(&spec, q.place);
        100.0 * (1.0 - score(&spec, &place) / with)
    };
    let gains = Term::ALL.into_iter().map(|term| (term, gain(term)));
    gains.filter(|(_, gain)| *gain > 1.0).max_by(|a, b| a.1.total_cmp(&b.1))
}

/// From each row of changes the first that makes another entry clearly better than the recommended one; and everything that
/// was tried in vain.
///
/// What a forecast says of an entry is corrected by what it was wrong on the work as it is, so that the answer today is
/// the measured one.
fn changes(q: &Question<'_>, foresee: &Foresees) -> (Vec<(Change, Expected)>, Vec<Change>) {
    let short = |entry: &Entry| Spec { dishes: q.looked_at, ..entry.spec.clone() };
    let score = |spec: &Spec| score(q, foresee(spec, q.place));
    let scaled = |entry| (entry, verdict::score(entry, q.objective) / score(&short(entry)));
    let measured: Vec<_> = q.entries.iter().filter(|entry| !entry.runs.is_empty()).map(scaled).collect();
    let answer = |change: Change| {
        let would = |(entry, scale): &(&Entry, f64)| score(&change.applied(&short(entry))) * scale;
        let scores: Vec<_> = measured.iter().map(would).collect();
        let (at, least) = scores.iter().enumerate().min_by(|a, b| a.1.total_cmp(b.1))?;
        if scores[0] <= least * CLEARLY {
            return None;
        }
        let spec = change.applied(&short(measured[at].0));
        let makespan_ms = foresee(&spec, q.place)?.makespan_ms;
        Some((change, Expected { name: measured[at].0.name.clone(), spec, makespan_ms }))
    };
    let concerned = |change: &Change| q.entries.first().is_some_and(|e| change.concerns(&short(e), q.most_dishes));
    let (mut found, mut unmoved) = (Vec::new(), Vec::new());
    for row in Change::TRIED {
        for change in row.iter().copied().filter(concerned) {
            match answer(change) {
                Some(answer) => {
                    found.push(answer);
                    break;
                }
                None => unmoved.push(change),
            }
        }
    }
    (found, unmoved)
}

/// The best of these on so many cores.
fn on(q: &Question<'_>, cores: u32, who: &[(String, Spec)], foresee: &Foresees) -> Option<Expected> {
    let place = q.place.elsewhere(cores);
    let expected = |(name, spec): &(String, Spec)| {
        let spec = Spec { dishes: q.looked_at, ..spec.clone() };
        let foreseen = foresee(&spec, &place)?;
        let expected = Expected { name: name.clone(), spec, makespan_ms: foreseen.makespan_ms };
        Some((q.objective.of(foreseen.aims()), expected))
    };
    let all = who.iter().filter_map(expected);
    all.min_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, expected)| expected)
}

/// What is to be small; infinite for what would never end.
fn score(q: &Question<'_>, foreseen: Option<Foreseen>) -> f64 {
    foreseen.map_or(f64::INFINITY, |foreseen| q.objective.of(foreseen.aims()))
}

/// Processes beat one chef on CPU when n C > n (C + sigma) / m, so when C > sigma / (m - 1).
fn crossover(q: &Question<'_>) -> Option<Crossover> {
    let shape = |entry: &Entry| model::get(entry.spec.model).shape(&entry.spec, q.place.machine.house);
    let name = |entry: &Entry| model::get(entry.spec.model).info().name;
    let measured = || q.entries.iter().filter(|entry| !entry.runs.is_empty());
    let chef = measured().find(|entry| name(entry) == "asyncio" && shape(entry).workers == 1)?;
    let processes = measured().find(|entry| name(entry) == "multiprocessing" && shape(entry).workers > 1)?;
    let cpu_ms = chef.step_cpu.iter().filter(|cpu| cpu.dishes > 0).map(|cpu| cpu.sum as f64 / cpu.dishes as f64).sum();
    let cores = plan::cores(&processes.spec, q.place.machine);
    let start_ms = (processes.start_cpu_ms - chef.start_cpu_ms).max(0.0) / f64::from(processes.spec.dishes);
    let above_ms = (cores > 1.05).then(|| start_ms / (cores - 1.0));
    Some(Crossover { start_ms, cores, above_ms, cpu_ms: f64::max(cpu_ms, 0.0) / 1e6 })
}
