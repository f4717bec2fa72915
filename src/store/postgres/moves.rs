//! What becomes of an order that somebody else than its run decides about, as a move the database makes or refuses.
//!
//! Decided ([`fate`]) from a row that was read a moment ago; the move names all it was decided by, and does nothing if
//! any of that has changed. It deliberately asks no database.

use std::sync::Arc;

use crate::domain::job::{Attempt, Job, OrderError, Status};
use crate::store::backend::{Change, What};
use crate::store::fate::{self, Fate};
use crate::store::{Fence, packed};

use super::rows::Kept;

/// A transition of one order: what must still be so, and what will be.
pub(super) struct Move {
    pub(super) fence: Fence,
    /// Who must hold it; `None`: nobody.
    pub(super) holder: Option<Arc<str>>,
    /// Whether a cancel must have been asked for; `None`: no matter.
    pub(super) asked: Option<bool>,
    /// Its lease must have run out.
    pub(super) is_late: bool,
    pub(super) to: To,
}

/// Where to.
pub(super) enum To {
    Begun { started_us: i64, queue_ns: i64 },
    Line { turn: Option<i64>, attempts: Vec<Attempt> },
    End { status: Status, cancels: bool, packed: Arc<[u8]> },
}

impl Move {
    /// What a node says of an order it holds, if nothing has to be decided for it.
    pub(super) fn told(change: &Change, me: &Arc<str>) -> Option<Self> {
        let to = match &change.what {
            What::Begun { started_us, queue_ns } => {
                To::Begun { started_us: *started_us, queue_ns: i64::try_from(*queue_ns).unwrap_or(i64::MAX) }
            }
            What::Ended(end) => {
                let cancels = end.job.cancel_requested;
                To::End { status: end.job.status, cancels, packed: end.packed.clone() }
            }
            What::Returned { .. } => return None,
        };
        Some(Self { fence: change.fence, holder: Some(me.clone()), asked: None, is_late: false, to })
    }

    /// The order it ends, as it will be.
    pub(super) fn ended(&self) -> Option<Job> {
        match &self.to {
            To::End { packed, .. } => packed::job(packed),
            _ => None,
        }
    }
}

/// When and for how long.
#[derive(Clone, Copy)]
pub(super) struct Moment {
    /// Microseconds since 1970, by the database.
    pub(super) now_us: i64,
    /// Microseconds an ended order is kept.
    pub(super) retention_us: i64,
}

impl Moment {
    /// A grant is over without an end: it waits again, or has ended by that.
    pub(super) fn again(self, mut kept: Kept, broken: Option<Attempt>, turn: Option<i64>) -> Move {
        match fate::of_broken_off(&mut kept.overlay, &kept.job.spec, kept.lane, broken) {
            Fate::Ends(status, error) => self.end(kept, status, error),
            Fate::Waits => Move {
                fence: Fence { id: kept.job.id, attempt: kept.overlay.grant },
                holder: kept.overlay.node,
                asked: Some(kept.overlay.cancel_requested),
                is_late: false,
                to: To::Line { turn, attempts: kept.overlay.attempts },
            },
        }
    }

    /// Nobody heard of its node for longer than its lease.
    pub(super) fn lost(self, kept: Kept) -> Move {
        let broken = fate::lost_run(&kept.overlay, &"".into(), self.now_us);
        Move { is_late: true, ..self.again(kept, broken, None) }
    }

    /// Nobody began it in time.
    pub(super) fn expired(self, kept: Kept) -> Move {
        self.end(kept, Status::Expired, Some(OrderError::expired()))
    }

    /// It waits, and somebody wants it stopped.
    pub(super) fn canceled(self, mut kept: Kept) -> Move {
        let asked = Some(kept.overlay.cancel_requested);
        kept.overlay.cancel_requested = true;
        Move { asked, ..self.end(kept, Status::Canceled, None) }
    }

    fn end(self, kept: Kept, status: Status, error: Option<OrderError>) -> Move {
        let fence = Fence { id: kept.job.id, attempt: kept.overlay.grant };
        let (holder, asked) = (kept.overlay.node.clone(), kept.overlay.cancel_requested);
        let packed = fate::ended(kept.now(), status, error, self.now_us, self.retention_us).packed;
        Move { fence, holder, asked: Some(asked), is_late: false, to: To::End { status, cancels: asked, packed } }
    }
}
