//! What is said to a store and what it says: plain data of the trait [`super::Store`].
//!
//! It deliberately does nothing.

use std::sync::Arc;

use uuid::Uuid;

use super::Down;
use crate::domain::Ns;
use crate::domain::client::Client;
use crate::domain::id::OrderId;
use crate::domain::job::{Job, OrderError, Status};
use crate::domain::record::StepRecord;
use crate::domain::spec::ModelId;
use crate::domain::summary::Summary;

/// An order about to be queued.
#[derive(Clone, Debug)]
pub struct NewJob {
    /// The order; its status is `Queued`.
    pub job: Job,
    /// When it was accepted, on the monotonic clock.
    pub accepted: Ns,
    /// What must be free before it can start.
    pub needs: Room,
    /// Part of a comparison, which has the house to itself.
    pub alone: bool,
}

/// What makes a request take effect once: the client's key, and what the request was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Once {
    /// Whose key.
    pub owner: Client,
    /// The key.
    pub key: Arc<str>,
    /// Of what was asked; the same key with another is refused.
    pub fingerprint: Uuid,
}

/// What became of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Submitted {
    /// It is queued.
    Fresh,
    /// The same request was here before and brought these orders about; nothing was queued.
    Before(Vec<OrderId>),
}

/// Why a batch was not queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// There is no room for it at all.
    #[error("as many orders are waiting or running as the house can hold")]
    Full,
    /// This client already has its share.
    #[error("this client has as many orders waiting or running as it may")]
    Share,
    /// The key was used for another request.
    #[error("the idempotency key was used for another request")]
    KeyReused,
    /// It could not be written. Whether it was is not known if the connection broke: a key tells.
    #[error(transparent)]
    Down(#[from] Down),
}

/// Orders whose start deadline has passed, and when the next one does.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Lapsed {
    /// They are `Expired` now.
    pub jobs: Vec<Job>,
    /// Or the next wait for another try is over; on the monotonic clock, `None` if nothing is waited for.
    pub next: Option<Ns>,
    /// Orders have waited long enough for another try, and are in line for it.
    pub is_ready: bool,
}

/// Staff that is free, or needed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Room {
    /// Threads.
    pub threads: u32,
    /// Child processes.
    pub children: u32,
}

impl Room {
    /// Whether this fits into that.
    #[must_use]
    pub fn fits(self, free: Self) -> bool {
        self.threads <= free.threads && self.children <= free.children
    }
}

/// Who may write: the order and the number of its run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fence {
    /// The order.
    pub id: OrderId,
    /// The run.
    pub attempt: u32,
}

/// The end of a run.
#[derive(Clone, Debug)]
pub struct Finish {
    /// Which run.
    pub fence: Fence,
    /// How.
    pub status: Status,
    /// Why, if it failed.
    pub error: Option<OrderError>,
    /// When, microseconds since 1970.
    pub finished_us: i64,
    /// The same on the monotonic clock.
    pub at: Ns,
    /// When its order was accepted, on that clock.
    pub accepted: Ns,
    /// What must be free before another run can start.
    pub needs: Room,
    /// Other orders that were running when it started.
    pub concurrent_orders: u32,
    /// Its figures.
    pub summary: Summary,
    /// Its steps, or a sample of them.
    pub records: Vec<StepRecord>,
}

/// What is known of an id.
#[derive(Clone, Debug, PartialEq)]
pub enum Lookup {
    /// It is here.
    Found(Box<Job>),
    /// Not here (any more).
    Absent,
}

/// What a cancel met.
#[derive(Clone, Debug, PartialEq)]
pub enum CancelAnswer {
    /// It is canceled: now, because it was waiting, or it was before.
    Canceled {
        /// The order.
        job: Box<Job>,
        /// Whether this request did it.
        now: bool,
    },
    /// It is running; its run must be asked to stop.
    Running(Box<Job>),
    /// It has ended otherwise.
    Ended(Box<Job>),
    /// Not here.
    Absent,
}

/// What a delete met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeleteAnswer {
    /// It is gone.
    Deleted,
    /// It is waiting or running.
    Active,
    /// Not here.
    Absent,
}

/// Which orders a list shows. All conditions must hold.
#[derive(Clone, Debug, Default)]
pub struct Query {
    /// Any of these; all if empty.
    pub status: Vec<Status>,
    /// Only of this model.
    pub model: Option<ModelId>,
    /// Only with these labels.
    pub labels: Vec<(String, String)>,
    /// Only younger than this id.
    pub after: Option<OrderId>,
    /// Only older than this id: the cursor of the page before.
    pub before: Option<OrderId>,
    /// Only of this client.
    pub owner: Option<Client>,
    /// At most so many.
    pub limit: usize,
}

impl Query {
    /// Whether an order carries all labels that are asked for.
    #[must_use]
    pub fn has_labels(&self, job: &Job) -> bool {
        let has = |(k, v): &(String, String)| job.spec.labels.iter().any(|(key, value)| **key == **k && **value == **v);
        self.labels.iter().all(has)
    }
}

/// One page of a list, youngest first.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// The orders.
    pub jobs: Vec<Job>,
    /// Where the next page begins, if there may be one. A page can be short and still have a next.
    pub next: Option<OrderId>,
}

/// Orders per state, and what they occupy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Ever accepted by this service.
    pub accepted: u64,
    /// By state, in the order of [`Status::ALL`]; ended ones since the start, whether still kept or not.
    pub by_status: [u64; 6],
    /// Ended orders still kept.
    pub kept: u64,
    /// Bytes of the active orders.
    pub active_bytes: usize,
    /// Bytes of the ended orders.
    pub ended_bytes: usize,
}

/// Orders and bytes that a client or all of them hold, and how much they may.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Fill {
    /// Orders waiting or running.
    pub active: u64,
    /// Part of what may be held, 1.0 for all of it: of orders or of bytes, whichever is nearer to its end.
    pub part: f32,
}

/// A node, as all that share a store see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeRow {
    /// Its name.
    pub node: Arc<str>,
    /// Its version of this software.
    pub version: String,
    /// When it started, microseconds since 1970 by the store's clock.
    pub started_us: i64,
    /// When it was last heard of, by the same clock.
    pub seen_us: i64,
    /// Names of the models it offers.
    pub models: Vec<String>,
    /// Cores, and staff that orders may have of their own.
    pub capacity: Capacity,
    /// Orders it holds.
    pub held: u32,
}

/// What a node has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capacity {
    /// Cores it may use.
    pub cores: u32,
    /// Threads that orders may have of their own.
    pub threads: u32,
    /// Child processes that orders may have of their own.
    pub children: u32,
}

/// What became of the end of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finished {
    /// It is written.
    Written,
    /// The order waits again: its run was broken off by no fault of its own, or failed and may be tried again.
    Again,
    /// Refused: this fence may not write (any more).
    Stale,
}

/// Orders this node holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Here {
    /// Waiting.
    pub queued: u64,
    /// Running, or over and not yet written.
    pub running: u64,
}

/// What a store has to tell the kitchen by itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct News {
    /// There are more orders to claim.
    pub is_fresh: bool,
    /// Runs to stop because a client wants it, said on another node.
    pub cancels: Vec<OrderId>,
    /// Runs to stop because their order is no longer this node's.
    pub lost: Vec<OrderId>,
    /// Orders that ended without a run of this node, and how.
    pub ended: Vec<(OrderId, Status)>,
    /// Orders of the store that could not be read and were passed by.
    pub unreadable: u64,
}
