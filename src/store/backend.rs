//! What a durable store is made of: a database that keeps orders, told and asked in batches.
//!
//! [`super::Durable`] keeps the orders this node has taken up in memory, where lines and turns are, and tells the backend
//! what became of them; the backend keeps all orders, and is the truth. An order is **held** by one node from the moment it
//! takes it up until it ends or is given back. Each grant has a number, the attempt, and every write of a node names it:
//! a node that was paused beyond its lease finds its writes refused. A backend deliberately knows no line, no staff and no
//! kitchen; it never judges what may happen next except by [`crate::domain::life`].
//!
//! Every method is one transaction. None may block the caller's thread; all may fail with [`Down`] and then have done
//! nothing, or, when the connection broke in the middle, may have been done all the same: every write can be repeated.

use std::sync::Arc;
use std::time::Duration;

use super::reply::Later;
use super::{Bounds, Counts, DeleteAnswer, Fence, NodeRow, Once, Page, Query, Room};
use crate::domain::client::Client;
use crate::domain::id::OrderId;
use crate::domain::job::{Attempt, Job, Status};
use crate::domain::live::Live;
use crate::domain::record::StepRecord;

/// Why a store cannot answer now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Down {
    /// The database does not answer, or not in time.
    #[error("the order store does not answer")]
    Away,
    /// There is no space left to write to.
    #[error("the order store has no space left")]
    StorageFull,
}

/// What a backend says, in time.
pub type Said<T> = Later<Result<T, Down>>;

/// Where an order waits. Numbers are kept in the database: a house lane has the number of its model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Lane(pub i16);

impl Lane {
    /// For staff of its own.
    pub const STAFFED: Self = Self(1_000);
    /// For the house to be its comparison's alone; never given to another node.
    pub const ALONE: Self = Self(1_001);

    /// Where an order waits that needs this.
    #[must_use]
    pub fn of(job: &Job, needs: Room, alone: bool) -> Self {
        match needs {
            _ if alone => Self::ALONE,
            needs if needs == Room::default() => Self(i16::from(job.spec.model.0)),
            _ => Self::STAFFED,
        }
    }
}

/// An order about to be written.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The order; its status is `Queued`, its attempt 0.
    pub job: Job,
    /// Staff of its own.
    pub needs: Room,
    /// Where it waits.
    pub lane: Lane,
    /// Its turn among all that wait in this lane, the lowest first; equal ones by id.
    pub turn: i64,
    /// This node holds it from the start, as attempt 1; else any node may take it.
    pub held: bool,
}

/// Orders of one request: all are written, or none.
#[derive(Clone, Debug)]
pub struct Group {
    /// All of one client. None: only whether the request was here before is asked, and `Fresh` says that it was not.
    pub entries: Vec<Entry>,
    /// What makes it take effect once: as long as the first of its orders is kept.
    pub once: Option<Once>,
}

/// What became of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Appended {
    /// It is written.
    Fresh,
    /// The same request was here before and brought these orders about; nothing was written.
    Before(Vec<OrderId>),
    /// The key was used for another request; nothing was written.
    KeyReused,
}

/// What a node says of an order it holds. Refused if the fence is not that of the grant.
#[derive(Clone, Debug)]
pub struct Change {
    /// The grant.
    pub fence: Fence,
    /// What.
    pub what: What,
}

/// What became of an order.
#[derive(Clone, Debug)]
pub enum What {
    /// Its run has begun.
    Begun {
        /// When, microseconds since 1970.
        started_us: i64,
        /// Time it had waited, nanoseconds.
        queue_ns: u64,
    },
    /// It has ended.
    Ended(Arc<Ended>),
    /// It waits again, for any node.
    Returned {
        /// The attempt that did not come to its end; `None` if its run had not begun.
        attempt: Option<Attempt>,
        /// Its place in the line.
        turn: i64,
    },
}

/// The end of an order.
#[derive(Clone, Debug)]
pub struct Ended {
    /// All of it, with its end.
    pub job: Job,
    /// The same with its steps, packed; what [`Backend::get`] and [`Backend::steps`] read back.
    pub packed: Arc<[u8]>,
}

/// What a run has done since its node last published it; its events are those after what it published then.
#[derive(Clone, Debug)]
pub struct Published {
    /// The grant.
    pub fence: Fence,
    /// How far it is.
    pub live: Live,
}

/// Orders a node could take up at once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Want {
    /// So many of each lane, at most.
    pub lanes: Vec<(Lane, u32)>,
    /// Staff that is free for those of [`Lane::STAFFED`]. The first that does not fit holds back those behind it.
    pub room: Room,
}

impl Want {
    /// All that wait, of so many models: for a node that is alone with its database, which nobody else could spare the work.
    #[must_use]
    pub fn all(models: usize) -> Self {
        let lanes = (0..models as i16).map(Lane).chain([Lane::STAFFED]);
        let room = Room { threads: u32::MAX, children: u32::MAX };
        Self { lanes: lanes.map(|lane| (lane, u32::MAX)).collect(), room }
    }
}

/// An order this node holds now.
#[derive(Clone, Debug)]
pub struct Taken {
    /// The order: `Queued`, its attempt that of its last run.
    pub job: Job,
    /// Staff of its own.
    pub needs: Room,
    /// Where it waits.
    pub lane: Lane,
    /// The grant.
    pub fence: Fence,
    /// Time since it was accepted, by the database's clock.
    pub waited: Duration,
}

/// What came of the renewal of all leases of a node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Renewed {
    /// Grants that are no longer this node's: another has them, or the order has ended.
    pub lost: Vec<Fence>,
    /// Orders that somebody wants stopped.
    pub cancels: Vec<OrderId>,
}

/// What tidying up found.
#[derive(Clone, Debug, Default)]
pub struct Tidied {
    /// Orders that ended by it, with their end: start deadlines passed, runs lost too often, comparisons without a node.
    pub ended: Vec<(OrderId, Status)>,
    /// Orders that wait again because their node was lost.
    pub returned: u64,
    /// Orders waiting or running per client, and their bytes.
    pub shares: Vec<(Client, u64, u64)>,
    /// Orders waiting for any node.
    pub waiting: Vec<Waiting>,
    /// Orders that could not be read and were passed by.
    pub unreadable: u64,
}

/// Orders of one lane that wait for any node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// The lane.
    pub lane: Lane,
    /// The lowest turn among them.
    pub turn: i64,
}

/// What a cancel met in the database.
#[derive(Clone, Debug)]
pub enum Stopped {
    /// It waited for any node, and is canceled now.
    Now(Box<Job>),
    /// A node holds it, and is told by its next renewal or sooner.
    Asked(Box<Job>),
    /// It had ended: how is in the order.
    Ended(Box<Job>),
    /// Not here.
    Absent,
}

/// Why to look at the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hint {
    /// There may be orders to take up.
    Queued,
    /// An order of this node may have to be stopped.
    Cancel,
    /// An order ended on another node, so.
    Ended(OrderId, Status),
    /// An order was deleted on another node.
    Deleted(OrderId),
}

/// A database of orders.
pub trait Backend: Send + Sync + 'static {
    /// What it is, as `GET /stats` and each 202 say it: `sqlite`, `postgres`.
    fn name(&self) -> &'static str;

    /// Whether other nodes may hold orders of this database. If not, this node holds all that wait, and there are no leases.
    fn is_shared(&self) -> bool;

    /// How long a grant lasts without renewal.
    fn lease(&self) -> Duration;

    /// What an operator should know of its promises, as "a failover may lose acknowledged orders".
    fn caveat(&self) -> Option<String>;

    /// Writes groups of orders; answers one by one. Durable when it answers. A group that is here already, told by the id
    /// of its first order, is `Fresh` once more: whoever does not know whether it was written says it again.
    fn append(&self, groups: Vec<Group>) -> Said<Vec<Appended>>;

    /// Writes what became of orders this node holds; answers one by one whether the fence was good. Of one order at most one
    /// change is in a batch. Saying the same end twice is good twice, and so is a beginning. What is given back ends all the
    /// same if somebody wants it stopped (`Canceled`), its comparison had it alone (`Failed`), or too many runs were lost.
    fn settle(&self, changes: Vec<Change>) -> Said<Vec<bool>>;

    /// Takes up orders that wait for any node, each lane's by turn. A backend that is not shared answers at its first call
    /// with all orders that have not ended, those that had begun as lost once more.
    fn take(&self, want: Want) -> Said<Vec<Taken>>;

    /// Renews the leases of all these grants, and of no other, in one statement. Without leases it only answers.
    fn renew(&self, held: Vec<Fence>) -> Said<Renewed>;

    /// Gives back what lost nodes held, ends what may not begin any more (its start deadline has passed, no node holds it, no
    /// run of it was broken), forgets what was kept long enough or is too much, first what ended first.
    /// `now_us` counts only where the database has no clock of its own.
    fn tidy(&self, bounds: Bounds, now_us: i64) -> Said<Tidied>;

    /// Cancels an order that waits for any node, asks the holder of another.
    fn cancel(&self, id: OrderId, now_us: i64) -> Said<Stopped>;

    /// One order.
    fn get(&self, id: OrderId) -> Said<Option<Box<Job>>>;

    /// Steps of an ended order; `None` while it is active or when it is not here.
    fn steps(&self, id: OrderId) -> Said<Option<Vec<StepRecord>>>;

    /// Shows other nodes what runs here, in one statement; answers one by one whether the fence was good. Said again, after an
    /// answer that never came, it may say more. Kept at least while the run lasts. Not shared: does nothing.
    fn publish(&self, runs: Vec<Published>) -> Said<Vec<bool>>;

    /// How far this run is by what its node published, and the first of its events after this number; `None` if nothing was.
    fn published(&self, run: Fence, after: u32) -> Said<Option<Live>>;

    /// Orders, youngest first. Looks at a bounded number of rows for one page.
    fn list(&self, query: Query) -> Said<Page>;

    /// Forgets an ended order.
    fn delete(&self, id: OrderId) -> Said<DeleteAnswer>;

    /// Counts, of one moment.
    fn counts(&self) -> Said<Counts>;

    /// All nodes that were heard of lately.
    fn nodes(&self) -> Said<Vec<NodeRow>>;

    /// Waits for the next hint. Hints may be missing, late or wrong: they only make things faster.
    fn hint(&self) -> Later<Hint>;
}
