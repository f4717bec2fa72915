//! Orders in a file of their own: SQLite, one connection that writes and some that read, each on a thread of its own.
//!
//! Every call is one transaction and on the disk when it answers; since callers batch, that is group commit. It
//! deliberately is for one service: a second one on the same file is refused, so there are no leases and no hints.

mod archive;
mod desk;
mod open;
mod read;
mod rows;
mod take;
mod tidy;
mod write;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::time::Duration;

use self::desk::Desk;
pub use self::open::OpenError;
use self::rows::Kept;
use self::write::Author;
use super::backend::{Appended, Change, Down, Group, Hint, Published, Renewed, Said, Stopped, Taken, Tidied, Want};
use super::{Backend, Bounds, Capacity, Counts, DeleteAnswer, Fence, Later, NodeRow, Page, Query};
use crate::clock;
use crate::domain::id::OrderId;
use crate::domain::job::Job;
use crate::domain::live::Live;
use crate::domain::record::StepRecord;

/// Connections that read: one look at a long page does not keep a short one waiting.
const READERS: usize = 2;
/// Nobody else can take an order of this file; long enough to be none of anybody's concern.
const LEASE: Duration = Duration::from_secs(3_600);

/// The file.
pub struct Sqlite {
    // First, so that they are closed before the lock is given up with the writer.
    readers: [Desk; READERS],
    writer: Arc<Desk>,
    /// Which reader is next.
    turn: AtomicUsize,
    author: Author,
    started_us: i64,
    /// Whether what the service before left behind has been taken up.
    is_resumed: Arc<AtomicBool>,
    /// As the latest call that named it said; for orders that end here.
    retention_us: AtomicI64,
}

impl Sqlite {
    /// Opens or makes the file, and brings it up to date. `names` are those of the models, by number.
    pub fn open(path: &Path, node: Arc<str>, names: &[&'static str]) -> Result<Self, OpenError> {
        let lock = open::lock(path)?;
        let mut writer = open::connect(path)?;
        open::migrate(path, &mut writer)?;
        let thread = |error: std::io::Error| OpenError::Unusable { path: path.to_owned(), why: error.to_string() };
        let writer = Desk::new("orders-writer", writer, lock).map_err(thread)?;
        let reader = || Desk::new("orders-reader", open::connect(path)?, ()).map_err(thread);
        let now_us = clock::wall_us();
        let retention_us = Bounds::default().retention_us;
        Ok(Self {
            readers: [reader()?, reader()?],
            writer: Arc::new(writer),
            turn: AtomicUsize::new(0),
            author: Author { node, names: names.into(), now_us, retention_us },
            started_us: now_us,
            is_resumed: Arc::default(),
            retention_us: AtomicI64::new(retention_us),
        })
    }

    /// Brings the file up to date and does nothing else.
    pub fn migrate(path: &Path) -> Result<(), OpenError> {
        let _lock = open::lock(path)?;
        open::migrate(path, &mut open::connect(path)?)
    }

    fn reader(&self) -> &Desk {
        // Relaxed: any reader will do.
        &self.readers[self.turn.fetch_add(1, Ordering::Relaxed) % READERS]
    }

    /// This run of the service.
    fn session(&self) -> String {
        self.started_us.to_string()
    }

    fn author(&self, now_us: i64) -> Author {
        // Relaxed: a number on its own.
        Author { now_us, retention_us: self.retention_us.load(Ordering::Relaxed), ..self.author.clone() }
    }
}

impl Backend for Sqlite {
    fn name(&self) -> &'static str {
        "sqlite"
    }

    fn is_shared(&self) -> bool {
        false
    }

    fn lease(&self) -> Duration {
        LEASE
    }

    fn caveat(&self) -> Option<String> {
        None
    }

    fn append(&self, groups: Vec<Group>) -> Said<Vec<Appended>> {
        let author = self.author(clock::wall_us());
        self.writer.write(move |tx| author.append(tx, &groups))
    }

    fn settle(&self, changes: Vec<Change>) -> Said<Vec<bool>> {
        let author = self.author(clock::wall_us());
        self.writer.write(move |tx| author.settle(tx, &changes))
    }

    fn take(&self, want: Want) -> Said<Vec<Taken>> {
        let author = self.author(clock::wall_us());
        // AcqRel: one call resumes, and those after it take.
        if self.is_resumed.swap(true, Ordering::AcqRel) {
            return self.writer.write(move |tx| author.take(tx, &want));
        }
        let (resumed, is_resumed) = (self.writer.write(move |tx| author.resume(tx)), self.is_resumed.clone());
        Box::pin(async move {
            let taken = resumed.await;
            is_resumed.store(taken.is_ok(), Ordering::Release);
            taken
        })
    }

    fn renew(&self, held: Vec<Fence>) -> Said<Renewed> {
        let node = self.author.node.clone();
        self.reader().read(move |db| read::renew(db, &held, &node))
    }

    fn tidy(&self, bounds: Bounds, now_us: i64) -> Said<Tidied> {
        self.retention_us.store(bounds.retention_us, Ordering::Relaxed);
        let author = self.author(now_us);
        // Weak: tidying up does not keep the file open.
        let writer = Arc::downgrade(&self.writer);
        let look = self.reader().read(|db| Ok((read::shares(db)?, read::waiting(db)?)));
        Box::pin(async move {
            let mut tidied = Tidied::default();
            let writer = || writer.upgrade().ok_or(Down::Away);
            loop {
                let author = author.clone();
                let batch = writer()?.write(move |tx| author.expire(tx));
                let (ended, has_more) = batch.await?;
                tidied.ended.extend(ended);
                if !has_more {
                    break;
                }
            }
            loop {
                let author = author.clone();
                let batch = writer()?.write(move |tx| author.forget(tx, &bounds));
                if !batch.await? {
                    break;
                }
            }
            (tidied.shares, tidied.waiting) = look.await?;
            Ok(tidied)
        })
    }

    fn cancel(&self, id: OrderId, now_us: i64) -> Said<Stopped> {
        let author = self.author(now_us);
        self.writer.write(move |tx| author.cancel(tx, id))
    }

    fn get(&self, id: OrderId) -> Said<Option<Box<Job>>> {
        self.reader().read(move |db| Ok(Kept::find(db, id)?.map(|kept| Box::new(kept.now()))))
    }

    fn steps(&self, id: OrderId) -> Said<Option<Vec<StepRecord>>> {
        self.reader().read(move |db| read::steps(db, id))
    }

    fn publish(&self, runs: Vec<Published>) -> Said<Vec<bool>> {
        // Nobody else may open the file: who asks about a run asks the node that cooks it.
        Box::pin(std::future::ready(Ok(vec![true; runs.len()])))
    }

    fn published(&self, _run: Fence, _after: u32) -> Said<Option<Live>> {
        Box::pin(std::future::ready(Ok(None)))
    }

    fn list(&self, query: Query) -> Said<Page> {
        let names = self.author.names.clone();
        self.reader().read(move |db| read::list(db, &query, &names))
    }

    fn delete(&self, id: OrderId) -> Said<DeleteAnswer> {
        self.writer.write(move |tx| write::delete(tx, id))
    }

    fn counts(&self) -> Said<Counts> {
        self.reader().read(rows::counts)
    }

    fn nodes(&self) -> Said<Vec<NodeRow>> {
        let node = NodeRow {
            node: self.author.node.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started_us: self.started_us,
            seen_us: clock::wall_us(),
            models: self.author.names.iter().map(|name| (*name).to_owned()).collect(),
            // Whoever asks about this node knows.
            capacity: Capacity::default(),
            held: 0,
        };
        self.reader().read(move |db| {
            let [queued, running, ..] = rows::counts(db)?.by_status;
            Ok(vec![NodeRow { held: u32::try_from(queued + running).unwrap_or(u32::MAX), ..node }])
        })
    }

    fn hint(&self) -> Later<Hint> {
        Box::pin(std::future::pending())
    }
}
