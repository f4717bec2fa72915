//! Puts a report together from the job, its records and the machine.
//!
//! It deliberately decides nothing about words: those are in [`super::why`] and [`super::text`].

use std::collections::{BTreeMap, BTreeSet};

use super::bounds::{self, Cost, Demands, Ledger, Resources};
use super::graph::Graph;
use super::processes::{BillView, ProcessesView};
use super::{BooksView, BoundsView, ChainView, Quantiles, Report, WorkView, chain, ms, ratio, signed_ms, why};
use crate::domain::Ns;
use crate::domain::job::Job;
use crate::domain::record::{Outcome, StepRecord};
use crate::domain::spec::{Choice, Spec};
use crate::domain::summary::{self, Harvest, Summary};
use crate::lab::lanes::{self, Stretch};
use crate::lab::phases::{Parts, Phase};
use crate::lab::plan::Machine;
use crate::model::{self, Shape};

/// A step that ran, and the parts of its time.
pub(super) type Ran<'a> = (&'a StepRecord, Parts);

/// What all parts of a report look at.
pub(super) struct Facts<'a> {
    pub(super) job: &'a Job,
    pub(super) spec: &'a Spec,
    pub(super) summary: &'a Summary,
    pub(super) shape: Shape,
    pub(super) machine: Machine,
    pub(super) ran: Vec<Ran<'a>>,
    /// When each of them kept its worker.
    pub(super) lanes: Vec<Vec<Stretch>>,
}

/// The report of an order that has ended, from all records that were kept of it.
#[must_use]
pub fn of(job: &Job, records: &[StepRecord], machine: Machine) -> Report {
    let spec = &*job.spec;
    // One that never ran has an empty account, which is an account.
    let never_ran = || Box::new(summary::close(spec, Harvest::default(), 0, 0, true).0);
    let summary = job.summary.clone().unwrap_or_else(never_ran);
    let ran: Vec<_> = records.iter().filter(|r| r.was_run()).collect();
    let shape = model::get(spec.model).shape(spec, machine.house);
    let lanes = lanes::of(spec, shape, &ran);
    let ran = ran.into_iter().map(|r| (r, Parts::of(spec, r))).collect();
    let facts = Facts { job, spec, summary: &summary, shape, machine, ran, lanes };
    facts.report(records)
}

impl Facts<'_> {
    fn report(&self, records: &[StepRecord]) -> Report {
        let (summary, spec) = (self.summary, self.spec);
        let demands = self.demands();
        let graph = (!summary.sampled).then(|| Graph::of(spec, records, self.shape));
        let found = graph.as_ref().map(Graph::chain);
        let overhead = found.as_ref().map(|chain| chain::overhead(&chain.parts) + self.overhead_per_worker());
        let chain = found.map(|chain| ChainView::of(spec, &chain));
        let floor = (demands.cpu as f64 / self.machine.cores.max(1e-9)) as Ns;
        let mut report = Report {
            order: self.job.id.to_string(),
            status: self.job.status.name(),
            model: model::get(spec.model).info().name,
            recipe: spec.recipe.name.to_string(),
            dishes: spec.dishes,
            steps_run: summary.totals.steps.iter().sum(),
            sampled: summary.sampled,
            makespan_ms: ms(summary.makespan),
            queued_ms: ms(self.job.queue_ns),
            in_system_ms: ms(self.job.queue_ns + summary.makespan),
            dish_ms: self.completions(),
            work: WorkView {
                cpu_ms: ms(demands.cpu),
                wait_ms: ms(demands.wait),
                serial_ms: ms(demands.cpu + demands.wait),
                critical_path_ms: ms(demands.path),
            },
            bounds: self.bounds(&demands, overhead),
            overlap: self.overlap(&demands),
            lag: self.lag(),
            gil: self.gil(),
            exchange: self.exchange(),
            books: self.books(),
            without: graph.map_or_else(Vec::new, |graph| chain::without(&graph, summary.makespan, floor)),
            chain,
            processes: summary.bill.as_ref().map(ProcessesView::of),
            bill: BillView::of(summary.bill.as_ref(), demands.cpu),
            noise: Vec::new(),
            explanation: Vec::new(),
        };
        report.noise = why::noise(self, &report);
        report.explanation = why::explanation(self, &report);
        report
    }

    /// Steps that may keep a worker at the same time.
    fn workers(&self) -> u32 {
        self.shape.workers.clamp(1, u32::try_from(self.spec.steps_total()).unwrap_or(u32::MAX))
    }

    fn completions(&self) -> Option<Quantiles> {
        let s = self.summary;
        let (mean, p50, p95, max) = (s.mean_dish?, s.p50_dish?, s.p95_dish?, s.max_dish?);
        Some(Quantiles { mean: ms(mean), p50: ms(p50), p95: ms(p95), max: ms(max) })
    }

    /// The work of all dishes. Of a sample: dishes as the mean of each step makes them, with the exact sum of CPU time.
    fn demands(&self) -> Demands {
        let steps = self.spec.recipe.steps.len();
        let mut ledger = Ledger::new(self.spec, self.shape);
        let cost =
            |parts: &Parts| Cost { wait: parts.get(Phase::Wait).max(0) as Ns, cpu: parts.get(Phase::Cpu).max(0) as Ns };
        if self.summary.sampled {
            let mut sums = vec![(0_u64, Cost::default()); steps];
            for (record, parts) in &self.ran {
                let (count, sum) = &mut sums[usize::from(record.at.step)];
                let cost = cost(parts);
                (*count, sum.wait, sum.cpu) = (*count + 1, sum.wait + cost.wait, sum.cpu + cost.cpu);
            }
            let mean = |(n, sum): &(u64, Cost)| Cost { wait: sum.wait / (*n).max(1), cpu: sum.cpu / (*n).max(1) };
            let means: Vec<_> = sums.iter().map(mean).collect();
            let run = self.summary.totals.steps.iter().map(|n| u64::from(*n)).sum::<u64>();
            ledger.add(&means, 0, run / steps as u64);
            return Demands { cpu: self.summary.totals.terms.cpu, ..ledger.close() };
        }
        let mut dishes: BTreeMap<u32, Vec<Cost>> = BTreeMap::new();
        for (record, parts) in &self.ran {
            let costs = dishes.entry(record.at.dish).or_insert_with(|| vec![Cost::default(); steps]);
            costs[usize::from(record.at.step)] = cost(parts);
        }
        for (dish, costs) in dishes {
            ledger.add(&costs, self.spec.arrival(dish), 1);
        }
        ledger.close()
    }

    fn bounds(&self, demands: &Demands, overhead: Option<Ns>) -> BoundsView {
        let pids: BTreeSet<u32> = self.ran.iter().map(|(record, _)| record.worker.pid).collect();
        let workers = self.workers();
        let has_gil = self.option("gil") == Some(Choice::Truth(true));
        let by =
            Resources { machine: self.machine, workers, chefs: self.chefs(), has_gil, kitchens: pids.len() as u32 };
        let bounds = bounds::of(self.spec, demands, by);
        let (lower_by, lower) = bounds.lower.first().copied().unwrap_or(("critical_path", 0));
        BoundsView {
            cores: self.machine.cores,
            workers,
            lower_ms: ms(lower),
            lower_by,
            upper_ms: overhead.map(|overhead| ms(bounds.upper + overhead)),
            efficiency: ratio(lower as f64, self.summary.makespan as f64),
        }
    }

    fn books(&self) -> BooksView {
        let mut sum = Parts::default();
        let (mut span, mut worst, mut out) = (0, 0_i64, 0);
        for (record, parts) in &self.ran {
            let (length, rest) = (record.finished - record.started, parts.get(Phase::Rest));
            sum.add(parts);
            span += length;
            worst = if rest.abs() > worst.abs() { rest } else { worst };
            out += u32::from(record.outcome == Outcome::Succeeded && super::is_out_of_balance(length, rest));
        }
        let part = |phase: Phase| signed_ms(sum.get(phase));
        BooksView {
            steps: self.ran.len() as u32,
            span_ms: ms(span),
            cpu_ms: part(Phase::Cpu),
            gil_wait_ms: part(Phase::Gil),
            core_wait_ms: part(Phase::Core),
            equipment_wait_ms: part(Phase::Equipment),
            exchange_ms: part(Phase::Exchange),
            yielded_ms: part(Phase::Yielded),
            wait_ms: part(Phase::Wait),
            lag_ms: part(Phase::Lag),
            residual_ms: part(Phase::Rest),
            worst_residual_ms: signed_ms(worst),
            out_of_balance: out,
            queue_ms: ms(self.summary.totals.queue),
            held_idle_ms: ms(self.summary.totals.terms.held_idle),
        }
    }

    /// What an option of the model was set to; nothing if the model has none of this name.
    pub(super) fn option(&self, name: &str) -> Option<Choice> {
        let position = model::get(self.spec.model).info().options.iter().position(|option| option.name == name)?;
        self.spec.setup.0.get(position).copied()
    }
}
