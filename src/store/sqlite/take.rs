//! Taking orders up, and at the start all that the service before left behind.
//!
//! It deliberately keeps no line: the index of those that wait is the line.

use std::time::Duration;

use rusqlite::{Transaction, params};

use super::rows::{self, KEPT, Kept, Tally};
use super::write::Author;
use crate::domain::job::Status;
use crate::store::backend::{Lane, Taken, Want};
use crate::store::{Fence, fate};

impl Author {
    /// Takes up orders that wait for any node.
    pub(super) fn take(&self, tx: &Transaction<'_>, want: &Want) -> rusqlite::Result<Vec<Taken>> {
        let look = format!(
            "SELECT {KEPT} FROM orders WHERE status = 0 AND node IS NULL AND lane = ?1 ORDER BY turn, id LIMIT ?2"
        );
        let mut taken = Vec::new();
        for (lane, most) in want.lanes.iter().filter(|(lane, _)| *lane != Lane::ALONE) {
            let mut free = want.room;
            let mut look = tx.prepare_cached(&look)?;
            let mut waiting = look.query(params![lane.0, most])?;
            let mut granted = Vec::new();
            while let Some(row) = waiting.next()? {
                let kept = Kept::read(row)?;
                if *lane == Lane::STAFFED {
                    if !kept.needs.fits(free) {
                        break;
                    }
                    free.threads -= kept.needs.threads;
                    free.children -= kept.needs.children;
                }
                granted.push(kept);
            }
            drop(waiting);
            for kept in granted {
                taken.push(self.grant(tx, kept)?);
            }
        }
        Ok(taken)
    }

    /// Takes up all that has not ended. Whatever was held was held by the service before, which is no more.
    pub(super) fn resume(&self, tx: &Transaction<'_>) -> rusqlite::Result<Vec<Taken>> {
        let look = format!("SELECT {KEPT} FROM orders WHERE status < 2 ORDER BY lane, turn, id");
        let left: Vec<_> = tx.prepare(&look)?.query_map([], Kept::read)?.collect::<rusqlite::Result<_>>()?;
        let (mut tally, mut taken) = (Tally::default(), Vec::new());
        for kept in left {
            let before = kept.overlay.status;
            let broken = fate::lost_run(&kept.overlay, &self.node, self.now_us);
            if let Some(kept) = self.again(tx, &mut tally, kept, broken)? {
                tally.moved(before, Status::Queued);
                taken.push(self.grant(tx, kept)?);
            }
        }
        tally.write(tx)?;
        Ok(taken)
    }

    /// The next grant of an order is this node's.
    fn grant(&self, tx: &Transaction<'_>, mut kept: Kept) -> rusqlite::Result<Taken> {
        kept.overlay.status = Status::Queued;
        kept.overlay.grant += 1;
        kept.overlay.is_held = true;
        kept.overlay.node = Some(self.node.clone());
        (kept.overlay.started_us, kept.overlay.queue_ns) = (None, 0);
        let grant = "UPDATE orders SET status = 0, attempt = ?2, node = ?3, started_us = NULL, queue_ns = 0, history = ?4 \
                     WHERE id = ?1";
        let fence = Fence { id: kept.job.id, attempt: kept.overlay.grant };
        let history = rows::history(&kept.overlay.attempts)?;
        tx.prepare_cached(grant)?.execute(params![fence.id.0, fence.attempt, &*self.node, history])?;
        let waited_us = self.now_us.saturating_sub(kept.job.created_us);
        let waited = Duration::from_micros(u64::try_from(waited_us).unwrap_or(0));
        let (needs, lane) = (kept.needs, kept.lane);
        Ok(Taken { job: kept.now(), needs, lane, fence, waited })
    }
}
