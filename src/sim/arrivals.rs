//! Dishes that arrive by the clock: a timer for the next of each host, and what happens when it rings.
//!
//! It deliberately keeps dishes in order: a dish that arrives late lets none that arrived after it go first.

use super::engine::Sim;
use super::host::Door;
use super::path::Term;
use super::plan::Crew;
use crate::domain::Ns;

impl Sim<'_> {
    /// Waits for the dishes of a host, if they arrive by the clock; each is noticed a little late.
    pub(super) fn expect(&mut self, host: u32, late: Ns) {
        self.hosts[host as usize].door = Door { open: self.now, late };
        if self.spec.arrivals.is_some() {
            self.expect_dish(host, host);
        }
    }

    /// Waits for this dish of a host, if it has so many: one timer at a time, for those of others are to be sorted in between.
    fn expect_dish(&mut self, host: u32, dish: u32) {
        let (dishes, door) = (self.hosts[host as usize].dishes, self.hosts[host as usize].door);
        if dish / self.hosts.len() as u32 >= dishes {
            return;
        }
        let at = self.spec.arrival(self.spec.dish(dish));
        // What is there before anybody looks needs no timer to be noticed.
        let noticed = if at <= door.open { door.open } else { at + door.late };
        self.books.total.add(Term::Overhead, noticed - at.max(door.open));
        self.set_arrival(dish, noticed);
    }

    /// A dish has arrived, and is noticed.
    pub(super) fn arrived(&mut self, dish: u32) {
        let at = self.spec.arrival(self.spec.dish(dish));
        self.paths[dish as usize].add(Term::Arrival, at);
        let number = self.host_of(dish);
        self.expect_dish(number, dish + self.hosts.len() as u32);
        let host = &mut self.hosts[number as usize];
        let Some(line) = &mut host.line else {
            host.desk.arrived += 1;
            return self.admit(number, at);
        };
        line.arrive(at);
        if !host.queued && line.has_next() {
            host.queued = true;
            if self.brigade.takes_steps() {
                self.dispatch();
            } else if self.plan.crew == Crew::ThreadPerStep {
                self.let_in(number);
            } else {
                self.call_another(number, None);
            }
        }
    }
}
