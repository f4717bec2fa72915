//! Orders in a Postgres database that several nodes may share.
//!
//! Who holds what is said by the rows alone, in the database's time: `sql.rs` has every statement by which nodes share
//! orders. It deliberately elects nobody and trusts no message: NOTIFY only makes things faster.

mod address;
mod archive;
mod hints;
mod hosts;
mod line;
mod live;
mod moves;
mod new_rows;
mod open;
mod read;
mod rows;
#[macro_use]
mod sql;
mod sql_reads;
mod tidy;
#[cfg(feature = "tls")]
mod tls;
mod write;

use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize};
use std::sync::{Arc, Mutex as StdMutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use tokio::sync::Mutex;

use self::hints::Hints;
use self::hosts::Hosts;
use self::line::Line;
pub use self::open::OpenError;
use super::backend::{Appended, Change, Group, Hint, Published, Renewed, Said, Stopped, Taken, Tidied, Want};
use super::{Backend, Bounds, Counts, DeleteAnswer, Fence, Later, NodeRow, Page, Query};
use crate::domain::id::OrderId;
use crate::domain::job::Job;
use crate::domain::live::Live;
use crate::domain::record::StepRecord;

/// Connections for whoever asks about one order or a page.
const READERS: usize = 4;
/// What somebody who placed an order waits for at most.
const ANSWERS_IN: Duration = Duration::from_secs(3);
/// What tidying up may take: longer than the server lets a statement run.
const TIDIES_IN: Duration = Duration::from_secs(6);

/// The database.
pub struct Postgres(Arc<House>);

struct House {
    me: NodeRow,
    /// The same name, as it is written most.
    node: Arc<str>,
    /// This run of it: what it was before and is called the same is another one.
    session: String,
    /// Names of the models, by number.
    names: Box<[&'static str]>,
    lease: Duration,
    lease_us: i64,
    hosts: Hosts,
    appends: Line,
    settles: Line,
    takes: Line,
    readers: Vec<Arc<Line>>,
    /// Which of them is next.
    turn: AtomicUsize,
    /// On the runtime of whoever renews, so that nothing else can keep it waiting.
    renewals: OnceLock<Line>,
    /// Keeps the connection that listens.
    _listens: Line,
    hints: Mutex<Hints>,
    /// What the settings of the database do not promise, as it was seen last.
    caveat: StdMutex<Option<&'static str>>,
    /// Rows passed by since the last time of tidying up: damaged.
    unreadable: AtomicU64,
    /// As the latest call that named it said; for orders that end here.
    retention_us: AtomicI64,
}

impl Postgres {
    /// Connects, brings the schema up to date, and says that this node is there. `names` are those of the models, by number.
    pub async fn connect(url: &str, me: NodeRow, lease: Duration, names: &[&'static str]) -> Result<Self, OpenError> {
        let hosts = address::hosts(url)?;
        open::migrate(&hosts).await?;
        let hosts = open::bounded(&hosts);
        let line = |limit| Line::new(hosts.clone(), limit);
        let takes = line(TIDIES_IN);
        let said = takes.ask(sql_reads::NOW, &[]).await;
        let now = said.ok().and_then(|rows| rows.into_iter().next());
        let now = now.ok_or_else(|| OpenError::Unreachable("it let us in and did not answer".to_owned()))?;
        let (listens, hears) = Line::listening(hosts.clone());
        let started_us: i64 = now.get(0);
        let house = House {
            node: me.node.clone(),
            session: format!("{} {started_us}", me.node),
            me: NodeRow { started_us, ..me },
            names: names.into(),
            lease,
            lease_us: i64::try_from(lease.as_micros()).unwrap_or(i64::MAX),
            appends: line(ANSWERS_IN),
            settles: line(ANSWERS_IN),
            takes,
            readers: (0..READERS).map(|_| Arc::new(line(ANSWERS_IN))).collect(),
            turn: AtomicUsize::new(0),
            renewals: OnceLock::new(),
            _listens: listens,
            hints: Mutex::new(Hints::new(hears)),
            caveat: StdMutex::default(),
            unreadable: AtomicU64::new(0),
            retention_us: AtomicI64::new(Bounds::default().retention_us),
            hosts,
        };
        house.renew(&house.takes, Vec::new()).await.map_err(|down| OpenError::Unreachable(down.to_string()))?;
        Ok(Self(Arc::new(house)))
    }

    /// Brings the schema up to date and does nothing else.
    pub async fn migrate(url: &str) -> Result<(), OpenError> {
        open::migrate(&address::hosts(url)?).await
    }

    fn say<T: 'static, F: Future<Output = T> + Send + 'static>(&self, act: impl FnOnce(Arc<House>) -> F) -> Later<T> {
        Box::pin(act(self.0.clone()))
    }
}

impl House {
    /// Hears what the settings of the database promise now; says it when that has changed.
    fn promises(&self, synchronous_standbys: &str, standbys: u64, is_synced: bool) {
        let now = caveat(synchronous_standbys, standbys, is_synced);
        let before = std::mem::replace(&mut *self.caveat(), now);
        match now {
            Some(caveat) if before != now => tracing::warn!("{caveat}"),
            None if before.is_some() => tracing::info!("the database keeps every acknowledged order again"),
            _ => {}
        }
    }

    fn caveat(&self) -> MutexGuard<'_, Option<&'static str>> {
        self.caveat.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn renewals(&self) -> &Line {
        self.renewals.get_or_init(|| Line::new(self.hosts.clone(), ANSWERS_IN))
    }
}

/// What the settings of the database do not promise.
fn caveat(synchronous_standbys: &str, standbys: u64, is_synced: bool) -> Option<&'static str> {
    if !is_synced {
        return Some("the database runs with fsync off: a crash of its machine may lose acknowledged orders");
    }
    let is_asynchronous = standbys > 0 && synchronous_standbys.is_empty();
    is_asynchronous.then_some("the standbys are asynchronous: a failover may lose acknowledged orders")
}

impl Backend for Postgres {
    fn name(&self) -> &'static str {
        "postgres"
    }

    fn is_shared(&self) -> bool {
        true
    }

    fn lease(&self) -> Duration {
        self.0.lease
    }

    fn caveat(&self) -> Option<String> {
        self.0.caveat().map(str::to_owned)
    }

    fn append(&self, groups: Vec<Group>) -> Said<Vec<Appended>> {
        self.say(|house| async move { house.append(groups).await })
    }

    fn settle(&self, changes: Vec<Change>) -> Said<Vec<bool>> {
        self.say(|house| async move { house.settle(changes).await })
    }

    fn take(&self, want: Want) -> Said<Vec<Taken>> {
        self.say(|house| async move { house.take(want).await })
    }

    fn renew(&self, held: Vec<Fence>) -> Said<Renewed> {
        self.say(|house| async move { house.renew(house.renewals(), held).await })
    }

    fn tidy(&self, bounds: Bounds, _now_us: i64) -> Said<Tidied> {
        self.say(|house| async move { house.tidy(bounds).await })
    }

    fn cancel(&self, id: OrderId, _now_us: i64) -> Said<Stopped> {
        self.say(|house| async move { house.cancel(id).await })
    }

    fn get(&self, id: OrderId) -> Said<Option<Box<Job>>> {
        self.say(|house| async move { house.get(id).await })
    }

    fn steps(&self, id: OrderId) -> Said<Option<Vec<StepRecord>>> {
        self.say(|house| async move { house.steps(id).await })
    }

    fn publish(&self, runs: Vec<Published>) -> Said<Vec<bool>> {
        self.say(|house| async move { house.publish(runs).await })
    }

    fn published(&self, run: Fence, after: u32) -> Said<Option<Live>> {
        self.say(move |house| async move { house.published(run, after).await })
    }

    fn list(&self, query: Query) -> Said<Page> {
        self.say(|house| async move { house.list(query).await })
    }

    fn delete(&self, id: OrderId) -> Said<DeleteAnswer> {
        self.say(|house| async move { house.delete(id).await })
    }

    fn counts(&self) -> Said<Counts> {
        self.say(|house| async move { house.counts().await })
    }

    fn nodes(&self) -> Said<Vec<NodeRow>> {
        self.say(|house| async move { house.nodes().await })
    }

    fn hint(&self) -> Later<Hint> {
        self.say(|house| async move {
            match house.hints.lock().await.next(&house.node).await {
                Some(hint) => hint,
                // The service ends.
                None => std::future::pending().await,
            }
        })
    }
}
