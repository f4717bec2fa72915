//! What steps share besides cores: the loop they turn on, the lock they queue for, the channel they hand things through.
//!
//! It deliberately knows no equipment: what a recipe says is shared is a term of the books.

use serde::Serialize;
use utoipa::ToSchema;

use super::build::Facts;
use super::{Quantiles, ms, ratio};
use crate::domain::recipe::Work;
use crate::domain::record::{Outcome, StepRecord};
use crate::domain::spec::Choice;
use crate::lab::forecast;
use crate::sim::Channel;

/// How late the ends of waits were noticed.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[schema(as = LagFigures)]
pub struct LagView {
    /// Lag of the waits kept: noticed minus due. The largest is exact.
    pub wait_ms: Quantiles,
    /// The largest lag of a ticker on the loop; null unless the order had the loop to itself (isolation `kitchen`).
    pub ticker_max_ms: Option<f64>,
    /// Its median, at most half above what it was; null likewise.
    pub ticker_p50_ms: Option<f64>,
    /// Its 95th percentile, at most half above what it was; null likewise.
    pub ticker_p95_ms: Option<f64>,
    /// Longest step that kept the loop; null without a loop.
    pub longest_slice_ms: Option<f64>,
    /// Part of the makespan for which the loop was kept by steps; null without a loop.
    pub loop_utilisation: Option<f64>,
}

/// The GIL of an order.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[schema(as = GilFigures)]
pub struct GilView {
    /// Waiting for it, all steps.
    pub wait_ms: f64,
    /// The same per step that waited at all.
    pub per_step_ms: Option<Quantiles>,
    /// `wait / (wait + cpu)`.
    pub wait_share: f64,
    /// Mean wait for it after a `wait` step, over the switch interval: the convoy effect; null without such waits.
    pub convoy_index: Option<f64>,
    /// Times it came to another thread than had it last, the first time included; all kitchens together.
    #[schema(minimum = 0, maximum = 9_007_199_254_740_991_i64)]
    pub switches: u64,
    /// Those of them where its holder had been asked to let go; null of an order that was kept before this was written down.
    #[schema(minimum = 0, maximum = 9_007_199_254_740_991_i64)]
    pub forced_switches: Option<u64>,
    /// The others: its holder was going to wait, or to end; null likewise.
    #[schema(minimum = 0, maximum = 9_007_199_254_740_991_i64)]
    pub voluntary_switches: Option<u64>,
    /// Time for which somebody had it, all kitchens together; null likewise.
    pub held_ms: Option<f64>,
}

/// What the `exchange` steps of an order handed over, of the steps kept that did so to the end.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[schema(as = ExchangeFigures)]
pub struct ExchangeView {
    /// `move` (a reference, within one kitchen), `pipe` or `shared_memory` (bytes, between two).
    pub channel: &'static str,
    /// Steps.
    #[schema(minimum = 0, maximum = 3_000_000)]
    pub steps: u32,
    /// Messages.
    #[schema(minimum = 0, maximum = 9_007_199_254_740_991_i64)]
    pub messages: u64,
    /// Their bytes.
    #[schema(minimum = 0, maximum = 9_007_199_254_740_991_i64)]
    pub bytes: u64,
    /// Time it took: CPU, waits for a core, and the exchange itself.
    pub time_ms: f64,
    /// The same for one message, microseconds; null without messages.
    pub per_message_us: Option<f64>,
    /// Mebibytes in a second of it; null of a `move`, which copies nothing.
    pub mib_per_s: Option<f64>,
}

impl Facts<'_> {
    pub(super) fn gil(&self) -> Option<GilView> {
        if self.option("gil") != Some(Choice::Truth(true)) {
            return None;
        }
        let (terms, used) = (self.summary.totals.terms, self.summary.totals.gil);
        let waited = |of: &dyn Fn(&StepRecord) -> bool| -> Vec<u64> {
            let steps = self.ran.iter().filter(|(record, _)| of(record));
            steps.map(|(record, _)| record.terms.gil_wait).filter(|wait| *wait > 0).collect()
        };
        let interval_us = match self.option("switch_interval_us") {
            Some(Choice::Count(us)) => f64::from(us),
            _ => 5_000.0,
        };
        let is_wait = |record: &StepRecord| matches!(self.spec.work(record.at), Work::Wait(_) | Work::BlockingWait(_));
        let after_waits = Quantiles::of(waited(&is_wait)).map(|waits| ratio(waits.mean * 1e3, interval_us));
        // A lock that came to somebody was held for some time.
        let is_told = used.held > 0 || used.switches == 0;
        Some(GilView {
            wait_ms: ms(terms.gil_wait),
            per_step_ms: Quantiles::of(waited(&|_| true)),
            wait_share: ratio(terms.gil_wait as f64, (terms.gil_wait + terms.cpu) as f64),
            convoy_index: after_waits,
            switches: used.switches,
            forced_switches: is_told.then_some(used.forced),
            voluntary_switches: is_told.then(|| used.switches.saturating_sub(used.forced)),
            held_ms: is_told.then(|| ms(used.held)),
        })
    }

    pub(super) fn exchange(&self) -> Option<ExchangeView> {
        let handed = |work: Work| match work {
            Work::Exchange { bytes, messages } => Some((u64::from(bytes), u64::from(messages))),
            _ => None,
        };
        self.spec.recipe.steps.iter().find_map(|step| handed(step.work))?;
        let (mut steps, mut messages, mut bytes, mut time) = (0_u32, 0_u64, 0_u64, 0_u64);
        for (record, _) in self.ran.iter().filter(|(record, _)| record.outcome == Outcome::Succeeded) {
            if let Some((size, count)) = handed(self.spec.step(record.at).work) {
                let terms = &record.terms;
                (steps, messages) = (steps + 1, messages + count);
                bytes = bytes.saturating_add(size * count);
                time += terms.cpu + terms.core_wait + terms.exchange;
            }
        }
        let channel = forecast::plan(self.spec, self.machine.house).channel;
        let is_copied = channel != Channel::Move && time > 0;
        Some(ExchangeView {
            channel: match channel {
                Channel::Move => "move",
                Channel::Pipe => "pipe",
                Channel::Memory => "shared_memory",
            },
            steps,
            messages,
            bytes,
            time_ms: ms(time),
            per_message_us: (messages > 0).then(|| ratio(time as f64 / 1e3, messages as f64)),
            mib_per_s: is_copied.then(|| ratio(bytes as f64 / f64::from(1 << 20), time as f64 / 1e9)),
        })
    }
}
