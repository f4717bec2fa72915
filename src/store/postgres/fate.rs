//! What becomes of an order that somebody else than its run decides about, as a move the database makes or refuses.
//!
//! Decided by [`Life`] from a row that was read a moment ago; the move names all it was decided by, and does nothing if
//! any of that has changed. It deliberately asks no database.

use std::sync::Arc;

use crate::domain::job::{Attempt, Broken, ErrorKind, Job, OrderError, Status};
use crate::domain::life::{Happening, Life};
use crate::store::backend::{Change, Lane, What};
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
        let (grant, asked, is_alone) = (kept.overlay.grant, kept.overlay.cancel_requested, kept.lane == Lane::ALONE);
        let lost = kept.overlay.attempts.len() as u32;
        let life = |status| Life { status, attempt: grant, cancel_requested: asked, lost };
        let next = match broken {
            Some(_) => life(Status::Running).after(Happening::Lost { attempt: grant }),
            None if asked => life(Status::Queued).after(Happening::Cancel),
            None => Some(life(Status::Queued)),
        };
        kept.overlay.attempts.extend(broken);
        let (status, error) = match next.map(|life| life.status) {
            Some(Status::Canceled) => (Status::Canceled, None),
            Some(Status::Failed) => (Status::Failed, Some(lost_too_often(&kept.overlay.attempts))),
            _ if is_alone => (Status::Failed, Some(without_its_comparison())),
            _ => {
                let (fence, holder) = (Fence { id: kept.job.id, attempt: grant }, kept.overlay.node);
                let to = To::Line { turn, attempts: kept.overlay.attempts };
                return Move { fence, holder, asked: Some(asked), is_late: false, to };
            }
        };
        self.end(kept, status, error)
    }

    /// Nobody heard of its node for longer than its lease.
    pub(super) fn lost(self, kept: Kept) -> Move {
        let broken = (kept.overlay.status == Status::Running).then(|| Attempt {
            attempt: kept.overlay.grant,
            node: kept.overlay.node.clone().unwrap_or_else(|| "".into()),
            started_us: kept.overlay.started_us,
            ended_us: self.now_us,
            why: Broken::NodeLost,
        });
        Move { is_late: true, ..self.again(kept, broken, None) }
    }

    /// Nobody began it in time.
    pub(super) fn expired(self, kept: Kept) -> Move {
        let detail = "it had not begun by its start deadline".to_owned();
        self.end(kept, Status::Expired, Some(OrderError { kind: ErrorKind::Expired, detail, at: None }))
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
        let mut job = kept.now();
        job.status = status;
        job.error = error;
        job.finished_us = Some(self.now_us);
        job.retained_us = Some(self.now_us.saturating_add(self.retention_us));
        let packed = packed::pack(&job, &[]).into();
        Move { fence, holder, asked: Some(asked), is_late: false, to: To::End { status, cancels: asked, packed } }
    }
}

fn lost_too_often(attempts: &[Attempt]) -> OrderError {
    let runs: Vec<_> =
        attempts.iter().map(|run| format!("attempt {} on {} ({})", run.attempt, run.node, run.why.name())).collect();
    OrderError { kind: ErrorKind::Lost, detail: format!("its runs were lost: {}", runs.join(", ")), at: None }
}

fn without_its_comparison() -> OrderError {
    OrderError { kind: ErrorKind::Shutdown, detail: "its comparison ended with its node".to_owned(), at: None }
}
