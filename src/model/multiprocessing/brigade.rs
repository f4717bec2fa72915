//! A pool of kitchens with one FIFO queue: the house's, or an order's own.
//!
//! Kitchens start one after another as they are needed, take the next unit of whatever run is first, and are replaced
//! when they die. It deliberately runs on its callers' threads: the pass that hears of a finished step hands out the
//! next one.

use std::collections::VecDeque;
use std::process::ExitStatus;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::kitchen::{Kitchen, Unit, cause, obituary};
use super::pass::Pass;
use super::shares::Shares;
use crate::clock;
use crate::domain::job::ErrorKind;
use crate::domain::record::Outcome;
use crate::model::line_run::{After, LineRun};
use crate::model::run::Run;
use crate::model::tune::Staffed;
use crate::model::work::Performed;

/// A run in the queue.
pub(super) enum Ticket {
    Line(Arc<LineRun>),
    Shares(Arc<Shares>),
}

type Ready = Box<dyn FnOnce() + Send>;

#[derive(Default)]
struct State {
    queue: VecDeque<Ticket>,
    idle: Vec<Arc<Kitchen>>,
    staff: Vec<Arc<Kitchen>>,
    starting: usize,
    lanes: usize,
    closed: bool,
    /// Kitchens that must have greeted before this is called.
    prewarm: Option<(usize, Ready)>,
    greeted: usize,
}

/// A pool of kitchens.
pub struct Brigade {
    pass: Arc<Pass>,
    size: usize,
    /// Each kitchen does one unit and ends (`per_step`).
    one_use: bool,
    /// Whose kitchens they are.
    pub(super) staffed: Staffed,
    state: Mutex<State>,
}

impl Brigade {
    /// A pool of up to `size` kitchens, none started yet.
    #[must_use]
    pub fn new(pass: Arc<Pass>, size: usize, one_use: bool, staffed: Staffed) -> Arc<Self> {
        Arc::new(Self { pass, size, one_use, staffed, state: Mutex::default() })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Kitchens alive, kitchens without work, runs waiting.
    #[must_use]
    pub fn load(&self) -> (usize, usize, usize) {
        let state = self.state();
        (state.staff.len(), state.idle.len(), state.queue.len())
    }

    /// Queues a run.
    pub(super) fn push(self: &Arc<Self>, ticket: Ticket) {
        let mut state = self.state();
        state.queue.push_back(ticket);
        self.dispatch(&mut state);
    }

    /// Starts `n` kitchens and calls `ready` when all of them are up.
    pub(super) fn prewarm(self: &Arc<Self>, n: usize, ready: impl FnOnce() + Send + 'static) {
        let mut state = self.state();
        state.prewarm = Some((n, Box::new(ready)));
        self.start_one(&mut state);
    }

    /// Hands out units while there are units and kitchens, and starts a kitchen if there is only work.
    fn dispatch(self: &Arc<Self>, state: &mut State) {
        while !state.closed && !state.queue.is_empty() {
            let Some(kitchen) = state.idle.pop() else { return self.start_one(state) };
            match next_unit(&mut state.queue) {
                Some(unit) => kitchen.give(unit),
                None => state.idle.push(kitchen),
            }
        }
    }

    fn start_one(self: &Arc<Self>, state: &mut State) {
        if state.starting == 0 && state.staff.len() < self.size && !state.closed {
            state.starting = 1;
            self.pass.start_kitchen(self.clone());
        }
    }

    /// A kitchen was started (not yet up, but its pipe takes work).
    pub(super) fn arrived(self: &Arc<Self>, kitchen: &Arc<Kitchen>) {
        let mut state = self.state();
        state.starting = 0;
        state.staff.push(kitchen.clone());
        if state.closed {
            return kitchen.dismiss();
        }
        state.idle.push(kitchen.clone());
        if state.prewarm.as_ref().is_some_and(|(n, _)| state.staff.len() < *n) {
            return self.start_one(&mut state);
        }
        self.dispatch(&mut state);
    }

    /// A lane for the next kitchen.
    pub(super) fn lane(&self) -> usize {
        let mut state = self.state();
        state.lanes += 1;
        state.lanes
    }

    /// A kitchen could not be started.
    pub(super) fn not_started(self: &Arc<Self>, error: &std::io::Error) {
        let mut state = self.state();
        state.starting = 0;
        state.prewarm = None;
        tracing::error!(%error, "cannot start a kitchen");
        if !state.staff.is_empty() && !self.one_use {
            return;
        }
        let queue = std::mem::take(&mut state.queue);
        drop(state);
        for ticket in queue {
            ticket.run().fail(ErrorKind::Spawn, format!("cannot start a kitchen: {error}"), None);
            ticket.close();
        }
    }

    /// A kitchen said that it is up.
    pub(super) fn greeted(&self, kitchen: &Kitchen) {
        if !kitchen.greet() {
            return;
        }
        let mut state = self.state();
        state.greeted += 1;
        let greeted = state.greeted;
        if let Some((_, ready)) = state.prewarm.take_if(|(n, _)| greeted >= *n) {
            drop(state);
            ready();
        }
    }

    /// A kitchen did its step.
    pub(super) fn step_done(self: &Arc<Self>, kitchen: &Arc<Kitchen>, done: Performed) {
        let Some(Unit::Step { line, taken, seq, .. }) = kitchen.take() else { return };
        let step = line.run.record(kitchen.lane, taken.at, taken.ready, seq, done);
        let after = line.settle(kitchen.lane, taken.at, step);
        let requeue = (after == After::Requeue).then_some(Ticket::Line(line));
        self.free(kitchen, requeue);
    }

    /// A kitchen has nothing in hand any more.
    pub(super) fn free(self: &Arc<Self>, kitchen: &Arc<Kitchen>, requeue: Option<Ticket>) {
        let mut state = self.state();
        state.queue.extend(requeue);
        if self.one_use || state.closed {
            kitchen.dismiss();
        } else {
            state.idle.push(kitchen.clone());
        }
        self.dispatch(&mut state);
    }

    /// A kitchen has ended; what it had in hand has failed with it, unless it was told to stop.
    pub(super) fn lost(self: &Arc<Self>, kitchen: &Arc<Kitchen>, status: Option<ExitStatus>) {
        let mut state = self.state();
        state.staff.retain(|k| !Arc::ptr_eq(k, kitchen));
        state.idle.retain(|k| !Arc::ptr_eq(k, kitchen));
        drop(state);
        let mut requeue = None;
        if let Some(unit) = kitchen.take() {
            let stopped = unit.run().cancel.is_requested();
            let error = (!stopped).then(|| cause(kitchen.pid, status, unit.starves()));
            match unit {
                Unit::Share(share) => share.lost(error),
                Unit::Step { line, taken, since, seq } => {
                    let outcome = if stopped { Outcome::Canceled } else { Outcome::Failed };
                    let done = obituary(kitchen.pid, since, outcome, error);
                    let step = line.run.record(kitchen.lane, taken.at, taken.ready, seq, done);
                    if line.settle(kitchen.lane, taken.at, step) == After::Requeue {
                        requeue = Some(Ticket::Line(line));
                    }
                }
            }
        }
        let mut state = self.state();
        state.queue.extend(requeue);
        self.dispatch(&mut state);
        // A pool keeps its size; a kitchen that never came up is not tried again until there is work.
        if !self.one_use && kitchen.greeted.load(std::sync::atomic::Ordering::Acquire) {
            self.start_one(&mut state);
        }
    }

    /// Ends the kitchens that work for this run: a process cannot be asked.
    pub(super) fn stop(&self, run: &Run) {
        let staff = self.state().staff.clone();
        staff.iter().filter(|kitchen| kitchen.works_for(run)).for_each(|kitchen| kitchen.kill());
    }

    /// Lets all kitchens go.
    pub fn close(&self) {
        let mut state = self.state();
        state.closed = true;
        state.queue.clear();
        let idle = std::mem::take(&mut state.idle);
        drop(state);
        idle.iter().for_each(|kitchen| kitchen.dismiss());
    }
}

impl Ticket {
    fn run(&self) -> &Arc<Run> {
        match self {
            Self::Line(line) => &line.run,
            Self::Shares(shares) => shares.run(),
        }
    }

    /// Gives out nothing more of this run.
    pub(super) fn close(&self) {
        match self {
            Self::Line(line) => drop(line.close()),
            Self::Shares(shares) => shares.close(),
        }
    }
}

/// Takes the next unit of the first run that has one; runs with more go to the end of the queue, so they take turns.
fn next_unit(queue: &mut VecDeque<Ticket>) -> Option<Unit> {
    while let Some(ticket) = queue.pop_front() {
        match &ticket {
            Ticket::Line(line) => {
                let Some(taken) = line.take() else {
                    if line.run.cancel.is_requested() {
                        line.close();
                    }
                    continue;
                };
                let (line, since) = (line.clone(), clock::now());
                let seq = line.run.recorder.started(usize::from(taken.at.step), taken.at, line.run.offset(since));
                if taken.requeue {
                    queue.push_back(ticket);
                }
                return Some(Unit::Step { line, taken, since, seq });
            }
            Ticket::Shares(shares) => {
                let Some((share, more)) = shares.take() else { continue };
                if more {
                    queue.push_back(ticket);
                }
                return Some(Unit::Share(share));
            }
        }
    }
    None
}
