//! A run whose steps are handed out one by one: the line of its steps, shared by whoever cooks them.
//!
//! Used by thread pools and by pools of kitchens alike. It deliberately starts no thread but the one that lets dishes in by the clock.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::run::{Run, Stepped};
use crate::domain::Ns;
use crate::domain::job::ErrorKind;
use crate::domain::line::Line;
use crate::domain::recipe::StepRef;
use crate::domain::record::Outcome;
use crate::domain::spec::Spec;

struct State {
    line: Line,
    /// Whether it stands in its pool's queue.
    queued: bool,
}

/// A run and the line of its steps.
pub struct LineRun {
    /// The run.
    pub run: Arc<Run>,
    state: Mutex<State>,
}

/// A step taken from the line.
#[derive(Clone, Copy, Debug)]
pub struct Taken {
    /// Which.
    pub at: StepRef,
    /// Since when it was ready, an offset of the run.
    pub ready: Ns,
    /// Whether the line must go back into the queue, because there is more.
    pub requeue: bool,
}

/// What a finished step leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    /// Nothing new to do.
    Nothing,
    /// Steps became ready: the line must go into the queue.
    Requeue,
    /// The run is over, and has been told so.
    Over,
}

impl LineRun {
    /// A run about to be queued.
    #[must_use]
    pub fn new(run: Arc<Run>) -> Self {
        let line = Line::new(&run.spec);
        Self { run, state: Mutex::new(State { line, queued: true }) }
    }

    /// A run whose dishes are cooked one at a time, each to its end.
    #[must_use]
    pub fn dish_by_dish(run: Arc<Run>) -> Self {
        let line = Line::new(&Spec { max_in_flight: Some(1), ..(*run.spec).clone() });
        Self { run, state: Mutex::new(State { line, queued: true }) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the next step; the caller took this line out of the queue (or needs none).
    pub fn take(&self) -> Option<Taken> {
        let mut state = self.state();
        if self.run.cancel.is_requested() {
            state.line.close();
        }
        let taken = state.line.next();
        state.queued = taken.is_some() && state.line.has_next();
        let (at, ready) = taken?;
        Some(Taken { at, ready, requeue: state.queued })
    }

    /// Reports a step that was taken and has been recorded.
    pub fn settle(&self, lane: usize, at: StepRef, step: Stepped) -> After {
        let mut state = self.state();
        let Stepped { outcome, finished } = step;
        if outcome == Outcome::Canceled {
            state.line.close();
        }
        let end = state.line.done(at, outcome == Outcome::Succeeded, finished);
        if let Some(end) = end
            && outcome != Outcome::Canceled
        {
            // Under the lock: whoever finds the line over must find this written.
            self.run.recorder.dish_over(lane, at.dish, finished, end.succeeded);
        }
        if state.line.is_over() {
            drop(state);
            self.run.finish();
            return After::Over;
        }
        if state.line.has_next() && !state.queued {
            state.queued = true;
            return After::Requeue;
        }
        After::Nothing
    }

    /// Lets in every dish that has arrived by now. Answers whether the line must go into the queue, and when the next dish
    /// arrives, an offset of the run.
    pub fn arrive_due(&self) -> (After, Option<Ns>) {
        let (spec, now) = (&self.run.spec, self.run.elapsed());
        let mut state = self.state();
        let next = loop {
            let arrived = state.line.arrived();
            if spec.arrivals.is_none() || arrived == spec.dishes {
                break None;
            }
            let due = spec.arrival(spec.dish(arrived));
            if due > now {
                break Some(due);
            }
            state.line.arrive(due);
        };
        if state.line.has_next() && !state.queued {
            state.queued = true;
            return (After::Requeue, next);
        }
        (After::Nothing, next)
    }

    /// Lets dishes in as they arrive, on a thread of its own, and calls `ready` whenever the line must go into the queue.
    /// Does nothing for an order whose dishes are all there.
    pub fn attend(self: &Arc<Self>, ready: impl Fn(Arc<Self>) + Send + 'static) {
        if self.run.spec.arrivals.is_none() {
            return;
        }
        let line = self.clone();
        let porter = move || {
            loop {
                let (after, next) = line.arrive_due();
                if after == After::Requeue {
                    ready(line.clone());
                }
                let Some(next) = next else { return };
                if line.run.cancel.sleep_until(line.run.start() + next) {
                    return;
                }
            }
        };
        if let Err(error) = std::thread::Builder::new().name("porter".to_owned()).spawn(porter) {
            self.run.fail(ErrorKind::Spawn, format!("cannot start a thread: {error}"), None);
            self.close();
        }
    }

    /// Gives out nothing more; ends the run at once if no step is running. Answers whether it did.
    pub fn close(&self) -> bool {
        let mut state = self.state();
        state.line.close();
        let over = state.line.is_over();
        drop(state);
        if over {
            self.run.finish();
        }
        over
    }
}
