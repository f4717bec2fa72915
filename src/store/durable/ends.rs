//! How orders this node holds leave it: ended, given back, or canceled wherever they are.
//!
//! It deliberately changes nothing in memory: that is done when the change is written ([`House::settled`]).

use std::time::Duration;

use tokio::sync::oneshot;

use super::super::backend::{Change, Down, Stopped, What};
use super::super::{CancelAnswer, Fence};
use super::writer::{Line, Settle};
use super::{House, locked};
use crate::domain::id::OrderId;
use crate::domain::job::{Attempt, Broken, Job, Status};
use crate::domain::life::Happening;

/// How long a client waits for a write that will be done in any case.
pub(super) const PATIENCE: Duration = Duration::from_secs(3);

impl House {
    /// Lets a change be written; the answer is whether its fence was good.
    pub(super) fn send(&self, change: Change) -> oneshot::Receiver<bool> {
        let (done, told) = oneshot::channel();
        locked(&self.holdings).over(change.fence.id);
        let _ = self.settles.send(Line::Change(Settle { change, done: Some(done) }));
        told
    }

    /// Ends a withdrawn order; `None` if it is not this node's any more.
    pub(super) async fn end_waiting(&self, mut job: Job, what: Happening, now_us: i64) -> Option<Job> {
        job.live(job.life().after(what)?);
        job.finished_us = Some(now_us);
        job.retained_us = Some(now_us.saturating_add(self.bounds.retention_us));
        let told = self.send(self.end_of(job.clone(), &[])?);
        told.await.unwrap_or(false).then_some(job)
    }

    /// The change that gives back an order whose run is over without an end; `None` if it is not this node's any more.
    pub(super) fn returned(&self, id: OrderId, attempt: Attempt) -> Option<Change> {
        let held = locked(&self.holdings).attempt(id).filter(|held| *held == attempt.attempt)?;
        Some(Change { fence: Fence { id, attempt: held }, what: What::Returned { attempt: Some(attempt), turn: 0 } })
    }

    /// A run that is broken off by the end of this node.
    pub(super) fn shut_down(&self, job: &Job, ended_us: i64) -> Attempt {
        Attempt {
            attempt: job.attempt,
            node: self.me.node.clone(),
            started_us: job.started_us,
            ended_us,
            why: Broken::Shutdown,
            error: None,
        }
    }

    pub(super) async fn cancel_elsewhere(&self, id: OrderId, now_us: i64) -> Result<CancelAnswer, Down> {
        Ok(match self.backend.cancel(id, now_us).await? {
            Stopped::Now(job) => CancelAnswer::Canceled { job, now: true },
            Stopped::Asked(job) => CancelAnswer::Running(job),
            Stopped::Ended(job) if job.status == Status::Canceled => CancelAnswer::Canceled { job, now: false },
            Stopped::Ended(job) => CancelAnswer::Ended(job),
            Stopped::Absent => CancelAnswer::Absent,
        })
    }

    /// Waits until everything that has begun or ended so far is written down.
    pub(super) async fn note_all(&self) -> Result<(), Down> {
        let begun = locked(&self.holdings).unnoted(None);
        self.note(begun);
        let (done, told) = oneshot::channel();
        let _ = self.settles.send(Line::Flush(done));
        match tokio::time::timeout(PATIENCE, told).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(Down::Away),
        }
    }

    /// Gives back everything that waits here.
    pub(super) async fn give_back_all(&self) {
        let waiting = self.desk.withdraw_all();
        let fences = waiting.into_iter().filter_map(|id| {
            let attempt = locked(&self.holdings).attempt(id)?;
            Some(Fence { id, attempt })
        });
        let what = || What::Returned { attempt: None, turn: 0 };
        let told: Vec<_> = fences.map(|fence| self.send(Change { fence, what: what() })).collect();
        for told in told {
            let _ = told.await;
        }
    }
}
