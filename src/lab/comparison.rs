//! A comparison as data: what was asked, how it stands, who won.
//!
//! It deliberately measures nothing (that is [`super::comparisons`]).

use std::time::Duration;

use utoipa::ToSchema;

use super::entry::{Entry, Figures};
use super::line_up::Candidate;
use super::statistics;
use crate::domain::ask::OrderAsk;
use crate::domain::client::Client;
use crate::domain::id::OrderId;
use crate::domain::job::Status;

/// What is best.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum Objective {
    /// Least time for all dishes.
    Makespan,
    /// Least mean completion time of a dish.
    MeanLatency,
    /// Least 95th percentile of the same.
    #[schema(rename = "p95_latency")]
    P95Latency,
    /// Least memory.
    Memory,
}

impl Objective {
    /// Names on the wire, in the order of the variants.
    pub const NAMES: [&'static str; 4] = ["makespan", "mean_latency", "p95_latency", "memory"];
    const ALL: [Self; 4] = [Self::Makespan, Self::MeanLatency, Self::P95Latency, Self::Memory];

    /// The objective of this name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|o| o.name() == name)
    }

    /// Name on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::NAMES[self as usize]
    }

    /// The figure it looks at.
    #[must_use]
    pub fn of(self, figures: &Figures) -> f64 {
        match self {
            Self::Makespan => figures.makespan_ms,
            Self::MeanLatency => figures.mean_dish_ms,
            Self::P95Latency => figures.p95_dish_ms,
            Self::Memory => figures.peak_memory_bytes,
        }
    }
}

/// Who is compared.
#[derive(Clone, Debug, PartialEq)]
pub enum LineUp {
    /// The default five.
    Default,
    /// Each way of scaling, doubled while it helps, then the best of each.
    Sweep,
    /// These.
    Of(Vec<Candidate>),
}

/// A comparison as resolved.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The order, without its model.
    pub work: OrderAsk,
    /// Who is compared.
    pub line_up: LineUp,
    /// Runs of each.
    pub repeats: usize,
    /// What is best.
    pub objective: Objective,
    /// Time to measure for; dishes are sampled to fit.
    pub budget: Duration,
}

/// Who won.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// Name of the best entry.
    pub winner: String,
    /// Whether it differs from the second beyond chance (Mann-Whitney, 5 %).
    pub significant: bool,
    /// By how much the second is worse, percent.
    pub margin_percent: f64,
    /// All of it in a sentence.
    pub text: String,
}

/// Too many comparisons are waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} comparisons are waiting or running already", Full::ACTIVE)]
pub struct Full;

impl Full {
    /// Comparisons waiting or running at once.
    pub const ACTIVE: usize = 16;
}

/// A comparison with its state.
#[derive(Clone, Debug)]
pub struct Comparison {
    /// Its id.
    pub id: OrderId,
    /// Who asked for it.
    pub owner: Client,
    /// Queued, running, succeeded or failed.
    pub status: Status,
    /// What was asked.
    pub plan: Plan,
    /// Dishes asked for, and dishes each run cooks.
    pub dishes: (u32, u32),
    /// Cores this machine gave just before.
    pub effective_cores: Option<f64>,
    /// Best first, once it has ended.
    pub entries: Vec<Entry>,
    /// Runs done, runs planned.
    pub progress: (usize, usize),
    /// Who won.
    pub verdict: Option<Verdict>,
    /// Why it failed.
    pub error: Option<String>,
    /// Accepted, microseconds since 1970.
    pub created_us: i64,
    /// Ended, microseconds since 1970.
    pub finished_us: Option<i64>,
}

/// Sorts the entries, best first, and says who won and whether that is more than chance.
pub fn judge(entries: &mut [Entry], objective: Objective, dishes: (u32, u32)) -> Option<Verdict> {
    let figure = |e: &Entry| e.spread(|f| objective.of(f)).map_or(f64::INFINITY, |s| s.median);
    entries.sort_by(|a, b| figure(a).total_cmp(&figure(b)));
    let first = entries.first().filter(|e| !e.runs.is_empty())?;
    let sample = if dishes.0 == dishes.1 {
        format!("{} dishes", dishes.0)
    } else {
        format!("{} dishes, extended from {} and half as many", dishes.0, dishes.1)
    };
    let Some(second) = entries.get(1).filter(|e| !e.runs.is_empty()) else {
        let text = format!("{} is the only one that could be measured ({sample}).", first.name);
        return Some(Verdict { winner: first.name.clone(), significant: false, margin_percent: 0.0, text });
    };
    let values = |e: &Entry| e.runs.iter().map(|f| objective.of(f)).collect::<Vec<_>>();
    let margin_percent = 100.0 * (figure(second) / figure(first) - 1.0);
    let significant = statistics::p_value(&values(first), &values(second)) < 0.05 && margin_percent >= 1.0;
    let what = objective.name().replace('_', " ");
    let text = if significant {
        format!("{} has the least {what}, {margin_percent:.0} % ahead of {} ({sample}).", first.name, second.name)
    } else {
        let both = format!("{} and {}", first.name, second.name);
        let runs = first.runs.len().min(second.runs.len());
        format!(
            "No significant difference in {what} between {both}: {margin_percent:.1} % at the median is within chance \
             for {runs} runs each ({sample})."
        )
    };
    Some(Verdict { winner: first.name.clone(), significant, margin_percent, text })
}
