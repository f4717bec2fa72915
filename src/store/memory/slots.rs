//! What the memory store holds: slots, lines and counts, all behind its one lock.
//!
//! It deliberately locks nothing itself.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::super::shares::{Load, Shares};
use super::super::{Counts, NewJob, Query, Room, packed};
use super::again::Resting;
use super::once::Keys;
use super::{Bounds, OVERHEAD_BYTES};
use crate::domain::Ns;
use crate::domain::id::OrderId;
use crate::domain::job::{Job, Status};
use crate::domain::life::{Happening, Life};
use crate::domain::record::StepRecord;
use crate::domain::spec::ModelId;
use crate::domain::turns::Turns;

pub(super) enum Body {
    Active(Box<Job>),
    Ended(Box<[u8]>),
}

pub(super) struct Slot {
    pub(super) status: Status,
    pub(super) model: ModelId,
    /// It waits and is about to end: nobody takes it up any more.
    pub(super) is_withdrawn: bool,
    pub(super) body: Body,
}

#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) id: OrderId,
    pub(super) accepted: Ns,
    pub(super) needs: Room,
}

/// Where an order waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lane {
    /// For the house's own staff for this model.
    House(ModelId),
    /// For staff of its own.
    Staffed,
    /// For the house to be the comparison's alone.
    Alone,
}

/// The lines, one per lane.
#[derive(Debug, Default)]
pub(super) struct Lines {
    house: Vec<Turns<Waiting>>,
    staffed: Turns<Waiting>,
    alone: Turns<Waiting>,
}

impl Lines {
    pub(super) fn lane(&mut self, lane: Lane) -> &mut Turns<Waiting> {
        match lane {
            Lane::Staffed => &mut self.staffed,
            Lane::Alone => &mut self.alone,
            Lane::House(ModelId(model)) => {
                let index = usize::from(model);
                if self.house.len() <= index {
                    self.house.resize_with(index + 1, Turns::default);
                }
                &mut self.house[index]
            }
        }
    }

    /// The lines that are served: all but the comparisons', or that one alone.
    pub(super) fn served(&mut self, alone: bool) -> impl Iterator<Item = (Lane, &mut Turns<Waiting>)> {
        let house = self.house.iter_mut().enumerate().map(|(model, line)| (Lane::House(ModelId(model as u8)), line));
        let own = [(Lane::Staffed, &mut self.staffed), (Lane::Alone, &mut self.alone)];
        house.chain(own).filter(move |(lane, _)| (*lane == Lane::Alone) == alone)
    }

    fn retain(&mut self, mut waits: impl FnMut(&Waiting) -> bool) {
        let own = [&mut self.staffed, &mut self.alone];
        own.into_iter().chain(&mut self.house).for_each(|line| line.retain(&mut waits));
    }
}

#[derive(Default)]
pub(super) struct Inner {
    pub(super) orders: BTreeMap<OrderId, Slot>,
    pub(super) lines: Lines,
    /// Start deadlines of waiting orders, and of some that no longer wait.
    pub(super) deadlines: BTreeSet<(Ns, OrderId)>,
    /// Orders that wait for another try, by the time until which they do, and some that no longer wait.
    pub(super) resting: BTreeMap<(Ns, OrderId), Resting>,
    /// Entries of the lines whose order ended there, roughly.
    dead: usize,
    /// Ended orders with the time of their end, in that order.
    pub(super) ended: VecDeque<(i64, OrderId)>,
    pub(super) shares: Shares,
    pub(super) keys: Keys,
    pub(super) counts: Counts,
}

/// Dead entries that lines may hold before they are swept out of them.
const DEAD: usize = 1_024;

impl Inner {
    /// What an active order occupies.
    pub(super) fn load(&self, job: &Job) -> Load {
        Load { orders: 1, bytes: weight(job) }
    }

    /// Where an order waits.
    pub(super) fn lane_of(job: &Job, needs: Room, alone: bool) -> Lane {
        match needs {
            _ if alone => Lane::Alone,
            needs if needs == Room::default() => Lane::House(job.spec.model),
            _ => Lane::Staffed,
        }
    }

    /// Puts an order at the end of its line, or there when it is time.
    pub(super) fn enqueue(&mut self, new: NewJob, not_before: Option<Ns>) {
        let NewJob { job, accepted, needs, alone } = new;
        self.line_up(&job, Self::lane_of(&job, needs, alone), accepted, needs, not_before);
        let (id, status, model) = (job.id, job.status, job.spec.model);
        self.orders.insert(id, Slot { status, model, is_withdrawn: false, body: Body::Active(Box::new(job)) });
    }

    /// The same of an order that has its slot.
    pub(super) fn line_up(&mut self, job: &Job, lane: Lane, accepted: Ns, needs: Room, not_before: Option<Ns>) {
        self.sweep_times();
        let waiting = Waiting { id: job.id, accepted, needs };
        match not_before {
            None => self.lines.lane(lane).push(&job.owner, waiting),
            Some(at) => {
                self.resting.insert((at, job.id), Resting { lane, owner: job.owner.clone(), waiting });
            }
        }
        // Not of one that was lost with its node: it has no deadline any more.
        let may_expire = job.life().after(Happening::Expire).is_some();
        if let Some(within) = job.spec.expires_in.filter(|_| may_expire) {
            self.deadlines.insert((accepted.saturating_add(within.as_nanos() as Ns), job.id));
        }
    }

    /// Moves a waiting order to running; `None` if it no longer waits.
    pub(super) fn begin(&mut self, waiting: &Waiting, now: Ns, now_us: i64) -> Option<Job> {
        let Slot { status, body: Body::Active(job), .. } = self.orders.get_mut(&waiting.id)? else { return None };
        let next = job.life().after(Happening::Claim)?;
        self.counts.by_status[*status as usize] -= 1;
        self.counts.by_status[next.status as usize] += 1;
        *status = next.status;
        job.live(next);
        job.started_us = Some(now_us);
        job.queue_ns = now.saturating_sub(waiting.accepted);
        Some((**job).clone())
    }

    /// Ends an order that waits; it leaves a dead entry in its line.
    pub(super) fn end_waiting(&mut self, job: Box<Job>, what: Happening, now_us: i64, bounds: &Bounds) {
        let Some(life) = job.life().after(what) else { return };
        self.end(job, life, now_us, &[], bounds);
        self.bury();
    }

    /// An order ended that waited: its line holds a dead entry.
    pub(super) fn bury(&mut self) {
        self.dead += 1;
        if self.dead > DEAD.max(self.counts.by_status[Status::Queued as usize] as usize) {
            self.dead = 0;
            let orders = &self.orders;
            self.lines.retain(|w| orders.get(&w.id).is_some_and(Slot::waits));
            self.deadlines.retain(|(_, id)| orders.get(id).is_some_and(Slot::waits));
        }
    }

    /// Forgets times of orders that wait for them no longer. Behind one that waits for long they would otherwise stay as long; done when they
    /// are the most, so that each is looked at twice at most.
    fn sweep_times(&mut self) {
        let most = 2 * DEAD.max(self.counts.by_status[Status::Queued as usize] as usize);
        let orders = &self.orders;
        let waits = |id: &OrderId| orders.get(id).is_some_and(Slot::waits);
        if self.deadlines.len() > most {
            self.deadlines.retain(|(_, id)| waits(id));
        }
        if self.resting.len() > most {
            self.resting.retain(|(_, id), _| waits(id));
        }
    }

    /// Forgets the ends of orders that were deleted by hand, once they are the most.
    fn sweep_ended(&mut self) {
        if self.ended.len() > 2 * DEAD.max(self.counts.kept as usize) {
            let orders = &self.orders;
            self.ended.retain(|(_, id)| orders.contains_key(id));
        }
    }

    /// Moves an active order to its end and packs it.
    pub(super) fn end(&mut self, mut job: Box<Job>, life: Life, now_us: i64, records: &[StepRecord], bounds: &Bounds) {
        let before = job.status;
        job.live(life);
        job.finished_us = Some(now_us);
        job.retained_us = Some(now_us.saturating_add(bounds.retention_us));
        let bytes = packed::pack(&job, records);
        self.shelve(before, &job, bytes, bounds);
    }

    /// Keeps an ended order that had this state before.
    pub(super) fn shelve(&mut self, before: Status, job: &Job, bytes: Box<[u8]>, bounds: &Bounds) {
        self.counts.by_status[before as usize] -= 1;
        self.counts.by_status[job.status as usize] += 1;
        let load = self.load(job);
        self.shares.give_back(&job.owner, load);
        self.counts.ended_bytes += bytes.len() + OVERHEAD_BYTES + self.keys.bytes(job.id);
        self.counts.kept += 1;
        self.sweep_ended();
        self.ended.push_back((job.finished_us.unwrap_or_default(), job.id));
        let slot = Slot { status: job.status, model: job.spec.model, is_withdrawn: false, body: Body::Ended(bytes) };
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
            self.counts.ended_bytes -= bytes.len() + OVERHEAD_BYTES + self.keys.bytes(id);
            self.counts.kept -= 1;
            self.keys.forget(id);
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

/// Bytes an active order occupies, roughly.
pub(in crate::store) fn weight(job: &Job) -> usize {
    job.spec.weight() + OVERHEAD_BYTES
}

impl Slot {
    /// Whether it waits to be taken up.
    pub(super) fn waits(&self) -> bool {
        self.status == Status::Queued && !self.is_withdrawn
    }

    /// What decides what may happen next. Of an ended order only the state does.
    pub(super) fn life(&self) -> Life {
        match &self.body {
            Body::Active(job) => job.life(),
            Body::Ended(_) => Life { status: self.status, ..Life::NEW },
        }
    }

    pub(super) fn job(&self) -> Job {
        match &self.body {
            Body::Active(job) => (**job).clone(),
            Body::Ended(bytes) => packed::job(bytes).expect("what was packed can be read"),
        }
    }

    pub(super) fn may_match(&self, query: &Query) -> bool {
        (query.status.is_empty() || query.status.contains(&self.status))
            && query.model.is_none_or(|model| model == self.model)
    }
}

/// Whether an order is what the list asked for, beyond what its slot can tell.
pub(super) fn matches(job: &Job, query: &Query) -> bool {
    query.owner.as_ref().is_none_or(|owner| *owner == job.owner) && query.has_labels(job)
}
