//! How a thread or a kitchen does the step it has in hand: equipment, then the work, then the books.
//!
//! The same for all who do one step at a time; a loop does its own in `desk.rs`. It deliberately does not say who does
//! what next: [`Sim::end`] asks the crew.

use super::actor::{Role, Then};
use super::engine::Sim;
use super::path::Term;
use super::plan::{Channel, Crew};
use super::tools::Waiter;
use crate::domain::Ns;
use crate::domain::recipe::Work;

impl Sim<'_> {
    /// Begins the step in hand, as soon as it has its equipment.
    pub(super) fn begin(&mut self, id: u32) {
        let actor = &mut self.actors[id as usize];
        let (at, host, is_fresh) = (actor.at, actor.host, std::mem::take(&mut actor.fresh));
        self.books.queue += self.now - actor.ready.min(self.now);
        if is_fresh {
            self.follow(id, self.dish_of(at));
        }
        if self.equip(host, Waiter::Actor(id), at) {
            return self.work(id);
        }
        self.unlock(id);
    }

    /// Does the work of the step in hand.
    pub(super) fn work(&mut self, id: u32) {
        let at = self.actors[id as usize].at;
        let cost = self.costs.step;
        match self.work_of(at) {
            Work::Wait(d) | Work::BlockingWait(d) => {
                self.actors[id as usize].left = d.as_nanos() as Ns;
                self.burst(id, cost, (Term::Cpu, 0), Then::Sleep);
            }
            Work::Exchange { bytes, messages } => {
                self.actors[id as usize].left = 0;
                self.burst(id, cost, (Term::Exchange, self.price(bytes, messages)), Then::Computed);
            }
            work => {
                let (held, free) = self.split(at, self.costs.cpu(work));
                self.actors[id as usize].left = free;
                self.burst(id, cost, (Term::Cpu, held), Then::Computed);
            }
        }
    }

    /// Of a piece of computing: what needs the GIL, and what does not.
    pub(super) fn split(&self, at: u32, cpu: Ns) -> (Ns, Ns) {
        if self.plan.gil.is_none() {
            return (cpu, 0);
        }
        let percent = self.spec.recipe.steps[usize::from(self.step_of(at).step)].gil_held_percent;
        let held = (u128::from(cpu) * u128::from(percent) / 100) as Ns;
        (held, cpu - held)
    }

    /// What an exchange takes.
    pub(super) fn price(&self, bytes: u32, messages: u32) -> Ns {
        let way = match self.plan.channel {
            Channel::Move => 0,
            Channel::Pipe => 1,
            Channel::Memory => 2,
        };
        let of_bytes = (u64::from(bytes) * self.costs.mebibyte[way]) >> 20;
        u64::from(messages) * (self.costs.message[way] + of_bytes)
    }

    /// Sits out a wait.
    pub(super) fn sleep(&mut self, id: u32) {
        let wait = self.actors[id as usize].left;
        if wait == 0 {
            return self.end(id);
        }
        self.unlock(id);
        self.rest(id, wait + self.costs.thread_late, wait, Then::Woke);
    }

    /// Has computed what needs the GIL; the rest goes without.
    pub(super) fn computed(&mut self, id: u32) {
        match std::mem::take(&mut self.actors[id as usize].left) {
            0 => self.end(id),
            left => {
                self.unlock(id);
                self.burst(id, 0, (Term::Cpu, left), Then::Freed);
            }
        }
    }

    /// The step is over.
    pub(super) fn end(&mut self, id: u32) {
        let actor = &self.actors[id as usize];
        let (at, host, role, path) = (actor.at, actor.host, actor.role, actor.path);
        self.books.step_over(self.now, &path);
        let dish = self.dish_of(at) as usize;
        self.paths[dish] = path;
        self.put_back(host, at);
        match role {
            Role::Worker if matches!(self.plan.crew, Crew::Loop { .. }) => self.assisted(id),
            Role::Worker => self.settled(id),
            Role::Each => self.settled_each(id),
            Role::Kitchen | Role::Other => self.rest(id, self.costs.pipe, 0, Then::Reported),
        }
    }
}
