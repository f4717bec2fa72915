//! The beginning and the end of an order's record.
//!
//! It deliberately runs on the thread that ended the run: no hop, no queue between the last step and the answer.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use super::Kitchen;
use crate::clock;
use crate::domain::Ns;
use crate::domain::client::Client;
use crate::domain::id::OrderId;
use crate::domain::job::{Job, Status};
use crate::domain::spec::Spec;
use crate::domain::summary;
use crate::domain::trace::TraceParent;
use crate::model::cancel::Reason;
use crate::model::run::{Finisher, Run, RunEnd};
use crate::store::{Fence, Finish, Finished, Room};

/// An order that is being cooked.
pub(super) struct Active {
    pub(super) run: Arc<Run>,
    pub(super) attempt: u32,
    pub(super) room: Room,
    /// Whose place with the house's staff it holds.
    pub(super) place: Option<Client>,
    pub(super) queue: Ns,
    pub(super) others: u32,
}

/// A new order, waiting.
pub(super) fn new_job(id: OrderId, owner: &Client, spec: Spec, now_us: i64) -> Job {
    Job {
        id,
        owner: owner.clone(),
        retry_of: None,
        spec: Arc::new(spec),
        status: Status::Queued,
        attempt: 0,
        created_us: now_us,
        started_us: None,
        finished_us: None,
        retained_us: None,
        queue_ns: 0,
        cancel_requested: false,
        concurrent_orders: 0,
        error: None,
        summary: None,
        history: None,
    }
}

/// The trace an order belongs to, for the log.
pub(super) fn trace(job: &Job) -> Option<tracing::field::DisplayValue<TraceParent>> {
    job.spec.traceparent.map(tracing::field::display)
}

/// Stops a run that takes too long.
pub(super) async fn time_out(run: Weak<Run>, after: Duration) {
    tokio::time::sleep(after).await;
    if let Some(run) = run.upgrade() {
        run.stop(Reason::Timeout);
    }
}

impl Finisher for Kitchen {
    fn begun(&self, run: &Run) {
        self.place_begun(run);
    }

    fn finished(&self, run: &Run, end: RunEnd) {
        let elapsed = run.offset(end.at);
        let sampled = !run.recorder.is_live();
        let (harvest, events) = run.recorder.harvest(elapsed);
        let (summary, records) = summary::close(&run.spec, harvest, elapsed, events, sampled);
        let Some(active) = self.runs().get(&run.id).map(|a| (a.attempt, a.room, a.queue, a.others)) else { return };
        let (attempt, room, queue, others) = active;
        let fence = Fence { id: run.id, attempt };
        self.cooking.fetch_sub(1, Ordering::AcqRel);
        self.metrics.order_ended(run.spec.model, end.status, queue, Some((elapsed, &summary.totals)));
        let finish = Finish {
            fence,
            status: end.status,
            error: end.error,
            finished_us: clock::wall_us(),
            concurrent_orders: others,
            summary,
            records,
        };
        match self.store.finish(finish).at_once() {
            Ok(finished) => {
                let place = self.written(fence, end.status, finished);
                self.release(room);
                self.give_back(run, place);
                self.watchers.notify(run.id);
            }
            Err(later) => {
                // The staff is free; what it did is shown when it is written.
                let place = self.runs().get_mut(&run.id).and_then(|active| active.place.take());
                let Some(me) = self.me.upgrade() else { return };
                self.runtime.spawn(async move {
                    let finished = later.await;
                    me.written(fence, end.status, finished);
                    me.watchers.notify(fence.id);
                });
                self.release(room);
                self.give_back(run, place);
            }
        }
    }
}

impl Kitchen {
    /// The end of a run is written, or refused; answers whose place it held.
    fn written(&self, Fence { id, attempt }: Fence, status: Status, finished: Finished) -> Option<Client> {
        let reached = match finished {
            Finished::Written => status,
            Finished::Again => Status::Queued,
            Finished::Stale => {
                self.metrics.stale_writes.inc();
                tracing::warn!(order = %id, attempt, "stale end of a run refused");
                return self.runs().remove(&id).and_then(|active| active.place);
            }
        };
        self.gate.ended();
        self.journal.write(id, reached);
        tracing::debug!(order = %id, attempt, status = reached.name(), "ended");
        self.runs().remove(&id).and_then(|active| active.place)
    }
}
