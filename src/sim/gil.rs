//! The lock of one kitchen, in virtual time: who computes, who is woken, who has to let go.
//!
//! Who gets it and when is decided by the protocol that real threads follow ([`crate::domain::gil`]). It deliberately has no
//! bytecodes: a holder hears at once.

use super::actor::Then;
use super::engine::Sim;
use super::path::Term;
use crate::domain::Ns;
use crate::domain::gil as protocol;

/// The lock.
#[derive(Debug)]
pub(super) struct Gil {
    protocol: protocol::Gil<u32>,
    /// Who was woken to take it, and is on the way.
    woken: Option<u32>,
    /// The moment for which a timer is set.
    armed: Option<Ns>,
}

impl Gil {
    pub(super) fn new(interval: Ns) -> Self {
        Self { protocol: protocol::Gil::new(interval), woken: None, armed: None }
    }
}

impl Sim<'_> {
    fn gil_of(&mut self, id: u32) -> Option<(u32, &mut Gil)> {
        let number = self.actors[id as usize].host;
        let gil = self.hosts.get_mut(number as usize)?.gil.as_mut()?;
        Some((number, gil))
    }

    /// Goes on with the lock of its kitchen, if there is one.
    pub(super) fn lock(&mut self, id: u32, then: Then) {
        let now = self.now;
        self.actors[id as usize].then = then;
        let Some((host, gil)) = self.gil_of(id) else { return self.go(id, then) };
        if gil.protocol.holder() == Some(&id) || gil.protocol.ask(&id, now) {
            self.go(id, then);
        }
        self.arm(host);
    }

    /// Lets go of the lock of its kitchen, if it has it.
    pub(super) fn unlock(&mut self, id: u32) {
        if let Some((host, gil)) = self.gil_of(id)
            && gil.protocol.holder() == Some(&id)
        {
            self.let_go(host);
        }
    }

    /// The holder lets go, and the first of those who wait is woken.
    fn let_go(&mut self, host: u32) {
        let now = self.now;
        let Some(gil) = &mut self.hosts[host as usize].gil else { return };
        let first = gil.protocol.leave(now).copied();
        if gil.woken.is_none() && first.is_some() {
            gil.woken = first;
            self.set_woken(host, self.now + self.costs.gil_switch);
        }
    }

    /// Whoever was woken takes the lock; if somebody was faster it waits on.
    pub(super) fn gil_woken(&mut self, host: u32) {
        let now = self.now;
        let Some(gil) = &mut self.hosts[host as usize].gil else { return };
        let Some(id) = gil.woken.take() else { return };
        if !gil.protocol.take(&id, now) {
            return;
        }
        let waited = now - self.actors[id as usize].since;
        let switch = self.costs.gil_switch.min(waited);
        self.spend(id, Term::GilWait, waited - switch);
        self.spend(id, Term::Overhead, switch);
        self.arm(host);
        self.resume(id);
    }

    fn arm(&mut self, host: u32) {
        let Some(gil) = &mut self.hosts[host as usize].gil else { return };
        let due = gil.protocol.due();
        if let Some(due) = due.filter(|_| due != std::mem::replace(&mut gil.armed, due)) {
            self.set_gil(host, due);
        }
    }

    /// Somebody has waited for the lock for a whole interval, unless it has changed hands since the timer was set.
    pub(super) fn gil_due(&mut self, host: u32) {
        let now = self.now;
        let Some(gil) = &mut self.hosts[host as usize].gil else { return };
        if !gil.protocol.expire(now) {
            return;
        }
        let Some(holder) = gil.protocol.holder().copied().filter(|holder| self.cores.has(*holder)) else { return };
        let left = self.cores.stop(holder);
        let actor = &mut self.actors[holder as usize];
        actor.preempted = true;
        let done = (actor.cost + actor.work).saturating_sub(left);
        self.progressed(holder, done);
        self.let_go(host);
        let then = self.actors[holder as usize].then;
        self.lock(holder, then);
    }
}
