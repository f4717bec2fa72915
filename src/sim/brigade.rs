//! Processes: kitchens that take steps through the house, or shares of the dishes to staff of their own.
//!
//! As `src/model/multiprocessing/` does it: one starter, the next process is started when the last one has been and there is
//! work without a kitchen; whoever hears of a finished step hands out the next. It deliberately loses no kitchen.

use std::collections::VecDeque;

use super::actor::{Role, Then};
use super::engine::Sim;
use super::path::{Path, Term};
use super::plan::Inside;
use crate::domain::Ns;

/// The processes of an order.
#[derive(Debug)]
pub(super) struct Brigade {
    pub(super) size: u32,
    pub(super) one_use: bool,
    pub(super) inside: Inside,
    staff: u32,
    starting: bool,
    starter: u32,
    idle: Vec<u32>,
    /// Whoever hears of finished steps, and what it has not looked at.
    pass: u32,
    unheard: VecDeque<u32>,
    hears: bool,
    /// Shares taken, of as many as there are hosts.
    shares: u32,
}

impl Brigade {
    /// Whether there are kitchens, and they take steps.
    pub(super) fn takes_steps(&self) -> bool {
        self.size > 0 && self.inside == Inside::Steps
    }
}

impl Default for Brigade {
    fn default() -> Self {
        Self {
            size: 0,
            one_use: false,
            inside: Inside::Steps,
            staff: 0,
            starting: false,
            starter: 0,
            idle: Vec::new(),
            pass: 0,
            unheard: VecDeque::new(),
            hears: false,
            shares: 0,
        }
    }
}

impl Sim<'_> {
    /// Opens the brigade: nobody is there, or everybody is.
    pub(super) fn open_brigade(&mut self, size: u32, one_use: bool, inside: Inside, up: bool) {
        let starter = self.hire_actor(0, Role::Other);
        let pass = self.hire_actor(0, Role::Other);
        self.brigade = Brigade { size, one_use, inside, starter, pass, ..Brigade::default() };
        self.hosts[0].queued = inside == Inside::Steps;
        if up {
            self.brigade.staff = size;
            for _ in 0..size {
                let kitchen = self.hire_actor(0, Role::Kitchen);
                self.books.headcount(1);
                self.actors[kitchen as usize].next = Then::Up;
                self.brigade.idle.push(kitchen);
            }
        }
        if inside == Inside::Steps {
            self.expect(0, self.costs.thread_late);
        }
        self.dispatch();
    }

    /// Hands out work while there is work and a kitchen, and starts a kitchen if there is only work.
    pub(super) fn dispatch(&mut self) {
        loop {
            let is_work = match self.brigade.inside {
                Inside::Steps => self.hosts[0].queued,
                _ => self.brigade.shares < self.hosts.len() as u32,
            };
            if !is_work {
                return;
            }
            let Some(kitchen) = self.brigade.idle.pop() else { return self.start_kitchen() };
            if !self.give(kitchen) {
                self.brigade.idle.push(kitchen);
            }
        }
    }

    fn start_kitchen(&mut self) {
        if self.brigade.starting || self.brigade.staff >= self.brigade.size {
            return;
        }
        self.brigade.starting = true;
        let starter = self.brigade.starter;
        self.actors[starter as usize].since = self.now;
        self.burst(starter, self.costs.spawn_issue, (Term::Cpu, 0), Then::Issued);
    }

    /// A process exists; it takes work already, and is up a while later.
    pub(super) fn issued(&mut self, _starter: u32) {
        self.brigade.starting = false;
        self.brigade.staff += 1;
        let kitchen = self.hire_actor(0, Role::Kitchen);
        self.books.headcount(1);
        self.burst(kitchen, self.costs.spawn, (Term::Cpu, 0), Then::Up);
        self.brigade.idle.push(kitchen);
        self.dispatch();
    }

    /// Gives a kitchen the next unit; whether there was one.
    fn give(&mut self, kitchen: u32) -> bool {
        if self.brigade.inside != Inside::Steps {
            self.actors[kitchen as usize].at = self.brigade.shares;
            self.brigade.shares += 1;
        } else {
            let (Some((at, ready)), _) = self.take(0) else { return false };
            let actor = &mut self.actors[kitchen as usize];
            (actor.at, actor.ready) = (at, ready);
            if actor.next == Then::Up && ready > actor.since {
                actor.path = Path::default();
                actor.fresh = true;
            }
        }
        self.actors[kitchen as usize].left = 1;
        if self.actors[kitchen as usize].next == Then::Up {
            self.send(kitchen);
        }
        true
    }

    /// What a kitchen that is up has been given travels to it.
    fn send(&mut self, kitchen: u32) {
        let then = if self.brigade.inside == Inside::Steps { Then::Begin } else { Then::Opened };
        let more = if then == Then::Opened { self.costs.kitchen_begin } else { 0 };
        if self.actors[kitchen as usize].fresh {
            self.actors[kitchen as usize].since = self.now;
        }
        self.rest(kitchen, self.costs.pipe + more, 0, then);
    }

    /// A kitchen is up; what it was given meanwhile lies in its pipe.
    pub(super) fn up(&mut self, kitchen: u32) {
        self.actors[kitchen as usize].next = Then::Up;
        if self.actors[kitchen as usize].left == 0 {
            return;
        }
        match self.brigade.inside {
            Inside::Steps => self.begin(kitchen),
            _ => self.rest(kitchen, self.costs.kitchen_begin, 0, Then::Opened),
        }
    }

    /// A kitchen has its share of the dishes and staff of its own.
    pub(super) fn opened(&mut self, kitchen: u32) {
        let host = self.actors[kitchen as usize].at;
        match self.brigade.inside {
            Inside::Pool(threads) => self.open_pool(host, threads, false),
            _ => self.open_desk(host, self.share_window(host), 0),
        }
    }

    /// The end of a step has arrived at the house.
    pub(super) fn reported(&mut self, kitchen: u32) {
        self.brigade.unheard.push_back(kitchen);
        if !std::mem::replace(&mut self.brigade.hears, true) {
            let pass = self.brigade.pass;
            self.actors[pass as usize].since = self.now;
            self.burst(pass, self.costs.pass, (Term::Cpu, 0), Then::Passed);
        }
    }

    /// The house has written it down: the kitchen is free, or ends.
    pub(super) fn passed(&mut self, pass: u32) {
        let Some(kitchen) = self.brigade.unheard.pop_front() else { return };
        let actor = &self.actors[kitchen as usize];
        let (at, finished) = (actor.at, actor.since - self.costs.pipe.min(actor.since));
        self.actors[kitchen as usize].left = 0;
        self.line_done(0, at, finished);
        if self.brigade.one_use {
            let since: Ns = self.now;
            self.actors[kitchen as usize].since = since;
            self.burst(kitchen, self.costs.exit, (Term::Cpu, 0), Then::Gone);
        } else {
            self.brigade.idle.push(kitchen);
        }
        self.dispatch();
        if self.brigade.unheard.is_empty() {
            self.brigade.hears = false;
        } else {
            self.burst(pass, self.costs.pass, (Term::Cpu, 0), Then::Passed);
        }
    }

    /// A kitchen for one step has ended; there may be another in its place.
    pub(super) fn gone(&mut self, kitchen: u32) {
        self.brigade.staff -= 1;
        self.books.headcount(-1);
        self.retire(kitchen);
        self.dispatch();
    }
}
