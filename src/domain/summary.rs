//! What is left of a run when it is over: the records that were kept, exact sums, and the figures made of them.
//!
//! It deliberately knows nothing of threads: the recorder hands in what all of them wrote down.

use serde::{Deserialize, Serialize};

use super::Ns;
use super::recipe::StepRef;
use super::record::{Outcome, StepRecord, Totals};
use super::spec::Spec;

/// A step's value over all dishes: the same, or not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Agreed {
    /// No dish has computed it.
    #[default]
    None,
    /// Every dish so far computed this.
    On(u128),
    /// Two dishes differ.
    No,
}

impl Agreed {
    /// With one more value.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        match (self, other) {
            (Self::None, x) | (x, Self::None) => x,
            (Self::On(a), Self::On(b)) if a == b => self,
            _ => Self::No,
        }
    }
}

/// Memory and CPU of the processes an order had to itself (isolation `kitchen`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bill {
    /// Sum of `VmHWM` over its processes, bytes.
    pub peak_rss_bytes: u64,
    /// Sum of their CPU time.
    pub cpu: Ns,
}

/// Everything written down of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Harvest {
    /// Records kept, at most [`super::limits::RECORDS`] or so.
    pub records: Vec<StepRecord>,
    /// Exact sums over all steps.
    pub totals: Totals,
    /// Completion times of the dishes that succeeded.
    pub dishes: Vec<Ns>,
    /// Dishes that failed.
    pub dishes_failed: u32,
    /// Value of each step of the recipe.
    pub values: Vec<Agreed>,
    /// Processes of its own.
    pub bill: Option<Bill>,
}

impl Harvest {
    /// Adds what another thread or kitchen wrote down.
    pub fn merge(&mut self, other: Self) {
        self.records.extend(other.records);
        self.totals.merge(&other.totals);
        self.dishes.extend(other.dishes);
        self.dishes_failed += other.dishes_failed;
        self.values.resize(self.values.len().max(other.values.len()), Agreed::None);
        for (mine, theirs) in self.values.iter_mut().zip(other.values) {
            *mine = mine.with(theirs);
        }
    }
}

/// The figures of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// From start to the end of the last step.
    pub makespan: Ns,
    /// Mean completion time of the dishes that succeeded.
    pub mean_dish: Option<Ns>,
    /// 95th percentile of the same (nearest rank).
    pub p95_dish: Option<Ns>,
    /// Dishes that succeeded.
    pub dishes_succeeded: u32,
    /// Dishes that failed.
    pub dishes_failed: u32,
    /// Exact sums.
    pub totals: Totals,
    /// Value of each step of the recipe.
    pub values: Vec<Agreed>,
    /// Processes of its own.
    pub bill: Option<Bill>,
    /// Whether `records` is a sample.
    pub sampled: bool,
    /// Number of the last event given out.
    pub events: u32,
}

/// Nearest-rank percentile of sorted values; `None` of nothing.
#[must_use]
pub fn percentile(sorted: &[Ns], percent: usize) -> Option<Ns> {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied()
}

/// Closes the books: figures, and for orders that are recorded in full also the steps that nobody ran.
///
/// `elapsed` is the time from start to the end of the run; it stands in for the makespan when no step ran.
#[must_use]
pub fn close(spec: &Spec, mut harvest: Harvest, elapsed: Ns, events: u32, sampled: bool) -> (Summary, Vec<StepRecord>) {
    harvest.dishes.sort_unstable();
    let dishes = &harvest.dishes;
    let sum: u128 = dishes.iter().map(|d| u128::from(*d)).sum();
    if !sampled && (harvest.records.len() as u64) < spec.steps_total() {
        add_unrun(spec, &mut harvest.records);
    }
    harvest.records.sort_unstable_by_key(|r| (!r.was_run(), r.finished, r.at.dish, r.at.step));
    let summary = Summary {
        makespan: if harvest.totals.last > 0 { harvest.totals.last } else { elapsed },
        mean_dish: (!dishes.is_empty()).then(|| (sum / dishes.len() as u128) as Ns),
        p95_dish: percentile(dishes, 95),
        dishes_succeeded: dishes.len() as u32,
        dishes_failed: harvest.dishes_failed,
        totals: harvest.totals,
        values: harvest.values,
        bill: harvest.bill,
        sampled,
        events,
    };
    (summary, harvest.records)
}

/// Adds a record for every step that has none: skipped after a failure in its dish, else canceled with the order.
fn add_unrun(spec: &Spec, records: &mut Vec<StepRecord>) {
    let steps = spec.recipe.steps.len();
    let mut seen = vec![0_u128; spec.dishes as usize];
    let mut failed = vec![false; spec.dishes as usize];
    for r in records.iter() {
        let i = spec.position(r.at.dish);
        seen[i] |= 1 << r.at.step;
        failed[i] |= r.outcome == Outcome::Failed;
    }
    for (i, seen) in seen.into_iter().enumerate() {
        let outcome = if failed[i] { Outcome::Skipped } else { Outcome::Canceled };
        let missing = (0..steps).filter(|s| seen >> s & 1 == 0);
        let dish = spec.dish(i as u32);
        records.extend(missing.map(|s| StepRecord::unrun(StepRef { dish, step: s as u16 }, outcome)));
    }
}
