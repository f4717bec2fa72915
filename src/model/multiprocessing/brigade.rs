//! A pool of kitchens with one FIFO queue: the house's, or an order's own.
//!
//! Kitchens start one after another as they are needed, take the next unit of whatever run is first, and are replaced
//! when they die. It deliberately runs on its callers' threads: the pass that hears of a finished step hands out the
//! next one.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::death::{Death, obituary};
use super::kitchen::{Kitchen, Unit};
use super::pass::Pass;
use super::ticket::{Ticket, next_unit};
use crate::clock;
use crate::domain::job::ErrorKind;
use crate::domain::record::Outcome;
use crate::model::line_run::After;
use crate::model::run::Run;
use crate::model::tune::Staffed;
use crate::model::work::Performed;

/// Pause after a kitchen of the house could not be started; doubled from failure to failure (chosen).
const REST: Duration = Duration::from_millis(100);
/// The longest such pause: the house cooks again this long after the cause is gone, at most.
const LONGEST_REST: Duration = Duration::from_secs(5);

#[derive(Default)]
struct State {
    queue: VecDeque<Ticket>,
    idle: Vec<Arc<Kitchen>>,
    staff: Vec<Arc<Kitchen>>,
    starting: usize,
    /// The most kitchens it has had: what it is filled up to after losses.
    most: usize,
    lanes: usize,
    closed: bool,
    /// Kitchens that must have greeted before this run's clock starts.
    prewarm: Option<(usize, Ticket)>,
    greeted: usize,
    /// The last pause after a failed start; zero after a start that went well.
    rest: Duration,
    resting: bool,
    /// One that was killed from outside before it was up has been replaced at once; none has come up since.
    pardoned: bool,
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

    /// Queues a run, and again whenever dishes of it arrive by the clock.
    pub(super) fn push(self: &Arc<Self>, ticket: Ticket) {
        if let Ticket::Line(line) = &ticket {
            let brigade = self.clone();
            line.attend(move |line| brigade.enqueue(Ticket::Line(line)));
        }
        self.enqueue(ticket);
    }

    fn enqueue(self: &Arc<Self>, ticket: Ticket) {
        let mut state = self.state();
        state.queue.push_back(ticket);
        self.dispatch(&mut state);
    }

    /// Starts `n` kitchens; when all of them are up the run's clock starts, and the run is queued.
    pub(super) fn prewarm(self: &Arc<Self>, n: usize, ticket: Ticket) {
        let mut state = self.state();
        state.prewarm = Some((n, ticket));
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
        if state.starting == 0 && !state.resting && state.staff.len() < self.size && !state.closed {
            state.starting = 1;
            self.pass.start_kitchen(self.clone());
        }
    }

    /// A kitchen was started (not yet up, but its pipe takes work).
    pub(super) fn arrived(self: &Arc<Self>, kitchen: &Arc<Kitchen>) {
        let mut state = self.state();
        state.starting = 0;
        state.staff.push(kitchen.clone());
        state.most = state.most.max(state.staff.len());
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
    pub(super) fn refused(self: &Arc<Self>, error: &std::io::Error) {
        self.state().starting = 0;
        self.not_started(ErrorKind::Spawn, &format!("cannot start a kitchen: {error}"));
    }

    /// A kitchen could not be started, or ended before it was up.
    ///
    /// What nobody is there to cook fails at once rather than wait for better times. The house's pool rests and tries
    /// again, whether there is work or not; an order's own makes do with those that are there.
    fn not_started(self: &Arc<Self>, kind: ErrorKind, detail: &str) {
        let mut state = self.state();
        if self.staffed == Staffed::House && !state.resting && !state.closed {
            state.rest = (state.rest * 2).clamp(REST, LONGEST_REST);
            state.resting = true;
            self.pass.wake_later(self.clone(), state.rest);
        }
        let mut lost: Vec<Ticket> = state.prewarm.take().map(|(_, ticket)| ticket).into_iter().collect();
        // The steps of a pool go to who is left; with a kitchen for each, only a refusal concerns them all.
        let nobody = if self.one_use { kind == ErrorKind::Spawn } else { state.staff.is_empty() };
        if nobody {
            lost.extend(std::mem::take(&mut state.queue));
        }
        drop(state);
        for ticket in lost {
            ticket.run().fail(kind, detail.to_owned(), None);
            ticket.close();
        }
    }

    /// The pause after a failed start is over.
    pub(super) fn wake(self: &Arc<Self>) {
        let mut state = self.state();
        state.resting = false;
        self.start_one(&mut state);
    }

    /// A kitchen said that it is up.
    pub(super) fn greeted(self: &Arc<Self>, kitchen: &Kitchen) {
        if !kitchen.greet() {
            return;
        }
        let mut state = self.state();
        (state.rest, state.pardoned) = (Duration::ZERO, false);
        state.greeted += 1;
        let greeted = state.greeted;
        if let Some((_, ticket)) = state.prewarm.take_if(|(n, _)| greeted >= *n) {
            drop(state);
            ticket.run().set_start(clock::now());
            return self.push(ticket);
        }
        if !self.one_use && state.staff.len() < state.most {
            self.start_one(&mut state);
        }
    }

    /// A kitchen did its step.
    pub(super) fn step_done(self: &Arc<Self>, kitchen: &Arc<Kitchen>, done: Performed) {
        let Some(Unit::Step { line, taken, since, seq }) = kitchen.take() else { return };
        kitchen.delivered(since, done.started, done.finished);
        kitchen.loans.end_all();
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
    pub(super) fn lost(self: &Arc<Self>, kitchen: &Arc<Kitchen>, Death { kind, detail, from_outside }: Death) {
        let mut state = self.state();
        state.staff.retain(|k| !Arc::ptr_eq(k, kitchen));
        state.idle.retain(|k| !Arc::ptr_eq(k, kitchen));
        drop(state);
        let requeue = kitchen.take().and_then(|unit| fail_unit(kitchen, unit, (kind, detail.clone())));
        let mut state = self.state();
        state.queue.extend(requeue);
        let mut again = kitchen.greeted.load(Ordering::Acquire);
        if kitchen.is_stillborn() && !state.closed && from_outside && self.pardons(&mut state) {
            again = true;
        } else if kitchen.is_stillborn() && !state.closed {
            drop(state);
            // It exited by itself: there is something wrong with it, and the next one will do the same.
            let kind = if kind == ErrorKind::Exit { ErrorKind::Spawn } else { kind };
            self.pass.trouble.report(&format!("{detail} before it was up"));
            self.not_started(kind, &format!("{detail} before it was up"));
            state = self.state();
        }
        self.dispatch(&mut state);
        // A pool keeps its size; a kitchen of an order's own that never came up is not tried again until there is work.
        if !self.one_use && again {
            self.start_one(&mut state);
        }
    }

    /// Whether the next start may follow at once: a kill from outside says nothing about whether kitchens can be
    /// started. It does if it comes again before any has come up; then the house rests as after any other failure.
    fn pardons(&self, state: &mut State) -> bool {
        self.staffed == Staffed::House && !std::mem::replace(&mut state.pardoned, true)
    }

    /// Ends the kitchens that work for this run: a process cannot be asked.
    pub(super) fn stop(&self, run: &Run) {
        let staff = self.state().staff.clone();
        staff.iter().filter(|kitchen| kitchen.works_for(run)).for_each(|kitchen| kitchen.stop());
    }

    /// Lets all kitchens go.
    pub fn close(&self) {
        let mut state = self.state();
        state.closed = true;
        state.queue.clear();
        state.prewarm = None;
        let idle = std::mem::take(&mut state.idle);
        drop(state);
        idle.iter().for_each(|kitchen| kitchen.dismiss());
    }
}

/// Writes down that a kitchen took this with it; answers its line if that has become ready for more.
fn fail_unit(kitchen: &Kitchen, unit: Unit, error: (ErrorKind, String)) -> Option<Ticket> {
    let stopped = unit.run().cancel.is_requested();
    let error = (!stopped).then_some(error);
    match unit {
        Unit::Share(share) => {
            share.lost(error);
            None
        }
        Unit::Step { line, taken, since, seq } => {
            let outcome = if stopped { Outcome::Canceled } else { Outcome::Failed };
            let done = obituary(kitchen.pid, since, outcome, error);
            let step = line.run.record(kitchen.lane, taken.at, taken.ready, seq, done);
            let more = line.settle(kitchen.lane, taken.at, step) == After::Requeue;
            more.then_some(Ticket::Line(line))
        }
    }
}
