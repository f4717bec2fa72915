//! Comparisons as the outside sees them.
//!
//! It deliberately computes nothing: every figure is the laboratory's.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::comparison_ask::{ObjectiveAsk, WeightsAsk};
use super::entry_wire::{EntryView, IntervalView, entry_view, interval};
use super::recommendation_wire::{NoiseView, RecommendationView, thousandths};
use super::wire::At;
use crate::domain::ask::OrderAsk;
use crate::domain::job::Status;
use crate::lab::comparison::Comparison;
use crate::lab::filing::Known;
use crate::lab::objective::Objective;
use crate::lab::verdict::Verdict;
use crate::store::archive::Filed;

/// A comparison.
#[derive(Serialize, ToSchema)]
#[schema(as = Comparison)]
pub struct ComparisonView<'a> {
    /// `cmp_` and a `UUIDv7`.
    pub id: String,
    /// `queued`, `running`, `succeeded`, `failed` or `canceled`; more may come, test `done`.
    pub status: &'static str,
    /// Whether it has ended.
    pub done: bool,
    /// Whether somebody asked to stop it.
    pub cancel_requested: bool,
    /// The order that is compared.
    pub work: &'a OrderAsk,
    /// Runs of each entry.
    #[schema(minimum = 1, maximum = 50)]
    pub repeats: u64,
    /// What is best: a figure, or weights of several.
    #[schema(value_type = ObjectiveAsk)]
    pub objective: ObjectiveView,
    /// Milliseconds to measure for, all in all.
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
    /// How far the machine can be trusted, once it has ended.
    pub noise: Option<NoiseView<'a>>,
    /// Best first, once it has ended.
    #[schema(max_items = 64)]
    pub entries: Vec<EntryView<'a>>,
    /// Who won.
    pub verdict: Option<VerdictView<'a>>,
    /// What to do with it.
    pub recommendation: Option<RecommendationView<'a>>,
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

/// Who won.
#[derive(Serialize, ToSchema)]
#[schema(as = Verdict)]
pub struct VerdictView<'a> {
    /// `winner`, `no_significant_difference` or `only_one`.
    pub outcome: &'static str,
    /// Name of the best entry.
    pub winner: &'a str,
    /// Whether it differs from the second beyond chance.
    pub significant: bool,
    /// By how much the second is worse.
    pub margin_percent: f64,
    /// Where that lies, percent.
    pub margin_interval: Option<IntervalView>,
    /// Names of all entries that cannot be told apart from the best.
    #[schema(max_items = 64)]
    pub tied: &'a [String],
    /// All of it in a sentence.
    pub text: &'a str,
}

/// Writes an objective as it can be asked for.
#[derive(Serialize)]
#[serde(untagged)]
pub enum ObjectiveView {
    /// One figure.
    Named(&'static str),
    /// Several.
    Weighed(WeightsAsk),
}

impl ObjectiveView {
    /// As it can be asked for.
    #[must_use]
    pub fn of(objective: Objective) -> Self {
        match objective.name() {
            Some(name) => Self::Named(name),
            None => Self::Weighed(WeightsAsk::of(objective)),
        }
    }
}

/// A comparison as the outside sees it.
#[must_use]
pub fn view(state: &Comparison) -> ComparisonView<'_> {
    let id = state.id.text("cmp_");
    let to = |tail: &str| format!("/comparisons/{id}{tail}");
    let links = BTreeMap::from([
        ("self", to("")),
        ("events", to("/events")),
        ("cancel", to("/cancel")),
        ("orders", format!("/orders?label.comparison={id}")),
    ]);
    ComparisonView {
        status: state.status.name(),
        done: state.status.is_done(),
        cancel_requested: state.cancel_requested,
        work: &state.plan.work,
        repeats: state.plan.repeats as u64,
        objective: ObjectiveView::of(state.plan.objective),
        budget_ms: state.plan.budget.as_millis() as u64,
        progress: RunsView { runs_done: state.progress.0 as u64, runs_total: state.progress.1 as u64 },
        dishes: state.dishes.0,
        measured_dishes: state.dishes.1,
        effective_cores: state.effective_cores.map(thousandths),
        noise: state.noise.as_ref().map(NoiseView::of),
        entries: state.entries.iter().zip(1..).map(|(entry, rank)| entry_view(entry, rank)).collect(),
        verdict: state.verdict.as_ref().map(verdict),
        recommendation: state.recommendation.as_ref().map(RecommendationView::of),
        error: state.error.as_deref(),
        created_at: At(state.created_us),
        finished_at: state.finished_us.map(At),
        links,
        id,
    }
}

fn verdict(v: &Verdict) -> VerdictView<'_> {
    VerdictView {
        outcome: v.outcome.name(),
        winner: &v.winner,
        significant: v.significant,
        margin_percent: thousandths(v.margin_percent),
        margin_interval: v.margin_interval.map(interval),
        tied: &v.tied,
        text: &v.text,
    }
}

/// One page of comparisons.
#[derive(Serialize, ToSchema)]
#[schema(as = ComparisonPage)]
pub struct PageView {
    /// Youngest first.
    #[schema(max_items = 200, value_type = Vec<ComparisonView<'_>>)]
    pub data: Vec<Box<RawValue>>,
    /// Whether there are more.
    pub has_more: bool,
    /// What to pass as `cursor` for the next page.
    pub next_cursor: Option<String>,
}

/// A comparison as it is written down.
#[must_use]
pub fn written(state: &Comparison) -> String {
    serde_json::to_string(&view(state)).unwrap_or_default()
}

/// A comparison as the outside sees it, wherever it is.
#[must_use]
pub fn answer(known: &Known) -> Box<RawValue> {
    let text = match known {
        Known::Here(state) => written(state),
        Known::Filed(filed) if filed.is_lost => lost(filed),
        Known::Filed(filed) => String::from(&*filed.answer),
    };
    // What cannot be read is shown as nothing rather than in pieces.
    RawValue::from_string(text).unwrap_or_else(|_| RawValue::NULL.to_owned())
}

/// One whose process is gone, as it was last written, and that it has failed.
fn lost(filed: &Filed) -> String {
    let mut answer: serde_json::Map<String, Value> = serde_json::from_str(&filed.answer).unwrap_or_default();
    answer.insert("status".to_owned(), Status::Failed.name().into());
    answer.insert("done".to_owned(), true.into());
    answer.insert("cancel_requested".to_owned(), filed.cancel_requested.into());
    answer.insert("error".to_owned(), "the service that measured it ended before it did".into());
    answer.insert("finished_at".to_owned(), json!(At(filed.seen_us)));
    Value::Object(answer).to_string()
}
