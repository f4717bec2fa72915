//! The beginning and the end of an order's record.
//!
//! It deliberately runs on the thread that ended the run: no hop, no queue between the last step and the answer.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use super::{Kitchen, log};
use crate::clock;
use crate::domain::Ns;
use crate::domain::client::Client;
use crate::domain::id::OrderId;
use crate::domain::job::{Job, Status};
use crate::domain::record::Totals;
use crate::domain::spec::{ModelId, Spec};
use crate::domain::summary;
use crate::domain::trace::TraceParent;
use crate::model::cancel::Reason;
use crate::model::run::{Finisher, Run, RunEnd};
use crate::model::{self, HoldsPlace};
use crate::store::{Fence, Finish, Finished, Room};

/// A run that is being cooked, as it is found.
pub(super) struct Active {
    pub(super) run: Arc<Run>,
    pub(super) attempt: u32,
}

/// What the end of a run has to know. With the run, and not with [`Active`]: to look it up there would keep others from theirs.
pub(super) struct Cooking {
    pub(super) kitchen: Arc<Kitchen>,
    pub(super) attempt: u32,
    pub(super) room: Room,
    /// Whose place with the house's staff it holds.
    pub(super) place: Mutex<Option<Client>>,
    pub(super) queue: Ns,
    pub(super) others: u32,
}

/// A run that is over, for the books of the house.
struct Ended {
    fence: Fence,
    model: ModelId,
    status: Status,
    queue: Ns,
    elapsed: Ns,
    totals: Totals,
    trace: Option<TraceParent>,
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

/// Stops a run that takes too long.
pub(super) async fn time_out(run: Weak<Run>, after: Duration) {
    tokio::time::sleep(after).await;
    if let Some(run) = run.upgrade() {
        run.stop(Reason::Timeout);
    }
}

impl Finisher for Cooking {
    fn begun(&self, run: &Run) {
        // With some models its place is free for the next one then.
        if model::get(run.spec.model).info().holds_place == HoldsPlace::UntilBegun {
            self.leave_place(run);
        }
    }

    fn finished(&self, run: &Run, end: RunEnd) {
        let elapsed = run.offset(end.at);
        let sampled = !run.recorder.is_live();
        let (harvest, events) = run.recorder.harvest(elapsed);
        let (summary, records) = summary::close(&run.spec, harvest, elapsed, events, sampled);
        let (kitchen, fence) = (&self.kitchen, Fence { id: run.id, attempt: self.attempt });
        kitchen.cooking.fetch_sub(1, Ordering::AcqRel);
        let (model, status, queue) = (run.spec.model, end.status, self.queue);
        let ended = Ended { fence, model, status, queue, elapsed, totals: summary.totals, trace: run.spec.traceparent };
        let finish = Finish {
            fence,
            status: end.status,
            error: end.error,
            finished_us: clock::wall_us(),
            at: end.at,
            accepted: run.start().saturating_sub(queue),
            needs: self.room,
            concurrent_orders: self.others,
            summary,
            records,
        };
        match kitchen.store.finish(finish).at_once() {
            Ok(finished) => {
                kitchen.written(&ended, finished);
                kitchen.release(self.room);
                self.leave_place(run);
                kitchen.watchers.notify(run.id);
            }
            Err(later) => {
                // The staff is free; what it did is shown when it is written.
                let me = kitchen.clone();
                kitchen.runtime.spawn(async move {
                    let finished = later.await;
                    me.written(&ended, finished);
                    me.watchers.notify(fence.id);
                });
                kitchen.release(self.room);
                self.leave_place(run);
            }
        }
    }
}

impl Cooking {
    /// Gives its place back, once.
    fn leave_place(&self, run: &Run) {
        let owner = self.place.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(owner) = owner {
            self.kitchen.give_back(run.spec.model, &owner);
        }
    }
}

impl Kitchen {
    /// The end of a run is written, or refused.
    fn written(&self, ended: &Ended, finished: Finished) {
        let Ended { fence: Fence { id, attempt }, model, status, queue, elapsed, totals, trace } = ended;
        let (id, attempt) = (*id, *attempt);
        let reached = match finished {
            Finished::Written => {
                self.gate.ended();
                self.metrics.order_ended(*model, *status, *queue, Some((*elapsed, totals)));
                *status
            }
            Finished::Again => {
                self.metrics.attempts_again.inc();
                Status::Queued
            }
            Finished::Stale => {
                self.metrics.stale_writes.inc();
                tracing::warn!(order = %id, attempt, "stale end of a run refused");
                self.runs().remove(&id);
                return;
            }
        };
        self.journal.write(id, reached);
        log::ended(id, attempt, reached, *trace);
        self.runs().remove(&id);
        if finished == Finished::Again {
            // It may have to wait for its next try.
            self.deadlines.notify_one();
        }
    }
}
