//! Orders in memory: one ordered map under one mutex, ended orders packed, everything bounded by count, bytes and age.
//!
//! It deliberately loses everything with the process; ids tell that (410 `lost_on_restart`). A plain mutex because the
//! longest hold is a page of a list; guards never cross an await.

pub(super) mod again;
mod archive;
mod desk;
mod held;
mod once;
mod records;
mod slots;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub use self::archive::MemoryArchive;
use self::slots::Inner;
pub(super) use self::slots::weight;
use super::shares::Load;
use super::{
    CancelAnswer, Counts, DeleteAnswer, Down, Fence, Fill, Finish, Finished, Here, Lapsed, Later, Lookup, MEMORY,
    NewJob, News, NodeRow, Once, Page, Places, Published, Query, Refused, Reply, Room, Store, Submitted,
};
use crate::domain::Ns;
use crate::domain::client::Client;
use crate::domain::id::OrderId;
use crate::domain::job::{Job, Status};
use crate::domain::limits;
use crate::domain::live::{Live, StepEvent};
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

/// What a map entry and its queue entries cost beside the order itself, roughly.
pub(super) const OVERHEAD_BYTES: usize = 96;

impl Memory {
    /// An empty store.
    #[must_use]
    pub fn new(bounds: Bounds) -> Self {
        Self { bounds, inner: Mutex::default() }
    }

    fn house(&self) -> Load {
        Load { orders: self.bounds.active_orders, bytes: self.bounds.active_bytes }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store for Memory {
    fn durability(&self) -> &'static str {
        MEMORY
    }

    fn submit(&self, batch: Vec<NewJob>, once: Option<Once>) -> Reply<Result<Submitted, Refused>> {
        Reply::now(self.submit_now(batch, once))
    }

    fn claim(&self, free: Room, alone: bool, place: Places<'_>, now: Ns, now_us: i64) -> Vec<(Job, Room)> {
        self.claim_now(free, alone, place, now, now_us)
    }

    fn lapse(&self, now: Ns, now_us: i64) -> Reply<Lapsed> {
        Reply::now(self.lapse_now(now, now_us))
    }

    fn fill(&self, client: &Client) -> (Fill, Fill) {
        let inner = self.inner();
        inner.shares.fill(client, self.house())
    }

    fn finish(&self, finish: Finish) -> Reply<Finished> {
        Reply::now(self.finish_now(finish))
    }

    fn request_cancel(&self, id: OrderId, now_us: i64) -> Reply<Result<CancelAnswer, Down>> {
        Reply::now(Ok(self.cancel_now(id, now_us)))
    }

    fn get(&self, id: OrderId) -> Reply<Result<Lookup, Down>> {
        Reply::now(Ok(self.get_now(id)))
    }

    fn steps(&self, id: OrderId) -> Reply<Result<Option<Arc<Vec<StepRecord>>>, Down>> {
        Reply::now(Ok(self.steps_now(id)))
    }

    fn told(&self, id: OrderId, after: u32, at_most: usize) -> Reply<Result<Option<Vec<StepEvent>>, Down>> {
        Reply::now(Ok(self.told_now(id, after, at_most)))
    }

    fn list(&self, query: Query) -> Reply<Result<Page, Down>> {
        Reply::now(Ok(self.list_now(&query)))
    }

    fn delete(&self, id: OrderId) -> Reply<Result<DeleteAnswer, Down>> {
        Reply::now(Ok(self.delete_now(id)))
    }

    fn sweep(&self, now_us: i64) -> Reply<()> {
        self.sweep_now(now_us);
        Reply::now(())
    }

    fn counts(&self) -> Reply<Result<Counts, Down>> {
        Reply::now(Ok(self.counts_now()))
    }

    fn here(&self) -> Here {
        self.here_now()
    }

    fn runs_here(&self, id: OrderId) -> bool {
        self.active(id).is_some_and(|job| job.status == Status::Running)
    }

    fn news(&self) -> Later<News> {
        Box::pin(std::future::pending())
    }

    fn close(&self) -> Reply<()> {
        Reply::now(())
    }

    fn trouble(&self) -> Option<String> {
        None
    }

    fn caveat(&self) -> Option<String> {
        None
    }

    fn is_shared(&self) -> bool {
        false
    }

    fn publish(&self, runs: Vec<Published>) -> Reply<Result<Vec<bool>, Down>> {
        // Nobody else could look.
        Reply::now(Ok(vec![true; runs.len()]))
    }

    fn published(&self, _run: Fence, _after: u32) -> Reply<Result<Option<Live>, Down>> {
        Reply::now(Ok(None))
    }

    fn nodes(&self) -> Reply<Result<Vec<NodeRow>, Down>> {
        Reply::now(Ok(Vec::new()))
    }
}
