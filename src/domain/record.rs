//! What is written down of a step, and the account of where its time went.
//!
//! All times are nanoseconds from the order's start. It deliberately stores no term that follows from the others: the
//! residual and the lag are computed when asked for.

use serde::{Deserialize, Serialize};

use super::Ns;
use super::recipe::{StepRef, Work};
use super::spec::Spec;

/// How a step ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// It did its work.
    Succeeded,
    /// It did not.
    Failed,
    /// It was stopped, or never started because the order was.
    Canceled,
    /// It never started because its dish had failed.
    Skipped,
}

impl Outcome {
    /// Name on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        ["succeeded", "failed", "canceled", "skipped"][self as usize]
    }
}

/// Thread of execution that ran a step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Worker {
    /// Process id.
    pub pid: u32,
    /// Thread id, unique on the machine while the thread lives.
    pub tid: u32,
}

/// Where the time of a step went, each term measured on its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// CPU time of its thread.
    pub cpu: Ns,
    /// Time its thread was runnable without a core.
    pub core_wait: Ns,
    /// Time it waited for the GIL.
    pub gil_wait: Ns,
    /// Time it waited for equipment.
    pub equipment_wait: Ns,
    /// Time it spent handing things to others, beyond the CPU of it.
    pub exchange: Ns,
    /// Time its chef did something else between two pieces of it (`yield_every_ms`).
    pub yielded: Ns,
    /// Time it held equipment while it waited for more; a part of `equipment_wait`, not a term beside it.
    pub held_idle: Ns,
}

impl Terms {
    /// Time that the terms explain together.
    #[must_use]
    pub fn sum(&self) -> Ns {
        self.cpu + self.core_wait + self.gil_wait + self.equipment_wait + self.exchange + self.yielded
    }

    /// Adds those of another step.
    pub fn add(&mut self, other: &Self) {
        self.cpu += other.cpu;
        self.core_wait += other.core_wait;
        self.gil_wait += other.gil_wait;
        self.equipment_wait += other.equipment_wait;
        self.exchange += other.exchange;
        self.yielded += other.yielded;
        self.held_idle += other.held_idle;
    }
}

/// One step as it went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepRecord {
    /// Which step of which dish.
    pub at: StepRef,
    /// Who ran it; zeros if nobody did.
    pub worker: Worker,
    /// Its predecessors were done.
    pub ready: Ns,
    /// A worker took it up.
    pub started: Ns,
    /// It was over, and noticed to be.
    pub finished: Ns,
    /// Where the time between start and end went.
    pub terms: Terms,
    /// How it ended.
    pub outcome: Outcome,
    /// What it computed, if it counts iterations.
    pub value: Option<u128>,
    /// Number of its `step.started` event within the attempt; 0 if none was given.
    pub seq_started: u32,
    /// Number of its `step.finished` event; 0 if none was given.
    pub seq_finished: u32,
}

impl StepRecord {
    /// A step that nobody ran.
    #[must_use]
    pub fn unrun(at: StepRef, outcome: Outcome) -> Self {
        Self {
            at,
            worker: Worker::default(),
            ready: 0,
            started: 0,
            finished: 0,
            terms: Terms::default(),
            outcome,
            value: None,
            seq_started: 0,
            seq_finished: 0,
        }
    }

    /// Whether somebody ran it.
    #[must_use]
    pub fn was_run(&self) -> bool {
        self.worker.pid != 0
    }

    /// For waits that ended by themselves: how late the end was noticed, `finished - due`. A wait for equipment comes
    /// before the wait itself; one for the GIL afterwards is part of its lag.
    #[must_use]
    pub fn lag(&self, spec: &Spec) -> Option<Ns> {
        self.lag_of(wait_of(spec.work(self.at)))
    }

    /// The same, for a caller that knows how long this step waits (`None`: it is no wait).
    #[must_use]
    pub fn lag_of(&self, wait: Option<Ns>) -> Option<Ns> {
        let ended_by_itself = self.was_run() && self.outcome == Outcome::Succeeded;
        let due = self.started + self.terms.equipment_wait;
        wait.filter(|_| ended_by_itself).map(|wait| self.finished.saturating_sub(due + wait))
    }

    /// What no measured term explains, unclipped: `finished - started` minus all of them. Of a wait, the wait itself and
    /// its lag are explained, and the lag holds whatever came after the wait.
    #[must_use]
    pub fn residual(&self, spec: &Spec) -> i64 {
        let span = (self.finished - self.started) as i64;
        let explained = match self.lag(spec) {
            Some(lag) => self.terms.equipment_wait + wait_ns(spec.work(self.at).wait()) + lag,
            None => self.terms.sum(),
        };
        span - explained as i64
    }
}

/// How long a piece of work waits; `None` if it is no wait.
#[must_use]
pub fn wait_of(work: Work) -> Option<Ns> {
    matches!(work, Work::Wait(_) | Work::BlockingWait(_)).then(|| wait_ns(work.wait()))
}

fn wait_ns(d: std::time::Duration) -> Ns {
    d.as_nanos() as Ns
}

/// What became of a GIL, or of several together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GilUse {
    /// How often it came to another than had it last, the first time included.
    pub switches: u64,
    /// How many of these because its holder had been asked to let go.
    pub forced: u64,
    /// How long somebody had it.
    pub held: Ns,
}

impl GilUse {
    /// Adds that of another lock.
    pub fn add(&mut self, other: &Self) {
        self.switches += other.switches;
        self.forced += other.forced;
        self.held += other.held;
    }
}

/// Exact sums over all steps, sampled or not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Steps that ran, by outcome: succeeded, failed, canceled.
    pub steps: [u32; 3],
    /// Where the time of all steps went.
    pub terms: Terms,
    /// Time all steps were ready and not taken up.
    pub queue: Ns,
    /// What the order's counter says in its own process; what kitchens below it counted is in their memory.
    pub counted: u64,
    /// What became of its GIL, in all of its kitchens.
    pub gil: GilUse,
    /// The largest lag of a wait.
    pub lag_max: Ns,
    /// When the last step ended.
    pub last: Ns,
}

impl Totals {
    /// Adds one step.
    pub fn add(&mut self, record: &StepRecord, lag: Option<Ns>) {
        self.steps[(record.outcome as usize).min(2)] += 1;
        self.terms.add(&record.terms);
        self.queue += record.started - record.ready;
        self.lag_max = self.lag_max.max(lag.unwrap_or(0));
        self.last = self.last.max(record.finished);
    }

    /// Adds another sum.
    pub fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.steps.iter_mut().zip(other.steps) {
            *mine += theirs;
        }
        self.terms.add(&other.terms);
        self.queue += other.queue;
        self.counted += other.counted;
        self.gil.add(&other.gil);
        self.lag_max = self.lag_max.max(other.lag_max);
        self.last = self.last.max(other.last);
    }
}
