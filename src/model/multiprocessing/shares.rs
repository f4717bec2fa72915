//! A run cooked in whole dishes by kitchens of its own: each takes a share and runs it on its own loop or threads.
//!
//! This is how uvicorn and gunicorn workers really work, and, with one share, how an order is isolated. It deliberately
//! deals the dishes out beforehand, one by one like cards: who is slower gets no less.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use crate::clock;
use crate::domain::Ns;
use crate::domain::job::{ErrorKind, OrderError};
use crate::domain::spec::{Isolation, Spec};
use crate::domain::summary::Bill;
use crate::model::cancel::Reason;
use crate::model::recorder::Delta;
use crate::model::run::Run;

struct State {
    left: VecDeque<Spec>,
    open: usize,
}

/// A run and the shares of it that nobody has taken.
pub(super) struct Shares {
    run: Arc<Run>,
    state: Mutex<State>,
}

/// One share in a kitchen's hand.
pub(super) struct Share {
    all: Arc<Shares>,
    /// The order as that kitchen sees it.
    pub(super) spec: Spec,
    /// From that kitchen's event numbers to the run's.
    seqs: Vec<u32>,
    dishes_over: u32,
    /// When its kitchen was last heard of.
    pub(super) heard: Ns,
}

impl Shares {
    /// Divides the dishes of a run among `kitchens`; `inner` is the order as each of them sees it but for its dishes.
    pub(super) fn new(run: Arc<Run>, inner: &Spec, kitchens: u32) -> Arc<Self> {
        let n = kitchens.min(inner.window());
        let part = |total: u32, i: u32| total / n + u32::from(i < total % n);
        let left = (0..n).map(|i| {
            let (first_dish, stride) = (inner.dish(i), inner.stride * n);
            let max_in_flight = inner.max_in_flight.map(|window| part(window, i));
            Spec { first_dish, stride, dishes: part(inner.dishes, i), max_in_flight, ..inner.clone() }
        });
        let left = left.collect();
        Arc::new(Self { run, state: Mutex::new(State { left, open: 0 }) })
    }

    /// The run.
    pub(super) fn run(&self) -> &Arc<Run> {
        &self.run
    }

    /// Takes the next share; answers also whether more are left.
    pub(super) fn take(self: &Arc<Self>) -> Option<(Share, bool)> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let spec = state.left.pop_front()?;
        state.open += 1;
        let share = Share { all: self.clone(), spec, seqs: Vec::new(), dishes_over: 0, heard: clock::now() };
        Some((share, !state.left.is_empty()))
    }

    /// Gives out nothing more; ends the run at once if no kitchen has a share in hand.
    pub(super) fn close(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.left.clear();
        let over = state.open == 0;
        drop(state);
        if over {
            self.run.finish();
        }
    }

    fn settle(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.open -= 1;
        let over = state.open == 0 && state.left.is_empty();
        drop(state);
        if over {
            self.run.finish();
        }
    }
}

impl Share {
    /// The run it is a share of.
    pub(super) fn run(&self) -> &Arc<Run> {
        &self.all.run
    }

    /// Whether its kitchen asks here for what it needs of what all kitchens share. One that cooks a whole order does not.
    pub(super) fn borrows(&self) -> bool {
        let spec = &self.run().spec;
        spec.isolation == Isolation::House && spec.recipe.equipment.iter().any(|piece| piece.shared)
    }

    /// Takes in what the kitchen wrote; answers false if it is nonsense.
    pub(super) fn absorb(&mut self, lane: usize, mut delta: Delta) -> bool {
        self.heard = clock::now();
        if !delta.fits(&self.spec) {
            return false;
        }
        if self.run().spec.isolation == Isolation::House {
            // What a kitchen counted is in its memory, not in the order's.
            delta.harvest.totals.counted = 0;
        }
        self.dishes_over += delta.harvest.dishes.len() as u32 + delta.harvest.dishes_failed;
        self.all.run.recorder.absorb(lane, delta, &mut self.seqs);
        true
    }

    /// The kitchen is done with it.
    pub(super) fn end(self, error: Option<OrderError>, bill: &Bill) {
        if let Some(error) = error {
            let is_stuck = error.kind == ErrorKind::Deadlock;
            self.run().fail(error.kind, error.detail, error.at);
            if is_stuck {
                self.run().stop(Reason::Stuck);
            }
        }
        if self.run().spec.isolation == Isolation::Kitchen {
            self.run().recorder.add_bill(bill);
        }
        self.all.settle();
    }

    /// The kitchen did not live to finish it: its open dishes are lost.
    pub(super) fn lost(self, error: Option<(ErrorKind, String)>) {
        if let Some((kind, detail)) = error {
            self.run().fail(kind, detail, None);
            self.run().recorder.dishes_lost(self.spec.dishes.saturating_sub(self.dishes_over));
        }
        self.all.settle();
    }
}
