//! One comparison while it is measured: alone in the house, warmed up, interleaved, within its budget.
//!
//! Its runs are real orders (isolation `kitchen`), labelled with its id. It deliberately decides nothing: who won is
//! judged in [`super::verdict`], what to do with it in [`super::recommend`].

use std::time::Duration;

use super::comparison::{Comparison, LineUp, Plan, Told};
use super::comparisons::Comparisons;
use super::conclude;
use super::entry::{self, Entry, Figures};
use super::foresee::{self, Forecasts};
use super::noise::Reading;
use super::plan::{self, Machine};
use crate::clock;
use crate::domain::Ns;
use crate::domain::id::OrderId;
use crate::domain::job::{ErrorKind, Job, Status};
use crate::domain::limits;
use crate::domain::spec::Spec;
use crate::kitchen::Alone;

/// Repeats below which a comparison is not cut short: with fewer no difference could be significant.
const FEWEST_REPEATS: usize = 4;
/// Seconds a run costs beyond its work: an isolated kitchen, its own kitchens, the way there and back.
const START_COST_S: f64 = 0.02;
/// Divisor of the waits of a run that only warms up.
const WARM_UP_SPEED: u32 = 1_000;

/// A comparison that is being measured.
pub(super) struct Measuring<'a> {
    pub(super) house: &'a Comparisons,
    pub(super) plan: Plan,
    /// What this machine gave just before.
    pub(super) machine: Machine,
    id: OrderId,
    alone: Alone<'a>,
    /// When its budget is spent.
    until: Ns,
}

/// Measures a comparison and writes down what came out; a sentence if nothing did.
pub(super) async fn run(house: &Comparisons, id: OrderId) -> Result<(), String> {
    let alone = house.kitchen.alone().await.map_err(|busy| busy.to_string())?;
    let started = clock::now();
    let before = reading(house).await?;
    let begin = |state: &mut Comparison| {
        if state.status == Status::Queued {
            state.status = Status::Running;
        }
        state.effective_cores = Some(before.cores);
    };
    house.update(id, begin);
    let Some(mut state) = house.get(id).filter(|state| !state.status.is_done()) else { return Ok(()) };
    let (plan, machine) = (state.plan.clone(), house.machine(before.cores));
    let until = started + clock::ns(plan.budget);
    let me = Measuring { house, id, alone, plan, machine, until };
    me.warm_up(&state.entries).await?;
    if me.plan.line_up == LineUp::Sweep {
        state.entries = me.sweep().await?;
    }
    state.dishes.1 = me.plan_dishes(&mut state.entries, state.dishes.0)?;
    me.foresee(&mut state.entries, state.dishes.1).await?;
    house.update(id, |s| {
        s.dishes = state.dishes;
        s.progress.1 = s.progress.0 + state.entries.len() * me.plan.repeats;
        s.entries.clone_from(&state.entries);
    });
    me.repeat(&mut state.entries, state.dishes.1).await?;
    let after = reading(house).await?;
    drop(me.alone);
    state.progress = house.look(id, |s| s.progress).unwrap_or_default();
    let concluded = tokio::task::spawn_blocking(conclude::of(house, state, before, after.cores));
    let state = concluded.await.map_err(|e| e.to_string())?;
    if state.verdict.is_none() {
        let why = state.entries.iter().find_map(|entry| entry.failed.clone());
        house.update(id, |s| s.entries = state.entries);
        return Err(why.unwrap_or_else(|| "nothing could be measured".to_owned()));
    }
    house.update(id, |s| {
        (s.entries, s.noise) = (state.entries, state.noise);
        (s.verdict, s.recommendation) = (state.verdict, state.recommendation);
        s.progress.1 = s.progress.0;
    });
    Ok(())
}

async fn reading(house: &Comparisons) -> Result<Reading, String> {
    let cores = house.kitchen.config.staff.cores;
    tokio::task::spawn_blocking(move || Reading::take(cores)).await.map_err(|e| e.to_string())
}

impl Measuring<'_> {
    /// Time that is left of the budget.
    pub(super) fn left(&self) -> Duration {
        Duration::from_nanos(self.until.saturating_sub(clock::now()))
    }

    /// One dish of each entry, waits cut short, counted nowhere: programs are read from the disk, caches filled.
    async fn warm_up(&self, entries: &[Entry]) -> Result<(), String> {
        let short = |entry: &Entry| Spec {
            dishes: 1,
            speed: entry.spec.speed.saturating_mul(WARM_UP_SPEED).min(limits::SPEED as u32),
            ..entry.spec.clone()
        };
        let specs: Vec<_> = entries.iter().filter(|entry| !entry.spec.has_faults()).map(short).collect();
        let cost: f64 = specs.iter().map(|spec| plan::expected(spec, self.machine) + START_COST_S).sum();
        if cost > self.plan.budget.as_secs_f64() / 20.0 {
            return Ok(());
        }
        for spec in specs {
            self.cook(spec, "comparison_warm_up", self.left()).await?;
        }
        Ok(())
    }

    /// How many dishes each run cooks; fills in what one would expect of the whole order by hand.
    fn plan_dishes(&self, entries: &mut [Entry], dishes: u32) -> Result<u32, String> {
        for entry in entries.iter_mut() {
            entry.expected_ms = 1e3 * plan::expected(&entry.spec, self.machine);
        }
        let once = |dishes: u32| -> f64 {
            let of = |entry: &Entry| plan::expected(&Spec { dishes, ..entry.spec.clone() }, self.machine);
            entries.iter().map(|entry| of(entry) + START_COST_S).sum()
        };
        let repeats = self.plan.repeats as f64;
        let fitting = plan::fitting(dishes, plan::round(self.machine.house), self.left(), |n| repeats * once(n));
        let (needed, budget) = (once(fitting), self.plan.budget.as_secs_f64());
        if needed > budget {
            let enough_ms = (1e3 * 1.2 * needed * repeats).ceil();
            return Err(format!(
                "one run of each entry takes about {needed:.1} s, more than the budget of {budget:.1} s; raise budget_ms \
                 to {enough_ms:.0}, leave entries out, or set speed"
            ));
        }
        Ok(fitting)
    }

    /// Writes down what each entry is expected to take, before any of them has run.
    async fn foresee(&self, entries: &mut [Entry], dishes: u32) -> Result<(), String> {
        let specs: Vec<_> = entries.iter().map(|entry| Spec { dishes, ..entry.spec.clone() }).collect();
        let place = self.house.place(self.machine.cores);
        let all = move || specs.iter().map(|spec| foresee::foresee(spec, &place)).collect::<Vec<_>>();
        let foreseen = tokio::task::spawn_blocking(all).await.map_err(|e| e.to_string())?;
        for (entry, before) in entries.iter_mut().zip(foreseen) {
            entry.forecasts = before.map(|before| Forecasts { before, refit: None, measured: None });
        }
        Ok(())
    }

    /// All repeats, there and back again, as long as the budget lasts.
    async fn repeat(&self, entries: &mut [Entry], dishes: u32) -> Result<(), String> {
        let started = clock::now();
        for repeat in 0..self.plan.repeats {
            // The plan was made for the cores of a moment ago. If they have become fewer, fewer runs fit.
            let spent = clock::now() - started;
            let late = Duration::from_nanos(spent / (repeat as u64).max(1)) > self.grace();
            if late && repeat >= FEWEST_REPEATS {
                break;
            }
            for i in plan::interleaved(entries.len(), repeat) {
                if self.grace().is_zero() {
                    break;
                }
                let entry = &mut entries[i];
                let run = self.run_once(entry, dishes, self.grace()).await?;
                let half = match dishes < entry.spec.dishes && run.is_some() {
                    true => self.run_once(entry, dishes / 2, self.grace()).await?,
                    false => None,
                };
                entry.runs.extend(run);
                entry.halves.extend(half);
                self.tell(entry, run);
            }
        }
        for entry in entries.iter_mut().filter(|entry| entry.runs.is_empty() && entry.failed.is_none()) {
            entry.failed = Some(format!("no run was over within the budget of {} ms", self.plan.budget.as_millis()));
        }
        Ok(())
    }

    /// Time until runs are cut off: an eighth of the budget more than it is, for what takes longer than planned.
    fn grace(&self) -> Duration {
        Duration::from_nanos((self.until + clock::ns(self.plan.budget) / 8).saturating_sub(clock::now()))
    }

    /// Notes that a run is over.
    pub(super) fn tell(&self, entry: &Entry, run: Option<Figures>) {
        self.house.update(self.id, |s| {
            s.progress.0 += 1;
            // A sweep does not know beforehand how many runs it takes.
            s.progress.1 = s.progress.1.max(s.progress.0);
            let makespan_ms = run.map(|figures| figures.makespan_ms);
            s.told.push(Told { entry: entry.name.as_str().into(), makespan_ms, progress: s.progress });
        });
    }

    /// One run of one entry; `None` if it failed, or was not over in time.
    pub(super) async fn run_once(
        &self,
        entry: &mut Entry,
        dishes: u32,
        at_most: Duration,
    ) -> Result<Option<Figures>, String> {
        if entry.failed.is_some() || at_most.is_zero() {
            return Ok(None);
        }
        let spec = Spec { dishes, ..entry.spec.clone() };
        let own_timeout = spec.timeout;
        let job = self.cook(spec, "comparison", at_most).await?;
        let records = self.house.kitchen.store.steps(job.id).await.ok().flatten().unwrap_or_default();
        if let Some(summary) = job.summary.as_ref().filter(|_| job.status == Status::Succeeded) {
            entry.note(&summary.totals, &records);
            return Ok(entry::figures(&job, &records));
        }
        let is_late = job.error.as_ref().is_some_and(|error| error.kind == ErrorKind::Timeout);
        if !is_late || own_timeout.is_some_and(|own| own <= at_most) {
            entry.failed = Some(job.error.map_or_else(|| "no result".to_owned(), |error| error.detail));
        }
        Ok(None)
    }

    /// Cooks an order under a label with this comparison's id.
    async fn cook(&self, spec: Spec, label: &str, at_most: Duration) -> Result<Job, String> {
        let own = spec.labels.iter().cloned();
        let labels = own.chain([(label.into(), self.id.text("cmp_").into())]).collect();
        let timeout = spec.timeout.map_or(at_most, |own| own.min(at_most));
        let spec = Spec { labels, timeout: Some(timeout.max(Duration::from_millis(1))), ..spec };
        let order = self.alone.submit(spec).await.map_err(|refusal| refusal.to_string())?.id;
        self.house.cooks(self.id, order);
        let job = self.house.ended(order).await;
        job.map(|job| *job).ok_or_else(|| format!("{order} disappeared while it was measured"))
    }
}
