//! Rows of the file as orders, and the counts beside them.
//!
//! It deliberately decides nothing; `write.rs` does.

use std::sync::Arc;

use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};

use crate::domain::id::OrderId;
use crate::domain::job::{Attempt, Job, Status};
use crate::store::backend::Lane;
use crate::store::{Counts, Overlay, Room, packed};

/// An order that is here, active or ended.
pub(super) struct Kept {
    /// As it was packed.
    pub(super) job: Job,
    /// What stands above that while it is active.
    pub(super) overlay: Overlay,
    pub(super) lane: Lane,
    pub(super) needs: Room,
    /// What it counts against the bounds of the house.
    pub(super) bytes: i64,
}

/// Columns of [`Kept::read`], in its order.
pub(super) const KEPT: &str = "status, attempt, node, started_us, queue_ns, cancel_requested, history, lane, threads, children, \
                               bytes, format, body";
/// How many they are.
pub(super) const KEPT_COLUMNS: usize = 13;

impl Kept {
    /// The row under the cursor, whose first columns are [`KEPT`].
    pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        let status = status(row, 0)?;
        let node: Option<Arc<str>> = row.get::<_, Option<String>>(2)?.map(Into::into);
        let history: Option<String> = row.get(6)?;
        let attempts = history.map(|text| serde_json::from_str::<Vec<Attempt>>(&text)).transpose();
        let overlay = Overlay {
            status,
            grant: row.get(1)?,
            is_held: node.is_some() && !status.is_done(),
            started_us: row.get(3)?,
            queue_ns: row.get::<_, i64>(4)?.unsigned_abs(),
            cancel_requested: row.get(5)?,
            node,
            attempts: attempts.map_err(|error| unreadable(6, error))?.unwrap_or_default(),
        };
        let (format, bytes) = body(row, 11)?;
        let job = packed::job_of(format, bytes).ok_or_else(|| unreadable(12, "not an order of a known format"))?;
        let needs = Room { threads: row.get(8)?, children: row.get(9)? };
        Ok(Self { job, overlay, lane: Lane(row.get(7)?), needs, bytes: row.get(10)? })
    }

    /// The row of this id.
    pub(super) fn find(db: &Connection, id: OrderId) -> rusqlite::Result<Option<Self>> {
        let mut found = db.prepare_cached(&format!("SELECT {KEPT} FROM orders WHERE id = ?1"))?;
        found.query_row([id.0], Self::read).optional()
    }

    /// The order as it is now.
    pub(super) fn now(self) -> Job {
        self.overlay.onto(self.job)
    }
}

/// A state.
pub(super) fn status(row: &Row<'_>, at: usize) -> rusqlite::Result<Status> {
    let number: u8 = row.get(at)?;
    Status::ALL.get(usize::from(number)).copied().ok_or_else(|| unreadable(at, "not a state"))
}

/// The bytes of an order: two columns, the format and the body.
pub(super) fn body<'a>(row: &'a Row<'_>, at: usize) -> rusqlite::Result<(i16, &'a [u8])> {
    Ok((row.get(at)?, row.get_ref(at + 1)?.as_blob()?))
}

pub(super) fn unreadable(at: usize, why: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(at, Type::Blob, why.into())
}

/// Runs that did not come to their end, as a column.
pub(super) fn history(attempts: &[Attempt]) -> rusqlite::Result<Option<String>> {
    if attempts.is_empty() {
        return Ok(None);
    }
    serde_json::to_string(attempts).map(Some).map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))
}

/// What a transaction changes of the counts.
#[derive(Default)]
pub(super) struct Tally {
    by_status: [i64; 6],
    kept: i64,
    active_bytes: i64,
    ended_bytes: i64,
}

impl Tally {
    /// A new order.
    pub(super) fn accepted(&mut self, bytes: i64) {
        self.by_status[Status::Queued as usize] += 1;
        self.active_bytes += bytes;
    }

    /// An order went from one state to another, both active.
    pub(super) fn moved(&mut self, from: Status, to: Status) {
        self.by_status[from as usize] -= 1;
        self.by_status[to as usize] += 1;
    }

    /// An order of so many bytes has ended, and now has so many.
    pub(super) fn ended(&mut self, (from, bytes): (Status, i64), (to, packed): (Status, i64)) {
        self.moved(from, to);
        self.kept += 1;
        self.active_bytes -= bytes;
        self.ended_bytes += packed;
    }

    /// An ended order is forgotten.
    pub(super) fn forgotten(&mut self, bytes: i64) {
        self.kept -= 1;
        self.ended_bytes -= bytes;
    }

    /// Writes it; to be done in each transaction that moves an order.
    pub(super) fn write(&self, tx: &Transaction<'_>) -> rusqlite::Result<()> {
        let [queued, running, succeeded, failed, canceled, expired] = self.by_status;
        let update = "UPDATE tally SET queued = queued + ?1, running = running + ?2, succeeded = succeeded + ?3, \
                      failed = failed + ?4, canceled = canceled + ?5, expired = expired + ?6, kept = kept + ?7, \
                      active_bytes = active_bytes + ?8, ended_bytes = ended_bytes + ?9";
        let (kept, active, ended) = (self.kept, self.active_bytes, self.ended_bytes);
        let values = params![queued, running, succeeded, failed, canceled, expired, kept, active, ended];
        tx.prepare_cached(update)?.execute(values).map(drop)
    }
}

/// The counts of this moment.
pub(super) fn counts(db: &Connection) -> rusqlite::Result<Counts> {
    let look =
        "SELECT queued, running, succeeded, failed, canceled, expired, kept, active_bytes, ended_bytes FROM tally";
    db.prepare_cached(look)?.query_row([], |row| {
        let number = |at: usize| row.get::<_, i64>(at).map(|n| u64::try_from(n).unwrap_or(0));
        let mut by_status = [0; 6];
        for (at, count) in by_status.iter_mut().enumerate() {
            *count = number(at)?;
        }
        let accepted = by_status.iter().sum();
        let (active_bytes, ended_bytes) = (number(7)? as usize, number(8)? as usize);
        Ok(Counts { accepted, by_status, kept: number(6)?, active_bytes, ended_bytes })
    })
}
