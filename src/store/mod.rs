//! What remembers orders: one trait, one row per backend, one contract suite that all pass (`tests/it/store_contract.rs`).
//!
//! Claim-based, for memory too: an order is queued, claimed under a fence (id and attempt), and every later write names
//! that fence. Only the kitchen writes. [`Durable`] is a store over a [`Backend`]: a file, or a database that several nodes
//! share. It deliberately knows nothing of models or threads.

pub mod archive;
pub mod backend;
mod durable;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod fate;
mod format_1;
mod format_2;
mod memory;
pub mod packed;
#[cfg(feature = "postgres")]
pub mod postgres;
mod reply;
mod shares;
#[cfg(feature = "sqlite")]
pub mod sqlite;
mod words;

use std::sync::Arc;

pub use archive::Archive;
pub use backend::{Backend, Down, Published};
pub use durable::{Durable, Me};
pub use memory::{Bounds, Memory, MemoryArchive};
pub use packed::Overlay;
pub use reply::{Later, Reply};
pub use words::{
    CancelAnswer, Capacity, Counts, DeleteAnswer, Fence, Fill, Finish, Finished, Here, Lapsed, Lookup, NewJob, News,
    NodeRow, Once, Page, Query, Refused, Room, Submitted,
};

use crate::domain::Ns;
use crate::domain::client::Client;
use crate::domain::id::OrderId;
use crate::domain::job::Job;
use crate::domain::live::{Live, StepEvent, Window};
use crate::domain::record::StepRecord;
use crate::domain::spec::ModelId;

/// Gives a place with the house's staff for this model to an order of this client, or not now.
pub type Places<'a> = &'a mut dyn FnMut(ModelId, &Client) -> bool;

/// What the store calls itself that forgets everything with the process.
pub const MEMORY: &str = "memory";

/// The memory of the house. Every method is atomic and safe to call from any thread; none waits, an answer may.
pub trait Store: Send + Sync {
    /// What keeps the orders: `memory` forgets them at a restart.
    fn durability(&self) -> &'static str;

    /// Queues orders of one client, all or none, and remembers what makes it happen once in the same breath.
    fn submit(&self, batch: Vec<NewJob>, once: Option<Once>) -> Reply<Result<Submitted, Refused>>;

    /// Takes up queued orders that this node holds, client by client, of each the oldest first; they are `Running`
    /// afterwards. An order that needs staff of its own and does not fit into `free` holds back later ones that need
    /// some, but none that needs nothing; for those `place` is asked, per model and client. `alone` restricts the claim
    /// to comparisons' orders; without it they are left where they are.
    fn claim(&self, free: Room, alone: bool, place: Places<'_>, now: Ns, now_us: i64) -> Vec<(Job, Room)>;

    /// Ends waiting orders whose start deadline has passed, and puts in line those that have waited long enough for another try.
    fn lapse(&self, now: Ns, now_us: i64) -> Reply<Lapsed>;

    /// How full the house is for this client, and for everybody.
    fn fill(&self, client: &Client) -> (Fill, Fill);

    /// Writes the end of a run. If it failed and its order may be tried again, the order waits for that.
    fn finish(&self, finish: Finish) -> Reply<Finished>;

    /// Cancels a waiting order, marks a running one.
    fn request_cancel(&self, id: OrderId, now_us: i64) -> Reply<Result<CancelAnswer, Down>>;

    /// One order.
    fn get(&self, id: OrderId) -> Reply<Result<Lookup, Down>>;

    /// The recorded steps of an ended order, in order of their end; `None` while it is active or when it is not here.
    fn steps(&self, id: OrderId) -> Reply<Result<Option<Arc<Vec<StepRecord>>>, Down>>;

    /// The first events of an ended order's steps after this number, at most so many; as [`Store::steps`].
    fn told(&self, id: OrderId, after: u32, at_most: usize) -> Reply<Result<Option<Vec<StepEvent>>, Down>> {
        let steps = self.steps(id);
        Reply::later(async move {
            let Some(records) = steps.await? else { return Ok(None) };
            let mut window = Window::new(after, at_most);
            records.iter().for_each(|record| window.add(record));
            Ok(Some(window.into_events()))
        })
    }

    /// Whether other nodes may be asked about what this one cooks, and this one about what others cook.
    fn is_shared(&self) -> bool;

    /// Shows other nodes what runs here; answers one by one whether the fence was good.
    fn publish(&self, runs: Vec<Published>) -> Reply<Result<Vec<bool>, Down>>;

    /// How far a run on another node is, and the first of its events after this number; `None` if nothing is known of it.
    fn published(&self, run: Fence, after: u32) -> Reply<Result<Option<Live>, Down>>;

    /// Orders, youngest first.
    fn list(&self, query: Query) -> Reply<Result<Page, Down>>;

    /// Forgets an ended order.
    fn delete(&self, id: OrderId) -> Reply<Result<DeleteAnswer, Down>>;

    /// Forgets what has been kept long enough.
    fn sweep(&self, now_us: i64) -> Reply<()>;

    /// Counts.
    fn counts(&self) -> Reply<Result<Counts, Down>>;

    /// Orders of this node.
    fn here(&self) -> Here;

    /// Whether this node runs an order.
    fn runs_here(&self, id: OrderId) -> bool;

    /// The next news; never any from a store that has none.
    fn news(&self) -> Later<News>;

    /// Takes up nothing more, and gives back what has not begun, if anybody else could take it up. For the end of the service.
    fn close(&self) -> Reply<()>;

    /// What does not work now, as a sentence; nothing is accepted then.
    fn trouble(&self) -> Option<String>;

    /// What an operator should know of its promises.
    fn caveat(&self) -> Option<String>;

    /// All nodes that share this store; none if it cannot be shared.
    fn nodes(&self) -> Reply<Result<Vec<NodeRow>, Down>>;
}
