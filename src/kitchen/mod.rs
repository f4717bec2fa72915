//! Admits orders, starts their runs, stops them, and writes how they ended. The only writer to the store.
//!
//! It deliberately cooks nothing itself (that is [`crate::model`]) and speaks no HTTP.

mod alone;
mod books;
mod gate;
mod staffing;
mod watch;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

pub use alone::{Alone, Busy};
pub use watch::Watched;

use self::books::Active;
use self::gate::Gate;
use self::staffing::Staffing;
use self::watch::Watchers;
use crate::clock;
use crate::domain::ask::OrderAsk;
use crate::domain::draw;
use crate::domain::id::{Ids, OrderId, Origin};
use crate::domain::job::{Job, Status};
use crate::domain::resolve::{self, House, ModelRow, Violation};
use crate::domain::spec::Spec;
use crate::metrics::{Metrics, Reading};
use crate::model::cancel::Reason;
use crate::model::run::Run;
use crate::model::staff::{Staff, StaffConfig};
use crate::model::{self, Demand};
use crate::store::{Bounds, CancelAnswer, DeleteAnswer, Lookup, NewJob, Room, Store};

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

/// Why an order was not accepted although nothing is wrong with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The store is full.
    #[error("as many orders are waiting or running as the house can hold")]
    Full,
    /// The service is shutting down.
    #[error("the house is closing")]
    Draining,
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
    watchers: Watchers,
    draining: AtomicBool,
    gate: Gate,
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
        Arc::new_cyclic(|me| Self {
            staff: Staff::new(config.staff.clone()),
            metrics: Metrics::new(&names),
            ids: Ids::new(draw::mix(random)),
            models,
            seeds: std::sync::atomic::AtomicU64::new(random),
            runs: Mutex::default(),
            cooking: AtomicU32::new(0),
            staffing: Mutex::new(Staffing::new(config.budget)),
            watchers: Watchers::default(),
            draining: AtomicBool::new(false),
            gate: Gate::new(&config.bounds),
            turn: tokio::sync::Mutex::new(()),
            runtime,
            me: me.clone(),
            config,
            store,
        })
    }

    fn runs(&self) -> MutexGuard<'_, HashMap<OrderId, Active>> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Resolves an order as asked; also refuses what the house's whole budget could not staff.
    pub fn resolve(&self, ask: OrderAsk) -> Result<Spec, Vec<Violation>> {
        let seed = draw::mix(self.seeds.fetch_add(1, Ordering::Relaxed)) >> 11;
        let house = House { models: &self.models, allow_faults: self.config.allow_faults, seed };
        let spec = resolve::order(ask, house)?;
        staffing::check(&spec, self.config.budget).map_err(|violation| vec![violation])?;
        Ok(spec)
    }

    /// Whether orders are accepted at all right now: to be asked before an order is parsed, so that a refusal is cheap.
    pub fn admits(&self) -> Result<(), Refusal> {
        match self.is_draining() {
            true => Err(Refusal::Draining),
            false if self.gate.is_open(|| self.store.counts()) => Ok(()),
            false => Err(Refusal::Full),
        }
    }

    /// Accepts orders, all or none, and starts what can start. Never waits.
    pub fn submit(&self, specs: Vec<Spec>) -> Result<Vec<Job>, Refusal> {
        if self.is_draining() {
            return Err(Refusal::Draining);
        }
        self.accept(specs, false)
    }

    fn accept(&self, specs: Vec<Spec>, alone: bool) -> Result<Vec<Job>, Refusal> {
        let (accepted, now_us) = (clock::now(), clock::wall_us());
        let batch: Vec<_> = specs
            .into_iter()
            .map(|spec| {
                let Demand { threads, children } = model::demand(&spec);
                let job = books::new_job(self.ids.next(now_us), spec, now_us);
                NewJob { job, accepted, needs: Room { threads, children }, alone }
            })
            .collect();
        let jobs: Vec<Job> = batch.iter().map(|new| new.job.clone()).collect();
        self.store.submit(batch).map_err(|_| {
            self.gate.shut();
            Refusal::Full
        })?;
        self.pump();
        Ok(jobs)
    }

    /// Starts every waiting order that may start now.
    fn pump(&self) {
        let claimed = {
            let mut staffing = self.staffing.lock().unwrap_or_else(PoisonError::into_inner);
            let claimed = self.store.claim(staffing.free(), staffing.is_reserved(), clock::now(), clock::wall_us());
            claimed.iter().for_each(|(_, room)| staffing.lease(*room));
            claimed
        };
        for (job, room) in claimed {
            self.start(job, room);
        }
    }

    fn start(&self, job: Job, room: Room) {
        let Some(me) = self.me.upgrade() else { return };
        let run = Arc::new(Run::new(job.id, job.spec.clone(), me));
        {
            let mut runs = self.runs();
            let others = self.cooking.fetch_add(1, Ordering::AcqRel);
            let active = Active { run: run.clone(), attempt: job.attempt, room, queue: job.queue_ns, others };
            runs.insert(job.id, active);
        }
        if let Some(timeout) = run.spec.timeout {
            self.runtime.spawn(books::time_out(Arc::downgrade(&run), timeout));
        }
        model::start(run, &self.staff);
    }

    /// One order with its progress.
    #[must_use]
    pub fn get(&self, id: OrderId) -> Found {
        match (self.store.get(id), self.ids.origin(id)) {
            (Lookup::Found(job), _) => Found::Here(job),
            (Lookup::Absent, Origin::ThisBoot) => Found::Gone,
            (Lookup::Absent, Origin::EarlierBoot) => Found::LostOnRestart,
            (Lookup::Absent, Origin::Foreign) => Found::Unknown,
        }
    }

    /// The run of an order that is being cooked.
    #[must_use]
    pub fn run(&self, id: OrderId) -> Option<Arc<Run>> {
        self.runs().get(&id).map(|active| active.run.clone())
    }

    /// Asks to stop an order.
    pub fn cancel(&self, id: OrderId) -> CancelAnswer {
        let answer = self.store.request_cancel(id, clock::wall_us());
        match &answer {
            CancelAnswer::Running(_) => {
                if let Some(run) = self.run(id) {
                    run.cancel.request(Reason::Client);
                }
            }
            CancelAnswer::Canceled(job) if job.summary.is_none() => {
                self.metrics.order_ended(job.spec.model, Status::Canceled, 0, None);
                self.watchers.notify(id);
                // It may have held back others.
                self.pump();
            }
            _ => {}
        }
        answer
    }

    /// Forgets an ended order.
    pub fn delete(&self, id: OrderId) -> DeleteAnswer {
        self.store.delete(id)
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

    /// Orders being cooked.
    #[must_use]
    pub fn running(&self) -> usize {
        self.runs().len()
    }

    /// Stops every order that is being cooked, because the service ends.
    pub fn abandon(&self) {
        let runs: Vec<_> = self.runs().values().map(|active| active.run.clone()).collect();
        runs.iter().for_each(|run| run.cancel.request(Reason::Shutdown));
    }

    /// Figures of the staff for a scrape.
    #[must_use]
    pub fn reading(&self) -> Reading {
        let counts = self.store.counts();
        let (threads, idle, _) = self.staff.pool().load();
        let (kitchens, idle_kitchens, _) = self.staff.brigade_if_started().map(|b| b.load()).unwrap_or_default();
        Reading {
            loop_lag: self.staff.chef_if_started().map(crate::model::asyncio::HouseChef::lag).unwrap_or_default(),
            pool: (threads, idle),
            kitchens: (kitchens, idle_kitchens),
            children: self.staff.pass_if_started().map(|p| p.alive()).unwrap_or_default(),
            active: (counts.by_status[Status::Queued as usize], counts.by_status[Status::Running as usize]),
            resident_bytes: clock::rss_bytes(),
        }
    }
}
