//! Orders as format 1 packed them: before they could have several attempts.
//!
//! It deliberately writes nothing, and is never changed: databases hold such bytes.

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;

use crate::domain::arrivals::Arrivals;
use crate::domain::client::Client;
use crate::domain::id::OrderId;
use crate::domain::job::{Attempt, Broken, History, Job, OrderError, Status};
use crate::domain::recipe::{Recipe, StepOrder};
use crate::domain::spec::{Isolation, ModelId, Setup, Spec};
use crate::domain::trace::TraceParent;
use crate::store::format_2::Summary2;

/// An order.
#[derive(Deserialize)]
pub(super) struct Job1 {
    id: OrderId,
    owner: Client,
    retry_of: Option<OrderId>,
    spec: Spec1,
    status: Status,
    attempt: u32,
    created_us: i64,
    started_us: Option<i64>,
    finished_us: Option<i64>,
    retained_us: Option<i64>,
    queue_ns: u64,
    cancel_requested: bool,
    concurrent_orders: u32,
    error: Option<OrderError>,
    summary: Option<Summary2>,
    history: Option<History1>,
}

#[derive(Deserialize)]
struct Spec1 {
    model: ModelId,
    setup: Setup,
    recipe: Arc<Recipe>,
    dishes: u32,
    first_dish: u32,
    stride: u32,
    step_order: StepOrder,
    isolation: Isolation,
    speed: u32,
    seed: u64,
    max_in_flight: Option<u32>,
    arrivals: Option<Box<Arrivals>>,
    timeout: Option<Duration>,
    expires_in: Option<Duration>,
    traceparent: Option<TraceParent>,
    labels: Box<[(Box<str>, Box<str>)]>,
}

#[derive(Deserialize)]
struct History1 {
    node: Option<Arc<str>>,
    attempts: Vec<Attempt1>,
}

#[derive(Deserialize)]
struct Attempt1 {
    attempt: u32,
    node: Arc<str>,
    started_us: Option<i64>,
    ended_us: i64,
    why: Broken,
}

impl From<Job1> for Job {
    fn from(old: Job1) -> Self {
        Self {
            id: old.id,
            owner: old.owner,
            retry_of: old.retry_of,
            spec: Arc::new(old.spec.into()),
            status: old.status,
            attempt: old.attempt,
            created_us: old.created_us,
            started_us: old.started_us,
            finished_us: old.finished_us,
            retained_us: old.retained_us,
            queue_ns: old.queue_ns,
            cancel_requested: old.cancel_requested,
            concurrent_orders: old.concurrent_orders,
            error: old.error,
            summary: old.summary.map(|summary| Box::new(summary.into())),
            history: old.history.map(|history| Box::new(history.into())),
        }
    }
}

impl From<Spec1> for Spec {
    fn from(old: Spec1) -> Self {
        Self {
            model: old.model,
            setup: old.setup,
            recipe: old.recipe,
            dishes: old.dishes,
            first_dish: old.first_dish,
            stride: old.stride,
            step_order: old.step_order,
            isolation: old.isolation,
            speed: old.speed,
            seed: old.seed,
            max_in_flight: old.max_in_flight,
            arrivals: old.arrivals,
            timeout: old.timeout,
            expires_in: old.expires_in,
            traceparent: old.traceparent,
            labels: old.labels,
            // What nobody could ask for is what is there when nobody does.
            max_attempts: 1,
            first_retry_wait: Duration::from_millis(crate::domain::limits::RETRY_WAIT_MS_DEFAULT),
        }
    }
}

impl From<History1> for History {
    fn from(old: History1) -> Self {
        let attempt = |Attempt1 { attempt, node, started_us, ended_us, why }| Attempt {
            attempt,
            node,
            started_us,
            ended_us,
            why,
            error: None,
        };
        Self { node: old.node, attempts: old.attempts.into_iter().map(attempt).collect() }
    }
}
