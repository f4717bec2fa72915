//! What a comparison recommends, and how far its machine can be trusted, as the outside sees it.
//!
//! It deliberately computes nothing: every figure is the laboratory's.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

use super::wire::SetupView;
use crate::lab::noise::Noise;
use crate::lab::recommend::{Crossover, Expected, Recommendation};
use crate::lab::seed_row::SeedRow;
use crate::model;

/// A figure with three decimals.
pub(super) fn thousandths(x: f64) -> f64 {
    (x * 1e3).round() / 1e3
}

/// What disturbed the measurement.
#[derive(Serialize, ToSchema)]
#[schema(as = Noise)]
pub struct NoiseView<'a> {
    /// Whether the figures are to be taken with care.
    pub noisy: bool,
    /// Why; empty if they are not.
    #[schema(max_items = 8)]
    pub reasons: &'a [String],
    /// CPU seconds per second the machine gave just before.
    pub cores_before: f64,
    /// The same just after.
    pub cores_after: f64,
    /// Wait for cores by CPU time, over entries with no more threads than cores; null without one.
    pub core_wait_share: Option<f64>,
    /// Range of an entry's runs by their median, at the median entry.
    pub spread: Option<f64>,
    /// Percent of the ten seconds before in which somebody waited for a core (`/proc/pressure/cpu`); null where the kernel does
    /// not say.
    pub cpu_pressure_percent: Option<f64>,
}

impl<'a> NoiseView<'a> {
    /// Of a comparison.
    #[must_use]
    pub fn of(noise: &'a Noise) -> Self {
        Self {
            noisy: noise.is_noisy(),
            reasons: &noise.reasons,
            cores_before: thousandths(noise.before.cores),
            cores_after: thousandths(noise.cores_after),
            core_wait_share: noise.core_wait_share.map(thousandths),
            spread: noise.spread.map(thousandths),
            cpu_pressure_percent: noise.before.pressure_percent,
        }
    }
}

/// What to do.
#[derive(Serialize, ToSchema)]
#[schema(as = Recommendation)]
pub struct RecommendationView<'a> {
    /// Name of the entry to take.
    pub name: &'a str,
    /// Its model.
    pub model: &'static str,
    /// Its options, counts included.
    #[schema(value_type = crate::domain::ask::SetupAsk)]
    pub setup: SetupView,
    /// `high` (beyond chance, on a quiet machine), `medium` (beyond chance, noisy) or `low` (within chance).
    pub confidence: &'static str,
    /// What costs most; null if nothing stands out.
    pub dominant: Option<DominantView>,
    /// Where the time of a dish's steps went, milliseconds, measured; several steps may queue at once.
    pub terms_ms: BTreeMap<&'static str, f64>,
    /// Where one chef and several processes meet; null unless both were measured.
    pub crossover: Option<CrossoverView>,
    /// What would change the answer; a forecast.
    #[schema(max_items = 16)]
    pub changes: Vec<ChangeView<'a>>,
    /// What it would be on other numbers of cores; a forecast.
    #[schema(max_items = 7)]
    pub on_cores: Vec<CoresView<'a>>,
    /// Dishes that these forecasts looked at.
    #[schema(minimum = 1, maximum = 3_000_000)]
    pub forecast_dishes: u32,
    /// What the post's table says of such work.
    pub seed: SeedView<'a>,
    /// All of it in plain words, the most important first.
    #[schema(max_items = 16)]
    pub text: &'a [String],
}

/// What costs most.
#[derive(Serialize, ToSchema)]
#[schema(as = Dominant)]
pub struct DominantView {
    /// Part of the time.
    pub term: &'static str,
    /// By how much less the objective would be without it; a forecast.
    pub gain_percent: f64,
}

/// Processes beat one chef above `above_ms` of CPU a dish: sigma / (m - 1).
#[derive(Serialize, ToSchema)]
#[schema(as = Crossover)]
pub struct CrossoverView {
    /// Sigma: CPU that processes cost beyond the work, per dish.
    pub start_ms: f64,
    /// m: cores they can use.
    pub cores: f64,
    /// Sigma / (m - 1); null on one core, where they never do.
    pub above_ms: Option<f64>,
    /// What a dish needs.
    pub cpu_ms: f64,
}

/// A change, and the answer after it.
#[derive(Serialize, ToSchema)]
#[schema(as = Change)]
pub struct ChangeView<'a> {
    /// In words, after "if".
    pub change: String,
    /// The entry that would be best.
    pub name: &'a str,
    /// Its makespan.
    pub makespan_ms: f64,
}

/// The answer on so many cores.
#[derive(Serialize, ToSchema)]
#[schema(as = OnCores)]
pub struct CoresView<'a> {
    /// Cores.
    #[schema(minimum = 1, maximum = 64)]
    pub cores: u32,
    /// The entry that would be best.
    pub name: &'a str,
    /// Its model.
    pub model: &'static str,
    /// Its options.
    #[schema(value_type = crate::domain::ask::SetupAsk)]
    pub setup: SetupView,
    /// Its makespan.
    pub makespan_ms: f64,
}

/// What the post's table of three rows says.
#[derive(Serialize, ToSchema)]
#[schema(as = SeedRow)]
pub struct SeedView<'a> {
    /// `io_bound` if a dish waits at least as long as it computes, else `cpu_bound`.
    pub work: &'static str,
    /// Models it recommends for that.
    #[schema(max_items = 3)]
    pub says: &'static [&'static str],
    /// Whether what was measured agrees.
    pub agrees: bool,
    /// Why, or why not.
    pub why: &'a str,
}

impl<'a> RecommendationView<'a> {
    /// Of a comparison.
    #[must_use]
    pub fn of(recommended: &'a Recommendation) -> Self {
        let spec = &recommended.spec;
        Self {
            name: &recommended.name,
            model: model::get(spec.model).info().name,
            setup: SetupView { model: spec.model, setup: spec.setup },
            confidence: recommended.confidence.name(),
            dominant: recommended
                .dominant
                .map(|(term, percent)| DominantView { term: term.name(), gain_percent: thousandths(percent) }),
            terms_ms: recommended.terms.iter().map(|(name, ms)| (*name, thousandths(*ms))).collect(),
            crossover: recommended.crossover.map(crossover),
            changes: recommended
                .changes
                .iter()
                .map(|(change, expected)| ChangeView {
                    change: change.words(),
                    name: &expected.name,
                    makespan_ms: thousandths(expected.makespan_ms),
                })
                .collect(),
            on_cores: recommended.on_cores.iter().map(|(cores, expected)| on(*cores, expected)).collect(),
            forecast_dishes: recommended.looked_at,
            seed: seed(&recommended.seed),
            text: &recommended.text,
        }
    }
}

fn crossover(crossover: Crossover) -> CrossoverView {
    CrossoverView {
        start_ms: thousandths(crossover.start_ms),
        cores: thousandths(crossover.cores),
        above_ms: crossover.above_ms.map(thousandths),
        cpu_ms: thousandths(crossover.cpu_ms),
    }
}

fn on(cores: u32, expected: &Expected) -> CoresView<'_> {
    let spec = &expected.spec;
    CoresView {
        cores,
        name: &expected.name,
        model: model::get(spec.model).info().name,
        setup: SetupView { model: spec.model, setup: spec.setup },
        makespan_ms: thousandths(expected.makespan_ms),
    }
}

fn seed(row: &SeedRow) -> SeedView<'_> {
    let work = if row.is_io_bound { "io_bound" } else { "cpu_bound" };
    SeedView { work, says: row.says, agrees: row.agrees, why: &row.why }
}
