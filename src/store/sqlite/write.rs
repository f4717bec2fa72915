//! What becomes of orders in the file, one transaction each.
//!
//! It deliberately commits nothing: the desk does, and whatever fails here leaves no trace.

use std::sync::Arc;

use rusqlite::{OptionalExtension, Transaction, params};
use uuid::Uuid;

use super::rows::{self, Kept, Tally};
use crate::domain::id::OrderId;
use crate::domain::job::{Attempt, Job, OrderError, Status};
use crate::store::backend::{Appended, Change, Ended, Entry, Group, Stopped, What};
use crate::store::fate::{self, Fate};
use crate::store::packed::FORMAT;
use crate::store::{DeleteAnswer, Fence, Once, packed};

/// Who writes, and when.
#[derive(Clone)]
pub(super) struct Author {
    /// This node.
    pub(super) node: Arc<str>,
    /// Names of the models, by number.
    pub(super) names: Arc<[&'static str]>,
    /// Microseconds since 1970.
    pub(super) now_us: i64,
    /// Microseconds an ended order is kept.
    pub(super) retention_us: i64,
}

impl Author {
    pub(super) fn append(&self, tx: &Transaction<'_>, groups: &[Group]) -> rusqlite::Result<Vec<Appended>> {
        let mut tally = Tally::default();
        let answers: rusqlite::Result<_> = groups.iter().map(|group| self.append_one(tx, &mut tally, group)).collect();
        tally.write(tx)?;
        answers
    }

    fn append_one(&self, tx: &Transaction<'_>, tally: &mut Tally, group: &Group) -> rusqlite::Result<Appended> {
        let first = group.entries.first().map(|entry| entry.job.id);
        if let Some(once) = &group.once
            && let Some((fingerprint, ids)) = before(tx, once)?
        {
            return Ok(match fingerprint == once.fingerprint {
                false => Appended::KeyReused,
                true if ids.first() == first.as_ref() => Appended::Fresh,
                true => Appended::Before(ids),
            });
        }
        let ids = packed::join_ids(group.entries.iter().map(|entry| entry.job.id));
        for (nth, entry) in group.entries.iter().enumerate() {
            let once = group.once.as_ref().filter(|_| nth == 0).map(|once| (once, &ids[..]));
            if self.insert(tx, entry, once)? {
                tally.accepted(weight(&entry.job));
            }
        }
        Ok(Appended::Fresh)
    }

    /// False if it is here already.
    fn insert(&self, tx: &Transaction<'_>, entry: &Entry, once: Option<(&Once, &[u8])>) -> rusqlite::Result<bool> {
        let Entry { job, needs, lane, turn, held } = entry;
        let expires = job.spec.expires_in.map(|within| i64::try_from(within.as_micros()).unwrap_or(i64::MAX));
        let labels = match &*job.spec.labels {
            [] => None,
            labels => serde_json::to_string(labels).ok(),
        };
        let insert = "INSERT INTO orders (id, owner, status, model, labels, lane, turn, threads, children, attempt, node, \
                      expires_us, bytes, once_key, once_fingerprint, once_ids, format, body) \
                      VALUES (?1, ?2, 0, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17) \
                      ON CONFLICT (id) DO NOTHING";
        let inserted = tx.prepare_cached(insert)?.execute(params![
            job.id.0,
            job.owner.as_str(),
            self.names.get(usize::from(job.spec.model.0)).copied().unwrap_or_default(),
            labels,
            lane.0,
            turn,
            needs.threads,
            needs.children,
            u32::from(*held),
            held.then_some(&*self.node),
            expires.map(|within| job.created_us.saturating_add(within)),
            weight(job),
            once.map(|(once, _)| &*once.key),
            once.map(|(once, _)| once.fingerprint),
            once.map(|(_, ids)| ids),
            FORMAT,
            &*packed::pack(job, &[]),
        ])?;
        Ok(inserted == 1)
    }

    pub(super) fn settle(&self, tx: &Transaction<'_>, changes: &[Change]) -> rusqlite::Result<Vec<bool>> {
        let mut tally = Tally::default();
        let good: rusqlite::Result<_> = changes.iter().map(|change| self.settle_one(tx, &mut tally, change)).collect();
        tally.write(tx)?;
        good
    }

    fn settle_one(&self, tx: &Transaction<'_>, tally: &mut Tally, change: &Change) -> rusqlite::Result<bool> {
        let Some((status, bytes, ended_us)) = self.held(tx, change.fence)? else { return Ok(false) };
        let id = change.fence.id;
        match &change.what {
            What::Ended(end) if status.is_done() => Ok(status == end.job.status && ended_us == end.job.finished_us),
            _ if status.is_done() => Ok(false),
            What::Ended(end) => write_end(tx, tally, (status, bytes), end).map(|()| true),
            What::Begun { started_us, queue_ns } => {
                let begin = "UPDATE orders SET status = 1, started_us = ?2, queue_ns = ?3 WHERE id = ?1";
                let queue_ns = i64::try_from(*queue_ns).unwrap_or(i64::MAX);
                tx.prepare_cached(begin)?.execute(params![id.0, started_us, queue_ns])?;
                tally.moved(status, Status::Running);
                Ok(true)
            }
            What::Returned { attempt, turn } => {
                let Some(kept) = Kept::find(tx, id)? else { return Ok(false) };
                if let Some(kept) = self.again(tx, tally, kept, attempt.clone())? {
                    let back = "UPDATE orders SET status = 0, node = NULL, started_us = NULL, queue_ns = 0, turn = ?2, \
                                history = ?3 WHERE id = ?1";
                    let history = rows::history(&kept.overlay.attempts)?;
                    tx.prepare_cached(back)?.execute(params![id.0, turn, history])?;
                    tally.moved(status, Status::Queued);
                }
                Ok(true)
            }
        }
    }

    /// State, bytes and end of the order, if this is its latest grant and was this node's.
    fn held(&self, tx: &Transaction<'_>, fence: Fence) -> rusqlite::Result<Option<(Status, i64, Option<i64>)>> {
        let look = "SELECT status, bytes, ended_us FROM orders WHERE id = ?1 AND attempt = ?2 AND node = ?3";
        let found = |row: &rusqlite::Row<'_>| Ok((rows::status(row, 0)?, row.get(1)?, row.get(2)?));
        tx.prepare_cached(look)?.query_row(params![fence.id.0, fence.attempt, &*self.node], found).optional()
    }

    /// A grant is over without an end: the order as it may wait again; `None` if it has ended by that.
    pub(super) fn again(
        &self,
        tx: &Transaction<'_>,
        tally: &mut Tally,
        mut kept: Kept,
        broken: Option<Attempt>,
    ) -> rusqlite::Result<Option<Kept>> {
        match fate::of_broken_off(&mut kept.overlay, &kept.job.spec, kept.lane, broken) {
            Fate::Waits => Ok(Some(kept)),
            Fate::Ends(status, error) => self.end(tx, tally, kept, status, error).map(|_| None),
        }
    }

    /// Ends an active order here.
    pub(super) fn end(
        &self,
        tx: &Transaction<'_>,
        tally: &mut Tally,
        kept: Kept,
        status: Status,
        error: Option<OrderError>,
    ) -> rusqlite::Result<Box<Job>> {
        let before = (kept.overlay.status, kept.bytes);
        let end = fate::ended(kept.now(), status, error, self.now_us, self.retention_us);
        write_end(tx, tally, before, &end)?;
        Ok(Box::new(end.job))
    }

    pub(super) fn cancel(&self, tx: &Transaction<'_>, id: OrderId) -> rusqlite::Result<Stopped> {
        let Some(mut kept) = Kept::find(tx, id)? else { return Ok(Stopped::Absent) };
        if kept.overlay.status.is_done() {
            return Ok(Stopped::Ended(Box::new(kept.now())));
        }
        kept.overlay.cancel_requested = true;
        if kept.overlay.is_held {
            tx.prepare_cached("UPDATE orders SET cancel_requested = 1 WHERE id = ?1")?.execute([id.0])?;
            return Ok(Stopped::Asked(Box::new(kept.now())));
        }
        let mut tally = Tally::default();
        let job = self.end(tx, &mut tally, kept, Status::Canceled, None)?;
        tally.write(tx)?;
        Ok(Stopped::Now(job))
    }
}

pub(super) fn delete(tx: &Transaction<'_>, id: OrderId) -> rusqlite::Result<DeleteAnswer> {
    let look = "SELECT status, bytes FROM orders WHERE id = ?1";
    let found = |row: &rusqlite::Row<'_>| Ok((rows::status(row, 0)?, row.get(1)?));
    match tx.prepare_cached(look)?.query_row([id.0], found).optional()? {
        None => Ok(DeleteAnswer::Absent),
        Some((status, _)) if !status.is_done() => Ok(DeleteAnswer::Active),
        Some((_, bytes)) => {
            tx.prepare_cached("DELETE FROM orders WHERE id = ?1")?.execute([id.0])?;
            let mut tally = Tally::default();
            tally.forgotten(bytes);
            tally.write(tx).map(|()| DeleteAnswer::Deleted)
        }
    }
}

fn write_end(tx: &Transaction<'_>, tally: &mut Tally, before: (Status, i64), end: &Ended) -> rusqlite::Result<()> {
    let (job, bytes) = (&end.job, end.packed.len() as i64);
    let update = "UPDATE orders SET status = ?2, ended_us = ?3, bytes = ?4, format = ?5, body = ?6 WHERE id = ?1";
    let values = params![job.id.0, job.status as u8, job.finished_us.unwrap_or(0), bytes, FORMAT, &*end.packed];
    tx.prepare_cached(update)?.execute(values)?;
    tally.ended(before, (job.status, bytes));
    Ok(())
}

/// The fingerprint and the orders of an earlier request with this key.
fn before(tx: &Transaction<'_>, once: &Once) -> rusqlite::Result<Option<(Uuid, Vec<OrderId>)>> {
    let look = "SELECT once_fingerprint, once_ids FROM orders WHERE owner = ?1 AND once_key = ?2";
    let found = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, packed::split_ids(row.get_ref(1)?.as_blob()?)));
    tx.prepare_cached(look)?.query_row(params![once.owner.as_str(), &*once.key], found).optional()
}

fn weight(job: &Job) -> i64 {
    job.spec.weight() as i64
}
