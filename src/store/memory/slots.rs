//! What the memory store holds: slots, queues and counts, all behind its one lock.
//!
//! It deliberately locks nothing itself.

use std::collections::{BTreeMap, VecDeque};

use super::super::{Counts, Query, Room, packed};
use super::{Bounds, OVERHEAD_BYTES};
use crate::domain::Ns;
use crate::domain::id::OrderId;
use crate::domain::job::{Happening, Job, Status, transition};
use crate::domain::record::StepRecord;
use crate::domain::spec::ModelId;

pub(super) enum Body {
    Active(Box<Job>),
    Ended(Box<[u8]>),
}

pub(super) struct Slot {
    pub(super) status: Status,
    pub(super) model: ModelId,
    pub(super) body: Body,
}

pub(super) struct Waiting {
    pub(super) id: OrderId,
    pub(super) accepted: Ns,
    pub(super) needs: Room,
}

pub(super) const PLAIN: usize = 0;
pub(super) const STAFFED: usize = 1;
pub(super) const ALONE: usize = 2;

#[derive(Default)]
pub(super) struct Inner {
    pub(super) orders: BTreeMap<OrderId, Slot>,
    /// Waiting orders: those that need nothing of their own, those that need staff, those of comparisons.
    pub(super) queues: [VecDeque<Waiting>; 3],
    /// Ended orders with the time of their end, in that order.
    pub(super) ended: VecDeque<(i64, OrderId)>,
    pub(super) active: usize,
    pub(super) counts: Counts,
}

impl Inner {
    /// What the first order of a queue needs; orders that were canceled while they waited leave it here.
    pub(super) fn head(&mut self, line: usize) -> Option<Room> {
        loop {
            let head = self.queues[line].front()?;
            if self.orders.get(&head.id).is_some_and(|slot| slot.status == Status::Queued) {
                return Some(head.needs);
            }
            self.queues[line].pop_front();
        }
    }

    /// Moves a waiting order to running; `None` if it was canceled while it waited.
    pub(super) fn begin(&mut self, waiting: &Waiting, now: Ns, now_us: i64) -> Option<Job> {
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
    pub(super) fn end(
        &mut self,
        mut job: Box<Job>,
        status: Status,
        now_us: i64,
        records: &[StepRecord],
        bounds: &Bounds,
    ) {
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

    pub(super) fn forget_oldest(&mut self) -> bool {
        let Some((_, id)) = self.ended.pop_front() else { return false };
        self.forget(id);
        true
    }

    pub(super) fn forget(&mut self, id: OrderId) {
        // Deleted by hand before its turn: its entry in `ended` is all that was left.
        if let Some(Slot { body: Body::Ended(bytes), .. }) = self.orders.remove(&id) {
            self.counts.ended_bytes -= bytes.len() + OVERHEAD_BYTES;
            self.counts.kept -= 1;
        }
    }

    pub(super) fn take_active(&mut self, id: OrderId) -> Option<Box<Job>> {
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
    pub(super) fn job(&self) -> Job {
        match &self.body {
            Body::Active(job) => (**job).clone(),
            Body::Ended(bytes) => packed::job(bytes),
        }
    }

    pub(super) fn may_match(&self, query: &Query) -> bool {
        (query.status.is_empty() || query.status.contains(&self.status))
            && query.model.is_none_or(|model| model == self.model)
    }
}

pub(super) fn has_labels(job: &Job, wanted: &[(String, String)]) -> bool {
    wanted.iter().all(|(k, v)| job.spec.labels.iter().any(|(key, value)| **key == **k && **value == **v))
}
