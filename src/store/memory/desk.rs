//! What the memory store does, at once and under its one lock: the same a durable store does with the orders it holds.
//!
//! The table of promises is the trait [`crate::store::Store`]; it deliberately answers no future.

use std::ops::Bound;

use super::Memory;
use super::slots::{Body, Inner, Lane, Slot, Waiting, matches, weight};
use crate::domain::Ns;
use crate::domain::client::Client;
use crate::domain::id::OrderId;
use crate::domain::job::{Job, Status};
use crate::domain::life::Happening;
use crate::domain::turns::Verdict;
use crate::store::shares::{Load, TooMuch};
use crate::store::{
    CancelAnswer, Counts, DeleteAnswer, Finish, Finished, Here, Lapsed, Lookup, NewJob, Once, Page, Places, Query,
    Refused, Room, Submitted, packed,
};

/// Slots looked at for one page. A filter that matches rarely gets short pages with a cursor, not a long lock.
const SCAN: usize = 20_000;

impl Memory {
    pub(in crate::store) fn submit_now(&self, batch: Vec<NewJob>, once: Option<Once>) -> Result<Submitted, Refused> {
        let mut guard = self.inner();
        let inner = &mut *guard;
        match once.as_ref().and_then(|once| inner.keys.before(once)) {
            Some(Ok(ids)) => return Ok(Submitted::Before(ids)),
            Some(Err(())) => return Err(Refused::KeyReused),
            None => {}
        }
        if let Some(first) = batch.first() {
            let bytes = batch.iter().map(|new| weight(&new.job)).sum();
            let load = Load { orders: batch.len(), bytes };
            inner.shares.take(&first.job.owner, load, self.house()).map_err(|too_much| match too_much {
                TooMuch::House => Refused::Full,
                TooMuch::Client => Refused::Share,
            })?;
        }
        inner.counts.accepted += batch.len() as u64;
        inner.counts.by_status[Status::Queued as usize] += batch.len() as u64;
        if let Some(once) = once {
            inner.keys.remember(once, batch.iter().map(|new| new.job.id).collect());
        }
        batch.into_iter().for_each(|new| inner.enqueue(new, None));
        Ok(Submitted::Fresh)
    }

    pub(in crate::store) fn claim_now(
        &self,
        mut free: Room,
        alone: bool,
        place: Places<'_>,
        now: Ns,
        now_us: i64,
    ) -> Vec<(Job, Room)> {
        let mut guard = self.inner();
        let Inner { lines, orders, .. } = &mut *guard;
        let mut taken = Vec::new();
        for (lane, line) in lines.served(alone) {
            let judge = |client: &Client, waiting: &Waiting| {
                if !orders.get(&waiting.id).is_some_and(Slot::waits) {
                    return Verdict::Drop;
                }
                match lane {
                    Lane::House(model) if place(model, client) => Verdict::Take,
                    Lane::House(_) => Verdict::NotHim,
                    Lane::Staffed | Lane::Alone if !waiting.needs.fits(free) => Verdict::Nobody,
                    Lane::Staffed | Lane::Alone => {
                        free.threads -= waiting.needs.threads;
                        free.children -= waiting.needs.children;
                        Verdict::Take
                    }
                }
            };
            line.hand_out(judge, |waiting| taken.push(waiting));
        }
        let begun = taken.into_iter().filter_map(|waiting| Some((guard.begin(&waiting, now, now_us)?, waiting.needs)));
        begun.collect()
    }

    pub(in crate::store) fn lapse_now(&self, now: Ns, now_us: i64) -> Lapsed {
        let mut inner = self.inner();
        let mut lapsed = Lapsed::default();
        while let Some((at, id)) = inner.deadlines.first().copied() {
            let waits = inner.orders.get(&id).is_some_and(Slot::waits);
            if waits && at > now {
                lapsed.next = Some(at);
                break;
            }
            inner.deadlines.pop_first();
            if waits && let Some(mut job) = inner.take_active(id) {
                job.error = Some(job.error_when_late());
                inner.end_waiting(job, Happening::Expire, now_us, &self.bounds);
                lapsed.jobs.extend(inner.orders.get(&id).map(Slot::job));
            }
        }
        let (is_ready, ripe) = inner.ripen(now);
        Lapsed { next: lapsed.next.into_iter().chain(ripe).min(), is_ready, ..lapsed }
    }

    pub(in crate::store) fn finish_now(&self, finish: Finish) -> Finished {
        if self.waits_again(&finish) {
            return Finished::Again;
        }
        self.end_now(finish).map_or(Finished::Stale, |()| Finished::Written)
    }

    fn end_now(&self, finish: Finish) -> Option<()> {
        let (mut job, records) = self.ending(finish, self.bounds.retention_us)?;
        // Not under the lock: everybody else waits for it.
        let mut bytes = packed::pack(&job, &records);
        let mut inner = self.inner();
        let before = inner.take_active(job.id)?;
        if before.cancel_requested && !job.cancel_requested {
            // Asked while it was packed, and told that it was noted.
            job.cancel_requested = true;
            bytes = packed::pack(&job, &records);
        }
        inner.shelve(before.status, &job, bytes, &self.bounds);
        Some(())
    }

    pub(in crate::store) fn cancel_now(&self, id: OrderId, now_us: i64) -> CancelAnswer {
        let mut inner = self.inner();
        let Some(slot) = inner.orders.get_mut(&id) else { return CancelAnswer::Absent };
        let Some(life) = slot.life().after(Happening::Cancel) else {
            return CancelAnswer::Ended(Box::new(slot.job()));
        };
        match &mut slot.body {
            Body::Active(job) if life.status == Status::Running => {
                job.live(life);
                CancelAnswer::Running(job.clone())
            }
            Body::Active(_) => {
                if let Some(job) = inner.take_active(id) {
                    inner.end_waiting(job, Happening::Cancel, now_us, &self.bounds);
                }
                let slot = inner.orders.get(&id);
                slot.map_or(CancelAnswer::Absent, |s| CancelAnswer::Canceled { job: Box::new(s.job()), now: true })
            }
            Body::Ended(_) => CancelAnswer::Canceled { job: Box::new(slot.job()), now: false },
        }
    }

    pub(in crate::store) fn get_now(&self, id: OrderId) -> Lookup {
        self.inner().orders.get(&id).map_or(Lookup::Absent, |slot| Lookup::Found(Box::new(slot.job())))
    }

    pub(in crate::store) fn list_now(&self, query: &Query) -> Page {
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
                if matches(&job, query) {
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

    pub(in crate::store) fn delete_now(&self, id: OrderId) -> DeleteAnswer {
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

    pub(in crate::store) fn sweep_now(&self, now_us: i64) {
        let mut inner = self.inner();
        while inner.ended.front().is_some_and(|(at, _)| at.saturating_add(self.bounds.retention_us) <= now_us) {
            inner.forget_oldest();
        }
    }

    pub(in crate::store) fn here_now(&self) -> Here {
        let counts = self.inner().counts;
        Here { queued: counts.by_status[Status::Queued as usize], running: counts.by_status[Status::Running as usize] }
    }

    pub(in crate::store) fn counts_now(&self) -> Counts {
        let inner = self.inner();
        Counts { active_bytes: inner.shares.total().bytes, ..inner.counts }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::domain::id::Ids;
    use crate::domain::menu;
    use crate::domain::spec::Spec;
    use crate::store::Bounds;

    const HOUR_S: u64 = 3_600;
    /// More than twice what may lie about for nothing.
    const MANY: usize = 10_000;
    /// What may: twice 1,024, and the one that is just put in.
    const FEW: usize = 2 * 1_024 + 1;

    fn place(store: &Memory, ids: &Ids, within_s: Option<u64>, needs: Room) -> OrderId {
        let spec = Spec { expires_in: within_s.map(Duration::from_secs), ..menu::example("pasta", 1) };
        let id = ids.next(1);
        let job = Job {
            id,
            owner: Client::address([127, 0, 0, 1].into()),
            retry_of: None,
            spec: Arc::new(spec),
            status: Status::Queued,
            attempt: 0,
            created_us: 1,
            started_us: None,
            finished_us: None,
            retained_us: None,
            queue_ns: 0,
            cancel_requested: false,
            concurrent_orders: 0,
            error: None,
            summary: None,
            history: None,
        };
        assert_eq!(
            store.submit_now(vec![NewJob { job, accepted: 0, needs, alone: false }], None),
            Ok(Submitted::Fresh)
        );
        id
    }

    #[test]
    fn clients_that_place_and_delete_leave_nothing_behind() {
        let (store, ids) = (Memory::new(Bounds::default()), Ids::new(1));
        let kept = place(&store, &ids, None, Room::default());
        store.cancel_now(kept, 0);
        for _ in 0..MANY {
            let id = place(&store, &ids, None, Room::default());
            store.cancel_now(id, 0);
            assert_eq!(store.delete_now(id), DeleteAnswer::Deleted);
        }
        assert!(store.inner().ended.len() <= FEW, "{} ends are remembered of one order", store.inner().ended.len());
        // The one that was not deleted still has its turn.
        store.sweep_now(i64::MAX);
        assert_eq!((store.get_now(kept), store.counts_now().kept), (Lookup::Absent, 0));
    }

    #[test]
    fn deadlines_of_orders_that_have_begun_are_not_kept_behind_that_of_one_that_waits() {
        let (store, ids) = (Memory::new(Bounds::default()), Ids::new(1));
        let waiting = place(&store, &ids, Some(HOUR_S), Room { threads: 1, children: 0 });
        for _ in 0..MANY {
            place(&store, &ids, Some(2 * HOUR_S), Room::default());
            assert_eq!(store.claim_now(Room::default(), false, &mut |_, _| true, 1, 1).len(), 1);
        }
        assert!(store.inner().deadlines.len() <= FEW, "{} deadlines of one order", store.inner().deadlines.len());
        let lapsed = store.lapse_now(HOUR_S * 1_000_000_000, 1);
        assert_eq!(lapsed.jobs.iter().map(|job| job.id).collect::<Vec<_>>(), [waiting]);
    }
}
