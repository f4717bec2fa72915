//! Admits orders, starts their runs, stops them, and writes how they ended. The only writer to the store.
//!
//! It deliberately cooks nothing itself (that is [`crate::model`]) and speaks no HTTP.

mod alone;
mod books;
mod gate;
mod intake;
mod journal;
mod log;
mod news;
mod places;
mod publish;
mod recipes;
mod staffing;
mod stopping;
mod watch;

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

pub use alone::{Alone, Busy};
pub use intake::{Placed, Refusal};
pub use journal::{Found as Happened, Journal};
pub use watch::Watched;

use self::books::Active;
use self::gate::Gate;
use self::places::Places;
use self::staffing::Staffing;
use self::watch::Watchers;
use tokio::sync::Notify;

use crate::clock;
use crate::domain::ask::OrderAsk;
use crate::domain::client::Client;
use crate::domain::draw;
use crate::domain::id::{Ids, OrderId, Origin};
use crate::domain::job::Job;
use crate::domain::resolve::{self, House, ModelRow, Violation};
use crate::domain::spec::Spec;
use crate::metrics::{Metrics, Reading};
use crate::model::cancel::Reason;
use crate::model::run::Run;
use crate::model::staff::{Staff, StaffConfig};
use crate::model::{self, Demand};
use crate::store::{Bounds, DeleteAnswer, Down, Lookup, MEMORY, Store};

/// What a kitchen is made of.
#[derive(Clone, Debug)]
pub struct KitchenConfig {
    /// Its staff.
    pub staff: StaffConfig,
    /// Whether fault steps are allowed.
    pub allow_faults: bool,
    /// Staff that orders may have of their own at once.
    pub budget: Demand,
    /// How much its store keeps.
    pub bounds: Bounds,
}

/// What is known of an id.
#[derive(Clone, Debug, PartialEq)]
pub enum Found {
    /// It is here.
    Here(Box<Job>),
    /// It was here and is no longer kept.
    Gone,
    /// It belongs to an earlier run of the service, which kept it in memory.
    LostOnRestart,
    /// It was never one of ours.
    Unknown,
}

/// The kitchen of the house.
pub struct Kitchen {
    /// What it is made of.
    pub config: KitchenConfig,
    /// What it remembers with; to be read by others, written only here.
    pub store: Arc<dyn Store>,
    /// The house's staff.
    pub staff: Arc<Staff>,
    /// The house's metrics.
    pub metrics: Arc<Metrics>,
    /// Source of ids.
    pub ids: Ids,
    models: Vec<ModelRow>,
    seeds: std::sync::atomic::AtomicU64,
    runs: Mutex<HashMap<OrderId, Active>>,
    /// Orders being cooked. Not `runs.len()`: a run stays there until its end is written, so that its progress is seen.
    cooking: AtomicU32,
    staffing: Mutex<Staffing>,
    places: Places,
    watchers: Watchers,
    draining: AtomicBool,
    /// What was being cooked is being stopped: its staff is for nobody else.
    abandoned: AtomicBool,
    /// What happened lately to all orders.
    pub journal: Journal,
    gate: Gate,
    /// Rings when an order with a start deadline comes in, or one begins to wait for another try.
    deadlines: Arc<Notify>,
    turn: tokio::sync::Mutex<()>,
    runtime: tokio::runtime::Handle,
    me: Weak<Self>,
}

impl Kitchen {
    /// A kitchen over this store; its timers run on `runtime`. `random` seeds boot tag and drawn seeds.
    #[must_use]
    pub fn new(
        config: KitchenConfig,
        store: Arc<dyn Store>,
        runtime: tokio::runtime::Handle,
        random: u64,
    ) -> Arc<Self> {
        let models = model::rows();
        let names: Vec<_> = models.iter().map(|row| row.name).collect();
        let kitchen = Arc::new_cyclic(|me| Self {
            staff: Staff::new(config.staff.clone()),
            metrics: Metrics::new(&names),
            ids: Ids::new(draw::mix(random)),
            models,
            seeds: std::sync::atomic::AtomicU64::new(random),
            runs: Mutex::default(),
            cooking: AtomicU32::new(0),
            staffing: Mutex::new(Staffing::new(config.budget)),
            places: Places::default(),
            watchers: Watchers::default(),
            draining: AtomicBool::new(false),
            abandoned: AtomicBool::new(false),
            journal: Journal::default(),
            gate: Gate::default(),
            deadlines: Arc::default(),
            turn: tokio::sync::Mutex::new(()),
            runtime,
            me: me.clone(),
            config,
            store,
        });
        kitchen.runtime.spawn(stopping::mind_deadlines(Arc::downgrade(&kitchen), kitchen.deadlines.clone()));
        kitchen.runtime.spawn(news::heed(Arc::downgrade(&kitchen)));
        if kitchen.store.is_shared() {
            kitchen.runtime.spawn(publish::publish(Arc::downgrade(&kitchen)));
        }
        kitchen
    }

    fn runs(&self) -> MutexGuard<'_, HashMap<OrderId, Active>> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Resolves an order as asked; also refuses what the house's whole budget could not staff.
    pub fn resolve(&self, ask: OrderAsk) -> Result<Spec, Vec<Violation>> {
        let seed = draw::mix(self.seeds.fetch_add(1, Ordering::Relaxed)) >> 11;
        let house = House { models: &self.models, allow_faults: self.config.allow_faults, seed };
        let mut spec = resolve::order(ask, house)?;
        spec.recipe = recipes::shared(spec.recipe);
        staffing::check(&spec, self.config.budget).map_err(|violation| vec![violation])?;
        Ok(spec)
    }

    /// One order with its progress.
    pub async fn get(&self, id: OrderId) -> Result<Found, Down> {
        Ok(match (self.store.get(id).await?, self.ids.origin(id)) {
            (Lookup::Found(job), _) => Found::Here(job),
            (Lookup::Absent, Origin::ThisBoot) => Found::Gone,
            (Lookup::Absent, Origin::EarlierBoot) if self.store.durability() == MEMORY => Found::LostOnRestart,
            (Lookup::Absent, Origin::EarlierBoot) => Found::Gone,
            (Lookup::Absent, Origin::Foreign) => Found::Unknown,
        })
    }

    /// The run of an order that is being cooked.
    #[must_use]
    pub fn run(&self, id: OrderId) -> Option<Arc<Run>> {
        self.runs().get(&id).map(|active| active.run.clone())
    }

    /// The run of this attempt of an order, if it is being cooked here. An earlier one, lost to another node, may still be
    /// stopping.
    #[must_use]
    pub fn run_of(&self, job: &Job) -> Option<Arc<Run>> {
        let runs = self.runs();
        runs.get(&job.id).filter(|active| active.attempt == job.attempt).map(|active| active.run.clone())
    }

    /// Whether an order is being cooked here.
    #[must_use]
    pub fn cooks(&self, id: OrderId) -> bool {
        self.runs().contains_key(&id)
    }

    /// Forgets an ended order.
    pub async fn delete(&self, id: OrderId) -> Result<DeleteAnswer, Down> {
        self.store.delete(id).await
    }

    /// Announces the end of this order to whoever holds the answer; look at the order after calling this, not before.
    pub fn watch(&self, id: OrderId) -> Watched<'_> {
        self.watchers.watch(id)
    }

    /// Accepts nothing more.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Release);
    }

    /// Whether it accepts nothing more.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    /// How full the house is, for everybody together: 1 when nothing fits any more.
    #[must_use]
    pub fn fill(&self) -> f32 {
        self.store.fill(&Client::address(Ipv4Addr::UNSPECIFIED.into())).1.part
    }

    /// Orders being cooked.
    #[must_use]
    pub fn running(&self) -> usize {
        self.runs().len()
    }

    /// Stops every order that is being cooked, because the service ends.
    pub fn abandon(&self) {
        self.abandoned.store(true, Ordering::Release);
        let runs: Vec<_> = self.runs().values().map(|active| active.run.clone()).collect();
        runs.iter().for_each(|run| run.stop(Reason::Shutdown));
    }

    /// Figures of the staff for a scrape.
    #[must_use]
    pub fn reading(&self) -> Reading {
        let here = self.store.here();
        let (threads, idle, _) = self.staff.pool().load();
        let (kitchens, idle_kitchens, _) = self.staff.brigade_if_started().map(|b| b.load()).unwrap_or_default();
        Reading {
            loop_lag: self.staff.chef_if_started().map(crate::model::asyncio::HouseChef::lag).unwrap_or_default(),
            pool: (threads, idle),
            kitchens: (kitchens, idle_kitchens),
            children: self.staff.pass_if_started().map(|p| p.alive()).unwrap_or_default(),
            active: (here.queued, here.running),
            resident_bytes: clock::rss_bytes(),
            ..Reading::default()
        }
    }
}
