//! The lock of one kitchen: one thread computes at a time, first come, first served.
//!
//! As in `CPython`: whoever has waited for a whole interval in which the lock did not change hands makes its holder let go; the
//! holder goes to the end of the queue. It deliberately has no bytecodes: a holder hears at once.

use std::collections::VecDeque;

use super::actor::Then;
use super::engine::Sim;
use super::path::Term;
use crate::domain::Ns;

/// The lock.
#[derive(Debug)]
pub(super) struct Gil {
    interval: Ns,
    holder: Option<u32>,
    queue: VecDeque<u32>,
    /// When the holder has to let go, if the lock does not change hands before.
    pub(super) due: Option<Ns>,
}

impl Gil {
    pub(super) fn new(interval: Ns) -> Self {
        Self { interval, holder: None, queue: VecDeque::new(), due: None }
    }

    pub(super) fn holder(&self) -> Option<u32> {
        self.holder
    }

    /// Asks for the lock. Answers whether the actor has it; else it stands in the queue.
    pub(super) fn lock(&mut self, actor: u32, now: Ns) -> bool {
        if self.holder.is_none() {
            self.holder = Some(actor);
        }
        if self.holder == Some(actor) {
            return true;
        }
        if self.queue.is_empty() {
            self.due = Some(now + self.interval);
        }
        self.queue.push_back(actor);
        false
    }

    /// Lets go of the lock; answers who has it now.
    pub(super) fn unlock(&mut self, now: Ns) -> Option<u32> {
        self.holder = self.queue.pop_front();
        self.due = (!self.queue.is_empty()).then_some(now + self.interval);
        self.holder
    }

    /// The holder has not heard yet: asks again an interval later.
    pub(super) fn later(&mut self, now: Ns) {
        self.due = Some(now + self.interval);
    }
}

impl Sim<'_> {
    /// Goes on with the lock of its kitchen, if there is one.
    pub(super) fn lock(&mut self, id: u32, then: Then) {
        self.actors[id as usize].then = then;
        let host = self.actors[id as usize].host;
        let Some(gil) = &mut self.hosts[host as usize].gil else { return self.go(id, then) };
        let before = gil.due;
        if gil.lock(id, self.now) {
            return self.go(id, then);
        }
        if gil.due != before {
            self.arm(host);
        }
    }

    /// Lets go of the lock of its kitchen, if it has it.
    pub(super) fn unlock(&mut self, id: u32) {
        let host = self.actors[id as usize].host;
        let Some(gil) = self.hosts.get_mut(host as usize).and_then(|host| host.gil.as_mut()) else { return };
        if gil.holder() == Some(id) {
            let next = gil.unlock(self.now);
            self.hand_on(host, next);
        }
    }

    fn hand_on(&mut self, host: u32, next: Option<u32>) {
        self.arm(host);
        if let Some(next) = next {
            let waited = self.now - self.actors[next as usize].since;
            self.spend(next, Term::GilWait, waited);
            let (wait, then) = (0, self.actors[next as usize].then);
            self.rest(next, self.costs.gil_switch, wait, then);
        }
    }

    fn arm(&mut self, host: u32) {
        if let Some(due) = self.hosts[host as usize].gil.as_ref().and_then(|gil| gil.due) {
            self.set_gil(host, due);
        }
    }

    /// Somebody has waited for the lock for a whole interval.
    pub(super) fn gil_due(&mut self, host: u32) {
        let Some(gil) = self.hosts[host as usize].gil.as_mut().filter(|gil| gil.due == Some(self.now)) else { return };
        let Some(holder) = gil.holder().filter(|holder| self.cores.has(*holder)) else {
            gil.later(self.now);
            return self.arm(host);
        };
        let next = gil.unlock(self.now);
        gil.lock(holder, self.now);
        let left = self.cores.stop(holder);
        let actor = &mut self.actors[holder as usize];
        actor.preempted = true;
        let done = (actor.cost + actor.work).saturating_sub(left);
        self.progressed(holder, done);
        self.hand_on(host, next);
    }
}
