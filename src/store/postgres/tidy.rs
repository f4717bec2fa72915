//! What any node does for all: gives back what lost nodes held, ends what may not begin any more, forgets what is old or
//! too much. And taking orders up, and renewing what is held.
//!
//! It deliberately looks first, in one statement, and does only what is due: an idle node must cost the database nothing.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use uuid::Uuid;

use super::line::Line;
use super::moves::To;
use super::rows::{KEPT_COLUMNS, Kept};
use super::{House, sql, sql_reads};
use crate::domain::client::Client;
use crate::domain::job::Status;
use crate::store::backend::{Down, Lane, Renewed, Taken, Tidied, Waiting, Want};
use crate::store::packed::FORMAT;
use crate::store::{Bounds, Fence};

/// Orders moved by one statement.
const MOVES: i64 = 200;
/// Ended orders forgotten by one statement: some ten milliseconds.
const FORGETS: i64 = 1_000;
/// Batches of one time of tidying up; what is left is due the next time.
const BATCHES: usize = 20;

impl House {
    pub(super) async fn take(&self, want: Want) -> Result<Vec<Taken>, Down> {
        let (lanes, most): (Vec<i16>, Vec<i32>) =
            want.lanes.iter().map(|(lane, most)| (lane.0, i32::try_from(*most).unwrap_or(i32::MAX))).unzip();
        if lanes.is_empty() {
            return Ok(Vec::new());
        }
        let (threads, children) = (i64::from(want.room.threads), i64::from(want.room.children));
        let taken = self
            .takes
            .ask(sql::TAKE, &[&lanes, &most, &threads, &children, &&*self.node, &self.lease_us, &FORMAT])
            .await?;
        let read = |row: &tokio_postgres::Row| {
            let kept = Kept::read(row)?;
            let fence = Fence { id: kept.job.id, attempt: kept.overlay.grant };
            let waited = Duration::from_micros(u64::try_from(row.get::<_, i64>(KEPT_COLUMNS + 1)).unwrap_or(0));
            let (needs, lane) = (kept.needs, kept.lane);
            Ok(Taken { job: kept.now(), needs, lane, fence, waited })
        };
        // One that is damaged stays leased and is not renewed: the others are taken up all the same.
        Ok(taken.iter().filter_map(|row| self.unless_unreadable(read(row))).collect())
    }

    /// What was read; counts what could not be, for the next time of tidying up to tell.
    fn unless_unreadable<T>(&self, read: Result<T, Down>) -> Option<T> {
        if read.is_err() {
            self.unreadable.fetch_add(1, Ordering::Relaxed);
        }
        read.ok()
    }

    /// Renews these grants by this connection, and says that this node lives.
    pub(super) async fn renew(&self, line: &Line, held: Vec<Fence>) -> Result<Renewed, Down> {
        let ids: Vec<Uuid> = held.iter().map(|fence| fence.id.0).collect();
        let attempts: Vec<i32> = held.iter().map(|fence| fence.attempt.cast_signed()).collect();
        let me = &self.me;
        let [cores, threads, children] = [me.capacity.cores, me.capacity.threads, me.capacity.children]
            .map(|n| i32::try_from(n).unwrap_or(i32::MAX));
        let renewed = line
            .ask(
                sql::RENEW,
                &[
                    &&*self.node,
                    &self.lease_us,
                    &ids,
                    &attempts,
                    &me.version,
                    &me.started_us,
                    &me.models,
                    &cores,
                    &threads,
                    &children,
                ],
            )
            .await?;
        let alive: HashMap<(Uuid, i32), bool> =
            renewed.iter().map(|row| ((row.get(0), row.get(1)), row.get(2))).collect();
        let mut said = Renewed::default();
        for fence in held {
            match alive.get(&(fence.id.0, fence.attempt.cast_signed())) {
                None => said.lost.push(fence),
                Some(true) => said.cancels.push(fence.id),
                Some(false) => {}
            }
        }
        Ok(said)
    }

    pub(super) async fn tidy(&self, bounds: Bounds) -> Result<Tidied, Down> {
        self.retention_us.store(bounds.retention_us, Ordering::Relaxed);
        let limits = [bounds.ended_orders, bounds.ended_bytes].map(|n| i64::try_from(n).unwrap_or(i64::MAX));
        let mut tidied = self.look(bounds.retention_us, limits).await?;
        if tidied.is_due {
            self.due(&mut tidied.found).await?;
            // What each client holds has changed by that.
            let again = self.look(bounds.retention_us, limits).await?.found;
            (tidied.found.shares, tidied.found.waiting) = (again.shares, again.waiting);
        }
        if tidied.is_over {
            self.unpublish().await?;
        }
        for _ in 0..if tidied.is_full { BATCHES } else { 0 } {
            let gone = self.takes.ask(sql::FORGET, &[&bounds.retention_us, &limits[0], &limits[1], &FORGETS]).await?;
            if gone.first().is_none_or(|row| row.get::<_, i64>(0) < FORGETS) {
                break;
            }
        }
        tidied.found.unreadable = self.unreadable.swap(0, Ordering::Relaxed);
        Ok(tidied.found)
    }

    async fn look(&self, retention_us: i64, limits: [i64; 2]) -> Result<Look, Down> {
        let mut look = Look::default();
        for row in self.takes.ask(sql_reads::LOOK, &[&retention_us, &limits[0], &limits[1], &FORMAT]).await? {
            let (orders, number) = (row.get::<_, i64>(3).unsigned_abs(), row.get::<_, i64>(4));
            match row.get::<_, &str>(0) {
                "s" => look.found.shares.push((Client::stored(row.get(1)), orders, number.unsigned_abs())),
                "w" => look.found.waiting.push(Waiting { lane: Lane(row.get(2)), turn: number }),
                "p" => self.promises(row.get(1), orders, number == 1),
                "d" => look.is_due = true,
                "l" => look.is_over = true,
                _ => look.is_full = true,
            }
        }
        Ok(look)
    }

    /// Moves what is due, as the rules of an order's life have it.
    async fn due(&self, tidied: &mut Tidied) -> Result<(), Down> {
        for _ in 0..BATCHES {
            let rows = self.takes.ask(sql::DUE, &[&MOVES, &FORMAT]).await?;
            let mut moves = Vec::with_capacity(rows.len());
            for row in &rows {
                let Some(kept) = self.unless_unreadable(Kept::read(row)) else { continue };
                let moment = self.moment(row.get(KEPT_COLUMNS));
                moves.push(if kept.overlay.is_held { moment.lost(kept) } else { moment.expired(kept) });
            }
            let told: Vec<(Fence, Option<Status>)> = moves.iter().map(|m| (m.fence, m.to.end())).collect();
            let moved = self.moved(&self.takes, moves).await?;
            // Another node may have been quicker.
            for (fence, end) in told.into_iter().filter(|(fence, _)| moved.contains(&fence.id.0)) {
                match end {
                    Some(status) => tidied.ended.push((fence.id, status)),
                    None => tidied.returned += 1,
                }
            }
            if (rows.len() as i64) < MOVES {
                break;
            }
        }
        Ok(())
    }
}

/// What a look found.
#[derive(Default)]
struct Look {
    found: Tidied,
    /// Orders without a living holder, or past their deadline.
    is_due: bool,
    /// Something is published of runs that are over.
    is_over: bool,
    /// More is kept than should be.
    is_full: bool,
}

impl To {
    fn end(&self) -> Option<Status> {
        if let Self::End { status, .. } = self { Some(*status) } else { None }
    }
}
