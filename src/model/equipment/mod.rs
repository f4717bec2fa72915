//! The equipment of a run, and how a step waits for it: as a future on an event loop, or standing with a ladle.
//!
//! Who gets what is [`crate::domain::rack`]'s business. On a loop a claim is awaited, as `asyncio.Semaphore` is; on a
//! thread (also an assistant's) it blocks the thread, as `threading.Lock` does. A claim that is dropped gives back what it
//! has, whatever became of its step. A kitchen that cooks a share of an order asks its parent for what all kitchens
//! share. It deliberately ends no order: it says that one is stuck ([`step`]).

pub mod step;

use std::collections::HashMap;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Poll, Waker};
use std::thread::Thread;

use super::cancel::Cancel;
use crate::clock;
use crate::domain::Ns;
use crate::domain::rack::{ClaimId, Rack, Standing};
use crate::domain::recipe::{Recipe, StepRef};

/// Whom to wake when a claim has settled.
enum Waiter {
    Thread(Thread),
    Task(Waker),
}

impl Waiter {
    fn wake(self) {
        match self {
            Self::Thread(thread) => thread.unpark(),
            Self::Task(waker) => waker.wake(),
        }
    }
}

/// What a kitchen says to whoever lends it shared equipment.
#[derive(Clone, Copy, Debug)]
pub enum Word {
    /// This claim asks for what this step needs.
    Need(ClaimId, StepRef),
    /// This claim gives back what it has, or asks no more.
    Back(ClaimId),
}

/// Who is asked for what all kitchens share.
pub type Lender = Box<dyn Fn(Word) + Send + Sync>;

struct State {
    rack: Rack,
    waiters: HashMap<ClaimId, Waiter>,
    /// Claims at the lender's; those that were granted with the time they held a part while they waited for the rest.
    lent: HashMap<ClaimId, Option<Ns>>,
    asked: ClaimId,
    closed: bool,
}

/// The equipment of a run.
pub struct Equipment {
    recipe: Arc<Recipe>,
    state: Mutex<State>,
    lender: OnceLock<Lender>,
}

impl Equipment {
    /// The equipment of a recipe, if it has any. It is closed when the run is asked to stop.
    #[must_use]
    pub fn of(recipe: &Arc<Recipe>, cancel: &Cancel) -> Option<Arc<Self>> {
        if recipe.equipment.is_empty() {
            return None;
        }
        let rack = Rack::new(recipe.clone());
        let state = State { rack, waiters: HashMap::new(), lent: HashMap::new(), asked: LENT, closed: false };
        let equipment = Arc::new(Self { recipe: recipe.clone(), state: Mutex::new(state), lender: OnceLock::new() });
        let hook = equipment.clone();
        cancel.on_request(move || hook.close());
        Some(equipment)
    }

    /// Asks this one for what all kitchens share.
    pub fn borrow_from(&self, lender: Lender) {
        let _ = self.lender.set(lender);
    }

    /// The lender granted a claim.
    pub fn lent(&self, id: ClaimId, held_idle: Ns) {
        let mut state = self.state();
        // One that was given back in the meantime is given back up there, too.
        if let Some(granted) = state.lent.get_mut(&id) {
            *granted = Some(held_idle);
        }
        let waiter = state.waiters.remove(&id);
        drop(state);
        waiter.into_iter().for_each(Waiter::wake);
    }

    /// A step asks for what it needs.
    #[must_use]
    pub fn claim(self: &Arc<Self>, at: StepRef) -> Claim {
        let mut state = self.state();
        if let Some(lender) = self.lender.get().filter(|_| self.recipe.shares(at)) {
            state.asked += 1;
            let id = state.asked;
            state.lent.insert(id, None);
            drop(state);
            lender(Word::Need(id, at));
            return Claim { of: self.clone(), id };
        }
        let id = state.rack.claim(at, clock::now());
        wake_settled(state);
        Claim { of: self.clone(), id }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nobody gets anything any more; threads that wait are woken to see why. Tasks are not: whoever stops a run drops
    /// them, a million perhaps, and need not poll each of them first.
    fn close(&self) {
        let mut state = self.state();
        state.closed = true;
        state.rack.close();
        let waiters = std::mem::take(&mut state.waiters);
        drop(state);
        waiters.into_values().filter(|waiter| matches!(waiter, Waiter::Thread(_))).for_each(Waiter::wake);
    }
}

/// Numbers of claims at the lender's begin here, so that both kinds have numbers of their own.
const LENT: ClaimId = 1 << 63;

fn wake_settled(mut state: MutexGuard<'_, State>) {
    let settled = state.rack.settled();
    let waiters: Vec<_> = settled.iter().filter_map(|id| state.waiters.remove(id)).collect();
    drop(state);
    waiters.into_iter().for_each(Waiter::wake);
}

/// Why a step does not get what it needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The run is to stop.
    Stopped,
    /// It and others wait for each other for ever; the circle in words.
    Stuck(String),
}

/// What a step asks for, and then has, until it is dropped.
pub struct Claim {
    of: Arc<Equipment>,
    id: ClaimId,
}

impl Claim {
    /// Resolves when the step has all it needs; with the time it held a part of it, waiting for the rest.
    pub async fn all(&self) -> Result<Ns, Refusal> {
        poll_fn(|context| match self.standing(|| Waiter::Task(context.waker().clone())) {
            Standing::Waits => Poll::Pending,
            Standing::Has { held_idle } => Poll::Ready(Ok(held_idle)),
            Standing::Stuck(circle) => Poll::Ready(Err(Refusal::Stuck(circle))),
        })
        .await
    }

    /// The same, on a thread that stands and waits.
    pub fn stand(&self, cancel: &Cancel) -> Result<Ns, Refusal> {
        loop {
            match self.standing(|| Waiter::Thread(std::thread::current())) {
                Standing::Has { held_idle } => return Ok(held_idle),
                Standing::Stuck(circle) => return Err(Refusal::Stuck(circle)),
                // Looked at after the waiter was left: whoever asks to stop sees one or the other.
                Standing::Waits if cancel.is_requested() => return Err(Refusal::Stopped),
                Standing::Waits => std::thread::park(),
            }
        }
    }

    fn standing(&self, waiter: impl FnOnce() -> Waiter) -> Standing {
        let mut state = self.of.state();
        let standing = match state.lent.get(&self.id) {
            Some(Some(held_idle)) => Standing::Has { held_idle: *held_idle },
            Some(None) => Standing::Waits,
            None => state.rack.standing(self.id),
        };
        if standing == Standing::Waits && !state.closed {
            state.waiters.insert(self.id, waiter());
        }
        standing
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut state = self.of.state();
        state.waiters.remove(&self.id);
        if state.lent.remove(&self.id).is_some() {
            drop(state);
            if let Some(lender) = self.of.lender.get() {
                lender(Word::Back(self.id));
            }
            return;
        }
        state.rack.release(self.id, clock::now());
        wake_settled(state);
    }
}
