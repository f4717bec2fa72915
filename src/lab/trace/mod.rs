//! An order as a trace in Chrome's Trace Event format, for ui.perfetto.dev and whatever else reads it.
//!
//! A lane for each chef with what he did, strictly nested, at real process and thread ids; a lane for each dish from its
//! arrival to its end; each step of a dish as an asynchronous pair, since waits overlap; arrows from a dish to the chef who
//! took its step up; instants for what went wrong and for waits whose end was noticed late; two counters. Rules, with
//! reasons, in `docs/laboratory.md`. It deliberately holds only one part of the text at a time.

mod events;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::json;

use self::events::{DISHES, Events, Slice, ms};
use super::lanes::{self, Stretch};
use super::phases::{Parts, Phase};
use crate::domain::Ns;
use crate::domain::job::Job;
use crate::domain::record::{Outcome, StepRecord, wait_of};
use crate::model::{self, HouseSize, Shape};

/// Steps written down at a time: some 200 KiB of text.
const STEPS_PER_PART: usize = 256;
/// A lag that is marked (chosen: timers of the loop are exact to a millisecond).
const MARKED_LAG: Ns = 2_000_000;

/// A trace about to be written.
pub struct Trace {
    job: Job,
    records: Arc<Vec<StepRecord>>,
    /// Records of steps that ran, in order of their start.
    ran: Vec<u32>,
    /// When each of them kept its chef.
    lanes: Vec<Vec<Stretch>>,
    shape: Shape,
}

impl Trace {
    /// Of an order and what was recorded of it so far.
    #[must_use]
    pub fn new(job: Job, records: Arc<Vec<StepRecord>>) -> Self {
        let mut ran: Vec<u32> = (0..records.len() as u32).filter(|i| records[*i as usize].was_run()).collect();
        ran.sort_by_key(|i| (records[*i as usize].started, records[*i as usize].finished));
        // How many there are changes nothing on a lane.
        let shape = model::get(job.spec.model).shape(&job.spec, HouseSize { pool: 1, kitchens: 1 });
        let in_order: Vec<_> = ran.iter().map(|i| &records[*i as usize]).collect();
        let lanes = lanes::of(&job.spec, shape, &in_order);
        Self { job, records, ran, lanes, shape }
    }

    /// The text in parts, one after another.
    pub fn parts(self) -> impl Iterator<Item = String> + Send + 'static {
        let count = self.ran.len().div_ceil(STEPS_PER_PART);
        (0..count + 2).map(move |part| match part {
            0 => self.head(),
            _ if part <= count => self.steps((part - 1) * STEPS_PER_PART),
            _ => self.tail(),
        })
    }

    /// Names of lanes, and the dishes. `traceEvents` comes first: older importers stop at a key they do not know.
    fn head(&self) -> String {
        let mut events = Events::default();
        let model = model::get(self.job.spec.model).info().name;
        events.name("process_name", DISHES, DISHES, format!("dishes ({})", self.job.spec.recipe.name));
        let lanes = self.ran.iter().zip(&self.lanes).filter(|(_, lane)| !lane.is_empty());
        let chefs: BTreeSet<_> =
            lanes.map(|(i, _)| self.records[*i as usize].worker).map(|worker| (worker.pid, worker.tid)).collect();
        let pids: BTreeSet<_> = chefs.iter().map(|(pid, _)| *pid).collect();
        for pid in pids {
            events.name("process_name", pid.into(), pid.into(), format!("kitchen {pid} ({model})"));
        }
        for (number, (pid, tid)) in chefs.into_iter().enumerate() {
            events.name("thread_name", pid.into(), tid.into(), format!("chef {}", number + 1));
        }
        for (dish, (from, to)) in self.dishes() {
            let tid = DISHES + u64::from(dish);
            events.name("thread_name", DISHES, tid, format!("dish {dish}"));
            events.slice(
                Slice { name: &format!("dish {dish}"), cat: "dish", from, to, cpu: None, pid: DISHES, tid },
                &json!({"dish": dish}),
            );
        }
        format!("{{\"traceEvents\":[{}", events.0.trim_start_matches(','))
    }

    /// From when a dish was asked for to the end of the last of its steps that was kept.
    fn dishes(&self) -> BTreeMap<u32, (Ns, Ns)> {
        let mut dishes: BTreeMap<u32, (Ns, Ns)> = BTreeMap::new();
        for record in self.ran.iter().map(|i| &self.records[*i as usize]) {
            let begin = record.ready.min(self.job.spec.arrival(record.at.dish));
            let (from, to) = dishes.entry(record.at.dish).or_insert((begin, record.finished));
            *from = begin.min(*from);
            *to = record.finished.max(*to);
        }
        dishes
    }

    fn steps(&self, first: usize) -> String {
        let mut events = Events::default();
        for nth in first..self.ran.len().min(first + STEPS_PER_PART) {
            let record = &self.records[self.ran[nth] as usize];
            let step = Step { record, parts: Parts::of(&self.job.spec, record), id: nth as u64, trace: self };
            step.pairs(&mut events);
            step.instants(&mut events);
            step.lane(&mut events, &self.lanes[nth]);
        }
        events.0
    }

    /// The counters, and what the trace is of.
    fn tail(&self) -> String {
        let mut events = Events::default();
        let mut changes: Vec<(Ns, bool, i64)> = Vec::new();
        for record in self.ran.iter().map(|i| &self.records[*i as usize]) {
            let is_cpu = self.job.spec.step(record.at).work.is_cpu();
            if is_cpu || wait_of(self.job.spec.work(record.at)).is_some() {
                changes.extend([(record.started, is_cpu, 1), (record.finished, is_cpu, -1)]);
            }
        }
        changes.sort_unstable();
        let (mut runnable, mut waits) = (0, 0);
        for (i, (at, is_cpu, change)) in changes.iter().enumerate() {
            *(if *is_cpu { &mut runnable } else { &mut waits }) += change;
            // What changes at one moment is one change.
            if changes.get(i + 1).is_none_or(|next| next.0 != *at) {
                events.counter("runnable", *at, runnable);
                events.counter("open waits", *at, waits);
            }
        }
        let other = json!({
            "order": self.job.id.to_string(),
            "status": self.job.status.name(),
            "model": model::get(self.job.spec.model).info().name,
            "sampled": self.job.summary.as_ref().is_some_and(|summary| summary.sampled),
            "note": "the lengths of the parts of a step are measured, their places within it are not",
        });
        format!("{}],\"displayTimeUnit\":\"ms\",\"otherData\":{other}}}", events.0)
    }
}

struct Step<'a> {
    record: &'a StepRecord,
    parts: Parts,
    id: u64,
    trace: &'a Trace,
}

impl Step<'_> {
    fn name(&self) -> String {
        format!("{} #{}", self.trace.job.spec.step(self.record.at).name, self.record.at.dish)
    }

    /// The step as its dish sees it: in the queue, then under way. Pairs may overlap; each has an id of its own.
    fn pairs(&self, events: &mut Events) {
        let (record, kind) = (self.record, self.trace.job.spec.step(self.record.at).work.kind());
        let args = json!({
            "dish": record.at.dish, "outcome": record.outcome.name(), "tid": record.worker.tid,
            "queue_ms": ms(record.started - record.ready), "lag_ms": record.lag(&self.trace.job.spec).map(ms),
        });
        if record.started > record.ready {
            events.pair(
                &format!("queued: {}", self.name()),
                "queue",
                2 * self.id + 1,
                (record.ready, record.started),
                &args,
            );
        }
        events.pair(&self.name(), kind, 2 * self.id, (record.started, record.finished), &args);
    }

    /// The step as its chef sees it: each stretch in which it kept him, with its parts inside, and an arrow from its dish.
    fn lane(&self, events: &mut Events, stretches: &[Stretch]) {
        let (record, worker) = (self.record, self.record.worker);
        let (pid, tid) = (u64::from(worker.pid), u64::from(worker.tid));
        let args = json!({"dish": record.at.dish, "outcome": record.outcome.name(), "residual_ms": (self.parts.get(Phase::Rest) / 1_000) as f64 / 1e3});
        for &(from, to) in stretches {
            events.slice(Slice { name: &self.name(), cat: "step", from, to, cpu: None, pid, tid }, &args);
        }
        let spec = &self.trace.job.spec;
        let kept = lanes::kept_parts(&self.parts, lanes::is_on_loop(spec, self.trace.shape, record));
        let laid = lanes::laid_over(&kept, stretches);
        // The last slice of CPU has what is left, also where the books are beyond the step.
        let mut cpu = record.terms.cpu;
        let last = laid.iter().rposition(|(phase, ..)| *phase == Phase::Cpu);
        for (i, (phase, from, to)) in laid.into_iter().enumerate() {
            let on_cpu = (phase == Phase::Cpu).then(|| if Some(i) == last { cpu } else { to - from });
            cpu -= on_cpu.unwrap_or(0);
            let slice = Slice { name: phase.words(), cat: phase.name(), from, to, cpu: on_cpu, pid, tid };
            events.slice(slice, &json!({"dish": record.at.dish}));
        }
        // An arrow must start and end inside of a slice: a dish has ended when its last step has, a step of no length has no inside.
        if let Some((from, _)) = stretches.first().filter(|(from, to)| from < to) {
            let dish = DISHES + u64::from(record.at.dish);
            events.arrow(self.id, (record.ready, DISHES, dish), (*from, pid, tid));
        }
    }

    fn instants(&self, events: &mut Events) {
        let (record, dish) = (self.record, DISHES + u64::from(self.record.at.dish));
        if matches!(record.outcome, Outcome::Failed | Outcome::Canceled) {
            events.instant(&format!("{}: {}", record.outcome.name(), self.name()), record.finished, dish);
        }
        if let Some(lag) = record.lag(&self.trace.job.spec).filter(|lag| *lag >= MARKED_LAG) {
            events.instant(&format!("due: {}", self.name()), record.finished - lag, dish);
        }
    }
}
