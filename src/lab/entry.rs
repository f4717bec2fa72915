//! One entry of a comparison: its runs, and the figures made of them.
//!
//! Where only a sample of the dishes was cooked, the figures of the whole order are extended at the measured rate of
//! completion, and said to be. It deliberately runs nothing.

use crate::domain::job::Job;
use crate::domain::record::{Outcome, StepRecord};
use crate::domain::spec::Spec;

use super::statistics::Spread;

/// One run's figures for the whole order.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Figures {
    /// Milliseconds.
    pub makespan_ms: f64,
    /// Milliseconds.
    pub mean_dish_ms: f64,
    /// Milliseconds.
    pub p95_dish_ms: f64,
    /// Milliseconds of all its processes.
    pub cpu_ms: f64,
    /// Sum of VmHWM over its processes.
    pub peak_memory_bytes: f64,
}

/// An entry.
#[derive(Clone, Debug)]
pub struct Entry {
    /// What it is called.
    pub name: String,
    /// The whole order.
    pub spec: Spec,
    /// What one would expect by hand, milliseconds.
    pub expected_ms: f64,
    /// Its runs so far.
    pub runs: Vec<Figures>,
    /// Why it could not be measured.
    pub failed: Option<String>,
}

impl Entry {
    /// The spread of one figure.
    #[must_use]
    pub fn spread(&self, of: impl Fn(&Figures) -> f64) -> Option<Spread> {
        Spread::of(&self.runs.iter().map(of).collect::<Vec<_>>())
    }
}

/// Completion times of the dishes in ascending order, nanoseconds from the start.
fn completions(spec: &Spec, records: &[StepRecord]) -> Vec<u64> {
    let mut last = vec![0_u64; spec.dishes as usize];
    for record in records.iter().filter(|r| r.outcome == Outcome::Succeeded) {
        let dish = &mut last[(record.at.dish - spec.first_dish) as usize];
        *dish = (*dish).max(record.finished);
    }
    last.sort_unstable();
    last
}

/// The figures of a run that cooked `job`, for an order of `whole` dishes.
#[must_use]
pub fn figures(job: &Job, records: &[StepRecord], whole: u32) -> Option<Figures> {
    let summary = job.summary.as_ref()?;
    let bill = summary.bill.unwrap_or_default();
    let ms = |ns: f64| ns / 1e6;
    let steps_cpu = summary.totals.cpu as f64;
    let peak_memory_bytes = bill.peak_rss_bytes as f64;
    let measured = job.spec.dishes;
    if measured == whole {
        return Some(Figures {
            makespan_ms: ms(summary.makespan as f64),
            mean_dish_ms: ms(summary.mean_dish? as f64),
            p95_dish_ms: ms(summary.p95_dish? as f64),
            cpu_ms: ms(bill.cpu as f64),
            peak_memory_bytes,
        });
    }
    let done = completions(&job.spec, records);
    let (n, all) = (done.len(), f64::from(whole));
    // The first quarter fills the pipeline; the rate is read behind it.
    let from = n / 4;
    let slope = (done[n - 1] - done[from]) as f64 / (n - 1 - from).max(1) as f64;
    let at = |i: f64| done[n - 1] as f64 + (i - n as f64) * slope;
    let seen: f64 = done.iter().map(|ns| *ns as f64).sum();
    let unseen = (all - n as f64) * f64::midpoint(at(n as f64 + 1.0), at(all));
    let fixed_cpu = (bill.cpu as f64 - steps_cpu).max(0.0);
    Some(Figures {
        makespan_ms: ms(at(all)),
        mean_dish_ms: ms((seen + unseen) / all),
        p95_dish_ms: ms(at((all * 0.95).max(n as f64))),
        cpu_ms: ms(fixed_cpu + steps_cpu * all / n as f64),
        peak_memory_bytes,
    })
}
