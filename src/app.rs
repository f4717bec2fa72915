//! The service as a whole: built from its settings, run until it is told to end.
//!
//! It deliberately holds no rule of its own; it connects the rooms.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Semaphore, watch};
use uuid::Uuid;

use crate::app_store::{self, Stores};
use crate::clock;
use crate::config::Serve;
use crate::domain::limits;
use crate::http::access::Locks;
use crate::http::around::Around;
use crate::http::comparison_wire;
use crate::http::guard::Guard;
use crate::http::unbroken::RunningOn;
use crate::http::{AppState, Shared, request_id, router, server};
use crate::kitchen::{Kitchen, KitchenConfig};
use crate::lab::comparisons::Comparisons;
use crate::lab::forecasts::Forecasts;
use crate::model::Demand;
use crate::model::staff::StaffConfig;
use crate::store::{Bounds, MEMORY};

/// Time between two looks at what has been kept long enough.
const SWEEP: Duration = Duration::from_secs(10);
/// How long connections get after the orders have ended: streams and answers in hand.
const LAST_ANSWERS: Duration = Duration::from_millis(500);

/// How long it may take to write the ends of broken off runs, and what is given back.
const LAST_WRITES: Duration = Duration::from_secs(2);

/// A service that is bound and not yet serving.
pub struct App {
    listener: TcpListener,
    guard: Guard,
    locks: Locks,
    state: AppState,
    closing: watch::Sender<bool>,
    grace: Duration,
}

/// Why the service cannot start.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// Its address cannot be had.
    #[error("cannot listen on {0}: {1}")]
    Listen(SocketAddr, std::io::Error),
    /// Its store cannot be opened.
    #[error("cannot open the order store: {0}")]
    Store(#[from] app_store::OpenError),
}

/// A random number, drawn once per start.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "the one place that draws at random")]
pub fn random() -> u64 {
    Uuid::new_v4().as_u64_pair().0 ^ Uuid::new_v4().as_u64_pair().1
}

/// How much a store of these settings keeps.
fn bounds(serve: &Serve) -> Bounds {
    Bounds {
        active_orders: serve.max_active_orders as usize,
        ended_orders: serve.max_ended_orders as usize,
        retention_us: i64::from(serve.retention_s) * 1_000_000,
        ..Bounds::default()
    }
}

/// A kitchen over memory, and its comparisons, on the current runtime: for the command line.
#[must_use]
pub fn kitchen(serve: &Serve, staff: StaffConfig) -> (Arc<Kitchen>, Arc<Comparisons>) {
    over(Stores::memory(bounds(serve)), serve, staff, random())
}

/// A kitchen over these stores, and its comparisons, on the current runtime.
fn over(stores: Stores, serve: &Serve, staff: StaffConfig, random: u64) -> (Arc<Kitchen>, Arc<Comparisons>) {
    let config = KitchenConfig {
        staff: staff.with_kitchen_memory_mib(serve.kitchen_memory_mib),
        allow_faults: serve.allow_faults,
        budget: Demand { threads: serve.max_threads, children: serve.max_children },
        bounds: bounds(serve),
    };
    let runtime = tokio::runtime::Handle::current();
    let kitchen = Kitchen::new(config, stores.orders, runtime.clone(), random);
    let forecasts = Forecasts::new(kitchen.clone(), serve.storage.cache_dir());
    let comparisons =
        Comparisons::new(kitchen.clone(), forecasts, stores.comparisons, comparison_wire::written, runtime);
    (kitchen, comparisons)
}

impl App {
    /// Binds and connects everything; nothing is answered yet.
    pub async fn build(serve: &Serve, locks: Locks, staff: StaffConfig) -> Result<Self, BuildError> {
        raise_descriptor_limit();
        let listening = |error| BuildError::Listen(serve.bind, error);
        let listener = server::listen(serve.bind, &serve.door).map_err(listening)?;
        let random = random();
        let stores = app_store::open(serve, &staff, bounds(serve), random).await?;
        let (kitchen, comparisons) = over(stores, serve, staff, random);
        let (closing, watch) = watch::channel(false);
        let streams = Arc::new(Semaphore::new(limits::STREAMS));
        let (door, rate, running_on) = (serve.door.clone(), serve.access.rate_limit(), RunningOn::default());
        let forecasts = comparisons.forecasts.clone();
        let lease = serve.storage.store.is_shared().then(|| serve.storage.lease());
        let me = app_store::me(serve, &kitchen.config.staff, random)?;
        let state =
            Shared { kitchen, me, comparisons, forecasts, closing: watch, streams, running_on, door, rate, lease }
                .into();
        let guard = Guard::new(&serve.door, listener.local_addr().map_err(listening)?);
        request_id::begin(self::random());
        Ok(Self { listener, guard, locks, state, closing, grace: serve.grace() })
    }

    /// Where it listens.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// The kitchen.
    #[must_use]
    pub fn kitchen(&self) -> &Arc<Kitchen> {
        &self.state.kitchen
    }

    /// Serves until the first signal, then drains until the second, or the end of the grace period. Answers how many
    /// accepted orders are lost: not brought to their end, and kept nowhere.
    pub async fn run(self, mut signals: Signals) -> u64 {
        let kitchen = self.state.kitchen.clone();
        let settings = self.state.door.clone();
        let router = router::build(self.state.clone());
        let Locks { access, tls } = self.locks;
        let (metrics, running_on) = (kitchen.metrics.clone(), self.state.running_on.clone());
        let door = Around::new(router, metrics, self.guard, access, running_on, settings.body_time());
        let sweeper = tokio::spawn(sweep(kitchen.clone()));
        let closing = self.state.closing.clone();
        let serving = tokio::spawn(server::serve(self.listener, tls, door, settings, closing, LAST_ANSWERS));
        signals.next().await;
        kitchen.drain();
        tracing::info!(unfinished = unfinished(&kitchen), "closing");
        // What has not begun goes back to the others, if there can be others. While the store is away that is written
        // again and again: neither the grace period nor the next signal waits for it.
        let returned = tokio::spawn(kitchen.store.close());
        let done = async {
            // A run is there until its end is written; an order that waits for staff has none yet.
            while !returned.is_finished() || kitchen.running() > 0 || unfinished(&kitchen) > 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::select! {
            _ = tokio::time::timeout(self.grace, done) => {}
            () = signals.next() => {}
        }
        let lost = unfinished(&kitchen);
        kitchen.abandon();
        let is_kept = kitchen.store.durability() != MEMORY;
        if is_kept {
            // What was broken off is written down as waiting again; without an answer the lease says it.
            let written = async {
                while !returned.is_finished() || kitchen.running() > 0 {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            };
            let _ = tokio::time::timeout(LAST_WRITES, written).await;
        }
        // Receivers live in every connection; a send cannot fail while one does, and need not succeed when none does.
        let _ = self.closing.send(true);
        let _ = serving.await;
        sweeper.abort();
        if is_kept { 0 } else { lost }
    }
}

/// Orders that have not ended.
fn unfinished(kitchen: &Kitchen) -> u64 {
    let here = kitchen.store.here();
    here.queued + here.running
}

async fn sweep(kitchen: Arc<Kitchen>) {
    loop {
        tokio::time::sleep(SWEEP).await;
        kitchen.store.sweep(clock::wall_us()).await;
    }
}

/// A thousand kitchens take three thousand descriptors; the usual soft limit is 1,024.
fn raise_descriptor_limit() {
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}

/// SIGTERM and SIGINT, heard from the moment this exists: a signal before that would end the process by itself.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Begins to listen.
    pub fn listen() -> std::io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Resolves at the next of them.
    pub async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
