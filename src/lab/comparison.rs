//! A comparison as data: what was asked and how it stands.
//!
//! It deliberately measures nothing (that is `measure.rs`).

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::entry::Entry;
use super::line_up::Candidate;
use super::noise::Noise;
use super::objective::Objective;
use super::recommend::Recommendation;
use super::verdict::Verdict;
use crate::domain::ask::OrderAsk;
use crate::domain::client::Client;
use crate::domain::id::OrderId;
use crate::domain::job::Status;

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
    /// Time to measure for, all in all; dishes are sampled to fit.
    pub budget: Duration,
}

/// Too many comparisons are waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} comparisons are waiting or running already", Full::ACTIVE)]
pub struct Full;

impl Full {
    /// Comparisons waiting or running at once.
    pub const ACTIVE: usize = 16;
}

/// A run that was made for a comparison.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Told {
    /// Name of its entry.
    pub entry: Arc<str>,
    /// Its makespan, milliseconds; `None` if it failed.
    pub makespan_ms: Option<f64>,
    /// Runs done with it, and runs planned then.
    pub progress: (usize, usize),
}

/// A comparison with its state.
#[derive(Clone, Debug)]
pub struct Comparison {
    /// Its id.
    pub id: OrderId,
    /// Who asked for it.
    pub owner: Client,
    /// Queued, running, succeeded, failed or canceled.
    pub status: Status,
    /// Somebody asked to stop it.
    pub cancel_requested: bool,
    /// What was asked.
    pub plan: Plan,
    /// Dishes asked for, and dishes each run cooks.
    pub dishes: (u32, u32),
    /// Cores this machine gave just before.
    pub effective_cores: Option<f64>,
    /// How far the machine can be trusted, once it has ended.
    pub noise: Option<Noise>,
    /// Best first, once it has ended.
    pub entries: Vec<Entry>,
    /// Runs done, runs planned.
    pub progress: (usize, usize),
    /// Its runs in the order they were made, for whoever follows it.
    pub told: Vec<Told>,
    /// Who won.
    pub verdict: Option<Verdict>,
    /// What to do with it.
    pub recommendation: Option<Recommendation>,
    /// Why it failed.
    pub error: Option<String>,
    /// Accepted, microseconds since 1970.
    pub created_us: i64,
    /// Ended, microseconds since 1970.
    pub finished_us: Option<i64>,
}

impl Comparison {
    /// One that was just accepted.
    #[must_use]
    pub fn new(id: OrderId, owner: &Client, plan: Plan, entries: Vec<Entry>, dishes: u32, created_us: i64) -> Self {
        Self {
            id,
            owner: owner.clone(),
            status: Status::Queued,
            cancel_requested: false,
            progress: (0, entries.len() * plan.repeats),
            plan,
            dishes: (dishes, dishes),
            effective_cores: None,
            noise: None,
            entries,
            told: Vec::new(),
            verdict: None,
            recommendation: None,
            error: None,
            created_us,
            finished_us: None,
        }
    }

    /// Whether it ever had the house.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.effective_cores.is_some()
    }
}
