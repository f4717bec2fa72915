//! What an order's own processes used, and what that would cost.
//!
//! It deliberately knows no prices: who has them multiplies.

use serde::Serialize;
use utoipa::ToSchema;

use super::ms;
use crate::domain::Ns;
use crate::domain::summary::{Bill, ProcessUse};

/// The processes of an order.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Processes)]
pub struct ProcessesView {
    /// How many told what they used; one that was killed tells nothing.
    #[schema(minimum = 0, maximum = 3_000_000)]
    pub count: u32,
    /// All of them together. Memory is added up; `lived_ms`, `spawn_ms` and `loop_lag_ms` are the largest.
    pub total: ProcessView,
    /// Proportional set sizes (`Pss`) added up: pages that several share are counted once. Of the rows, scaled to all.
    #[schema(minimum = 0, maximum = 9_007_199_254_740_991_i64)]
    pub pss_bytes: u64,
    /// Time to start them, all together, from the call to the first sign of life.
    pub spawn_sum_ms: f64,
    /// Each of them, the first 64; the first is the kitchen of the whole order.
    #[schema(max_items = 64)]
    pub rows: Vec<ProcessView>,
}

/// One process.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[schema(as = ProcessFigures)]
pub struct ProcessView {
    /// Its process id; 0 in a total.
    #[schema(minimum = 0, maximum = 4_194_304)]
    pub pid: u32,
    /// From the call that started it to its account.
    pub lived_ms: f64,
    /// From the call that started it to its first sign of life.
    pub spawn_ms: f64,
    /// CPU time, all threads.
    pub cpu_ms: f64,
    /// Peak resident set (`VmHWM`).
    #[schema(minimum = 0, maximum = 9_007_199_254_740_991_i64)]
    pub peak_rss_bytes: u64,
    /// Proportional set size (`Pss` of `smaps_rollup`) at its end.
    #[schema(minimum = 0, maximum = 9_007_199_254_740_991_i64)]
    pub pss_bytes: u64,
    /// Times it gave the core away (`ru_nvcsw`).
    #[schema(minimum = 0, maximum = 9_007_199_254_740_991_i64)]
    pub voluntary_switches: u64,
    /// Times the core was taken from it (`ru_nivcsw`).
    #[schema(minimum = 0, maximum = 9_007_199_254_740_991_i64)]
    pub involuntary_switches: u64,
    /// Page faults served from memory (`ru_minflt`).
    #[schema(minimum = 0, maximum = 9_007_199_254_740_991_i64)]
    pub minor_faults: u64,
    /// Page faults served from a disk (`ru_majflt`).
    #[schema(minimum = 0, maximum = 9_007_199_254_740_991_i64)]
    pub major_faults: u64,
    /// Messages over its pipe, both ways.
    #[schema(minimum = 0, maximum = 9_007_199_254_740_991_i64)]
    pub messages: u64,
    /// Their bytes.
    #[schema(minimum = 0, maximum = 9_007_199_254_740_991_i64)]
    pub message_bytes: u64,
    /// From sending to receiving, of the steps it was handed, both ways.
    pub transit_ms: f64,
    /// Largest lag of the ticker on its event loop; null without one.
    pub loop_lag_ms: Option<f64>,
}

/// What an order cost, before prices.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[schema(as = CostFigures)]
pub struct BillView {
    /// CPU seconds: of its processes where they are its own, else of its steps.
    pub core_seconds: f64,
    /// Gigabytes (10^9) of proportional set size times seconds; null unless its isolation was `kitchen`.
    pub gb_seconds: Option<f64>,
}

impl ProcessView {
    fn of(used: &ProcessUse) -> Self {
        Self {
            pid: used.pid,
            lived_ms: ms(used.lived),
            spawn_ms: ms(used.spawn),
            cpu_ms: ms(used.cpu),
            peak_rss_bytes: used.peak_rss_bytes,
            pss_bytes: used.pss_bytes,
            voluntary_switches: used.switches[0],
            involuntary_switches: used.switches[1],
            minor_faults: used.faults[0],
            major_faults: used.faults[1],
            messages: used.messages,
            message_bytes: used.message_bytes,
            transit_ms: ms(used.transit),
            loop_lag_ms: used.loop_lag.map(|ticks| ms(ticks.max)),
        }
    }
}

impl ProcessesView {
    pub(super) fn of(bill: &Bill) -> Self {
        Self {
            count: bill.processes,
            total: ProcessView::of(&bill.sum),
            pss_bytes: bill.scaled(bill.sum.pss_bytes),
            spawn_sum_ms: ms(bill.spawn_sum),
            rows: bill.rows.iter().map(ProcessView::of).collect(),
        }
    }
}

impl BillView {
    pub(super) fn of(bill: Option<&Bill>, cpu: Ns) -> Self {
        let micro = |x: f64| (x * 1e6).round() / 1e6;
        let gb_seconds = |bill: &Bill| micro(bill.scaled(bill.pss_byte_ms) as f64 / 1e12);
        Self {
            core_seconds: micro(bill.map_or(cpu, |bill| bill.sum.cpu) as f64 / 1e9),
            gb_seconds: bill.map(gb_seconds),
        }
    }
}
