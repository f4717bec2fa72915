//! A store over a database: orders this node holds are in memory, with their lines and turns; all orders are in the
//! [`Backend`], which is the truth. Nothing is answered or shown that is not written there first.
//!
//! Submissions and ends are written in groups: whatever came in while the last group was being written is the next one
//! (group commit), so a database that is asked much is asked in few statements. It deliberately judges nothing: lines are
//! [`Memory`]'s, fences the backend's.

mod clerk;
mod ends;
mod holdings;
mod keeper;
mod store;
mod turn_tags;
mod writer;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{Notify, mpsc};

use self::holdings::Holdings;
use self::turn_tags::TurnTags;
use self::writer::{Append, Line};
use super::backend::{Backend, Change, Down, Ended, Hint, What};
use super::memory::Memory;
use super::shares::{Load, Shares};
use super::{Bounds, Fence, News, Room, packed};
use crate::clock;
use crate::domain::id::OrderId;
use crate::domain::job::{Broken, Job, Status};

/// Ended orders a node remembers beside the database: whoever holds an answer open reads them at once.
const LATELY_ENDED: usize = 4_096;
/// Bytes of those.
const LATELY_ENDED_BYTES: usize = 32 * 1024 * 1024;
/// Microseconds they are remembered, since others may delete them: no longer than an answer takes.
const LATELY_US: i64 = 1_000_000;

/// Shortest time between two times of tidying up.
const TIDY: Duration = Duration::from_secs(1);

/// What this node is to a shared database.
#[derive(Clone, Debug)]
pub struct Me {
    /// Its name.
    pub node: Arc<str>,
    /// Orders of the house's staff it takes up at once, per model (position = `ModelId`); 0 if it does not offer the model.
    pub hands: Vec<u32>,
    /// Staff that orders may have of their own.
    pub room: Room,
}

/// The store.
pub struct Durable(Arc<House>);

/// What all its tasks share.
pub(super) struct House {
    backend: Arc<dyn Backend>,
    desk: Memory,
    me: Me,
    bounds: Bounds,
    holdings: Mutex<Holdings>,
    shares: Mutex<Shares>,
    tags: Mutex<TurnTags>,
    appends: mpsc::UnboundedSender<Append>,
    settles: mpsc::UnboundedSender<Line>,
    news: Mutex<News>,
    rung: Notify,
    /// Something became free, or something waits: time to look whether orders can be taken up.
    hungry: Arc<Notify>,
    /// Somebody wants an order stopped that may be this node's: the next renewal says which.
    renew_now: Arc<Notify>,
    down: Mutex<Option<Down>>,
    tidied_at: AtomicU64,
    is_closed: AtomicBool,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Durable {
    /// A store over this backend; its tasks run on `runtime`, the renewal of leases on a thread of its own. What a backend
    /// that is not shared kept from before is taken up before this returns.
    pub async fn open(backend: Arc<dyn Backend>, me: Me, bounds: Bounds, runtime: &Handle) -> Result<Self, Down> {
        let is_shared = backend.is_shared();
        let desk = Memory::new(Bounds {
            active_orders: usize::MAX,
            active_bytes: usize::MAX,
            ended_orders: LATELY_ENDED,
            ended_bytes: LATELY_ENDED_BYTES,
            retention_us: LATELY_US,
        });
        let (appends, append_line) = mpsc::unbounded_channel();
        let (settles, settle_line) = mpsc::unbounded_channel();
        let house = Arc::new(House {
            backend,
            desk,
            me,
            bounds,
            holdings: Mutex::default(),
            shares: Mutex::default(),
            tags: Mutex::default(),
            appends,
            settles,
            news: Mutex::default(),
            rung: Notify::new(),
            hungry: Arc::default(),
            renew_now: Arc::default(),
            down: Mutex::default(),
            tidied_at: AtomicU64::new(0),
            is_closed: AtomicBool::new(false),
        });
        locked(&house.holdings).claiming(house.me.room, false);
        house.tidied_at.store(clock::now(), Ordering::Relaxed);
        let tidied = house.backend.tidy(bounds, clock::wall_us()).await?;
        house.tidied(tidied);
        if !is_shared {
            house.take().await?;
        }
        runtime.spawn(writer::append(Arc::downgrade(&house), append_line));
        runtime.spawn(writer::settle(Arc::downgrade(&house), settle_line));
        runtime.spawn(clerk::note_begun(Arc::downgrade(&house)));
        if is_shared {
            runtime.spawn(clerk::take_up(Arc::downgrade(&house)));
            runtime.spawn(clerk::hear(Arc::downgrade(&house)));
            keeper::start(&house);
        } else {
            runtime.spawn(clerk::take_back(Arc::downgrade(&house)));
        }
        Ok(Self(house))
    }
}

impl House {
    /// What all clients together may hold.
    fn room(&self) -> Load {
        Load { orders: self.bounds.active_orders, bytes: self.bounds.active_bytes }
    }

    fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Acquire)
    }

    /// Whether it is time to tidy up; a look between two times takes only what is known to wait.
    fn is_due(&self) -> bool {
        let now = clock::now();
        let before = self.tidied_at.load(Ordering::Relaxed);
        let is_due = before == 0 || now.saturating_sub(before) >= clock::ns(TIDY);
        if is_due {
            self.tidied_at.store(now, Ordering::Relaxed);
        }
        is_due
    }

    /// Leaves news for the kitchen.
    fn tell(&self, write: impl FnOnce(&mut News)) {
        write(&mut locked(&self.news));
        self.rung.notify_one();
    }

    /// Remembers whether the database answers.
    fn heard<T>(&self, said: &Result<T, Down>) {
        let now = said.as_ref().err().copied();
        let before = std::mem::replace(&mut *locked(&self.down), now);
        match (before, now) {
            (None, Some(down)) => tracing::warn!(store = self.backend.name(), "{down}"),
            (Some(_), None) => tracing::info!(store = self.backend.name(), "the order store answers again"),
            _ => {}
        }
    }

    /// The change that ends an order this node holds; `None` if it does not hold it.
    fn end_of(&self, job: Job, records: &[crate::domain::record::StepRecord]) -> Option<Change> {
        let fence = Fence { id: job.id, attempt: locked(&self.holdings).attempt(job.id)? };
        let packed = packed::pack(&job, records).into();
        Some(Change { fence, what: What::Ended(Arc::new(Ended { job, packed })) })
    }

    /// A change of this order was written, or refused.
    fn settled(&self, id: OrderId, what: &What, is_good: bool) {
        match what {
            What::Begun { .. } => return,
            What::Ended(end) if is_good => self.desk.conclude(&end.job, &end.packed),
            What::Ended(_) | What::Returned { .. } => self.desk.let_go(id),
        }
        let is_tried_again = matches!(what, What::Returned { attempt: Some(run), .. } if run.why == Broken::Failed);
        if let Some(held) = locked(&self.holdings).let_go(id) {
            locked(&self.shares).give_back(&held.owner, held.load);
            if is_tried_again && is_good {
                // It waits for any node now; whoever takes it up lets it rest until it is time.
                locked(&self.tags).added(held.lane, 0);
            }
        }
        if self.backend.is_shared() || is_tried_again {
            self.hungry.notify_one();
        }
    }

    /// Orders this node held are somebody else's, or must be taken for that.
    fn lose(&self, fences: &[Fence]) {
        let mut running = Vec::new();
        for fence in fences {
            if !locked(&self.holdings).lose(*fence) {
                continue;
            }
            match self.desk.active(fence.id) {
                Some(job) if job.status == Status::Running => running.push(fence.id),
                _ => {
                    self.desk.let_go(fence.id);
                    locked(&self.holdings).let_go(fence.id);
                }
            }
        }
        if !running.is_empty() {
            tracing::warn!(orders = running.len(), "lost the lease of running orders; stopping them");
            self.tell(|news| news.lost.append(&mut running));
        }
    }

    /// An order ended elsewhere, or was deleted there.
    fn hear(&self, hint: Hint) {
        match hint {
            Hint::Queued => self.hungry.notify_one(),
            Hint::Cancel => self.renew_now.notify_one(),
            Hint::Deleted(id) => drop(self.desk.delete_now(id)),
            Hint::Ended(id, status) => self.tell(|news| news.ended.push((id, status))),
        }
    }
}
