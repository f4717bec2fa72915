//! Forecasts as the outside sees them.
//!
//! It deliberately computes nothing: every figure is the laboratory's.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

use super::comparison_ask::ObjectiveAsk;
use super::comparison_wire::ObjectiveView;
use super::wire::{At, SetupView};
use crate::domain::Ns;
use crate::domain::ask::OrderAsk;
use crate::lab::forecasts::{Answer, Entry};
use crate::model;

/// A forecast.
#[derive(Serialize, ToSchema)]
#[schema(as = Forecast)]
pub struct ForecastView<'a> {
    /// The order that is foreseen.
    pub work: &'a OrderAsk,
    /// What is best.
    #[schema(value_type = ObjectiveAsk)]
    pub objective: ObjectiveView,
    /// Cores it is foreseen for; of this machine as many as a calibration found to be there.
    pub cores: f64,
    /// Whether the costs were measured on this machine, or are assumed.
    pub calibrated: bool,
    /// When they were measured.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub calibrated_at: Option<At>,
    /// CPU milliseconds of a dish from which on a process for it pays, against one chef; null on one core.
    pub crossover_ms: Option<f64>,
    /// Best first; those that are not feasible last.
    #[schema(max_items = 64)]
    pub entries: Vec<ForeseenView<'a>>,
}

/// One entry's forecast.
#[derive(Serialize, ToSchema)]
#[schema(as = Foreseen)]
pub struct ForeseenView<'a> {
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
    /// Whether this machine and this house could really do it.
    pub feasible: bool,
    /// The limit it breaks, in a sentence.
    pub infeasible: Option<&'a str>,
    /// Makespan.
    pub makespan_ms: f64,
    /// Mean completion time of a dish.
    pub mean_dish_ms: f64,
    /// Median of the same.
    pub p50_dish_ms: f64,
    /// 95th percentile of the same.
    pub p95_dish_ms: f64,
    /// CPU time, overhead included.
    pub cpu_ms: f64,
    /// Time without a core, of all together.
    pub core_wait_ms: f64,
    /// Time waiting for the GIL, of all together.
    pub gil_wait_ms: f64,
    /// Time waiting for equipment, of all together.
    pub equipment_wait_ms: f64,
    /// Time that steps were ready and nobody took them up.
    pub queue_ms: f64,
    /// Time in starts, hand-overs, late timers and bookkeeping, of all together.
    pub overhead_ms: f64,
    /// Bytes of all its processes at their peak.
    #[schema(minimum = 0, maximum = 9_007_199_254_740_991_i64)]
    pub peak_memory_bytes: u64,
    /// Threads or processes at once, the most.
    #[schema(minimum = 0, maximum = 4_294_967_295_u64)]
    pub workers: u32,
    /// Share of the cores that is used, 0 to 1.
    pub core_utilisation: f64,
    /// The term that decides the makespan: the largest of `path_ms`.
    pub dominant: &'static str,
    /// Where the time goes on the way to the last end; adds up to the makespan.
    pub path_ms: BTreeMap<&'static str, f64>,
    /// No schedule takes less.
    pub lower_bound_ms: f64,
    /// No schedule of this kind takes more.
    pub upper_bound_ms: f64,
}

fn ms(span: Ns) -> f64 {
    (span as f64 / 1e3).round() / 1e3
}

fn thousandths(x: f64) -> f64 {
    (x * 1e3).round() / 1e3
}

/// A forecast as the outside sees it.
#[must_use]
pub fn view<'a>(work: &'a OrderAsk, answer: &'a Answer) -> ForecastView<'a> {
    let measured = answer.calibration.measured.as_ref();
    ForecastView {
        work,
        objective: ObjectiveView::of(answer.objective),
        cores: thousandths(answer.machine.cores),
        calibrated: measured.is_some(),
        calibrated_at: measured.map(|measured| At(measured.at_us)),
        crossover_ms: answer.crossover_ms.map(thousandths),
        entries: answer.entries.iter().zip(1..).map(|(entry, rank)| entry_view(entry, rank)).collect(),
    }
}

fn entry_view(entry: &Entry, rank: u64) -> ForeseenView<'_> {
    let foreseen = &entry.forecast;
    ForeseenView {
        rank,
        name: &entry.name,
        model: model::get(entry.spec.model).info().name,
        setup: SetupView { model: entry.spec.model, setup: entry.spec.setup },
        feasible: entry.breaks.is_none(),
        infeasible: entry.breaks.as_deref(),
        makespan_ms: ms(foreseen.makespan),
        mean_dish_ms: ms(foreseen.mean_dish),
        p50_dish_ms: ms(foreseen.p50_dish),
        p95_dish_ms: ms(foreseen.p95_dish),
        cpu_ms: ms(foreseen.cpu),
        core_wait_ms: ms(foreseen.core_wait),
        gil_wait_ms: ms(foreseen.gil_wait),
        equipment_wait_ms: ms(foreseen.equipment_wait),
        queue_ms: ms(foreseen.queue),
        overhead_ms: ms(foreseen.overhead),
        peak_memory_bytes: foreseen.peak_memory_bytes,
        workers: foreseen.workers,
        core_utilisation: thousandths(foreseen.core_utilisation),
        dominant: foreseen.dominant().name(),
        path_ms: foreseen.path.terms().map(|(term, span)| (term.name(), ms(span))).collect(),
        lower_bound_ms: ms(foreseen.lower_bound),
        upper_bound_ms: ms(foreseen.upper_bound),
    }
}
