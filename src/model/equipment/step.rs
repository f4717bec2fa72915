//! A step that needs equipment, from its start to the moment it gives everything back.
//!
//! A step starts when its chef takes it up; then it waits, then it works. It deliberately does no work: that is the same
//! as for any other step.

use super::{Claim, Refusal};
use crate::clock;
use crate::domain::Ns;
use crate::domain::job::ErrorKind;
use crate::domain::recipe::StepRef;
use crate::domain::record::Outcome;
use crate::model::cancel::Reason;
use crate::model::gil;
use crate::model::run::{Run, Stepped};
use crate::model::work::{self, Performed};

/// A step that has begun and may still wait for its equipment.
pub struct Equipping {
    /// What it asked for.
    pub claim: Claim,
    lane: usize,
    at: StepRef,
    ready: Ns,
    started: Ns,
    seq: u32,
}

impl Equipping {
    /// Its chef takes it up. `None` if it needs nothing.
    pub fn new(run: &Run, lane: usize, at: StepRef, ready: Ns) -> Option<Self> {
        let equipment = run.equipment.as_ref().filter(|_| !run.spec.step(at).needs.is_empty())?;
        let started = clock::now();
        let seq = run.recorder.started(lane, at, run.offset(started));
        Some(Self { claim: equipment.claim(at), lane, at, ready, started, seq })
    }

    /// It had all it needed from `equipped` on, and did its work.
    pub fn done(self, run: &Run, equipped: Ns, held_idle: Ns, work: Performed) -> Stepped {
        let done = work.after_equipment(self.started, equipped, held_idle);
        // Before it is written down: who waits has waited long enough.
        drop(self.claim);
        run.record(self.lane, self.at, self.ready, self.seq, done)
    }

    /// It does not get what it needs.
    pub fn refused(self, run: &Run, refusal: Refusal) -> Stepped {
        let now = clock::now();
        let outcome = if refusal == Refusal::Stopped { Outcome::Canceled } else { Outcome::Failed };
        let done = work::waited(now, now, outcome).after_equipment(self.started, now, 0);
        if let Refusal::Stuck(circle) = refusal {
            run.stuck(&circle, self.at);
        }
        drop(self.claim);
        run.record(self.lane, self.at, self.ready, self.seq, done)
    }
}

impl Run {
    /// Does a step that needs equipment on the calling thread, which stands and waits for it.
    pub(in crate::model) fn do_equipped(&self, begun: Equipping) -> Stepped {
        // As in Python: whoever waits for a lock of the program lets go of the interpreter's.
        gil::leave();
        match begun.claim.stand(&self.cancel) {
            Err(refusal) => begun.refused(self, refusal),
            Ok(held_idle) => {
                let equipped = clock::now();
                let work = self.perform(begun.at, |_| ());
                begun.done(self, equipped, held_idle, work)
            }
        }
    }

    /// Some of its steps wait for each other for ever: the order has failed, and stops.
    pub fn stuck(&self, circle: &str, at: StepRef) {
        self.fail(ErrorKind::Deadlock, format!("these steps wait for each other for ever: {circle}"), Some(at));
        self.stop(Reason::Stuck);
    }
}

impl Performed {
    /// The same work as part of a step that began before it had what it needed.
    #[must_use]
    pub fn after_equipment(mut self, started: Ns, equipped: Ns, held_idle: Ns) -> Self {
        self.terms.equipment_wait += equipped.saturating_sub(started);
        self.terms.held_idle = held_idle;
        Self { started, ..self }
    }
}
