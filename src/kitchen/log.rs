//! What the log says of every order: that it was accepted, and how each of its attempts ended.
//!
//! Nobody reads two lines for each of a million orders, so they are for debugging; but the lines of an order whose trace is recorded
//! are looked for, by whoever has the other half of it. It deliberately logs nothing that goes wrong: that is said where it is found.

use crate::domain::id::OrderId;
use crate::domain::job::{Job, Status};
use crate::domain::trace::TraceParent;

/// An order was accepted.
pub(super) fn accepted(job: &Job) {
    let (order, owner) = (job.id, job.owner.as_str());
    match job.spec.traceparent {
        Some(trace) if trace.is_sampled() => tracing::info!(%order, owner, traceparent = %trace, "accepted"),
        Some(trace) => tracing::debug!(%order, owner, traceparent = %trace, "accepted"),
        None => tracing::debug!(%order, owner, "accepted"),
    }
}

/// An attempt ended, or the order without one; this is the state it reached.
pub(super) fn ended(order: OrderId, attempt: u32, reached: Status, trace: Option<TraceParent>) {
    let status = reached.name();
    match trace {
        Some(trace) if trace.is_sampled() => tracing::info!(%order, attempt, status, traceparent = %trace, "ended"),
        Some(trace) => tracing::debug!(%order, attempt, status, traceparent = %trace, "ended"),
        None => tracing::debug!(%order, attempt, status, "ended"),
    }
}
