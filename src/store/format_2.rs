//! Orders as format 2 packed them: before a lock told why it changed hands, and a loop's ticker more than its largest lag.
//!
//! It deliberately writes nothing, and is never changed: databases hold such bytes.

use std::sync::Arc;

use serde::Deserialize;

use crate::domain::Ns;
use crate::domain::client::Client;
use crate::domain::id::OrderId;
use crate::domain::job::{History, Job, OrderError, Status};
use crate::domain::record::{GilUse, Terms, Totals};
use crate::domain::spec::Spec;
use crate::domain::summary::{Agreed, Bill, ProcessUse, Summary};
use crate::domain::ticks::Ticks;

/// An order.
#[derive(Deserialize)]
pub(super) struct Job2 {
    id: OrderId,
    owner: Client,
    retry_of: Option<OrderId>,
    spec: Arc<Spec>,
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
    history: Option<Box<History>>,
}

/// The figures of a run.
#[derive(Deserialize)]
pub(super) struct Summary2 {
    makespan: Ns,
    mean_dish: Option<Ns>,
    p50_dish: Option<Ns>,
    p95_dish: Option<Ns>,
    max_dish: Option<Ns>,
    dishes_succeeded: u32,
    dishes_failed: u32,
    totals: Totals2,
    values: Vec<Agreed>,
    bill: Option<Bill2>,
    sampled: bool,
    events: u32,
}

#[derive(Deserialize)]
struct Totals2 {
    steps: [u32; 3],
    terms: Terms,
    queue: Ns,
    counted: u64,
    gil_switches: u64,
    lag_max: Ns,
    last: Ns,
}

#[derive(Deserialize)]
struct Bill2 {
    processes: u32,
    sum: ProcessUse2,
    spawn_sum: Ns,
    pss_byte_ms: u64,
    pss_known: u32,
    rows: Vec<ProcessUse2>,
}

#[derive(Deserialize)]
struct ProcessUse2 {
    pid: u32,
    cpu: Ns,
    peak_rss_bytes: u64,
    pss_bytes: u64,
    switches: [u64; 2],
    faults: [u64; 2],
    loop_lag: Ns,
    lived: Ns,
    spawn: Ns,
    messages: u64,
    message_bytes: u64,
    transit: Ns,
}

impl From<Job2> for Job {
    fn from(old: Job2) -> Self {
        Self {
            id: old.id,
            owner: old.owner,
            retry_of: old.retry_of,
            spec: old.spec,
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
            history: old.history,
        }
    }
}

impl From<Summary2> for Summary {
    fn from(old: Summary2) -> Self {
        let Totals2 { steps, terms, queue, counted, gil_switches, lag_max, last } = old.totals;
        // How long it was held nobody wrote down: nothing, where somebody had it, says so.
        let gil = GilUse { switches: gil_switches, ..GilUse::default() };
        Self {
            makespan: old.makespan,
            mean_dish: old.mean_dish,
            p50_dish: old.p50_dish,
            p95_dish: old.p95_dish,
            max_dish: old.max_dish,
            dishes_succeeded: old.dishes_succeeded,
            dishes_failed: old.dishes_failed,
            totals: Totals { steps, terms, queue, counted, gil, lag_max, last },
            values: old.values,
            bill: old.bill.map(Bill::from),
            sampled: old.sampled,
            events: old.events,
        }
    }
}

impl From<Bill2> for Bill {
    fn from(old: Bill2) -> Self {
        Self {
            processes: old.processes,
            sum: old.sum.into(),
            spawn_sum: old.spawn_sum,
            pss_byte_ms: old.pss_byte_ms,
            pss_known: old.pss_known,
            rows: old.rows.into_iter().map(ProcessUse::from).collect(),
        }
    }
}

impl From<ProcessUse2> for ProcessUse {
    fn from(old: ProcessUse2) -> Self {
        Self {
            pid: old.pid,
            cpu: old.cpu,
            peak_rss_bytes: old.peak_rss_bytes,
            pss_bytes: old.pss_bytes,
            switches: old.switches,
            faults: old.faults,
            // It was 0 of who had no loop.
            loop_lag: (old.loop_lag > 0).then(|| Ticks { max: old.loop_lag, ..Ticks::default() }),
            lived: old.lived,
            spawn: old.spawn,
            messages: old.messages,
            message_bytes: old.message_bytes,
            transit: old.transit,
        }
    }
}
