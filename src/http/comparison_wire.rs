//! Comparisons as the outside sees them.
//!
//! It deliberately computes nothing: every figure is the laboratory's.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

use super::wire::{At, SetupView};
use crate::domain::ask::OrderAsk;
use crate::lab::comparison::Comparison;
use crate::lab::entry::Entry;
use crate::lab::statistics::Spread;
use crate::model;

/// A comparison.
#[derive(Serialize, ToSchema)]
#[schema(as = Comparison)]
pub struct ComparisonView<'a> {
    /// `cmp_` and a `UUIDv7`.
    pub id: String,
    /// `queued`, `running`, `succeeded` or `failed`.
    pub status: &'static str,
    /// Whether it has ended.
    pub done: bool,
    /// The order that is compared.
    pub work: &'a OrderAsk,
    /// Runs of each entry.
    #[schema(minimum = 1, maximum = 50)]
    pub repeats: u64,
    /// What is best.
    pub objective: &'static str,
    /// Milliseconds to measure for.
    #[schema(minimum = 1000, maximum = 600_000)]
    pub budget_ms: u64,
    /// Runs done and planned.
    pub progress: RunsView,
    /// Dishes asked for.
    #[schema(minimum = 1, maximum = 3_000_000)]
    pub dishes: u32,
    /// Dishes each run cooks; if fewer, half as many are cooked as well and the figures are extended along the line through both.
    #[schema(minimum = 1, maximum = 3_000_000)]
    pub measured_dishes: u32,
    /// CPU seconds per second this machine gave just before.
    pub effective_cores: Option<f64>,
    /// Best first, once it has ended.
    #[schema(max_items = 64)]
    pub entries: Vec<EntryView<'a>>,
    /// Who won.
    pub verdict: Option<VerdictView<'a>>,
    /// Why it failed.
    pub error: Option<&'a str>,
    /// Accepted.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: At,
    /// Ended.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub finished_at: Option<At>,
    /// Where to go from here.
    pub links: BTreeMap<&'static str, String>,
}

/// Runs done and planned.
#[derive(Serialize, ToSchema)]
#[schema(as = Runs)]
pub struct RunsView {
    /// Done.
    #[schema(minimum = 0, maximum = 100_000)]
    pub runs_done: u64,
    /// Planned.
    #[schema(minimum = 0, maximum = 100_000)]
    pub runs_total: u64,
}

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

/// Who won.
#[derive(Serialize, ToSchema)]
#[schema(as = Verdict)]
pub struct VerdictView<'a> {
    /// Name of the best entry.
    pub winner: &'a str,
    /// Whether it differs from the second beyond chance.
    pub significant: bool,
    /// By how much the second is worse.
    pub margin_percent: f64,
    /// All of it in a sentence.
    pub text: &'a str,
}

/// A comparison as the outside sees it.
#[must_use]
pub fn view(state: &Comparison) -> ComparisonView<'_> {
    let id = state.id.text("cmp_");
    let links =
        BTreeMap::from([("self", format!("/comparisons/{id}")), ("orders", format!("/orders?label.comparison={id}"))]);
    ComparisonView {
        status: state.status.name(),
        done: state.status.is_done(),
        work: &state.plan.work,
        repeats: state.plan.repeats as u64,
        objective: state.plan.objective.name(),
        budget_ms: state.plan.budget.as_millis() as u64,
        progress: RunsView { runs_done: state.progress.0 as u64, runs_total: state.progress.1 as u64 },
        dishes: state.dishes.0,
        measured_dishes: state.dishes.1,
        effective_cores: state.effective_cores.map(thousandths),
        entries: state.entries.iter().zip(1..).map(|(entry, rank)| entry_view(entry, rank)).collect(),
        verdict: state.verdict.as_ref().map(|v| VerdictView {
            winner: &v.winner,
            significant: v.significant,
            margin_percent: thousandths(v.margin_percent),
            text: &v.text,
        }),
        error: state.error.as_deref(),
        created_at: At(state.created_us),
        finished_at: state.finished_us.map(At),
        links,
        id,
    }
}

fn thousandths(x: f64) -> f64 {
    (x * 1e3).round() / 1e3
}

fn entry_view(entry: &Entry, rank: u64) -> EntryView<'_> {
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
        error: entry.failed.as_deref(),
    }
}

/// A list of comparisons.
#[derive(Serialize, ToSchema)]
#[schema(as = ComparisonList)]
pub struct ListView<'a> {
    /// Youngest first.
    #[schema(max_items = 200)]
    pub data: Vec<ComparisonView<'a>>,
}
