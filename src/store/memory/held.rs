//! Ending an order in two breaths: what a durable store does with the orders it holds, because nothing may be seen that is
//! not written, and writing takes time. First the order is prepared for its end, then the end is shown.
//!
//! It deliberately writes nothing anywhere; between the two breaths the order looks as it did before.

use super::Memory;
use super::again::not_before;
use super::slots::{Body, Inner, Slot};
use crate::domain::Ns;
use crate::domain::id::OrderId;
use crate::domain::job::{Job, Status};
use crate::domain::life::Happening;
use crate::domain::record::StepRecord;
use crate::store::{Finish, Lapsed, NewJob};

impl Inner {
    fn withdraw_late(&mut self, now: Ns) -> (Vec<Job>, Option<Ns>) {
        let mut late = Vec::new();
        while let Some((at, id)) = self.deadlines.first().copied() {
            let slot = self.orders.get_mut(&id).filter(|slot| slot.waits());
            if slot.is_some() && at > now {
                return (late, Some(at));
            }
            late.extend(slot.map(|slot| {
                slot.is_withdrawn = true;
                slot.job()
            }));
            self.deadlines.pop_first();
        }
        (late, None)
    }
}

impl Memory {
    /// Queues an order that another store has accepted, or that waits there for another try.
    pub(in crate::store) fn adopt(&self, new: NewJob) {
        let mut inner = self.inner();
        inner.counts.accepted += 1;
        inner.counts.by_status[Status::Queued as usize] += 1;
        let not_before = not_before(&new.job);
        inner.enqueue(new, not_before);
    }

    /// The order as it is with this end, and its records; `None` if this fence may not write it (any more).
    pub(in crate::store) fn ending(&self, finish: Finish, retention_us: i64) -> Option<(Job, Vec<StepRecord>)> {
        let mut job = {
            let inner = self.inner();
            let Slot { body: Body::Active(job), .. } = inner.orders.get(&finish.fence.id)? else { return None };
            let end = Happening::End { attempt: finish.fence.attempt, status: finish.status };
            let life = job.life().after(end)?;
            let mut job = (**job).clone();
            job.live(life);
            job
        };
        job.error = finish.error;
        job.concurrent_orders = finish.concurrent_orders;
        job.summary = Some(Box::new(finish.summary));
        job.finished_us = Some(finish.finished_us);
        job.retained_us = Some(finish.finished_us.saturating_add(retention_us));
        Some((job, finish.records))
    }

    /// Takes a waiting order out of its line; `None` if it does not wait (any more).
    pub(in crate::store) fn withdraw(&self, id: OrderId) -> Option<Job> {
        let mut inner = self.inner();
        let slot = inner.orders.get_mut(&id).filter(|slot| slot.waits())?;
        slot.is_withdrawn = true;
        let job = slot.job();
        inner.bury();
        Some(job)
    }

    /// Waiting orders whose start deadline has passed, withdrawn; and as [`Lapsed`] what else time has brought.
    pub(in crate::store) fn lapsed(&self, now: Ns) -> (Vec<Job>, Lapsed) {
        let mut inner = self.inner();
        let (lapsed, late) = inner.withdraw_late(now);
        let (is_ready, ripe) = inner.ripen(now);
        (lapsed, Lapsed { jobs: Vec::new(), next: late.into_iter().chain(ripe).min(), is_ready })
    }

    /// All waiting orders, withdrawn.
    pub(in crate::store) fn withdraw_all(&self) -> Vec<OrderId> {
        let mut inner = self.inner();
        let waiting = inner.orders.iter_mut().filter(|(_, slot)| slot.waits());
        let withdraw = |(id, slot): (&OrderId, &mut Slot)| {
            slot.is_withdrawn = true;
            *id
        };
        waiting.map(withdraw).collect()
    }

    /// Notes on a running order that it is to stop; `None` if it does not run here.
    pub(in crate::store) fn mark_cancel(&self, id: OrderId) -> Option<Box<Job>> {
        let mut inner = self.inner();
        let slot = inner.orders.get_mut(&id).filter(|slot| slot.status == Status::Running)?;
        let Body::Active(job) = &mut slot.body else { return None };
        let life = job.life().after(Happening::Cancel)?;
        job.live(life);
        Some(job.clone())
    }

    /// The order if it is active here.
    pub(in crate::store) fn active(&self, id: OrderId) -> Option<Box<Job>> {
        match &self.inner().orders.get(&id)?.body {
            Body::Active(job) => Some(job.clone()),
            Body::Ended(_) => None,
        }
    }

    /// Shows the end of an order that is written.
    pub(in crate::store) fn conclude(&self, job: &Job, packed: &[u8]) {
        let mut inner = self.inner();
        if let Some(before) = inner.take_active(job.id) {
            inner.shelve(before.status, job, packed.into(), &self.bounds);
        }
    }

    /// Forgets an active order: it is somebody else's now.
    pub(in crate::store) fn let_go(&self, id: OrderId) {
        let mut inner = self.inner();
        if let Some(job) = inner.take_active(id) {
            inner.orders.remove(&id);
            inner.counts.accepted -= 1;
            inner.counts.by_status[job.status as usize] -= 1;
            let load = inner.load(&job);
            inner.shares.give_back(&job.owner, load);
        }
    }
}
