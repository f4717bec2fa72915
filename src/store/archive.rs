//! What a store keeps of comparisons: each as it was last written by the process that measures it.
//!
//! A comparison is measured where it was placed; everybody else only reads it, or wishes it stopped. One whose process is
//! gone will never end by itself: it is told as lost. An archive deliberately reads nothing of what it keeps: what is
//! answered to clients, and what the laboratory notes beside it, are texts to it. Its contract is `tests/it/archive_contract.rs`.

use std::sync::Arc;
use std::time::Duration;

use super::backend::Said;
use crate::domain::client::Client;
use crate::domain::id::OrderId;
use crate::domain::job::Status;

/// A comparison as it is kept.
#[derive(Clone, Debug, PartialEq)]
pub struct Filed {
    /// Its id.
    pub id: OrderId,
    /// Who asked for it.
    pub owner: Client,
    /// How it stood when it was written.
    pub status: Status,
    /// Somebody wants it stopped.
    pub cancel_requested: bool,
    /// When it was last written, microseconds since 1970.
    pub seen_us: i64,
    /// It has not ended, and whoever measured it is gone.
    pub is_lost: bool,
    /// As it is answered to clients: JSON.
    pub answer: Arc<str>,
    /// What the laboratory wants to know of it later: JSON.
    pub notes: Arc<str>,
}

impl Filed {
    /// Whether nothing more will come of it.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.is_lost || self.status.is_done()
    }
}

/// What came of writing a comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filing {
    /// It is kept.
    Kept {
        /// Somebody, perhaps at another node, wants it stopped.
        cancel_requested: bool,
    },
    /// It has ended otherwise, was given up as lost, or belongs to another process: nothing was written.
    Refused,
}

/// Which comparisons are looked for, youngest first.
#[derive(Clone, Debug)]
pub struct Shelf {
    /// Older than this one.
    pub before: Option<OrderId>,
    /// Of this client only.
    pub owner: Option<Client>,
    /// So many at most.
    pub limit: usize,
}

/// Keeps comparisons. Every method is one transaction, and durable when it answers, if anything here is.
pub trait Archive: Send + Sync + 'static {
    /// How often a comparison that is measured must be written so that others do not take it for lost; `None` if nobody else
    /// can look.
    fn beat(&self) -> Option<Duration>;

    /// Writes a new comparison. The oldest ended one goes if too many are kept.
    fn open(&self, filed: Filed) -> Said<()>;

    /// Writes how a comparison of this process stands. Saying the same end twice is good twice.
    fn file(&self, filed: Filed) -> Said<Filing>;

    /// One of them.
    fn filed(&self, id: OrderId) -> Said<Option<Filed>>;

    /// A page.
    fn shelf(&self, shelf: Shelf) -> Said<Vec<Filed>>;

    /// The notes of a page.
    fn notes(&self, shelf: Shelf) -> Said<Vec<Arc<str>>>;

    /// Wishes one stopped that has not ended; answers how it stands.
    fn wish_stopped(&self, id: OrderId) -> Said<Option<Filed>>;

    /// Forgets one that is over; answers whether it was, `None` if it is not here.
    fn discard(&self, id: OrderId) -> Said<Option<bool>>;
}
