//! The contract every durable backend keeps, clause by clause, through the trait alone. A further backend is one more test
//! at the end, with its own way to make an empty database.
//!
//! It deliberately knows no `Memory` and no kitchen: how they use a backend is tried in the contract of a store. What only
//! several nodes can do to each other is in the tests of the backends that are shared. The clauses are in
//! `backend_contract_life.rs`, `backend_contract_door.rs` and `backend_contract_kept.rs`.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, LocalBoxFuture};
use pasta_fasta::clock;
use pasta_fasta::domain::id::{Ids, OrderId};
use pasta_fasta::domain::job::{Job, Status};
use pasta_fasta::domain::record::{Outcome, StepRecord};
use pasta_fasta::store::backend::{Appended, Change, Ended, Entry, Group, Lane, Taken, Tidied, Want, What};
use pasta_fasta::store::{Backend, Bounds, Counts, Fence, Query, Room, packed};

use crate::store_contract::{NONE, PLENTY, end_of, new_job};
use crate::{backend_contract_door as door, backend_contract_kept as kept, backend_contract_life as life};

/// A database of its own for one clause.
pub(crate) trait Database: Send {
    /// Opens it, as the same node; nobody has it open.
    fn open(&mut self) -> BoxFuture<'_, Arc<dyn Backend>>;

    /// So much time passes for the rows that are there, where the database has a clock of its own.
    fn pass_time(&mut self, time: Duration) -> BoxFuture<'_, ()>;
}

/// Makes an empty database.
pub(crate) type Make<'a> = &'a dyn Fn() -> Box<dyn Database>;

/// What a backend promises, and how that is tried.
type Clause = (&'static str, fn(House) -> LocalBoxFuture<'static, ()>);

macro_rules! clauses {
    ($($name:literal: $clause:path,)*) => { &[$(($name, |house| Box::pin($clause(house)))),*] };
}

const CLAUSES: &[Clause] = clauses![
    "what was written is read back, whole": door::written,
    "a group with a key takes effect once, as long as its first order is kept": door::once,
    "a group that is written again is there once": door::written_again,
    "labels are data, whatever they look like": door::hostile_labels,
    "orders are taken up by turn, each lane for itself, as many as are wanted": door::turns,
    "staff is never promised twice, and the line is kept": door::room,
    "who is held from the start, or alone, is nobody else's": door::held,
    "a run begins, ends and is read back with its steps": life::begun_and_ended,
    "an end can come without its beginning": life::ended_only,
    "only the grant that is the latest writes": life::fenced,
    "the same end is good twice, another is not": life::ended_twice,
    "what is given back unbegun waits again as if nothing had been": life::given_back,
    "a run that did not come to its end is remembered, and too many of them fail it": life::runs,
    "what would wait again ends if somebody wants it stopped, or it is alone": life::not_again,
    "a cancel meets every state": life::canceled,
    "a renewal tells what is lost and what is to stop": life::renewed,
    "what was answered is there after the database is opened again": life::reopened,
    "a run without its node waits again, but not for ever": life::lost_with_node,
    "a list is youngest first, page by page": kept::listed,
    "filters of a list hold all at once": kept::filtered,
    "only ended orders are deleted": kept::deleted,
    "who has not begun by his deadline is expired": kept::expired,
    "what was kept long enough is forgotten, active orders never": kept::aged,
    "too many ended orders: the ones that ended first go": kept::bounded,
    "shares and lines are counted": kept::shares,
    "accepted is the sum of all states after every step": kept::conserved,
];

/// Holds a backend to every clause and reports all that are broken.
pub(crate) fn exercise(make: Make) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let is_broken = |(_, clause): &&Clause| {
        let tried = async { clause(House::new(make()).await).await };
        runtime.block_on(AssertUnwindSafe(tried).catch_unwind()).is_err()
    };
    let broken: Vec<_> = CLAUSES.iter().filter(is_broken).map(|(name, _)| *name).collect();
    assert!(broken.is_empty(), "broken: {broken:#?}");
}

/// A backend and what a clause says to it.
pub(crate) struct House {
    pub(crate) ids: Ids,
    /// `None` only while it is opened again.
    backend: Option<Arc<dyn Backend>>,
    database: Box<dyn Database>,
    /// Time that has passed by request.
    passed: Duration,
}

impl House {
    async fn new(mut database: Box<dyn Database>) -> Self {
        let backend = database.open().await;
        let house = Self { ids: Ids::new(1), backend: Some(backend), database, passed: Duration::ZERO };
        // The first call of one that is not shared answers with what was left behind: nothing.
        assert!(house.take(Want::default()).await.is_empty());
        house
    }

    pub(crate) fn backend(&self) -> &dyn Backend {
        &**self.backend.as_ref().unwrap()
    }

    /// Ends the service and starts it again; its leases have run out by then.
    pub(crate) async fn reopen(&mut self) {
        let lease = self.backend().lease();
        self.backend = None;
        self.backend = Some(self.database.open().await);
        self.pass_time(lease * 2).await;
    }

    pub(crate) async fn pass_time(&mut self, time: Duration) {
        self.passed += time;
        self.database.pass_time(time).await;
    }

    /// Now, microseconds since 1970: near that of a database with a clock of its own.
    pub(crate) fn now_us(&self) -> i64 {
        clock::wall_us() + self.passed.as_micros() as i64
    }

    /// An order about to be written, any node's.
    pub(crate) fn entry(&self, lane: Lane, turn: i64) -> Entry {
        let mut job = new_job(&self.ids, NONE).job;
        job.created_us = self.now_us();
        Entry { job, needs: NONE, lane, turn, held: false }
    }

    pub(crate) async fn append(&self, groups: Vec<Group>) -> Vec<Appended> {
        self.backend().append(groups).await.unwrap()
    }

    /// Writes one order.
    pub(crate) async fn write(&self, entry: Entry) -> OrderId {
        let id = entry.job.id;
        assert_eq!(self.append(vec![Group { entries: vec![entry], once: None }]).await, [Appended::Fresh]);
        id
    }

    /// Writes one order that waits for any node, the oldest the first.
    pub(crate) async fn waiting(&self) -> OrderId {
        self.write(self.entry(Lane(0), 0)).await
    }

    /// Writes one order that this node holds: its first grant.
    pub(crate) async fn granted(&self) -> Fence {
        let id = self.write(Entry { held: true, ..self.entry(Lane(0), 0) }).await;
        Fence { id, attempt: 1 }
    }

    /// The same, and its run has begun.
    pub(crate) async fn running(&self) -> Fence {
        let fence = self.granted().await;
        assert!(self.settle(fence, self.begun()).await);
        fence
    }

    /// The same, and it has ended.
    pub(crate) async fn ended(&self) -> OrderId {
        let fence = self.running().await;
        assert!(self.settle(fence, self.end(fence, Status::Succeeded).await).await);
        fence.id
    }

    pub(crate) async fn take(&self, want: Want) -> Vec<Taken> {
        self.backend().take(want).await.unwrap()
    }

    /// Takes up all there is.
    pub(crate) async fn take_all(&self) -> Vec<Taken> {
        let lanes = [Lane(0), Lane(1), Lane::STAFFED].map(|lane| (lane, 1_000));
        self.take(Want { lanes: lanes.into(), room: PLENTY }).await
    }

    pub(crate) async fn settle(&self, fence: Fence, what: What) -> bool {
        let good = self.backend().settle(vec![Change { fence, what }]).await.unwrap();
        assert_eq!(good.len(), 1);
        good[0]
    }

    pub(crate) fn begun(&self) -> What {
        What::Begun { started_us: self.now_us(), queue_ns: 5 }
    }

    /// The end of this run, with a record.
    pub(crate) async fn end(&self, fence: Fence, status: Status) -> What {
        let mut job = self.get(fence.id).await.unwrap();
        let finish = end_of(fence.id, status, self.now_us());
        job.attempt = fence.attempt;
        job.status = status;
        job.finished_us = Some(finish.finished_us);
        job.retained_us = Some(finish.finished_us + Bounds::default().retention_us);
        job.summary = Some(Box::new(finish.summary));
        let packed = packed::pack(&job, &records()).into();
        What::Ended(Arc::new(Ended { job, packed }))
    }

    pub(crate) async fn get(&self, id: OrderId) -> Option<Job> {
        self.backend().get(id).await.unwrap().map(|job| *job)
    }

    pub(crate) async fn status(&self, id: OrderId) -> Status {
        self.get(id).await.unwrap().status
    }

    pub(crate) async fn tidy(&self, bounds: Bounds) -> Tidied {
        self.backend().tidy(bounds, self.now_us()).await.unwrap()
    }

    pub(crate) async fn counts(&self) -> Counts {
        self.backend().counts().await.unwrap()
    }

    /// All orders, youngest first.
    pub(crate) async fn listed(&self, query: Query) -> Vec<OrderId> {
        self.backend().list(query).await.unwrap().jobs.iter().map(|job| job.id).collect()
    }
}

/// A query for everything.
pub(crate) fn all() -> Query {
    Query { limit: 1_000, ..Query::default() }
}

/// The steps of every order that ends here.
pub(crate) fn records() -> Vec<StepRecord> {
    let at = pasta_fasta::domain::recipe::StepRef { dish: 1, step: 0 };
    vec![StepRecord { finished: 9, value: Some(1 << 99), ..StepRecord::unrun(at, Outcome::Canceled) }]
}

/// Ids of what was taken up.
pub(crate) fn ids(taken: &[Taken]) -> Vec<OrderId> {
    taken.iter().map(|taken| taken.fence.id).collect()
}

/// Room for so many threads.
pub(crate) fn threads(threads: u32) -> Room {
    Room { threads, children: 0 }
}

#[cfg(feature = "sqlite")]
#[test]
fn sqlite_keeps_the_contract_of_a_backend() {
    exercise(&|| Box::new(crate::sqlite_file::File::new()));
}
