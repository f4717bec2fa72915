//! The entries of a comparison as the outside sees them.
//!
//! It deliberately computes nothing: every figure is the laboratory's.

use serde::Serialize;
use utoipa::ToSchema;

use super::recommendation_wire::thousandths;
use super::wire::SetupView;
use crate::lab::entry::{Against, Entry};
use crate::lab::foresee::Forecasts;
use crate::lab::statistics::{Interval, Spread};
use crate::model;

/// One entry's figures.
#[derive(Serialize, ToSchema)]
#[schema(as = Entry)]
pub struct EntryView<'a> {
    /// Place, 1 for the best.
    #[schema(minimum = 1, maximum = 64)]
    pub rank: u64,
    /// What it is called.
    pub name: &'a str,
    /// The model.
    pub model: &'static str,
    /// Its options.
    #[schema(value_type = crate::domain::ask::SetupAsk)]
    pub setup: SetupView,
    /// What one would expect by hand from effective cores alone.
    pub expected_makespan_ms: f64,
    /// Makespan.
    pub makespan_ms: Option<SpreadView>,
    /// Mean completion time of a dish.
    pub mean_dish_ms: Option<SpreadView>,
    /// 95th percentile of the same.
    pub p95_dish_ms: Option<SpreadView>,
    /// CPU time of all its processes.
    pub cpu_ms: Option<SpreadView>,
    /// Sum of `VmHWM` over its processes.
    pub peak_memory_bytes: Option<SpreadView>,
    /// How it stands beside the best one, in what the objective looks at.
    pub against_best: Option<AgainstView>,
    /// What was expected of a run of `measured_dishes`.
    pub forecast: Option<ForecastView>,
    /// Why it could not be measured.
    pub error: Option<&'a str>,
}

/// Median and range over the repeats.
#[derive(Serialize, ToSchema)]
#[schema(as = Spread)]
pub struct SpreadView {
    /// Median.
    pub median: f64,
    /// Smallest.
    pub low: f64,
    /// Largest.
    pub high: f64,
}

/// Where a figure lies in 95 of 100 resamples (bootstrap, 2,000 resamples, always the same ones).
#[derive(Serialize, ToSchema)]
#[schema(as = Interval)]
pub struct IntervalView {
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// An entry beside the best one.
#[derive(Serialize, ToSchema)]
#[schema(as = Against)]
pub struct AgainstView {
    /// Its median by the best one's.
    pub ratio: f64,
    /// Where that ratio lies; null below three runs each, and for the best itself.
    pub interval: Option<IntervalView>,
    /// Chance of such a difference between equals (Mann-Whitney, two-sided).
    pub p_value: f64,
    /// Whether it is worse beyond chance: p below 5 %, and by at least 1 %.
    pub differs: bool,
}

/// A forecast beside what was measured.
#[derive(Serialize, ToSchema)]
#[schema(as = EntryForecast)]
pub struct ForecastView {
    /// Made before the first run.
    pub makespan_ms: f64,
    /// Made afterwards, with the CPU that steps really took and the cores that were there.
    pub refit_makespan_ms: Option<f64>,
    /// What was measured (median).
    pub measured_makespan_ms: Option<f64>,
    /// By how much it was foreseen too long.
    pub error_percent: Option<f64>,
    /// The same in hindsight.
    pub refit_error_percent: Option<f64>,
}

/// An entry at its place.
pub(super) fn entry_view(entry: &Entry, rank: u64) -> EntryView<'_> {
    let spread = |s: Option<Spread>| {
        s.map(|s| SpreadView { median: thousandths(s.median), low: thousandths(s.low), high: thousandths(s.high) })
    };
    EntryView {
        rank,
        name: &entry.name,
        model: model::get(entry.spec.model).info().name,
        setup: SetupView { model: entry.spec.model, setup: entry.spec.setup },
        expected_makespan_ms: thousandths(entry.expected_ms),
        makespan_ms: spread(entry.spread(|f| f.makespan_ms)),
        mean_dish_ms: spread(entry.spread(|f| f.mean_dish_ms)),
        p95_dish_ms: spread(entry.spread(|f| f.p95_dish_ms)),
        cpu_ms: spread(entry.spread(|f| f.cpu_ms)),
        peak_memory_bytes: spread(entry.spread(|f| f.peak_memory_bytes)),
        against_best: entry.against_best.map(against),
        forecast: entry.forecasts.map(forecast),
        error: entry.failed.as_deref(),
    }
}

pub(super) fn interval(interval: Interval) -> IntervalView {
    IntervalView { low: thousandths(interval.low), high: thousandths(interval.high) }
}

fn against(beside: Against) -> AgainstView {
    AgainstView {
        ratio: thousandths(beside.ratio),
        interval: beside.interval.map(interval),
        p_value: thousandths(beside.p_value),
        differs: beside.differs,
    }
}

fn forecast(forecasts: Forecasts) -> ForecastView {
    let errors = forecasts.errors();
    ForecastView {
        makespan_ms: thousandths(forecasts.before.makespan_ms),
        refit_makespan_ms: forecasts.refit.map(|refit| thousandths(refit.makespan_ms)),
        measured_makespan_ms: forecasts.measured.map(|[makespan_ms, ..]| thousandths(makespan_ms)),
        error_percent: errors.map(|(before, _)| thousandths(before)),
        refit_error_percent: errors.and_then(|(_, refit)| refit.map(thousandths)),
    }
}
