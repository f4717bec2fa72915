//! An order as the house keeps it, and how it can end badly.
//!
//! It deliberately does nothing: the kitchen moves orders, the store remembers them.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::client::Client;
use super::id::OrderId;
use super::life::Life;
pub use super::life::Status;
use super::recipe::StepRef;
use super::spec::Spec;
use super::summary::Summary;

/// Why an order failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ErrorKind {
    /// It ran longer than its `timeout_ms`.
    Timeout,
    /// A step panicked.
    Panic,
    /// A kitchen ended by itself.
    Exit,
    /// A kitchen was ended by a signal.
    Signal,
    /// A kitchen ran out of memory.
    Oom,
    /// The service was shut down.
    Shutdown,
    /// A kitchen could not be started.
    Spawn,
    /// It had not begun by its start deadline.
    Expired,
    /// A kitchen gave no answer and did nothing, or used far more CPU time than its work needs.
    Hang,
    /// Some of its steps wait for each other for ever.
    Deadlock,
    /// The nodes it ran on were lost, one after another.
    Lost,
}

impl ErrorKind {
    /// Name on the wire, and slug of its problem page.
    #[must_use]
    pub fn name(self) -> &'static str {
        const NAMES: [&str; 11] =
            ["timeout", "panic", "exit", "signal", "oom", "shutdown", "spawn", "expired", "hang", "deadlock", "lost"];
        NAMES[self as usize]
    }

    /// Whether another try of the same order could end otherwise. A deadlock closes again; all but what a run does by itself is
    /// no failure of the order's and has rules of its own.
    #[must_use]
    pub fn may_pass(self) -> bool {
        !matches!(self, Self::Deadlock | Self::Shutdown | Self::Expired | Self::Lost)
    }
}

/// Why and where an order failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderError {
    /// The class.
    pub kind: ErrorKind,
    /// One sentence, as "kitchen 4711 was ended by signal 9".
    pub detail: String,
    /// The step that failed first, if it was a step.
    pub at: Option<StepRef>,
}

impl OrderError {
    /// Its start deadline passed while it waited.
    #[must_use]
    pub fn expired() -> Self {
        Self { kind: ErrorKind::Expired, detail: "it had not begun by its start deadline".to_owned(), at: None }
    }
}

/// Why a run did not come to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Broken {
    /// Its node was not heard of for longer than its lease, or died.
    NodeLost,
    /// Its node was shut down.
    Shutdown,
    /// It failed.
    Failed,
}

impl Broken {
    /// All of them, in the order of the variants.
    pub const ALL: [Self; 3] = [Self::NodeLost, Self::Shutdown, Self::Failed];

    /// Name on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        ["node_lost", "shutdown", "failed"][self as usize]
    }
}

/// A run that did not come to its end, after which the order waited again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// Its number.
    pub attempt: u32,
    /// Where it ran; empty if nodes have no names.
    pub node: Arc<str>,
    /// Begun, microseconds since 1970.
    pub started_us: Option<i64>,
    /// Noticed to be over, microseconds since 1970.
    pub ended_us: i64,
    /// Why.
    pub why: Broken,
    /// What failed, if it failed.
    #[serde(default)]
    pub error: Option<OrderError>,
}

/// Where an order has been; of orders in a durable store, and of those that are tried again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    /// The node that holds it, or held it last.
    pub node: Option<Arc<str>>,
    /// Runs that did not come to their end, oldest first; at most [`super::life::RUNS`] lost ones and all but one of its attempts.
    pub attempts: Vec<Attempt>,
}

/// An order with its state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// Its id.
    pub id: OrderId,
    /// Who placed it.
    pub owner: Client,
    /// The order this is another try of.
    pub retry_of: Option<OrderId>,
    /// What was asked, resolved.
    pub spec: Arc<Spec>,
    /// Its state.
    pub status: Status,
    /// Run number; a restart after a lost node counts on.
    pub attempt: u32,
    /// Accepted, microseconds since 1970.
    pub created_us: i64,
    /// Taken up, microseconds since 1970.
    pub started_us: Option<i64>,
    /// Ended, microseconds since 1970.
    pub finished_us: Option<i64>,
    /// Kept until then, unless the house needs the room; microseconds since 1970.
    pub retained_us: Option<i64>,
    /// Time from acceptance to start, on the monotonic clock, nanoseconds.
    pub queue_ns: u64,
    /// Somebody asked to stop it.
    pub cancel_requested: bool,
    /// Other orders that were running when it started.
    pub concurrent_orders: u32,
    /// Set when it failed.
    pub error: Option<OrderError>,
    /// Set when it ended after having run; in a box, since a hundred thousand orders wait without one.
    pub summary: Option<Box<Summary>>,
    /// Set by durable stores, and when a run failed that is not the last.
    pub history: Option<Box<History>>,
}

/// How many of these runs were lost, and how many failed.
#[must_use]
pub fn lost_and_failed(attempts: &[Attempt]) -> (u32, u32) {
    let failed = attempts.iter().filter(|attempt| attempt.why == Broken::Failed).count();
    ((attempts.len() - failed) as u32, failed as u32)
}

impl Job {
    /// What decides what may happen to it next.
    #[must_use]
    pub fn life(&self) -> Life {
        let (lost, failed) = lost_and_failed(self.attempts());
        let Self { status, attempt, cancel_requested, .. } = *self;
        Life { status, attempt, cancel_requested, lost, failed, max_attempts: self.spec.max_attempts.into() }
    }

    /// Its runs that did not come to their end, oldest first.
    #[must_use]
    pub fn attempts(&self) -> &[Attempt] {
        self.history.as_ref().map_or(&[], |history| &history.attempts)
    }

    /// Until when it waits for another try, microseconds since 1970; `None` if it does not.
    #[must_use]
    pub fn next_attempt_us(&self) -> Option<i64> {
        let last = self.attempts().last().filter(|last| self.status == Status::Queued && last.why == Broken::Failed)?;
        let wait = self.spec.retry_wait(lost_and_failed(self.attempts()).1);
        Some(last.ended_us.saturating_add(wait.as_micros() as i64))
    }

    /// Why it has not succeeded, if its start deadline passes now: what its last run failed of, if it had one.
    #[must_use]
    pub fn error_when_late(&self) -> OrderError {
        let failed = self.attempts().iter().rev().find_map(|attempt| attempt.error.clone());
        failed.unwrap_or_else(OrderError::expired)
    }

    /// Something happened.
    pub fn live(&mut self, life: Life) {
        (self.status, self.attempt, self.cancel_requested) = (life.status, life.attempt, life.cancel_requested);
    }
}
