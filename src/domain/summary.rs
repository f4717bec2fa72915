//! What is left of a run when it is over: the records that were kept, exact sums, and the figures made of them.
//!
//! It deliberately knows nothing of threads: the recorder hands in what all of them wrote down.

use serde::{Deserialize, Serialize};

use super::Ns;
use super::recipe::StepRef;
use super::record::{Outcome, StepRecord, Totals};
use super::spec::Spec;
use super::ticks::Ticks;

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

/// What a process used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessUse {
    /// Its id; 0 in a sum.
    pub pid: u32,
    /// CPU time of all its threads.
    pub cpu: Ns,
    /// `VmHWM`, bytes.
    pub peak_rss_bytes: u64,
    /// `Pss` when it ended, bytes; 0 if nobody looked.
    pub pss_bytes: u64,
    /// Voluntary and involuntary context switches.
    pub switches: [u64; 2],
    /// Minor and major page faults.
    pub faults: [u64; 2],
    /// Lags of the ticker on its event loop, if it had one.
    pub loop_lag: Option<Ticks>,
    /// From the call that started it to its account.
    pub lived: Ns,
    /// From the call that started it to its greeting.
    pub spawn: Ns,
    /// Messages over its pipe, both ways.
    pub messages: u64,
    /// Their bytes.
    pub message_bytes: u64,
    /// From sending to receiving, of steps and their results.
    pub transit: Ns,
}

impl ProcessUse {
    /// Adds another: what can be summed up is, of the rest the largest is kept.
    fn add(&mut self, other: &Self) {
        self.cpu += other.cpu;
        self.peak_rss_bytes += other.peak_rss_bytes;
        self.pss_bytes += other.pss_bytes;
        for i in 0..2 {
            self.switches[i] += other.switches[i];
            self.faults[i] += other.faults[i];
        }
        if let Some(ticks) = &other.loop_lag {
            self.loop_lag.get_or_insert_default().add(ticks);
        }
        self.lived = self.lived.max(other.lived);
        self.spawn = self.spawn.max(other.spawn);
        self.messages += other.messages;
        self.message_bytes += other.message_bytes;
        self.transit += other.transit;
    }
}

/// What the processes used that an order had to itself (isolation `kitchen`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bill {
    /// How many they were.
    pub processes: u32,
    /// All together.
    pub sum: ProcessUse,
    /// Time to start them, added up.
    pub spawn_sum: Ns,
    /// Proportional set size times life, byte milliseconds, of those whose `pss_bytes` was looked at.
    pub pss_byte_ms: u64,
    /// How many those were.
    pub pss_known: u32,
    /// Each of them, the first [`super::limits::PROCESS_ROWS`].
    pub rows: Vec<ProcessUse>,
}

impl Bill {
    /// Of one process.
    #[must_use]
    pub fn of(used: ProcessUse) -> Self {
        Self {
            processes: 1,
            sum: ProcessUse { pid: 0, ..used },
            spawn_sum: used.spawn,
            pss_byte_ms: used.pss_bytes.saturating_mul(used.lived / 1_000_000),
            pss_known: u32::from(used.pss_bytes > 0),
            rows: vec![used],
        }
    }

    /// Adds another.
    pub fn add(&mut self, other: &Self) {
        self.processes += other.processes;
        self.sum.add(&other.sum);
        self.spawn_sum += other.spawn_sum;
        self.pss_byte_ms = self.pss_byte_ms.saturating_add(other.pss_byte_ms);
        self.pss_known += other.pss_known;
        let room = super::limits::PROCESS_ROWS.saturating_sub(self.rows.len());
        self.rows.extend(other.rows.iter().take(room));
    }

    /// A sum over those whose proportional set size is known, scaled to all.
    #[must_use]
    pub fn scaled(&self, sum: u64) -> u64 {
        (u128::from(sum) * u128::from(self.processes) / u128::from(self.pss_known.max(1))) as u64
    }
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
    /// Median of the same (nearest rank, as the others).
    pub p50_dish: Option<Ns>,
    /// 95th percentile of the same.
    pub p95_dish: Option<Ns>,
    /// The largest of them.
    pub max_dish: Option<Ns>,
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
        p50_dish: percentile(dishes, 50),
        p95_dish: percentile(dishes, 95),
        max_dish: dishes.last().copied(),
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
