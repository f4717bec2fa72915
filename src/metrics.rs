//! Prometheus metrics of the house. Counters and histograms are fed where things happen; gauges are read at the scrape.
//!
//! It deliberately has no label from user text: every label is one of a fixed list.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

use crate::domain::Ns;
use crate::domain::job::Status;
use crate::domain::record::Totals;
use crate::domain::spec::ModelId;

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OrderLabels {
    model: &'static str,
    status: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ModelLabels {
    model: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct StateLabels {
    status: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct CutLabels {
    reason: &'static str,
}

/// Why the service ended a connection of its own accord.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// A head, or a TLS handshake, did not arrive in time.
    Head,
    /// A body did not arrive in time.
    Body,
    /// Nothing was asked for too long.
    Idle,
    /// The client took nothing of its answer for too long.
    Stalled,
    /// It made room for others: the house was full, and it had kept it waiting longest.
    Room,
}

impl Cut {
    const NAMES: [&'static str; 5] = ["head", "body", "idle", "stalled", "room"];
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct StepLabels {
    model: &'static str,
    outcome: &'static str,
}

/// Labels of one HTTP route; an unknown path is the constant `unmatched`.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct HttpLabels {
    /// GET, POST, DELETE, or `other`.
    pub method: &'static str,
    /// The route's pattern.
    pub route: &'static str,
    /// Status code.
    pub status: u16,
}

type FloatGauge = Gauge<f64, AtomicU64>;

/// Figures read at the scrape.
#[derive(Clone, Debug, Default)]
pub struct Gauges {
    loop_lag_seconds: FloatGauge,
    loop_lag_max_seconds: FloatGauge,
    pool_threads: Gauge,
    pool_idle: Gauge,
    kitchens: Gauge,
    kitchens_idle: Gauge,
    children: Gauge,
    active_orders: Family<StateLabels, Gauge>,
    resident_bytes: Gauge,
}

/// What a scrape finds.
#[derive(Clone, Copy, Debug, Default)]
pub struct Reading {
    /// Lag of the house's event loop, last and largest.
    pub loop_lag: (Ns, Ns),
    /// Threads of the house's pool: started, idle.
    pub pool: (usize, usize),
    /// Kitchens of the house: alive, idle.
    pub kitchens: (usize, usize),
    /// All child processes.
    pub children: usize,
    /// Orders waiting, running.
    pub active: (u64, u64),
    /// Resident set of the service.
    pub resident_bytes: u64,
    /// Log lines that were dropped since the start.
    pub log_lines_dropped: u64,
}

struct OfModel {
    ended: [Counter; 6],
    queue_seconds: Histogram,
    run_seconds: Histogram,
    steps: [Counter; 3],
}

/// All metrics.
pub struct Metrics {
    registry: Registry,
    models: Vec<OfModel>,
    http: Family<HttpLabels, Counter>,
    http_seconds: Histogram,
    connections_cut: [Counter; 5],
    log_lines_dropped: Counter,
    /// Ends of runs that were refused because their order is another node's.
    pub stale_writes: Counter,
    /// Times an order of a shared store was passed by because its bytes cannot be read.
    pub unreadable_orders: Counter,
    /// Runs after which their order waits again: they failed and are tried again, or were broken off.
    pub attempts_again: Counter,
    gauges: Gauges,
}

impl Metrics {
    /// Metrics for these models, all series at zero from the start.
    #[must_use]
    pub fn new(models: &[&'static str]) -> Arc<Self> {
        let mut registry = Registry::with_prefix("pasta_fasta");
        let orders = Family::<OrderLabels, Counter>::default();
        let steps = Family::<StepLabels, Counter>::default();
        let spans = || Histogram::new(exponential_buckets(0.000_1, 4.0, 12));
        let queue = Family::<ModelLabels, Histogram>::new_with_constructor(spans);
        let run = Family::<ModelLabels, Histogram>::new_with_constructor(spans);
        registry.register("orders", "Orders that ended, by model and end state", orders.clone());
        registry.register("order_queue_seconds", "From acceptance to start", queue.clone());
        registry.register("order_run_seconds", "From start to end", run.clone());
        registry.register("steps", "Steps that ended, by model and outcome", steps.clone());
        let http = Family::default();
        let http_seconds = spans();
        registry.register("http_requests", "Requests answered, by method, route and status", http.clone());
        registry.register("http_request_seconds", "From request to response head", http_seconds.clone());
        let cut = Family::<CutLabels, Counter>::default();
        let log_lines_dropped = Counter::default();
        let why =
            "Connections ended by the service: late head, late body, idle, reader that takes nothing, room for others";
        registry.register("connections_cut", why, cut.clone());
        let why = "Log lines dropped because stderr took them too slowly";
        registry.register("log_lines_dropped", why, log_lines_dropped.clone());
        let stale_writes = Counter::default();
        let why = "Ends of runs refused because their order had become another node's";
        registry.register("stale_writes", why, stale_writes.clone());
        let unreadable_orders = Counter::default();
        let why = "Times an order of the store was passed by because it is damaged";
        registry.register("unreadable_orders", why, unreadable_orders.clone());
        let attempts_again = Counter::default();
        let why =
            "Runs after which their order waited for another: failed ones that are tried again, and broken off ones";
        registry.register("attempts_again", why, attempts_again.clone());
        let connections_cut = Cut::NAMES.map(|reason| cut.get_or_create(&CutLabels { reason }).clone());
        let gauges = Gauges::default();
        gauges.register(&mut registry);
        let of_model = |model: &&'static str| OfModel {
            ended: Status::ALL.map(|s| orders.get_or_create(&OrderLabels { model, status: s.name() }).clone()),
            queue_seconds: queue.get_or_create(&ModelLabels { model }).clone(),
            run_seconds: run.get_or_create(&ModelLabels { model }).clone(),
            steps: ["succeeded", "failed", "canceled"]
                .map(|outcome| steps.get_or_create(&StepLabels { model, outcome }).clone()),
        };
        let models = models.iter().map(of_model).collect();
        Arc::new(Self {
            registry,
            models,
            http,
            http_seconds,
            connections_cut,
            log_lines_dropped,
            stale_writes,
            unreadable_orders,
            attempts_again,
            gauges,
        })
    }

    /// An order ended.
    pub fn order_ended(&self, model: ModelId, status: Status, queue: Ns, run: Option<(Ns, &Totals)>) {
        let Some(of) = self.models.get(usize::from(model.0)) else { return };
        of.ended[status as usize].inc();
        of.queue_seconds.observe(seconds(queue));
        if let Some((span, totals)) = run {
            of.run_seconds.observe(seconds(span));
            for (counter, n) in of.steps.iter().zip(totals.steps) {
                counter.inc_by(u64::from(n));
            }
        }
    }

    /// A request was answered.
    pub fn http(&self, labels: &HttpLabels, span: Ns) {
        self.http.get_or_create(labels).inc();
        self.http_seconds.observe(seconds(span));
    }

    /// A connection is ended.
    pub fn cut(&self, reason: Cut) {
        self.connections_cut[reason as usize].inc();
    }

    /// The text of a scrape.
    #[must_use]
    pub fn scrape(&self, reading: Reading) -> String {
        self.gauges.set(reading);
        // Counted where nothing may wait, and only read here.
        self.log_lines_dropped.inner().store(reading.log_lines_dropped, Ordering::Relaxed);
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = prometheus_client::encoding::text::encode(&mut text, &self.registry);
        text
    }
}

fn seconds(ns: Ns) -> f64 {
    ns as f64 / 1e9
}

impl Gauges {
    fn register(&self, registry: &mut Registry) {
        let lag = "Lag of the house's event loop, last tick";
        registry.register("loop_lag_seconds", lag, self.loop_lag_seconds.clone());
        let lag = "Lag of the house's event loop, largest so far";
        registry.register("loop_lag_max_seconds", lag, self.loop_lag_max_seconds.clone());
        registry.register("pool_threads", "Threads of the house's pool", self.pool_threads.clone());
        registry.register("pool_idle_threads", "Threads of the house's pool without work", self.pool_idle.clone());
        registry.register("kitchens", "Kitchens of the house's pool", self.kitchens.clone());
        registry.register("idle_kitchens", "Kitchens of the house's pool without work", self.kitchens_idle.clone());
        registry.register("children", "Child processes", self.children.clone());
        registry.register("active_orders", "Orders waiting or running", self.active_orders.clone());
        registry.register("resident_bytes", "Resident set of the service", self.resident_bytes.clone());
    }

    fn set(&self, reading: Reading) {
        let whole = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        self.loop_lag_seconds.set(seconds(reading.loop_lag.0));
        self.loop_lag_max_seconds.set(seconds(reading.loop_lag.1));
        self.pool_threads.set(whole(reading.pool.0));
        self.pool_idle.set(whole(reading.pool.1));
        self.kitchens.set(whole(reading.kitchens.0));
        self.kitchens_idle.set(whole(reading.kitchens.1));
        self.children.set(whole(reading.children));
        let state = |status| self.active_orders.get_or_create(&StateLabels { status }).clone();
        state("queued").set(reading.active.0 as i64);
        state("running").set(reading.active.1 as i64);
        self.resident_bytes.set(reading.resident_bytes as i64);
    }
}
