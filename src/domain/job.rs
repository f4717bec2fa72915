//! The life of an order: its states, the one total transition function, and how it can end badly.
//!
//! It deliberately does nothing: the kitchen moves orders, the store remembers them.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::id::OrderId;
use super::recipe::StepRef;
use super::spec::Spec;
use super::summary::Summary;

/// State of an order. The list is open: clients test `done`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Status {
    /// Accepted, not begun.
    Queued,
    /// Being cooked.
    Running,
    /// Every dish succeeded.
    Succeeded,
    /// A step, or the order as a whole, failed.
    Failed,
    /// Stopped on request.
    Canceled,
    /// Not begun before its deadline.
    Expired,
}

impl Status {
    /// All states, in the order of the variants.
    pub const ALL: [Self; 6] =
        [Self::Queued, Self::Running, Self::Succeeded, Self::Failed, Self::Canceled, Self::Expired];

    /// Name on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        ["queued", "running", "succeeded", "failed", "canceled", "expired"][self as usize]
    }

    /// The state of this name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|s| s.name() == name)
    }

    /// Whether it never changes again.
    #[must_use]
    pub fn is_done(self) -> bool {
        !matches!(self, Self::Queued | Self::Running)
    }
}

/// What can happen to an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Happening {
    /// A node takes it up.
    Claim,
    /// Its run is over, with this result.
    End(Status),
    /// A client wants it stopped.
    Cancel,
    /// Its start deadline passed.
    Expire,
}

/// What becomes of an order in this state when that happens; `None` if it cannot happen then.
///
/// Cancelling a running order leaves it running: it ends when its work has stopped.
#[must_use]
pub fn transition(state: Status, what: Happening) -> Option<Status> {
    match (state, what) {
        (Status::Queued, Happening::Claim) => Some(Status::Running),
        (Status::Queued, Happening::Cancel) => Some(Status::Canceled),
        (Status::Queued, Happening::Expire) => Some(Status::Expired),
        (Status::Running, Happening::Cancel) => Some(Status::Running),
        (Status::Running, Happening::End(end)) if end.is_done() && end != Status::Expired => Some(end),
        (Status::Canceled, Happening::Cancel) => Some(Status::Canceled),
        (Status::Queued | Status::Running, _) => None,
        (Status::Succeeded | Status::Failed | Status::Canceled | Status::Expired, _) => None,
    }
}

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
    /// A kitchen gave no answer and did nothing, or used far more CPU time than its work needs.
    Hang,
}

impl ErrorKind {
    /// Name on the wire, and slug of its problem page.
    #[must_use]
    pub fn name(self) -> &'static str {
        ["timeout", "panic", "exit", "signal", "oom", "shutdown", "spawn", "hang"][self as usize]
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

/// An order with its state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// Its id.
    pub id: OrderId,
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
    /// Time from acceptance to start, on the monotonic clock, nanoseconds.
    pub queue_ns: u64,
    /// Somebody asked to stop it.
    pub cancel_requested: bool,
    /// Other orders that were running when it started.
    pub concurrent_orders: u32,
    /// Set when it failed.
    pub error: Option<OrderError>,
    /// Set when it ended after having run.
    pub summary: Option<Summary>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ended_orders_never_change_and_no_order_runs_twice() {
        let happenings = Status::ALL.map(Happening::End).into_iter();
        let all: Vec<_> = happenings.chain([Happening::Claim, Happening::Cancel, Happening::Expire]).collect();
        for state in Status::ALL {
            for what in &all {
                match transition(state, *what) {
                    Some(next) if state.is_done() => assert_eq!((next, *what), (state, Happening::Cancel)),
                    Some(Status::Queued) => panic!("{state:?} went back to the queue by {what:?}"),
                    _ => {}
                }
            }
        }
        assert_eq!(transition(Status::Running, Happening::Claim), None);
        assert_eq!(transition(Status::Running, Happening::End(Status::Queued)), None);
    }
}
