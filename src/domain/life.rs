//! What can become of an order: its states and one total function from what happens to what follows.
//!
//! Every store moves orders by [`Life::after`] alone, so no order of events, no repeated or late message and no second
//! claimant can lead anywhere else (`tests/it/simulate.rs` tries millions of them). It deliberately does nothing and knows no clock:
//! the kitchen and the store say what happened.

use serde::{Deserialize, Serialize};

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
    /// A run is over, with this result.
    End {
        /// Which run.
        attempt: u32,
        /// How it ended.
        status: Status,
    },
    /// A run failed, and another may not.
    Broke {
        /// Which run.
        attempt: u32,
    },
    /// A client wants it stopped.
    Cancel,
    /// Its start deadline passed.
    Expire,
    /// The node of a run has not been heard of for longer than its lease.
    Lost {
        /// Which run.
        attempt: u32,
    },
}

/// Runs an order may lose to dead nodes before it fails: one that takes every node down must not go round for ever.
pub const RUNS: u32 = 5;

/// All that decides what may happen next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Life {
    /// Its state.
    pub status: Status,
    /// Number of its latest run; 0 before the first.
    pub attempt: u32,
    /// Somebody asked to stop it.
    pub cancel_requested: bool,
    /// Runs that were lost with their nodes. Not `attempt`: that also counts grants whose run never began.
    pub lost: u32,
    /// Runs that failed. Lost ones are not among them: a dead node says nothing about the order.
    pub failed: u32,
    /// Failures it may have; with the last of them it has failed.
    pub max_attempts: u32,
}

impl Life {
    /// An order that was just accepted.
    pub const NEW: Self =
        Self { status: Status::Queued, attempt: 0, cancel_requested: false, lost: 0, failed: 0, max_attempts: 1 };

    /// What becomes of it when this happens; `None` if it cannot happen now, and then nothing changes.
    ///
    /// Cancelling a running order leaves it running: it ends when its work has stopped. A run that is not the latest
    /// one can neither end nor be lost any more. A start deadline that passes while an order waits for another try makes
    /// it fail, since it did begin; a wish to stop it leaves it no other try.
    #[must_use]
    pub fn after(self, what: Happening) -> Option<Self> {
        use Status::{Canceled, Expired, Failed, Queued, Running};
        let to = |status| Some(Self { status, ..self });
        match (self.status, what) {
            (Queued, Happening::Claim) => {
                Some(Self { status: Running, attempt: self.attempt.saturating_add(1), ..self })
            }
            (Queued, Happening::Cancel) => Some(Self { status: Canceled, cancel_requested: true, ..self }),
            (Queued, Happening::Expire) if self.failed > 0 => to(Failed),
            (Queued, Happening::Expire) if self.lost == 0 => to(Expired),
            (Running, Happening::Cancel) => Some(Self { cancel_requested: true, ..self }),
            (Running, Happening::End { attempt, status }) if attempt == self.attempt => {
                if status.is_done() && status != Expired { to(status) } else { None }
            }
            (Running, Happening::Broke { attempt }) if attempt == self.attempt => {
                let failed = self.failed.saturating_add(1);
                let tries_again = failed < self.max_attempts && !self.cancel_requested;
                Some(Self { status: if tries_again { Queued } else { Failed }, failed, ..self })
            }
            (Running, Happening::Lost { attempt }) if attempt == self.attempt => {
                let lost = self.lost.saturating_add(1);
                let status = match self.cancel_requested {
                    true => Canceled,
                    false if lost < RUNS => Queued,
                    false => Failed,
                };
                Some(Self { status, lost, ..self })
            }
            (Canceled, Happening::Cancel) => Some(self),
            (Queued | Running, _) | (Status::Succeeded | Failed | Canceled | Expired, _) => None,
        }
    }
}
