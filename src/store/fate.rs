//! What becomes of an order that its run does not end: a grant that is over without an end, a deadline, a wish to stop.
//!
//! Decided by [`Life`] alone, and the same in every database. It deliberately writes nothing: backends do.

use std::sync::Arc;

use super::Overlay;
use super::backend::{Ended, Lane};
use super::packed;
use crate::domain::job::{Attempt, Broken, ErrorKind, Job, OrderError, Status, lost_and_failed};
use crate::domain::life::{Happening, Life};
use crate::domain::spec::Spec;

/// What becomes of it.
pub(super) enum Fate {
    /// It waits again.
    Waits,
    /// It has ended by that.
    Ends(Status, Option<OrderError>),
}

/// A grant is over without an end; `broken` is its run, if that had begun, and joins those before it.
pub(super) fn of_broken_off(overlay: &mut Overlay, spec: &Spec, lane: Lane, broken: Option<Attempt>) -> Fate {
    let Overlay { grant: attempt, cancel_requested, .. } = *overlay;
    let (lost, failed) = lost_and_failed(&overlay.attempts);
    let life =
        |status| Life { status, attempt, cancel_requested, lost, failed, max_attempts: spec.max_attempts.into() };
    let failure = broken.as_ref().filter(|run| run.why == Broken::Failed).map(|run| run.error.clone());
    let next = match broken {
        Some(_) if failure.is_some() => life(Status::Running).after(Happening::Broke { attempt }),
        Some(_) => life(Status::Running).after(Happening::Lost { attempt }),
        None if cancel_requested => life(Status::Queued).after(Happening::Cancel),
        None => Some(life(Status::Queued)),
    };
    overlay.attempts.extend(broken);
    match next.map(|life| life.status) {
        Some(Status::Canceled) => Fate::Ends(Status::Canceled, None),
        // Failed: a cancel had been noted meanwhile, or it was its last try.
        Some(Status::Failed) => {
            let error = failure.unwrap_or_else(|| Some(lost_too_often(&overlay.attempts)));
            Fate::Ends(Status::Failed, error)
        }
        _ if lane == Lane::ALONE => Fate::Ends(Status::Failed, Some(without_its_comparison())),
        _ => Fate::Waits,
    }
}

/// The run that was lost with its node; `None` if the order had not begun. `nameless` is whose it was if nobody wrote that.
pub(super) fn lost_run(overlay: &Overlay, nameless: &Arc<str>, now_us: i64) -> Option<Attempt> {
    (overlay.status == Status::Running).then(|| Attempt {
        attempt: overlay.grant,
        node: overlay.node.as_ref().unwrap_or(nameless).clone(),
        started_us: overlay.started_us,
        ended_us: now_us,
        why: Broken::NodeLost,
        error: None,
    })
}

/// The order with an end of this moment.
pub(super) fn ended(mut job: Job, status: Status, error: Option<OrderError>, now_us: i64, retention_us: i64) -> Ended {
    job.status = status;
    job.error = error;
    job.finished_us = Some(now_us);
    job.retained_us = Some(now_us.saturating_add(retention_us));
    let packed = packed::pack(&job, &[]).into();
    Ended { job, packed }
}

fn lost_too_often(attempts: &[Attempt]) -> OrderError {
    let lost = attempts.iter().filter(|run| run.why != Broken::Failed);
    let runs: Vec<_> =
        lost.map(|run| format!("attempt {} on {} ({})", run.attempt, run.node, run.why.name())).collect();
    OrderError { kind: ErrorKind::Lost, detail: format!("its runs were lost: {}", runs.join(", ")), at: None }
}

fn without_its_comparison() -> OrderError {
    OrderError { kind: ErrorKind::Shutdown, detail: "its comparison ended with its node".to_owned(), at: None }
}
