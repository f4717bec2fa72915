//! Equipment: a rack in each kitchen, one for what all of them share, and who of the simulation waits at which.
//!
//! Who gets what, and who waits in vain, is decided by the rack that real kitchens have ([`crate::domain::rack`]). It
//! deliberately only remembers who asked.

use std::sync::Arc;

use super::actor::Then;
use super::engine::Sim;
use super::path::Term;
use crate::domain::Ns;
use crate::domain::rack::{ClaimId, Rack, Standing};
use crate::domain::recipe::{Recipe, StepRef};

/// Who waits.
#[derive(Clone, Copy, Debug, Default)]
pub(super) enum Waiter {
    /// An actor, with the step it has in hand.
    Actor(u32),
    /// The step itself, on an event loop.
    #[default]
    Loop,
}

/// The equipment of all kitchens.
#[derive(Debug, Default)]
pub(super) struct Tools {
    /// What is shared, then what each kitchen has for itself.
    racks: Vec<Rack>,
    /// Of each step: its claim, and who waits for it.
    claims: Vec<(ClaimId, Waiter)>,
    /// Some wait for each other for ever: the order is over, as a real one would be.
    pub(super) stuck: bool,
}

impl Tools {
    /// For so many kitchens and steps.
    pub(super) fn new(recipe: &Arc<Recipe>, kitchens: u32, steps: u64) -> Self {
        if recipe.equipment.is_empty() {
            return Self::default();
        }
        // Every dish may stand at the shared one at once. Room that is not used costs nothing; to move them all would.
        let shared = Rack::new(recipe.clone()).with_room(steps as usize / recipe.steps.len());
        let own = (0..kitchens).map(|_| Rack::new(recipe.clone()));
        let racks = std::iter::once(shared).chain(own).collect();
        Self { racks, claims: vec![<_>::default(); steps as usize], stuck: false }
    }

    /// Asks for what a step needs; whether it has all of it now. Else `who` waits.
    fn claim(&mut self, place: usize, (number, at): (u32, StepRef), who: Waiter, now: Ns) -> bool {
        let rack = &mut self.racks[place];
        let id = rack.claim(at, now);
        self.claims[number as usize] = (id, who);
        // Nobody else gets anything by it.
        rack.settled();
        let standing = rack.standing(id);
        self.stuck |= matches!(standing, Standing::Stuck(_));
        matches!(standing, Standing::Has { .. })
    }

    /// Gives back what a step has; answers which steps have all they need by that.
    fn release(&mut self, place: usize, number: u32, now: Ns) -> Vec<StepRef> {
        let rack = &mut self.racks[place];
        rack.release(self.claims[number as usize].0, now);
        let mut settled = rack.settled();
        let asked = settled.len();
        settled.retain(|id| matches!(rack.standing(*id), Standing::Has { .. }));
        self.stuck |= settled.len() < asked;
        settled.iter().filter_map(|id| rack.asks(*id)).collect()
    }
}

impl Sim<'_> {
    /// Where a step claims what it needs, if it has to: a kitchen that takes single steps has its own for itself.
    fn place_of(&self, host: u32, at: StepRef) -> Option<usize> {
        let recipe = &self.spec.recipe;
        let own = (!self.brigade.takes_steps()).then_some(host as usize + 1);
        match recipe.steps[usize::from(at.step)].needs.is_empty() {
            true => None,
            false if recipe.shares(at) => Some(0),
            false => own,
        }
    }

    /// Takes the equipment a step needs; whether it has it all.
    pub(super) fn equip(&mut self, host: u32, who: Waiter, at: u32) -> bool {
        let step = self.step_of(at);
        self.place_of(host, step).is_none_or(|place| self.tools.claim(place, (at, step), who, self.now))
    }

    /// Puts back the equipment of a step, and lets those go on who waited for it.
    pub(super) fn put_back(&mut self, host: u32, at: u32) {
        let Some(place) = self.place_of(host, self.step_of(at)) else { return };
        let steps = self.works.len() as u32;
        for step in self.tools.release(place, at, self.now) {
            let at = self.spec.position(step.dish) as u32 * steps + u32::from(step.step);
            match self.tools.claims[at as usize].1 {
                Waiter::Loop => self.equipped(at),
                Waiter::Actor(id) => {
                    let waited = self.now - self.actors[id as usize].since;
                    self.spend(id, Term::EquipmentWait, waited);
                    self.lock(id, Then::Work);
                }
            }
        }
    }
}
