//! Equipment that all kitchens of an order share, as their parent lends it.
//!
//! Each claim is a task beside the one that hears the kitchen. It ends when the kitchen gives back, is done or is gone, and
//! with it ends the claim: whatever becomes of a kitchen, what it had is there for the others. It deliberately decides
//! no order: the run's equipment does, the same as for chefs of one kitchen.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::task::AbortHandle;

use super::frames::Down;
use super::kitchen::Kitchen;
use crate::clock;
use crate::domain::Ns;
use crate::domain::rack::ClaimId;
use crate::domain::recipe::StepRef;
use crate::model::equipment::Refusal;

struct Loan {
    task: AbortHandle,
    granted: bool,
}

#[derive(Default)]
struct State {
    loans: HashMap<ClaimId, Loan>,
    last_granted: Ns,
}

/// What a kitchen has borrowed or asked for.
#[derive(Default)]
pub(super) struct Loans(Mutex<State>);

impl Loans {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A claim is given back or withdrawn.
    pub(super) fn end(&self, id: ClaimId) {
        let loan = self.state().loans.remove(&id);
        loan.into_iter().for_each(|loan| loan.task.abort());
    }

    /// All are: the step or share is over, or the kitchen gone.
    pub(super) fn end_all(&self) {
        let loans = std::mem::take(&mut self.state().loans);
        loans.into_values().for_each(|loan| loan.task.abort());
    }

    /// When the kitchen was lent something last; nothing while it waits for somebody else to give back, which may take any
    /// time.
    pub(super) fn last_granted(&self) -> Option<Ns> {
        let state = self.state();
        state.loans.values().all(|loan| loan.granted).then_some(state.last_granted)
    }

    fn granted(&self, id: ClaimId) {
        let mut state = self.state();
        state.last_granted = clock::now();
        if let Some(loan) = state.loans.get_mut(&id) {
            loan.granted = true;
        }
    }
}

/// A kitchen asks for what a step needs. To be called on the event loop that hears it.
pub(super) fn lend(kitchen: &Arc<Kitchen>, id: ClaimId, at: StepRef) {
    let Some((run, equipment)) = kitchen.run().and_then(|run| Some((run.clone(), run.equipment.clone()?))) else {
        return;
    };
    // Here and not in the task, so that claims are made in the order in which they are heard.
    let claim = equipment.claim(at);
    let borrower = kitchen.clone();
    let task = tokio::spawn(async move {
        match claim.all().await {
            Ok(held_idle) => {
                borrower.loans.granted(id);
                borrower.say(&Down::Lent(id, held_idle));
                std::future::pending::<()>().await;
            }
            Err(Refusal::Stuck(circle)) => run.stuck(&circle, at),
            Err(Refusal::Stopped) => {}
        }
        drop(claim);
    });
    kitchen.loans.state().loans.insert(id, Loan { task: task.abort_handle(), granted: false });
}
