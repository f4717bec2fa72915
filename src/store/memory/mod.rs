//! Orders in memory: one ordered map under one mutex, ended orders packed, everything bounded by count, bytes and age.
//!
//! It deliberately loses everything with the process; ids tell that (410 `lost_on_restart`). A plain mutex because the
//! longest hold is a page of a list; guards never cross an await.

mod slots;

use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use self::slots::{ALONE, Body, Inner, PLAIN, STAFFED, Slot, Waiting, has_labels};
use super::{
    CancelAnswer, Counts, DeleteAnswer, Fence, Finish, Full, Lookup, NewJob, Page, Query, Room, Store, packed,
};
use crate::domain::Ns;
use crate::domain::id::OrderId;
use crate::domain::job::{Happening, Job, Status, transition};
use crate::domain::limits;
use crate::domain::record::StepRecord;

/// How much is kept.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Orders waiting or running.
    pub active_orders: usize,
    /// Bytes of those.
    pub active_bytes: usize,
    /// Ended orders kept.
    pub ended_orders: usize,
    /// Bytes of those.
    pub ended_bytes: usize,
    /// Microseconds an ended order is kept.
    pub retention_us: i64,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            active_orders: limits::ACTIVE_ORDERS,
            active_bytes: limits::ACTIVE_BYTES,
            ended_orders: limits::ENDED_ORDERS,
            ended_bytes: limits::ENDED_BYTES,
            retention_us: limits::RETENTION_S * 1_000_000,
        }
    }
}

/// The store.
pub struct Memory {
    bounds: Bounds,
    inner: Mutex<Inner>,
}

/// Slots looked at for one page. A filter that matches rarely gets short pages with a cursor, not a long lock.
const SCAN: usize = 20_000;
/// What a map entry and its queue entries cost beside the order itself, roughly.
const OVERHEAD_BYTES: usize = 96;

impl Memory {
    /// An empty store.
    #[must_use]
    pub fn new(bounds: Bounds) -> Self {
        Self { bounds, inner: Mutex::default() }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store for Memory {
    fn submit(&self, batch: Vec<NewJob>) -> Result<(), Full> {
        let bytes: usize = batch.iter().map(|new| new.job.spec.weight() + OVERHEAD_BYTES).sum();
        let mut guard = self.inner();
        let inner = &mut *guard;
        let too_many = inner.active + batch.len() > self.bounds.active_orders;
        if too_many || inner.counts.active_bytes + bytes > self.bounds.active_bytes {
            return Err(Full);
        }
        inner.active += batch.len();
        inner.counts.active_bytes += bytes;
        inner.counts.accepted += batch.len() as u64;
        inner.counts.by_status[Status::Queued as usize] += batch.len() as u64;
        for NewJob { job, accepted, needs, alone } in batch {
            let queue = if alone { ALONE } else { usize::from(needs != Room::default()) };
            inner.queues[queue].push_back(Waiting { id: job.id, accepted, needs });
            let (id, status, model) = (job.id, job.status, job.spec.model);
            inner.orders.insert(id, Slot { status, model, body: Body::Active(Box::new(job)) });
        }
        Ok(())
    }

    fn claim(&self, mut free: Room, alone: bool, now: Ns, now_us: i64) -> Vec<(Job, Room)> {
        let mut guard = self.inner();
        let mut claimed = Vec::new();
        let lines: &[usize] = if alone { &[ALONE] } else { &[PLAIN, STAFFED] };
        for line in lines {
            while let Some(needs) = guard.head(*line).filter(|needs| needs.fits(free)) {
                let Some(waiting) = guard.queues[*line].pop_front() else { break };
                if let Some(job) = guard.begin(&waiting, now, now_us) {
                    free.threads -= needs.threads;
                    free.children -= needs.children;
                    claimed.push((job, needs));
                }
            }
        }
        claimed
    }

    fn finish(&self, finish: Finish) -> Option<()> {
        let Fence { id, attempt } = finish.fence;
        let mut inner = self.inner();
        match inner.orders.get(&id) {
            Some(Slot { status, body: Body::Active(job), .. }) if job.attempt == attempt => {
                transition(*status, Happening::End(finish.status))?;
            }
            _ => return None,
        }
        let mut job = inner.take_active(id)?;
        job.error = finish.error;
        job.concurrent_orders = finish.concurrent_orders;
        job.summary = Some(finish.summary);
        inner.end(job, finish.status, finish.finished_us, &finish.records, &self.bounds);
        Some(())
    }

    fn request_cancel(&self, id: OrderId, now_us: i64) -> CancelAnswer {
        let mut inner = self.inner();
        let Some(slot) = inner.orders.get_mut(&id) else { return CancelAnswer::Absent };
        match (transition(slot.status, Happening::Cancel), &mut slot.body) {
            (Some(Status::Running), Body::Active(job)) => {
                job.cancel_requested = true;
                CancelAnswer::Running(job.clone())
            }
            (Some(Status::Canceled), Body::Active(_)) => {
                if let Some(mut job) = inner.take_active(id) {
                    job.cancel_requested = true;
                    inner.end(job, Status::Canceled, now_us, &[], &self.bounds);
                }
                inner.orders.get(&id).map_or(CancelAnswer::Absent, |slot| CancelAnswer::Canceled(Box::new(slot.job())))
            }
            (Some(_), _) => CancelAnswer::Canceled(Box::new(slot.job())),
            (None, _) => CancelAnswer::Ended(Box::new(slot.job())),
        }
    }

    fn get(&self, id: OrderId) -> Lookup {
        self.inner().orders.get(&id).map_or(Lookup::Absent, |slot| Lookup::Found(Box::new(slot.job())))
    }

    fn steps(&self, id: OrderId) -> Option<Arc<Vec<StepRecord>>> {
        let bytes = match &self.inner().orders.get(&id)?.body {
            Body::Active(_) => return None,
            Body::Ended(bytes) => bytes.clone(),
        };
        // Outside the lock: the largest order has ten thousand records.
        Some(Arc::new(packed::records(&bytes)))
    }

    fn list(&self, query: &Query) -> Page {
        let lower = query.after.map_or(Bound::Unbounded, Bound::Excluded);
        let upper = query.before.map_or(Bound::Unbounded, Bound::Excluded);
        let mut page = Page::default();
        let inner = self.inner();
        if let (Bound::Excluded(a), Bound::Excluded(b)) = (lower, upper)
            && a >= b
        {
            return page;
        }
        let mut range = inner.orders.range((lower, upper)).rev();
        let mut last = None;
        for (id, slot) in range.by_ref().take(SCAN) {
            last = Some(*id);
            if slot.may_match(query) {
                let job = slot.job();
                if has_labels(&job, &query.labels) {
                    page.jobs.push(job);
                    if page.jobs.len() == query.limit {
                        break;
                    }
                }
            }
        }
        page.next = range.next().and(last);
        page
    }

    fn delete(&self, id: OrderId) -> DeleteAnswer {
        let mut inner = self.inner();
        match inner.orders.get(&id) {
            None => DeleteAnswer::Absent,
            Some(Slot { body: Body::Active(_), .. }) => DeleteAnswer::Active,
            Some(_) => {
                inner.forget(id);
                DeleteAnswer::Deleted
            }
        }
    }

    fn sweep(&self, now_us: i64) {
        let mut inner = self.inner();
        while inner.ended.front().is_some_and(|(at, _)| at + self.bounds.retention_us <= now_us) {
            inner.forget_oldest();
        }
    }

    fn counts(&self) -> Counts {
        self.inner().counts
    }
}
