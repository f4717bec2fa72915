//! Comparisons: the same work under several models, interleaved, alone in the house, with a verdict.
//!
//! A job like an order: accepted, run in the background, kept for a while. Its runs are real orders (isolation
//! `kitchen`), labelled with its id. It deliberately claims nothing it has not measured: a sample is said to be one, and
//! a difference within the noise is no difference.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use super::comparison::{Comparison, Full, LineUp, Plan, judge};
use super::entry::{self, Entry, Figures, Sizes};
use super::line_up::{self, Candidate, Family};
use super::plan::{self, Machine};
use super::probe::effective_cores;
use crate::clock;
use crate::domain::ask::OrderAsk;
use crate::domain::client::Client;
use crate::domain::id::OrderId;
use crate::domain::job::Status;
use crate::domain::resolve::Violation;
use crate::domain::spec::Spec;
use crate::kitchen::{Alone, Found, Kitchen};
use crate::model::HouseSize;

/// Comparisons kept, oldest dropped first.
const KEPT: usize = 1_000;
/// Repeats below which a comparison is not cut short: with fewer no difference could be significant.
const FEWEST_REPEATS: usize = 4;

struct Slot {
    state: Comparison,
    changed: watch::Sender<bool>,
}

/// The comparisons of the house.
pub struct Comparisons {
    pub(super) kitchen: Arc<Kitchen>,
    slots: Mutex<BTreeMap<OrderId, Slot>>,
    runtime: tokio::runtime::Handle,
}

impl Comparisons {
    /// None yet; they run on `runtime`.
    #[must_use]
    pub fn new(kitchen: Arc<Kitchen>, runtime: tokio::runtime::Handle) -> Arc<Self> {
        Arc::new(Self { kitchen, slots: Mutex::default(), runtime })
    }

    fn slots(&self) -> MutexGuard<'_, BTreeMap<OrderId, Slot>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn resolve(&self, work: &OrderAsk, candidate: &Candidate) -> Result<Spec, Vec<Violation>> {
        let ask = OrderAsk {
            model: Some(candidate.model.clone()),
            setup: Some(candidate.setup.clone()),
            isolation: Some("kitchen".to_owned()),
            // The same draws for all: common random numbers.
            seed: Some(work.seed.unwrap_or(1)),
            ..work.clone()
        };
        self.kitchen.resolve(ask)
    }

    pub(super) fn entry(&self, work: &OrderAsk, candidate: &Candidate) -> Result<Entry, Vec<Violation>> {
        let spec = self.resolve(work, candidate)?;
        Ok(Entry {
            name: line_up::name(&spec),
            spec,
            expected_ms: 0.0,
            runs: Vec::new(),
            halves: Vec::new(),
            failed: None,
        })
    }

    /// Checks a comparison and accepts it. Violations carry pointers into its body.
    /// `bad` is what was wrong with it before its orders were looked at.
    pub fn submit(
        self: &Arc<Self>,
        owner: &Client,
        plan: Plan,
        mut bad: Vec<Violation>,
    ) -> Result<Result<Comparison, Full>, Vec<Violation>> {
        let cores = self.kitchen.config.staff.cores as u64;
        let candidates = match &plan.line_up {
            LineUp::Of(candidates) => candidates.clone(),
            LineUp::Default => line_up::default(cores),
            LineUp::Sweep => vec![Family::Asyncio.member(0)],
        };
        let mut entries = Vec::new();
        for (i, candidate) in candidates.iter().enumerate() {
            match self.entry(&plan.work, candidate) {
                Ok(entry) => entries.push(entry),
                Err(found) => bad.extend(line_up::relocate(found, i)),
            }
        }
        if !bad.is_empty() {
            // What is wrong with the work is wrong for every candidate: once is enough.
            let mut seen = std::collections::HashSet::new();
            bad.retain(|violation| seen.insert(violation.pointer.clone()));
            return Err(bad);
        }
        let Some(dishes) = entries.first().map(|entry| entry.spec.dishes) else {
            return Err(vec![Violation::new("/line_up", "must have at least one entry")]);
        };
        let now_us = clock::wall_us();
        let state = Comparison {
            id: self.kitchen.ids.next(now_us),
            owner: owner.clone(),
            status: Status::Queued,
            progress: (0, entries.len() * plan.repeats),
            plan,
            dishes: (dishes, dishes),
            effective_cores: None,
            entries,
            verdict: None,
            error: None,
            created_us: now_us,
            finished_us: None,
        };
        let mut slots = self.slots();
        if slots.values().filter(|slot| !slot.state.status.is_done()).count() >= Full::ACTIVE {
            return Ok(Err(Full));
        }
        if slots.len() >= KEPT
            && let Some(oldest) = slots.iter().find(|(_, slot)| slot.state.status.is_done()).map(|(id, _)| *id)
        {
            slots.remove(&oldest);
        }
        slots.insert(state.id, Slot { state: state.clone(), changed: watch::Sender::new(false) });
        drop(slots);
        let (me, id) = (self.clone(), state.id);
        self.runtime.spawn(async move { me.run(id).await });
        Ok(Ok(state))
    }

    /// One comparison.
    #[must_use]
    pub fn get(&self, id: OrderId) -> Option<Comparison> {
        self.slots().get(&id).map(|slot| slot.state.clone())
    }

    /// All that are kept and wanted, youngest first.
    #[must_use]
    pub fn list(&self, limit: usize, wanted: impl Fn(&Comparison) -> bool) -> Vec<Comparison> {
        let all = self.slots();
        all.values().rev().map(|slot| &slot.state).filter(|state| wanted(state)).take(limit).cloned().collect()
    }

    /// Waits until it has ended, at most this long.
    pub async fn wait(&self, id: OrderId, at_most: Duration) {
        let changed = self.slots().get(&id).map(|slot| slot.changed.subscribe());
        if let Some(mut changed) = changed {
            let _ = tokio::time::timeout(at_most, changed.wait_for(|over| *over)).await;
        }
    }

    fn update(&self, id: OrderId, change: impl FnOnce(&mut Comparison)) {
        if let Some(slot) = self.slots().get_mut(&id) {
            change(&mut slot.state);
            if slot.state.status.is_done() {
                slot.changed.send_replace(true);
            }
        }
    }

    async fn run(&self, id: OrderId) {
        let error = self.measure(id).await.err();
        self.update(id, |state| {
            state.finished_us = Some(clock::wall_us());
            state.status = if error.is_none() { Status::Succeeded } else { Status::Failed };
            state.error = error;
        });
    }

    async fn measure(&self, id: OrderId) -> Result<(), String> {
        let Some(mut state) = self.get(id) else { return Ok(()) };
        let alone = self.kitchen.alone().await.map_err(|busy| busy.to_string())?;
        let all = self.kitchen.config.staff.cores;
        let probed = tokio::task::spawn_blocking(move || effective_cores(all)).await;
        let cores = probed.map_err(|e| e.to_string())?;
        self.update(id, |state| {
            state.status = Status::Running;
            state.effective_cores = Some(cores);
        });
        if state.plan.line_up == LineUp::Sweep {
            state.entries = self.sweep(id, &state.plan, &alone, cores).await?;
        }
        let measured = self.plan_dishes(&mut state, cores);
        let total = state.entries.len() * state.plan.repeats;
        self.update(id, |s| {
            s.dishes.1 = measured;
            s.progress.1 = s.progress.0 + total;
            s.entries.clone_from(&state.entries);
        });
        let started = clock::now();
        for repeat in 0..state.plan.repeats {
            // The plan was made for the cores of a moment ago. If they have become fewer, fewer runs fit.
            let spent = clock::now() - started;
            let late = spent + spent / (repeat as u64).max(1) > clock::ns(state.plan.budget) / 8 * 9;
            if late && repeat >= FEWEST_REPEATS {
                self.update(id, |s| s.progress.1 = s.progress.0);
                break;
            }
            for i in plan::interleaved(state.entries.len(), repeat) {
                self.run_entry(id, &mut state.entries[i], &alone, measured).await?;
            }
        }
        drop(alone);
        if measured < state.dishes.0 {
            let sizes = Sizes { full: measured, half: measured / 2, whole: state.dishes.0 };
            let machine = self.machine(self.kitchen.config.staff.cores as f64);
            state.entries.iter_mut().for_each(|entry| entry.extend(sizes, machine));
        }
        let verdict = judge(&mut state.entries, state.plan.objective, (state.dishes.0, measured));
        self.update(id, |s| {
            s.entries = state.entries;
            s.verdict = verdict;
        });
        Ok(())
    }

    /// What this house offers, with so many cores.
    pub(super) fn machine(&self, cores: f64) -> Machine {
        let (pool, kitchens) = (self.kitchen.staff.pool_size() as u32, self.kitchen.config.staff.cores as u32);
        Machine { cores, house: HouseSize { pool, kitchens } }
    }

    /// How many dishes each run cooks; fills in what one would expect of the whole order.
    fn plan_dishes(&self, state: &mut Comparison, cores: f64) -> u32 {
        let machine = self.machine(cores);
        for entry in &mut state.entries {
            entry.expected_ms = 1e3 * plan::expected(&entry.spec, machine);
        }
        let repeats = state.plan.repeats as f64;
        let cost = |dishes: u32| {
            let of = |entry: &Entry| plan::expected(&Spec { dishes, ..entry.spec.clone() }, machine);
            state.entries.iter().map(|entry| (of(entry) + START_COST_S) * repeats).sum()
        };
        plan::fitting(state.dishes.0, plan::round(machine.house), state.plan.budget, cost)
    }

    /// One repeat of one entry: a run, or two if its dishes are a sample.
    pub(super) async fn run_entry(
        &self,
        id: OrderId,
        entry: &mut Entry,
        alone: &Alone<'_>,
        dishes: u32,
    ) -> Result<(), String> {
        let figures = self.run_once(id, entry, alone, dishes).await?;
        entry.runs.extend(figures);
        if dishes < entry.spec.dishes {
            let figures = self.run_once(id, entry, alone, dishes / 2).await?;
            entry.halves.extend(figures);
        }
        self.update(id, |s| s.progress.0 += 1);
        Ok(())
    }

    /// One run of one entry; `None` once the entry has failed.
    async fn run_once(
        &self,
        id: OrderId,
        entry: &mut Entry,
        alone: &Alone<'_>,
        dishes: u32,
    ) -> Result<Option<Figures>, String> {
        if entry.failed.is_some() {
            return Ok(None);
        }
        let mut spec = Spec { dishes, ..entry.spec.clone() };
        let own = entry.spec.labels.iter().cloned();
        spec.labels = own.chain([("comparison".into(), id.text("cmp_").into())]).collect();
        let order = alone.submit(spec).map_err(|refusal| refusal.to_string())?.id;
        let watched = self.kitchen.watch(order);
        loop {
            let ended = watched.ended();
            match self.kitchen.get(order) {
                Found::Here(job) if job.status.is_done() => {
                    let records = self.kitchen.store.steps(order).unwrap_or_default();
                    let figures = entry::figures(&job, &records).filter(|_| job.status == Status::Succeeded);
                    if figures.is_none() {
                        entry.failed = Some(job.error.map_or_else(|| "no result".to_owned(), |e| e.detail));
                    }
                    return Ok(figures);
                }
                Found::Here(_) => ended.await,
                _ => return Err(format!("{order} disappeared while it was measured")),
            }
        }
    }
}

/// Seconds a run costs beyond its work: an isolated kitchen, its own kitchens, the way there and back.
const START_COST_S: f64 = 0.02;
