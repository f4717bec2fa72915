//! The contract every store keeps, clause by clause, through the trait alone. A further backend is one more test at the
//! end, with its own way to make an empty store.
//!
//! It deliberately knows no kitchen: who may call what when is the caller's business, what holds afterwards is checked here. The
//! clauses are in `store_contract_life.rs`, `_again.rs`, `_door.rs` and `_kept.rs`.

use std::net::Ipv4Addr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use pasta_fasta::domain::Ns;
use pasta_fasta::domain::client::Client;
use pasta_fasta::domain::id::{Ids, OrderId};
use pasta_fasta::domain::job::{Job, Status};
use pasta_fasta::domain::menu;
use pasta_fasta::domain::recipe::StepOrder;
use pasta_fasta::domain::record::{StepRecord, Totals};
use pasta_fasta::domain::spec::{Choice, Isolation, ModelId, OPTIONS, Setup, Spec};
use pasta_fasta::domain::summary::{Agreed, Summary};
use pasta_fasta::store::{
    Bounds, CancelAnswer, Counts, DeleteAnswer, Fence, Fill, Finish, Finished, Lapsed, Lookup, Memory, NewJob, Once,
    Page, Places, Query, Refused, Room, Store, Submitted,
};

use tokio::runtime::Runtime;

use crate::{
    store_contract_again as again, store_contract_door as door, store_contract_kept as kept,
    store_contract_life as life,
};

/// A store whose answers are waited for.
pub(crate) struct Blocking(pub(crate) Arc<dyn Store>);

/// Where answers are waited for, and where the stores' own tasks run.
pub(crate) fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap())
}

#[rustfmt::skip]
impl Blocking {
    pub(crate) fn submit(&self, batch: Vec<NewJob>, once: Option<Once>) -> Result<Submitted, Refused> {
        runtime().block_on(self.0.submit(batch, once))
    }
    pub(crate) fn claim(&self, free: Room, alone: bool, place: Places<'_>, now: Ns, now_us: i64) -> Vec<(Job, Room)> {
        self.0.claim(free, alone, place, now, now_us)
    }
    pub(crate) fn lapse(&self, now: Ns, now_us: i64) -> Lapsed { runtime().block_on(self.0.lapse(now, now_us)) }
    pub(crate) fn fill(&self, client: &Client) -> (Fill, Fill) { self.0.fill(client) }
    pub(crate) fn finish(&self, finish: Finish) -> Option<()> {
        (self.ends(finish) == Finished::Written).then_some(())
    }
    pub(crate) fn ends(&self, finish: Finish) -> Finished { runtime().block_on(self.0.finish(finish)) }
    pub(crate) fn request_cancel(&self, id: OrderId, now_us: i64) -> CancelAnswer {
        runtime().block_on(self.0.request_cancel(id, now_us)).unwrap()
    }
    pub(crate) fn get(&self, id: OrderId) -> Lookup { runtime().block_on(self.0.get(id)).unwrap() }
    pub(crate) fn steps(&self, id: OrderId) -> Option<Arc<Vec<StepRecord>>> {
        runtime().block_on(self.0.steps(id)).unwrap()
    }
    pub(crate) fn list(&self, query: &Query) -> Page { runtime().block_on(self.0.list(query.clone())).unwrap() }
    pub(crate) fn delete(&self, id: OrderId) -> DeleteAnswer { runtime().block_on(self.0.delete(id)).unwrap() }
    pub(crate) fn sweep(&self, now_us: i64) { runtime().block_on(self.0.sweep(now_us)); }
    pub(crate) fn counts(&self) -> Counts { runtime().block_on(self.0.counts()).unwrap() }
}

/// Makes an empty store with these bounds.
pub(crate) type Make<'a> = &'a dyn Fn(Bounds) -> Arc<Blocking>;

/// A moment, microseconds since 1970. Stores read no clock: every time is handed in.
pub(crate) const NOW_US: i64 = 1_800_000_000_000_000;
pub(crate) const PLENTY: Room = Room { threads: 100, children: 100 };
pub(crate) const NONE: Room = Room { threads: 0, children: 0 };

/// What a store promises, and how that is tried.
type Clause = (&'static str, fn(Make));

const CLAUSES: &[Clause] = &[
    ("orders are claimed oldest first, once, and run under a new attempt", life::claimed_oldest_first),
    ("a batch is queued whole or not at all", life::all_or_none),
    ("staff is never promised twice, and a waiting line is kept", life::staff_is_counted),
    ("a canceled order in the line holds nobody back", life::canceled_head),
    ("who is alone is claimed alone", life::alone),
    ("clients take turns", door::turns),
    ("whom the house has no place for does not hold back others", door::places),
    ("nobody may hold more than is free", door::shares),
    ("a request with a key takes effect once, for as long as its orders are kept", door::once),
    ("who has not begun by his deadline is expired, never begun", door::lapsed),
    ("a list can be of one client's orders", door::owned),
    ("only the run that holds the fence writes the end, once", life::fenced),
    ("a failed run is tried again until one succeeds or none is left", again::until_one_succeeds_or_none_is_left),
    ("what would fail again is not tried again", again::not_what_would_come_again),
    ("who waits for another try is not in line, and can be stopped", again::not_before_its_time),
    ("an end is written as it is handed in", life::end_is_kept),
    ("a cancel meets every state", life::cancel_meets_every_state),
    ("no two claimants get the same order", life::claimed_by_one),
    ("a list is youngest first, page by page", kept::listed),
    ("filters of a list hold all at once", kept::filtered),
    ("only ended orders are deleted", kept::deleted),
    ("what was kept long enough is swept, active orders never", kept::swept),
    ("too many ended orders: the one that ended first goes", kept::bounded_by_count),
    ("too many bytes: the one that ended first goes", kept::bounded_by_bytes),
    ("accepted is the sum of all states after every step", kept::counts_conserve),
];

/// Holds a store to every clause and reports all that are broken.
fn exercise(clauses: &[Clause], make: impl Fn(Bounds) -> Arc<Blocking>) {
    let is_broken = |(_, clause): &&Clause| catch_unwind(AssertUnwindSafe(|| clause(&make))).is_err();
    let broken: Vec<_> = clauses.iter().filter(is_broken).map(|(name, _)| *name).collect();
    assert!(broken.is_empty(), "broken: {broken:#?}");
}

/// An order of one model with a label, waiting to be queued.
pub(crate) fn new_job(ids: &Ids, needs: Room) -> NewJob {
    let spec = Spec {
        model: ModelId(0),
        setup: Setup([Choice::Word(0); OPTIONS]),
        recipe: menu::recipe("pasta-fasta").unwrap().recipe.clone(),
        dishes: 1,
        first_dish: 1,
        stride: 1,
        step_order: StepOrder::Recipe,
        isolation: Isolation::House,
        speed: 1,
        seed: 1,
        max_in_flight: None,
        arrivals: None,
        timeout: None,
        expires_in: None,
        traceparent: None,
        labels: Box::default(),
        max_attempts: 1,
        first_retry_wait: Duration::ZERO,
    };
    let job = Job {
        id: ids.next(NOW_US),
        owner: owner(1),
        retry_of: None,
        spec: Arc::new(spec),
        status: Status::Queued,
        attempt: 0,
        created_us: NOW_US,
        started_us: None,
        finished_us: None,
        retained_us: None,
        queue_ns: 0,
        cancel_requested: false,
        concurrent_orders: 0,
        error: None,
        summary: None,
        history: None,
    };
    NewJob { job, accepted: 1_000, needs, alone: false }
}

/// A client.
pub(crate) fn owner(n: u8) -> Client {
    Client::address(Ipv4Addr::new(127, 0, 0, n).into())
}

/// Queues one order that needs this.
pub(crate) fn queue(store: &Blocking, ids: &Ids, needs: Room) -> OrderId {
    let new = new_job(ids, needs);
    let id = new.job.id;
    store.submit(vec![new], None).expect("there is room");
    id
}

/// Claims whatever fits.
pub(crate) fn claim(store: &Blocking, free: Room) -> Vec<OrderId> {
    let claimed = store.claim(free, false, &mut |_, _| true, 2_000, NOW_US + 1);
    claimed.into_iter().map(|(job, _)| job.id).collect()
}

/// The end of an order's first run.
pub(crate) fn end_of(id: OrderId, status: Status, finished_us: i64) -> Finish {
    let summary = Summary {
        makespan: 5,
        mean_dish: Some(4),
        p50_dish: None,
        p95_dish: None,
        max_dish: Some(6),
        dishes_succeeded: 1,
        dishes_failed: 2,
        totals: Totals { queue: 3, ..Totals::default() },
        values: vec![Agreed::On(1 << 100)],
        bill: None,
        sampled: false,
        events: 7,
    };
    let fence = Fence { id, attempt: 1 };
    let (at, accepted, needs) = (10_000, 1_000, NONE);
    let records = Vec::new();
    Finish { fence, status, error: None, finished_us, at, accepted, needs, concurrent_orders: 9, summary, records }
}

/// The order as the store has it.
pub(crate) fn job(store: &Blocking, id: OrderId) -> Job {
    match store.get(id) {
        Lookup::Found(job) => *job,
        Lookup::Absent => panic!("{id} is not here"),
    }
}

pub(crate) fn status(store: &Blocking, id: OrderId) -> Status {
    job(store, id).status
}

#[test]
fn memory_keeps_the_contract_of_a_store() {
    exercise(CLAUSES, |bounds| Arc::new(Blocking(Arc::new(Memory::new(bounds)))));
}

#[cfg(feature = "sqlite")]
#[test]
fn a_store_over_a_file_keeps_the_same_contract() {
    use pasta_fasta::store::sqlite::Sqlite;
    use pasta_fasta::store::{Durable, Me};

    let folder = std::env::temp_dir().join(format!("store-contract-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let count = AtomicUsize::new(0);
    exercise(CLAUSES, |bounds| {
        let path = folder.join(format!("{}.db", count.fetch_add(1, Ordering::Relaxed)));
        let (node, runtime) = (Arc::from("kitchen-1"), runtime());
        let backend = Sqlite::open(&path, Arc::clone(&node), &["sequential", "asyncio", "multithreading"]).unwrap();
        let me = Me { node, hands: vec![u32::MAX; 3], room: PLENTY };
        let store = runtime.block_on(Durable::open(Arc::new(backend), me, bounds, runtime.handle())).unwrap();
        Arc::new(Blocking(Arc::new(store)))
    });
    std::fs::remove_dir_all(&folder).unwrap();
}

#[cfg(feature = "postgres")]
#[test]
fn a_store_over_postgres_keeps_the_same_contract() {
    use pasta_fasta::store::{Durable, Me};

    use crate::pg_server::{Kitchen, Server};

    // Kept by the database's clock, which nobody here can move: the contract of a backend tries it.
    let by_our_clock = |(name, _): &&Clause| !name.starts_with("what was kept long enough");
    let clauses: Vec<_> = CLAUSES.iter().filter(by_our_clock).copied().collect();
    exercise(&clauses, |bounds| {
        let runtime = runtime();
        let mut kitchen = Kitchen::new();
        let store = runtime.block_on(async {
            let backend = kitchen.made().await.node("here", Duration::from_secs(15)).await;
            let me = Me { node: "here".into(), hands: vec![u32::MAX; 4], room: PLENTY };
            Durable::open(Arc::new(backend), me, bounds, runtime.handle()).await.unwrap()
        });
        Arc::new(Blocking(Arc::new(store)))
    });
    let log = Server::shared().log();
    assert!(!log.contains("deadlock detected"), "statements waited for each other: {log}");
}
