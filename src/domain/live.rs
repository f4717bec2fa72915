//! What can be known of an order while it runs: the events of its steps, and how far it is.
//!
//! Plain data, so that a node can tell what another cooks. It deliberately holds no account of time: that is in the
//! records, which are there when the order has ended.

use serde::{Deserialize, Serialize};

use super::Ns;
use super::recipe::StepRef;
use super::record::Outcome;

/// Something that happened to a step, in the order of `seq`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepEvent {
    /// Number within the attempt, without gaps.
    pub seq: u32,
    /// The step.
    pub at: StepRef,
    /// How it ended; `None` when it started.
    pub outcome: Option<Outcome>,
    /// When, as an offset from the run's start.
    pub offset: Ns,
}

/// A run, as far as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Live {
    /// Steps that are over.
    pub steps_done: u64,
    /// Dishes that are over.
    pub dishes_done: u32,
    /// Number of the last event there is.
    pub last_seq: u32,
    /// Events of its steps, without a gap; not necessarily all.
    pub events: Vec<StepEvent>,
}
