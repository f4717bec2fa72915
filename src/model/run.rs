//! One run of an order, as every model sees it: what to cook, when to stop, where to write things down, how to end.
//!
//! A model never sees HTTP, the store or another order. It gets a [`Run`], works, and calls [`Run::finish`] once.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::cancel::{Cancel, Reason};
use super::compute::Hold;
use super::counter::Counter;
use super::equipment::{self, Equipment};
use super::exchange;
use super::gil::Gil;
use super::recorder::Recorder;
use super::work::{self, Performed};
use crate::clock;
use crate::domain::Ns;
use crate::domain::id::OrderId;
use crate::domain::job::{ErrorKind, OrderError, Status};
use crate::domain::recipe::{StepRef, Work};
use crate::domain::record::{Outcome, StepRecord};
use crate::domain::spec::Spec;

/// A step that is over and written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stepped {
    /// How it ended.
    pub outcome: Outcome,
    /// When, an offset of the run.
    pub finished: Ns,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunEnd {
    /// Succeeded, failed or canceled.
    pub status: Status,
    /// Set when it failed.
    pub error: Option<OrderError>,
    /// When, on the monotonic clock.
    pub at: Ns,
}

/// Who is told that a run is over; called once per run, on whatever thread ended it.
pub trait Finisher: Send + Sync {
    /// The run's model has begun with it; told only by models whose line moves on then ([`super::HoldsPlace`]).
    fn begun(&self, _run: &Run) {}

    /// Takes the run back.
    fn finished(&self, run: &Run, end: RunEnd);
}

/// A run.
pub struct Run {
    /// The order's id.
    pub id: OrderId,
    /// What to cook and how.
    pub spec: Arc<Spec>,
    /// Says whether the run is to stop; [`Run::stop`] asks it to.
    pub cancel: Cancel,
    /// The lock its threads compete for, if it has one.
    pub gil: Option<Arc<Gil>>,
    /// Where steps are written down.
    pub recorder: Recorder,
    /// What steps share, if they share anything.
    pub equipment: Option<Arc<Equipment>>,
    counter: Counter,
    start: AtomicU64,
    error: Mutex<Option<OrderError>>,
    over: AtomicBool,
    on_over: Mutex<Option<Box<dyn FnOnce() + Send>>>,
    finisher: Arc<dyn Finisher>,
}

impl std::fmt::Debug for Run {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Run").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Run {
    /// A run that starts now.
    #[must_use]
    pub fn new(id: OrderId, spec: Arc<Spec>, finisher: Arc<dyn Finisher>) -> Self {
        let cancel = Cancel::default();
        Self {
            id,
            recorder: Recorder::new(spec.clone()),
            counter: Counter::default(),
            gil: super::get(spec.model).gil(&spec),
            equipment: Equipment::of(&spec.recipe, &cancel),
            spec,
            cancel,
            start: AtomicU64::new(clock::now()),
            error: Mutex::new(None),
            over: AtomicBool::new(false),
            on_over: Mutex::new(None),
            finisher,
        }
    }

    /// The zero of all offsets of this run, on the monotonic clock.
    #[must_use]
    pub fn start(&self) -> Ns {
        self.start.load(Ordering::Relaxed)
    }

    /// Moves the zero: for kitchens that are to be up before the clock starts, and for shares of another's run.
    pub fn set_start(&self, at: Ns) {
        self.start.store(at, Ordering::Relaxed);
    }

    /// A point on the monotonic clock as an offset of this run.
    #[must_use]
    pub fn offset(&self, at: Ns) -> Ns {
        at.saturating_sub(self.start())
    }

    /// Now, as an offset of this run.
    #[must_use]
    pub fn elapsed(&self) -> Ns {
        self.offset(clock::now())
    }

    /// Asks the run to stop.
    pub fn stop(&self, reason: Reason) {
        self.cancel.request(reason);
        if let Some(gil) = &self.gil {
            gil.wake_all();
        }
    }

    /// Does one step on the calling thread, from announcement to record. `ready` is an offset.
    pub fn do_step(&self, lane: usize, at: StepRef, ready: Ns) -> Stepped {
        if let Some(begun) = equipment::step::Equipping::new(self, lane, at, ready) {
            return self.do_equipped(begun);
        }
        let mut seq_started = 0;
        // One reading for the announcement and the record: an event tells the same time live and later.
        let announce = |started| seq_started = self.recorder.started(lane, at, self.offset(started));
        let performed = self.perform(at, announce);
        self.record(lane, at, ready, seq_started, performed)
    }

    /// The lock that a step has to hold, if there is one.
    pub(super) fn hold(&self, at: StepRef) -> Option<Hold<'_>> {
        let percent = self.spec.step(at).gil_held_percent;
        self.gil.as_ref().map(|gil| Hold { gil, percent })
    }

    /// Does the work of this step on the calling thread.
    pub(super) fn perform(&self, at: StepRef, begun: impl FnOnce(Ns)) -> Performed {
        match self.spec.work(at) {
            Work::Exchange { bytes, messages } if super::get(self.spec.model).is_alone() => {
                work::handed(begun, || exchange::to_oneself(bytes, messages, &self.cancel))
            }
            Work::Counter { increments, locked } => {
                work::counted(&self.counter, (increments, locked), &self.cancel, self.hold(at), begun)
            }
            work => work::perform(work, &self.cancel, self.hold(at), begun),
        }
    }

    /// Writes down a step that was performed, here or in another kitchen.
    pub fn record(&self, lane: usize, at: StepRef, ready: Ns, seq_started: u32, done: Performed) -> Stepped {
        if let Some((kind, detail)) = done.error {
            self.fail(kind, detail, Some(at));
        }
        let (outcome, finished) = (done.outcome, self.offset(done.finished));
        let record = StepRecord {
            at,
            worker: done.worker,
            ready: ready.min(self.offset(done.started)),
            started: self.offset(done.started),
            finished,
            terms: done.terms,
            outcome,
            value: done.value,
            seq_started,
            seq_finished: 0,
        };
        self.recorder.finished(lane, record, false);
        Stepped { outcome, finished }
    }

    /// Writes down a wait that ended by itself, now, and its dish if it was the last of steps that follow one another;
    /// answers when, an offset. What [`Self::record`] and the end of a dish do under two locks.
    pub fn waited(&self, at: StepRef, ready: Ns, seq_started: u32, started: Ns) -> Ns {
        let (started, finished) = (self.offset(started), self.elapsed());
        let record = StepRecord {
            worker: work::me(),
            ready: ready.min(started),
            started,
            finished,
            seq_started,
            ..StepRecord::unrun(at, Outcome::Succeeded)
        };
        let is_last = usize::from(at.step) + 1 == self.spec.recipe.steps.len();
        self.recorder.finished(0, record, is_last);
        finished
    }

    /// Calls this when the run is over: for a model that has to let staff of its own go.
    pub fn on_over(&self, release: impl FnOnce() + Send + 'static) {
        *self.on_over.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(release));
    }

    /// Remembers an error; the first one is the order's.
    pub fn fail(&self, kind: ErrorKind, detail: String, at: Option<StepRef>) {
        let mut error = self.error.lock().unwrap_or_else(PoisonError::into_inner);
        error.get_or_insert(OrderError { kind, detail, at });
    }

    /// Tells that the work begins.
    pub fn begun(&self) {
        self.finisher.begun(self);
    }

    /// Ends the run. Every step that was begun must have been recorded, or be beyond recording.
    pub fn finish(&self) {
        if self.over.swap(true, Ordering::AcqRel) {
            return;
        }
        self.cancel.disarm();
        let release = self.on_over.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(release) = release {
            release();
        }
        self.recorder.add_counted(self.counter.value());
        if let Some(gil) = &self.gil {
            self.recorder.add_gil(&gil.used());
        }
        let error = self.error.lock().unwrap_or_else(PoisonError::into_inner).take();
        let complete = self.recorder.steps_done() == self.spec.steps_total();
        let (status, error) = match (self.cancel.reason(), error) {
            (_, None) if complete => (Status::Succeeded, None),
            (Some(Reason::Timeout), _) => (Status::Failed, Some(self.timeout_error())),
            (Some(Reason::Shutdown | Reason::Lost), _) => (Status::Failed, Some(shutdown_error())),
            (Some(Reason::Client), _) => (Status::Canceled, None),
            (None | Some(Reason::Stuck), error) => (Status::Failed, Some(error.unwrap_or_else(unexplained))),
        };
        self.finisher.finished(self, RunEnd { status, error, at: clock::now() });
    }

    fn timeout_error(&self) -> OrderError {
        let limit = self.spec.timeout.unwrap_or_default().as_millis();
        let detail = format!("ran longer than its timeout_ms of {limit}");
        OrderError { kind: ErrorKind::Timeout, detail, at: None }
    }
}

fn shutdown_error() -> OrderError {
    let detail = "the service was shut down before the order was done".to_owned();
    OrderError { kind: ErrorKind::Shutdown, detail, at: None }
}

/// A model that ends without having done all steps and without a reason has a bug; say so rather than succeed.
fn unexplained() -> OrderError {
    let detail = "the model ended without doing every step".to_owned();
    OrderError { kind: ErrorKind::Exit, detail, at: None }
}
