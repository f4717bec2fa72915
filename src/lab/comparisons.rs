//! Comparisons: the same work under several models, interleaved, alone in the house, with a verdict.
//!
//! A job like an order: accepted, run in the background, kept for a while. Its runs are real orders (isolation
//! `kitchen`), labelled with its id. It deliberately claims nothing it has not measured: a sample is said to be one, and
//! a difference within the noise is no difference.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use super::entry::{self, Entry, Figures};
use super::line_up::{self, Candidate, Family};
use super::{plan, probe, statistics};
use crate::clock;
use crate::domain::ask::OrderAsk;
use crate::domain::id::OrderId;
use crate::domain::job::Status;
use crate::domain::resolve::Violation;
use crate::domain::spec::Spec;
use crate::kitchen::{Alone, Found, Kitchen};

/// Comparisons kept, oldest dropped first.
const KEPT: usize = 1_000;
/// Comparisons waiting or running at once.
const ACTIVE: usize = 16;
/// How much better a larger count must be for a sweep to go on.
const STILL_HELPS: f64 = 0.97;

/// What is best.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Objective {
    /// Least time for all dishes.
    Makespan,
    /// Least mean completion time of a dish.
    MeanLatency,
    /// Least 95th percentile of the same.
    P95Latency,
    /// Least memory.
    Memory,
}

impl Objective {
    /// Names on the wire, in the order of the variants.
    pub const NAMES: [&'static str; 4] = ["makespan", "mean_latency", "p95_latency", "memory"];
    const ALL: [Self; 4] = [Self::Makespan, Self::MeanLatency, Self::P95Latency, Self::Memory];

    /// The objective of this name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|o| o.name() == name)
    }

    /// Name on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::NAMES[self as usize]
    }

    /// The figure it looks at.
    #[must_use]
    pub fn of(self, figures: &Figures) -> f64 {
        match self {
            Self::Makespan => figures.makespan_ms,
            Self::MeanLatency => figures.mean_dish_ms,
            Self::P95Latency => figures.p95_dish_ms,
            Self::Memory => figures.peak_memory_bytes,
        }
    }
}

/// Who is compared.
#[derive(Clone, Debug, PartialEq)]
pub enum LineUp {
    /// The default five.
    Default,
    /// Each way of scaling, doubled while it helps, then the best of each.
    Sweep,
    /// These.
    Of(Vec<Candidate>),
}

/// A comparison as resolved.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The order, without its model.
    pub work: OrderAsk,
    /// Who is compared.
    pub line_up: LineUp,
    /// Runs of each.
    pub repeats: usize,
    /// What is best.
    pub objective: Objective,
    /// Time to measure for; dishes are sampled to fit.
    pub budget: Duration,
}

/// Who won.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// Name of the best entry.
    pub winner: String,
    /// Whether it differs from the second beyond chance (Mann-Whitney, 5 %).
    pub significant: bool,
    /// By how much the second is worse, percent.
    pub margin_percent: f64,
    /// All of it in a sentence.
    pub text: String,
}

/// A comparison with its state.
#[derive(Clone, Debug)]
pub struct Comparison {
    /// Its id.
    pub id: OrderId,
    /// Queued, running, succeeded or failed.
    pub status: Status,
    /// What was asked.
    pub plan: Plan,
    /// Dishes asked for, and dishes each run cooks.
    pub dishes: (u32, u32),
    /// Cores this machine gave just before.
    pub effective_cores: Option<f64>,
    /// Best first, once it has ended.
    pub entries: Vec<Entry>,
    /// Runs done, runs planned.
    pub progress: (usize, usize),
    /// Who won.
    pub verdict: Option<Verdict>,
    /// Why it failed.
    pub error: Option<String>,
    /// Accepted, microseconds since 1970.
    pub created_us: i64,
    /// Ended, microseconds since 1970.
    pub finished_us: Option<i64>,
}

struct Slot {
    state: Comparison,
    changed: watch::Sender<bool>,
}

/// The comparisons of the house.
pub struct Comparisons {
    kitchen: Arc<Kitchen>,
    slots: Mutex<BTreeMap<OrderId, Slot>>,
    runtime: tokio::runtime::Handle,
}

/// Too many comparisons are waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{ACTIVE} comparisons are waiting or running already")]
pub struct Full;

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

    fn entry(&self, work: &OrderAsk, candidate: &Candidate) -> Result<Entry, Vec<Violation>> {
        let spec = self.resolve(work, candidate)?;
        Ok(Entry { name: line_up::name(&spec), spec, expected_ms: 0.0, runs: Vec::new(), failed: None })
    }

    /// Checks a comparison and accepts it. Violations carry pointers into its body.
    pub fn submit(self: &Arc<Self>, plan: Plan) -> Result<Result<Comparison, Full>, Vec<Violation>> {
        let cores = self.kitchen.config.staff.cores as u64;
        let candidates = match &plan.line_up {
            LineUp::Of(candidates) => candidates.clone(),
            LineUp::Default => line_up::default(cores),
            LineUp::Sweep => vec![Family::Asyncio.member(0)],
        };
        let (mut entries, mut bad) = (Vec::new(), Vec::new());
        for (i, candidate) in candidates.iter().enumerate() {
            match self.entry(&plan.work, candidate) {
                Ok(entry) => entries.push(entry),
                Err(found) => bad.extend(relocate(found, i)),
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
        if slots.values().filter(|slot| !slot.state.status.is_done()).count() >= ACTIVE {
            return Ok(Err(Full));
        }
        if slots.len() >= KEPT
            && let Some(oldest) = slots.iter().find(|(_, slot)| slot.state.status.is_done()).map(|(id, _)| *id)
        {
            slots.remove(&oldest);
        }
        slots.insert(state.id, Slot { state: state.clone(), changed: watch::Sender::new(false) });
        drop(slots);
        let me = self.clone();
        let id = state.id;
        self.runtime.spawn(async move { me.run(id).await });
        Ok(Ok(state))
    }

    /// One comparison.
    #[must_use]
    pub fn get(&self, id: OrderId) -> Option<Comparison> {
        self.slots().get(&id).map(|slot| slot.state.clone())
    }

    /// All that are kept, youngest first.
    #[must_use]
    pub fn list(&self, limit: usize) -> Vec<Comparison> {
        self.slots().values().rev().take(limit).map(|slot| slot.state.clone()).collect()
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
        let result = self.measure(id).await;
        self.update(id, |state| {
            state.finished_us = Some(clock::wall_us());
            state.status = if result.is_ok() { Status::Succeeded } else { Status::Failed };
            state.error = result.err();
        });
    }

    async fn measure(&self, id: OrderId) -> Result<(), String> {
        let Some(mut state) = self.get(id) else { return Ok(()) };
        let alone = self.kitchen.alone().await.map_err(|busy| busy.to_string())?;
        let burners = self.kitchen.config.staff.cores;
        let probed = tokio::task::spawn_blocking(move || probe::effective_cores(burners)).await;
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
        for repeat in 0..state.plan.repeats {
            for i in interleaved(state.entries.len(), repeat) {
                self.run_entry(id, &mut state.entries[i], &alone, measured).await?;
            }
        }
        drop(alone);
        let verdict = judge(&mut state.entries, state.plan.objective, (state.dishes.0, measured));
        self.update(id, |s| {
            s.entries = state.entries;
            s.verdict = verdict;
        });
        Ok(())
    }

    /// How many dishes each run cooks; fills in what one would expect of the whole order.
    fn plan_dishes(&self, state: &mut Comparison, cores: f64) -> u32 {
        let (pool, kitchens) = (self.kitchen.staff.pool_size(), self.kitchen.config.staff.cores);
        for entry in &mut state.entries {
            entry.expected_ms = 1e3 * plan::expected(&entry.spec, cores, pool, kitchens);
        }
        let repeats = state.plan.repeats as f64;
        let cost = |dishes: u32| {
            let of = |entry: &Entry| plan::expected(&Spec { dishes, ..entry.spec.clone() }, cores, pool, kitchens);
            state.entries.iter().map(|entry| (of(entry) + START_COST_S) * repeats).sum()
        };
        plan::fitting(state.dishes.0, plan::fewest(pool), state.plan.budget, cost)
    }

    /// One run of one entry.
    async fn run_entry(&self, id: OrderId, entry: &mut Entry, alone: &Alone<'_>, dishes: u32) -> Result<(), String> {
        if entry.failed.is_some() {
            return Ok(());
        }
        let mut spec = Spec { dishes, ..entry.spec.clone() };
        spec.labels = Box::new([("comparison".into(), id.text("cmp_").into())]);
        let order = alone.submit(spec).map_err(|refusal| refusal.to_string())?.id;
        let watched = self.kitchen.watch(order);
        loop {
            let ended = watched.ended();
            match self.kitchen.get(order) {
                Found::Here(job) if job.status.is_done() => {
                    let records = self.kitchen.store.steps(order).unwrap_or_default();
                    match entry::figures(&job, &records, entry.spec.dishes) {
                        Some(figures) if job.status == Status::Succeeded => entry.runs.push(figures),
                        _ => entry.failed = Some(job.error.map_or_else(|| "no result".to_owned(), |e| e.detail)),
                    }
                    break;
                }
                Found::Here(_) => ended.await,
                _ => return Err(format!("{order} disappeared while it was measured")),
            }
        }
        self.update(id, |s| s.progress.0 += 1);
        Ok(())
    }

    /// Tries growing members of each family, once each, while they help; answers the best of each.
    async fn sweep(&self, id: OrderId, plan: &Plan, alone: &Alone<'_>, cores: f64) -> Result<Vec<Entry>, String> {
        let house = self.kitchen.config.staff.cores as u64;
        let mut best_of_each = Vec::new();
        for family in Family::ALL {
            let mut best: Option<(f64, Entry)> = None;
            let dishes = plan.work.dishes.unwrap_or(1).min(u64::from(u32::MAX)) as u32;
            for size in line_up::sizes(house, family.largest(dishes)) {
                let Ok(mut entry) = self.entry(&plan.work, &family.member(size)) else { break };
                let expected = plan::expected(&entry.spec, cores, self.kitchen.staff.pool_size(), house as usize);
                // What would take a share of the budget alone is too small to be a candidate: try the next size.
                if expected > plan.budget.as_secs_f64() / 8.0 {
                    continue;
                }
                self.run_entry(id, &mut entry, alone, dishes).await?;
                let Some(figure) = entry.runs.first().map(|f| plan.objective.of(f)) else { break };
                entry.runs.clear();
                let helps = best.as_ref().is_none_or(|(before, _)| figure < before * STILL_HELPS);
                if !helps {
                    break;
                }
                best = Some((figure, entry));
            }
            best_of_each.extend(best.map(|(_, entry)| entry));
        }
        if best_of_each.is_empty() {
            return Err("no member of any family fits the budget; raise budget_ms or ask for fewer dishes".to_owned());
        }
        Ok(best_of_each)
    }
}

/// Seconds a run costs beyond its work: an isolated kitchen, its own kitchens, the way there and back.
const START_COST_S: f64 = 0.02;

/// There and back again, so that a drift of the machine meets all entries alike.
fn interleaved(entries: usize, repeat: usize) -> Vec<usize> {
    if repeat.is_multiple_of(2) { (0..entries).collect() } else { (0..entries).rev().collect() }
}

/// Pointers of an entry's violations: what concerns its model or setup is its own, the rest is the work's.
fn relocate(bad: Vec<Violation>, i: usize) -> Vec<Violation> {
    let own = |p: &str| p.starts_with("/model") || p.starts_with("/setup");
    let move_to = |v: Violation| {
        let base = if own(&v.pointer) { format!("/line_up/{i}") } else { "/work".to_owned() };
        Violation::new(format!("{base}{}", v.pointer), v.detail)
    };
    bad.into_iter().map(move_to).collect()
}

/// Sorts the entries, best first, and says who won and whether that is more than chance.
fn judge(entries: &mut [Entry], objective: Objective, dishes: (u32, u32)) -> Option<Verdict> {
    let figure = |e: &Entry| e.spread(|f| objective.of(f)).map_or(f64::INFINITY, |s| s.median);
    entries.sort_by(|a, b| figure(a).total_cmp(&figure(b)));
    let first = entries.first().filter(|e| !e.runs.is_empty())?;
    let sample = if dishes.0 == dishes.1 {
        format!("{} dishes", dishes.0)
    } else {
        format!("{} dishes, extended at the rate measured on {}", dishes.0, dishes.1)
    };
    let Some(second) = entries.get(1).filter(|e| !e.runs.is_empty()) else {
        let text = format!("{} is the only one that could be measured ({sample}).", first.name);
        return Some(Verdict { winner: first.name.clone(), significant: false, margin_percent: 0.0, text });
    };
    let values = |e: &Entry| e.runs.iter().map(|f| objective.of(f)).collect::<Vec<_>>();
    let margin_percent = 100.0 * (figure(second) / figure(first) - 1.0);
    let significant = statistics::p_value(&values(first), &values(second)) < 0.05 && margin_percent >= 1.0;
    let what = objective.name().replace('_', " ");
    let text = if significant {
        format!("{} has the least {what}, {margin_percent:.0} % ahead of {} ({sample}).", first.name, second.name)
    } else {
        let both = format!("{} and {}", first.name, second.name);
        format!("No significant difference in {what} between {both} ({margin_percent:.1} %; {sample}).")
    };
    Some(Verdict { winner: first.name.clone(), significant, margin_percent, text })
}
