//! Orders that wait for another try: not in line before it is time.
//!
//! It deliberately keeps no second state: such an order is `Queued`, and its failed runs say until when it waits.

use super::Memory;
use super::slots::{Body, Inner, Slot, Waiting};
use crate::clock;
use crate::domain::Ns;
use crate::domain::client::Client;
use crate::domain::job::{Attempt, Broken, History, Job, Status, lost_and_failed};
use crate::domain::life::Happening;
use crate::store::Finish;

/// An order that is not in line yet.
#[derive(Debug)]
pub(super) struct Resting {
    pub(super) lane: super::slots::Lane,
    pub(super) owner: Client,
    pub(super) waiting: Waiting,
}

impl Inner {
    /// Puts in line who has waited long enough; says whether anybody has, and when the next one will have.
    pub(super) fn ripen(&mut self, now: Ns) -> (bool, Option<Ns>) {
        let mut is_any = false;
        while let Some((at, id)) = self.resting.first_key_value().map(|(key, _)| *key) {
            let waits = self.orders.get(&id).is_some_and(Slot::waits);
            if waits && at > now {
                return (is_any, Some(at));
            }
            if let Some(Resting { lane, owner, waiting }) = self.resting.remove(&(at, id)).filter(|_| waits) {
                self.lines.lane(lane).push(&owner, waiting);
                is_any = true;
            }
        }
        (is_any, None)
    }
}

impl Memory {
    /// Whether the order of this failed run is to be tried again: the run as it is remembered then.
    pub(in crate::store) fn tries_again(&self, finish: &Finish, node: &str) -> Option<Attempt> {
        let error = finish.error.as_ref().filter(|error| finish.status == Status::Failed && error.kind.may_pass())?;
        let inner = self.inner();
        let Slot { body: Body::Active(job), .. } = inner.orders.get(&finish.fence.id)? else { return None };
        let life = job.life().after(Happening::Broke { attempt: finish.fence.attempt })?;
        let attempt = Attempt {
            attempt: finish.fence.attempt,
            node: node.into(),
            started_us: job.started_us,
            ended_us: finish.finished_us,
            why: Broken::Failed,
            error: Some(error.clone()),
        };
        (life.status == Status::Queued).then_some(attempt)
    }

    /// Lets the order of a failed run wait for another try; false if it is to end.
    pub(super) fn waits_again(&self, finish: &Finish) -> bool {
        let Some(attempt) = self.tries_again(finish, "") else { return false };
        let mut inner = self.inner();
        // Looked at again: a cancel may have come between.
        let Some(Slot { status, body: Body::Active(job), .. }) = inner.orders.get_mut(&finish.fence.id) else {
            return false;
        };
        let life = job.life().after(Happening::Broke { attempt: finish.fence.attempt });
        let Some(life) = life.filter(|life| life.status == Status::Queued) else { return false };
        let before = std::mem::replace(status, life.status);
        job.live(life);
        (job.started_us, job.queue_ns) = (None, 0);
        job.history.get_or_insert_with(|| Box::new(History::default())).attempts.push(attempt);
        let job = (**job).clone();
        inner.counts.by_status[before as usize] -= 1;
        inner.counts.by_status[life.status as usize] += 1;
        let not_before = finish.at.saturating_add(clock::ns(job.spec.retry_wait(life.failed)));
        let lane = Inner::lane_of(&job, finish.needs, false);
        inner.line_up(&job, lane, finish.accepted, finish.needs, Some(not_before));
        true
    }
}

/// When an order that another store has taken up may begin, on the monotonic clock; `None` if at once. By the wall clock, as far as
/// this is right: the run before may have failed on another node.
pub(in crate::store) fn not_before(job: &Job) -> Option<Ns> {
    let wait_us = job.next_attempt_us()?.saturating_sub(clock::wall_us());
    let wait = std::time::Duration::from_micros(u64::try_from(wait_us).ok()?);
    // A clock that is behind must not keep it waiting for longer than it would have from now on.
    let most = job.spec.retry_wait(lost_and_failed(job.attempts()).1);
    Some(clock::now().saturating_add(clock::ns(wait.min(most))))
}
