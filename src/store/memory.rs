//! Orders in memory: one ordered map under one mutex, ended orders packed, everything bounded by count, bytes and age.
//!
//! It deliberately loses everything with the process; ids tell that (410 `lost_on_restart`). A plain mutex because the
//! longest hold is a page of a list; guards never cross an await.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{
    CancelAnswer, Counts, DeleteAnswer, Fence, Finish, Full, Lookup, NewJob, Page, Query, Room, Store, packed,
};
use crate::domain::Ns;
use crate::domain::id::OrderId;
use crate::domain::job::{Happening, Job, Status, transition};
use crate::domain::limits;
use crate::domain::record::StepRecord;
use crate::domain::spec::ModelId;

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

enum Body {
    Active(Box<Job>),
    Ended(Box<[u8]>),
}

struct Slot {
    status: Status,
    model: ModelId,
    body: Body,
}

struct Waiting {
    id: OrderId,
    accepted: Ns,
    needs: Room,
}

const PLAIN: usize = 0;
const STAFFED: usize = 1;
const ALONE: usize = 2;

#[derive(Default)]
struct Inner {
    orders: BTreeMap<OrderId, Slot>,
    /// Waiting orders: those that need nothing of their own, those that need staff, those of comparisons.
    queues: [VecDeque<Waiting>; 3],
    /// Ended orders with the time of their end, in that order.
    ended: VecDeque<(i64, OrderId)>,
    active: usize,
    counts: Counts,
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

impl Inner {
    /// What the first order of a queue needs; orders that were canceled while they waited leave it here.
    fn head(&mut self, line: usize) -> Option<Room> {
        loop {
            let head = self.queues[line].front()?;
            if self.orders.get(&head.id).is_some_and(|slot| slot.status == Status::Queued) {
                return Some(head.needs);
            }
            self.queues[line].pop_front();
        }
    }

    /// Moves a waiting order to running; `None` if it was canceled while it waited.
    fn begin(&mut self, waiting: &Waiting, now: Ns, now_us: i64) -> Option<Job> {
        let Slot { status, body: Body::Active(job), .. } = self.orders.get_mut(&waiting.id)? else { return None };
        let next = transition(*status, Happening::Claim)?;
        self.counts.by_status[*status as usize] -= 1;
        self.counts.by_status[next as usize] += 1;
        *status = next;
        job.status = next;
        job.attempt += 1;
        job.started_us = Some(now_us);
        job.queue_ns = now.saturating_sub(waiting.accepted);
        Some((**job).clone())
    }

    /// Moves an active order to its end and packs it.
    fn end(&mut self, mut job: Box<Job>, status: Status, now_us: i64, records: &[StepRecord], bounds: &Bounds) {
        self.counts.by_status[job.status as usize] -= 1;
        self.counts.by_status[status as usize] += 1;
        self.counts.active_bytes -= job.spec.weight() + OVERHEAD_BYTES;
        self.active -= 1;
        job.status = status;
        job.finished_us = Some(now_us);
        let bytes = packed::pack(&job, records);
        self.counts.ended_bytes += bytes.len() + OVERHEAD_BYTES;
        self.counts.kept += 1;
        self.ended.push_back((now_us, job.id));
        let slot = Slot { status, model: job.spec.model, body: Body::Ended(bytes) };
        self.orders.insert(job.id, slot);
        while self.counts.kept > bounds.ended_orders as u64 || self.counts.ended_bytes > bounds.ended_bytes {
            if !self.forget_oldest() {
                break;
            }
        }
    }

    fn forget_oldest(&mut self) -> bool {
        let Some((_, id)) = self.ended.pop_front() else { return false };
        self.forget(id);
        true
    }

    fn forget(&mut self, id: OrderId) {
        // Deleted by hand before its turn: its entry in `ended` is all that was left.
        if let Some(Slot { body: Body::Ended(bytes), .. }) = self.orders.remove(&id) {
            self.counts.ended_bytes -= bytes.len() + OVERHEAD_BYTES;
            self.counts.kept -= 1;
        }
    }

    fn take_active(&mut self, id: OrderId) -> Option<Box<Job>> {
        match self.orders.get_mut(&id) {
            Some(Slot { body: body @ Body::Active(_), .. }) => {
                match std::mem::replace(body, Body::Ended(Box::default())) {
                    Body::Active(job) => Some(job),
                    Body::Ended(_) => None,
                }
            }
            _ => None,
        }
    }
}

impl Slot {
    fn job(&self) -> Job {
        match &self.body {
            Body::Active(job) => (**job).clone(),
            Body::Ended(bytes) => packed::job(bytes),
        }
    }

    fn may_match(&self, query: &Query) -> bool {
        (query.status.is_empty() || query.status.contains(&self.status))
            && query.model.is_none_or(|model| model == self.model)
    }
}

fn has_labels(job: &Job, wanted: &[(String, String)]) -> bool {
    wanted.iter().all(|(k, v)| job.spec.labels.iter().any(|(key, value)| **key == **k && **value == **v))
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
