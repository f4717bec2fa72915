//! One entry of a comparison: its runs, and the figures made of them.
//!
//! Where only some of the dishes were cooked, twice as many are set against half of them, and the line through both is
//! extended to the whole order, and said to be. It deliberately runs nothing.

use crate::domain::job::Job;
use crate::domain::limits;
use crate::domain::record::{Outcome, StepRecord, Totals};
use crate::domain::spec::Spec;

use super::foresee::Forecasts;
use super::objective::Aims;
use super::plan::{self, Machine};
use super::statistics::{self, Interval, Spread};

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
    /// Milliseconds of its steps alone.
    pub steps_cpu_ms: f64,
    /// Sum of `VmHWM` over its processes.
    pub peak_memory_bytes: f64,
}

impl Figures {
    /// What can be aimed at.
    #[must_use]
    pub fn aims(&self) -> Aims {
        [self.makespan_ms, self.mean_dish_ms, self.p95_dish_ms, self.peak_memory_bytes]
    }
}

/// CPU that a step of the recipe really took, summed over dishes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StepCpu {
    /// Nanoseconds.
    pub sum: u64,
    /// Dishes.
    pub dishes: u64,
}

/// How an entry stands beside the best one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Against {
    /// Its median by the best one's.
    pub ratio: f64,
    /// Where that ratio lies; `None` with too few runs.
    pub interval: Option<Interval>,
    /// Chance of a difference like this between equals (Mann-Whitney); 1 for the best itself.
    pub p_value: f64,
    /// Whether it is worse beyond chance.
    pub differs: bool,
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
    /// If its dishes are a sample: runs of half as many.
    pub halves: Vec<Figures>,
    /// Where the time of all steps of all its runs went; as measured, never extended.
    pub totals: Totals,
    /// What each step of its recipe really computed.
    pub step_cpu: Vec<StepCpu>,
    /// CPU of a run beyond its steps, milliseconds: starts, messages, bookkeeping.
    pub start_cpu_ms: f64,
    /// What was expected of a run, before and in hindsight.
    pub forecasts: Option<Forecasts>,
    /// How it stands beside the best one, once all have been measured.
    pub against_best: Option<Against>,
    /// Why it could not be measured.
    pub failed: Option<String>,
}

impl Entry {
    /// An entry that has not run.
    #[must_use]
    pub fn new(name: String, spec: Spec) -> Self {
        Self {
            name,
            step_cpu: vec![StepCpu::default(); spec.recipe.steps.len()],
            spec,
            expected_ms: 0.0,
            runs: Vec::new(),
            halves: Vec::new(),
            totals: Totals::default(),
            start_cpu_ms: 0.0,
            forecasts: None,
            against_best: None,
            failed: None,
        }
    }

    /// Notes where the time of a run's steps went.
    pub fn note(&mut self, totals: &Totals, records: &[StepRecord]) {
        self.totals.merge(totals);
        for record in records.iter().filter(|r| r.outcome == Outcome::Succeeded) {
            let step = &mut self.step_cpu[usize::from(record.at.step)];
            step.sum += record.terms.cpu;
            step.dishes += 1;
        }
    }

    /// The spread of one figure.
    #[must_use]
    pub fn spread(&self, of: impl Fn(&Figures) -> f64) -> Option<Spread> {
        Spread::of(&self.runs.iter().map(of).collect::<Vec<_>>())
    }
}

/// Completion times of the dishes, nanoseconds from the arrival of each.
fn completions(spec: &Spec, records: &[StepRecord]) -> Vec<f64> {
    let mut last = vec![0_u64; spec.dishes as usize];
    for record in records.iter().filter(|r| r.outcome == Outcome::Succeeded) {
        let dish = &mut last[spec.position(record.at.dish)];
        *dish = (*dish).max(record.finished.saturating_sub(spec.arrival(record.at.dish)));
    }
    last.into_iter().map(|ns| ns as f64).collect()
}

/// The figures of a run as it was.
#[must_use]
pub fn figures(job: &Job, records: &[StepRecord]) -> Option<Figures> {
    let summary = job.summary.as_ref()?;
    let bill = summary.bill.as_ref().map(|bill| bill.sum).unwrap_or_default();
    let ms = |ns: u64| ns as f64 / 1e6;
    let p95 = match job.spec.steps_total() <= limits::RECORDS {
        // Between neighbours: of a dozen dishes the nearest rank would be the last one.
        true => statistics::quantile(&completions(&job.spec, records), 0.95)?,
        false => summary.p95_dish? as f64,
    };
    Some(Figures {
        makespan_ms: ms(summary.makespan),
        mean_dish_ms: ms(summary.mean_dish?),
        p95_dish_ms: p95 / 1e6,
        cpu_ms: ms(bill.cpu),
        steps_cpu_ms: ms(summary.totals.terms.cpu),
        peak_memory_bytes: bill.peak_rss_bytes as f64,
    })
}

type Figure = fn(&Figures) -> f64;

/// A sample: dishes of a full run, of a half run, and of the whole order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Of a full run.
    pub full: u32,
    /// Of the run beside it.
    pub half: u32,
    /// Of the order.
    pub whole: u32,
}

impl Entry {
    /// Extends its runs to the whole order, along lines through each full run and the median of the half ones.
    ///
    /// Times are linear in the number of dishes once every worker is busy. Whatever noise makes of the slope, a dish costs at
    /// least what arithmetic says, and at most its share of the run: a line above that would begin below zero. CPU is
    /// exactly what the steps used; memory is taken as it was.
    pub fn extend(&mut self, sizes: Sizes, machine: Machine) {
        let beyond = f64::from(sizes.whole - sizes.full);
        let halves = std::mem::take(&mut self.halves);
        let half = |of: Figure| Spread::of(&halves.iter().map(of).collect::<Vec<_>>()).map(|s| s.median);
        let figures: [(Figure, f64); 3] =
            [(|f| f.makespan_ms, 1.0), (|f| f.mean_dish_ms, 0.5), (|f| f.p95_dish_ms, 0.95)];
        for run in &mut self.runs {
            let cpu_per_dish = run.steps_cpu_ms / f64::from(sizes.full);
            let least = plan::least_per_dish_ms(&self.spec, machine, cpu_per_dish);
            let line = |(of, share): (Figure, f64)| {
                let slope = half(of).map_or(0.0, |half| (of(run) - half) / f64::from(sizes.full - sizes.half));
                of(run) + beyond * slope.min(of(run) / f64::from(sizes.full)).max(share * least)
            };
            let [makespan_ms, mean_dish_ms, p95_dish_ms] = figures.map(line);
            let cpu_ms = run.cpu_ms + beyond * cpu_per_dish;
            *run = Figures { makespan_ms, mean_dish_ms, p95_dish_ms, cpu_ms, ..*run };
        }
    }
}
