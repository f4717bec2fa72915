//! The comparisons of the house: accepted, measured here, stopped, forgotten.
//!
//! A job like an order. How one is measured is in `measure.rs`, how it is written down and found again in `filing.rs`. It
//! deliberately claims nothing it has not measured: a sample is said to be one, and a difference within the noise is no
//! difference.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use super::comparison::{Comparison, Full, LineUp, Plan};
use super::entry::Entry;
use super::filing::{Known, Written};
use super::forecasts::Forecasts;
use super::foresee::Place;
use super::line_up::{self, Candidate, Family};
use super::measure;
use super::plan::Machine;
use crate::clock;
use crate::domain::ask::OrderAsk;
use crate::domain::client::Client;
use crate::domain::id::OrderId;
use crate::domain::job::{Job, Status};
use crate::domain::life::{Happening, Life};
use crate::domain::resolve::Violation;
use crate::kitchen::{Found, Kitchen};
use crate::store::{Archive, Down};

/// Ended comparisons that are still here as they were measured: for whoever follows their last events, or has just asked for
/// them. All of them are in the archive.
const RECENT: usize = 32;

pub(super) struct Slot {
    pub(super) state: Comparison,
    over: watch::Sender<bool>,
    cancel: watch::Sender<bool>,
    /// The order that is being cooked for it.
    order: Option<OrderId>,
}

/// Why a comparison was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Too many are waiting.
    #[error(transparent)]
    Full(#[from] Full),
    /// It could not be written down.
    #[error(transparent)]
    Down(#[from] Down),
}

/// What became of a wish to stop a comparison.
#[derive(Debug)]
pub enum CancelAnswer {
    /// It is canceled.
    Canceled(Known),
    /// It is measuring and was asked to stop.
    Running(Known),
    /// It has ended otherwise.
    Ended(Status),
}

/// The comparisons of the house.
pub struct Comparisons {
    pub(super) kitchen: Arc<Kitchen>,
    /// Where they are foreseen.
    pub forecasts: Arc<Forecasts>,
    slots: Mutex<BTreeMap<OrderId, Slot>>,
    /// Where all of them are written down.
    pub(super) archive: Arc<dyn Archive>,
    /// How one is answered to clients.
    pub(super) written: Written,
    runtime: tokio::runtime::Handle,
}

impl Comparisons {
    /// None measured yet; they run on `runtime`.
    #[must_use]
    pub fn new(
        kitchen: Arc<Kitchen>,
        forecasts: Arc<Forecasts>,
        archive: Arc<dyn Archive>,
        written: Written,
        runtime: tokio::runtime::Handle,
    ) -> Arc<Self> {
        Arc::new(Self { kitchen, forecasts, slots: Mutex::default(), archive, written, runtime })
    }

    pub(super) fn slots(&self) -> MutexGuard<'_, BTreeMap<OrderId, Slot>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What this house offers, with so many cores.
    #[must_use]
    pub(super) fn machine(&self, cores: f64) -> Machine {
        Machine { cores, house: self.kitchen.staff.house() }
    }

    /// Where orders would be cooked, with so many cores.
    pub(super) fn place(&self, cores: f64) -> Place {
        Place { costs: self.forecasts.calibrations.last(), machine: self.machine(cores) }
    }

    pub(super) fn entry(&self, work: &OrderAsk, candidate: &Candidate) -> Result<Entry, Vec<Violation>> {
        let ask = OrderAsk {
            model: Some(candidate.model.clone()),
            setup: Some(candidate.setup.clone()),
            isolation: Some("kitchen".to_owned()),
            // The same draws for all: common random numbers.
            seed: Some(work.seed.unwrap_or(1)),
            ..work.clone()
        };
        let spec = self.kitchen.resolve(ask)?;
        Ok(Entry::new(line_up::name(&spec), spec))
    }

    /// Checks a comparison and accepts it. Violations carry pointers into its body.
    /// `bad` is what was wrong with it before its orders were looked at.
    pub async fn submit(
        self: &Arc<Self>,
        owner: &Client,
        plan: Plan,
        bad: Vec<Violation>,
    ) -> Result<Result<Comparison, Refused>, Vec<Violation>> {
        let entries = self.entries(&plan, bad)?;
        let Some(dishes) = entries.first().map(|entry| entry.spec.dishes) else {
            return Err(vec![Violation::new("/line_up", "must have at least one entry")]);
        };
        let now_us = clock::wall_us();
        let state = Comparison::new(self.kitchen.ids.next(now_us), owner, plan, entries, dishes, now_us);
        if let Err(full) = self.seat(state.clone()) {
            return Ok(Err(full.into()));
        }
        if let Err(down) = self.archive.open(self.filed(&state)).await {
            self.slots().remove(&state.id);
            return Ok(Err(down.into()));
        }
        let (me, id) = (self.clone(), state.id);
        self.runtime.spawn(async move { me.run(id).await });
        Ok(Ok(state))
    }

    /// A place for a new one, if there is one; who has ended long ago makes room.
    fn seat(&self, state: Comparison) -> Result<(), Full> {
        let mut slots = self.slots();
        let is_over = |slot: &Slot| *slot.over.borrow();
        let over: Vec<_> = slots.iter().filter(|(_, slot)| is_over(slot)).map(|(id, _)| *id).collect();
        if slots.len() - over.len() >= Full::ACTIVE {
            return Err(Full);
        }
        for id in over.iter().take((over.len() + 1).saturating_sub(RECENT)) {
            slots.remove(id);
        }
        let (over, cancel) = (watch::Sender::new(false), watch::Sender::new(false));
        slots.insert(state.id, Slot { state, over, cancel, order: None });
        Ok(())
    }

    /// Everyone who is compared, or everything that is wrong.
    fn entries(&self, plan: &Plan, mut bad: Vec<Violation>) -> Result<Vec<Entry>, Vec<Violation>> {
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
        if bad.is_empty() {
            return Ok(entries);
        }
        // What is wrong with the work is wrong for every candidate: once is enough.
        let mut seen = HashSet::new();
        bad.retain(|violation| seen.insert(violation.pointer.clone()));
        Err(bad)
    }

    /// One comparison that is, or was lately, measured here.
    #[must_use]
    pub fn get(&self, id: OrderId) -> Option<Comparison> {
        self.look(id, Comparison::clone)
    }

    /// Looks at such a comparison as it stands.
    pub fn look<T>(&self, id: OrderId, at: impl FnOnce(&Comparison) -> T) -> Option<T> {
        self.slots().get(&id).map(|slot| at(&slot.state))
    }

    /// Waits until one that is measured here has ended, at most this long; whether there is one.
    pub async fn wait_here(&self, id: OrderId, at_most: Duration) -> bool {
        let over = self.slots().get(&id).map(|slot| slot.over.subscribe());
        let Some(mut over) = over else { return false };
        let _ = tokio::time::timeout(at_most, over.wait_for(|over| *over)).await;
        true
    }

    /// Asks to stop a comparison that is measured here; `None` if there is none.
    pub(super) fn cancel_here(&self, id: OrderId) -> Option<CancelAnswer> {
        let mut slots = self.slots();
        let slot = slots.get_mut(&id)?;
        let state = &mut slot.state;
        let life = Life { status: state.status, attempt: 1, cancel_requested: state.cancel_requested, ..Life::NEW };
        let Some(life) = life.after(Happening::Cancel) else { return Some(CancelAnswer::Ended(state.status)) };
        (state.status, state.cancel_requested) = (life.status, life.cancel_requested);
        if life.status.is_done() {
            state.finished_us.get_or_insert_with(clock::wall_us);
        }
        slot.cancel.send_replace(true);
        let state = Known::Here(Box::new(slot.state.clone()));
        Some(if life.status.is_done() { CancelAnswer::Canceled(state) } else { CancelAnswer::Running(state) })
    }

    pub(super) fn update(&self, id: OrderId, change: impl FnOnce(&mut Comparison)) {
        if let Some(slot) = self.slots().get_mut(&id) {
            change(&mut slot.state);
        }
    }

    /// This order is being cooked for it now.
    pub(super) fn cooks(&self, id: OrderId, order: OrderId) {
        if let Some(slot) = self.slots().get_mut(&id) {
            slot.order = Some(order);
        }
    }

    /// The order when it has ended; `None` if it disappeared.
    pub(super) async fn ended(&self, order: OrderId) -> Option<Box<Job>> {
        let watched = self.kitchen.watch(order);
        loop {
            let ended = watched.ended();
            match self.kitchen.get(order).await {
                Ok(Found::Here(job)) if job.status.is_done() => return Some(job),
                Ok(Found::Here(_)) => ended.await,
                Ok(_) | Err(_) => return None,
            }
        }
    }

    async fn run(&self, id: OrderId) {
        let Some(mut canceled) = self.slots().get(&id).map(|slot| slot.cancel.subscribe()) else { return };
        let result = tokio::select! {
            biased;
            _ = canceled.wait_for(|canceled| *canceled) => None,
            result = measure::run(self, id) => Some(result),
            () = self.given_up(id) => None,
        };
        if result.is_none() {
            let order = self.slots().get(&id).and_then(|slot| slot.order);
            if let Some(order) = order {
                // A store that does not answer now is asked by the run itself when its time is over.
                let _ = self.kitchen.cancel(order).await;
                self.ended(order).await;
            }
        }
        let (status, error) = match result {
            None => (Status::Canceled, None),
            Some(Ok(())) => (Status::Succeeded, None),
            Some(Err(error)) => (Status::Failed, Some(error)),
        };
        // Told when it is written: who was told of an end finds it after a restart.
        let Some(mut state) = self.get(id) else { return };
        state.finished_us.get_or_insert_with(clock::wall_us);
        (state.status, state.error) = (status, error);
        let is_kept = self.file_end(&state).await;
        let mut slots = self.slots();
        let Some(slot) = slots.get_mut(&id) else { return };
        state.cancel_requested |= slot.state.cancel_requested;
        slot.state = state;
        slot.over.send_replace(true);
        if !is_kept {
            // Others say that it was lost, and so does the archive.
            slots.remove(&id);
        }
    }
}
