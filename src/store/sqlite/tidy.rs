//! Ends what may not begin any more, forgets what was kept long enough or is too much: a small batch at a time, so that
//! orders that come in meanwhile wait for a batch, not for all.
//!
//! It deliberately gives nothing back: nobody else opens this file, so no node can be lost beside it.

use rusqlite::{Transaction, params};

use super::rows::{self, KEPT, Kept, Tally};
use super::write::Author;
use crate::domain::id::OrderId;
use crate::domain::job::{OrderError, Status};
use crate::store::Bounds;

/// Orders of one transaction: some milliseconds.
const BATCH: usize = 500;

impl Author {
    /// Ends waiting orders whose start deadline has passed, if no run of theirs was broken; and whether there may be more.
    pub(super) fn expire(&self, tx: &Transaction<'_>) -> rusqlite::Result<(Vec<(OrderId, Status)>, bool)> {
        let look = format!(
            "SELECT {KEPT} FROM orders WHERE status = 0 AND node IS NULL AND expires_us IS NOT NULL AND expires_us <= ?1 \
             AND history IS NULL ORDER BY expires_us LIMIT {BATCH}"
        );
        let late: Vec<_> =
            tx.prepare_cached(&look)?.query_map([self.now_us], Kept::read)?.collect::<rusqlite::Result<_>>()?;
        let (mut tally, mut ended) = (Tally::default(), Vec::new());
        for kept in late {
            ended.push((kept.job.id, Status::Expired));
            self.end(tx, &mut tally, kept, Status::Expired, Some(OrderError::expired()))?;
        }
        if !ended.is_empty() {
            tally.write(tx)?;
        }
        let has_more = ended.len() == BATCH;
        Ok((ended, has_more))
    }

    /// Forgets ended orders, first what ended first; says whether there may be more.
    pub(super) fn forget(&self, tx: &Transaction<'_>, bounds: &Bounds) -> rusqlite::Result<bool> {
        let counts = rows::counts(tx)?;
        let mut kept = usize::try_from(counts.kept).unwrap_or(usize::MAX);
        let mut bytes = counts.ended_bytes;
        let over = self.now_us.saturating_sub(bounds.retention_us);
        let look =
            "SELECT rowid, bytes, ended_us FROM orders WHERE ended_us IS NOT NULL ORDER BY ended_us, rowid LIMIT ?1";
        let mut look = tx.prepare_cached(look)?;
        let mut oldest = look.query([BATCH as i64])?;
        let (mut tally, mut gone) = (Tally::default(), Vec::new());
        while let Some(row) = oldest.next()? {
            let (rowid, size, ended_us): (i64, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
            if ended_us > over && kept <= bounds.ended_orders && bytes <= bounds.ended_bytes {
                break;
            }
            kept = kept.saturating_sub(1);
            bytes = bytes.saturating_sub(size.unsigned_abs() as usize);
            tally.forgotten(size);
            gone.push(rowid);
        }
        drop(oldest);
        for rowid in &gone {
            tx.prepare_cached("DELETE FROM orders WHERE rowid = ?1")?.execute(params![rowid])?;
        }
        if !gone.is_empty() {
            tally.write(tx)?;
        }
        Ok(gone.len() == BATCH)
    }
}
