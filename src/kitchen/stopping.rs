//! Orders that end without having been cooked to their end: on request, and by their start deadline.
//!
//! It deliberately stops no work itself: a run is asked, and ends when its work has stopped.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::Notify;

use super::{Kitchen, log};
use crate::clock;
use crate::domain::Ns;
use crate::domain::id::OrderId;
use crate::domain::job::Job;
use crate::model::cancel::Reason;
use crate::model::run::Run;
use crate::store::{CancelAnswer, Down};

impl Kitchen {
    /// Asks to stop an order.
    pub async fn cancel(&self, id: OrderId) -> Result<CancelAnswer, Down> {
        let asked = self.store.request_cancel(id, clock::wall_us());
        // What runs here stops now: a store that is away must not keep it at work.
        self.stop_here(id).await;
        let answer = asked.await?;
        match &answer {
            // It may have come here meanwhile.
            CancelAnswer::Running(_) => self.stop_here(id).await,
            CancelAnswer::Canceled { job, now: true } => {
                self.ended_waiting(job);
                // It may have held back others.
                self.pump();
            }
            CancelAnswer::Canceled { .. } | CancelAnswer::Ended(_) | CancelAnswer::Absent => {}
        }
        Ok(answer)
    }

    async fn stop_here(&self, id: OrderId) {
        if let Some(run) = self.run_about_to_be(id).await {
            run.stop(Reason::Client);
        }
    }

    /// The run of an order that is running. Claimed this moment, it may have no run yet; whoever claimed it is about to
    /// give it one. None if it runs elsewhere.
    async fn run_about_to_be(&self, id: OrderId) -> Option<Arc<Run>> {
        loop {
            let run = self.run(id);
            let is_running_here = || self.store.runs_here(id);
            if run.is_some() || !is_running_here() {
                return run;
            }
            tokio::task::yield_now().await;
        }
    }

    /// An order ended that had not begun.
    pub(super) fn ended_waiting(&self, job: &Job) {
        self.gate.ended();
        self.metrics.order_ended(job.spec.model, job.status, 0, None);
        self.journal.write(job.id, job.status);
        log::ended(job.id, job.attempt, job.status, job.spec.traceparent);
        self.watchers.notify(job.id);
    }

    /// Ends waiting orders whose start deadline has passed, starts those that waited for another try; answers when to look again.
    async fn lapse(&self) -> Option<Ns> {
        let lapsed = self.store.lapse(clock::now(), clock::wall_us()).await;
        lapsed.jobs.iter().for_each(|job| self.ended_waiting(job));
        if lapsed.is_ready || !lapsed.jobs.is_empty() {
            self.pump();
        }
        lapsed.next
    }
}

/// Watches start deadlines and waits for another try as long as the kitchen lives; `bell` rings when there is a new one.
pub(super) async fn mind_deadlines(kitchen: Weak<Kitchen>, bell: Arc<Notify>) {
    loop {
        let Some(now) = kitchen.upgrade() else { return };
        let next = now.lapse().await;
        drop(now);
        match next {
            None => bell.notified().await,
            Some(at) => {
                let pause = Duration::from_nanos(at.saturating_sub(clock::now()));
                let _ = tokio::time::timeout(pause, bell.notified()).await;
            }
        }
    }
}
