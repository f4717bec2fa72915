//! The engine: actors (threads, loops, kitchens, starters), what they wait for, and what happens next.
//!
//! An actor does one thing at a time: it computes ([`Sim::burst`]), rests ([`Sim::rest`]), stands in a queue, or is in
//! `todo`; when that is over it goes on with its [`Then`](super::actor::Then). It deliberately knows no model: who takes which step is in
//! the files named after them.

use std::collections::VecDeque;

use super::actor::{Actor, Role, Then};
use super::agenda::Agenda;
use super::books::Books;
use super::brigade::Brigade;
use super::cores::Cores;
use super::costs::Costs;
use super::host::Host;
use super::path::{Path, Term};
use super::plan::Plan;
use super::supply::Supply;
use super::tools::Tools;
use crate::domain::Ns;
use crate::domain::recipe::{StepRef, Work};
use crate::domain::spec::Spec;

/// What a timer is for; the three upper bits of its tag.
const KIND_BITS: u32 = 29;
const OF_ACTOR: u32 = 0;
const OF_WAIT: u32 = 1;
const OF_GIL: u32 = 2;
const OF_DISH: u32 = 3;
const OF_WOKEN: u32 = 4;

/// A simulation.
pub(super) struct Sim<'a> {
    pub(super) spec: &'a Spec,
    pub(super) plan: Plan,
    pub(super) costs: &'a Costs,
    pub(super) now: Ns,
    pub(super) cores: Cores,
    timers: Agenda,
    pub(super) actors: Vec<Actor>,
    retired: Vec<u32>,
    todo: VecDeque<u32>,
    pub(super) hosts: Vec<Host>,
    pub(super) brigade: Brigade,
    pub(super) tools: Tools,
    pub(super) books: Books,
    /// Work of each step, where it is the same for all dishes.
    pub(super) works: Box<[Option<Work>]>,
    /// Of each step: CPU time after which it lets the loop turn.
    pub(super) chunks: Box<[Ns]>,
    /// Steps that wait for no other of their dish.
    pub(super) roots: Box<[u32]>,
    /// Of each dish: the way to where it is.
    pub(super) paths: Vec<Path>,
}

impl<'a> Sim<'a> {
    pub(super) fn new(spec: &'a Spec, plan: Plan, costs: &'a Costs, supply: Supply) -> Self {
        let dishes = spec.dishes as usize;
        Self {
            spec,
            plan,
            costs,
            now: 0,
            cores: Cores::new(supply),
            timers: Agenda::default(),
            actors: Vec::new(),
            retired: Vec::new(),
            todo: VecDeque::new(),
            hosts: Vec::new(),
            brigade: Brigade::default(),
            tools: Tools::default(),
            books: Books::new(dishes),
            works: super::works::fixed(spec),
            chunks: super::works::chunks(spec, costs),
            roots: super::works::roots(spec),
            paths: vec![Path::default(); dishes],
        }
    }

    /// Lets everything happen until nothing is left to happen, or some wait for each other for ever.
    pub(super) fn run(&mut self) {
        while !self.tools.stuck {
            while let Some(actor) = self.todo.pop_front() {
                self.resume(actor);
            }
            if let Some(actor) = self.cores.ended() {
                let (cost, work) = (self.actors[actor as usize].cost, self.actors[actor as usize].work);
                self.progressed(actor, cost + work);
                self.resume(actor);
                continue;
            }
            let timer = self.timers.first();
            if let Some((at, _, tag)) = timer
                && at <= self.now
            {
                self.timers.pop();
                self.fire(tag);
                continue;
            }
            let next = self.cores.next_end().into_iter().chain(timer.map(|timer| timer.0)).min();
            let Some(next) = next else { return };
            self.now = next;
            self.cores.advance(next);
        }
    }

    fn fire(&mut self, tag: u32) {
        let id = tag & ((1 << KIND_BITS) - 1);
        match tag >> KIND_BITS {
            OF_ACTOR => {
                let actor = &mut self.actors[id as usize];
                let (span, wait) = (self.now - actor.since, std::mem::take(&mut actor.wait));
                self.spend(id, Term::Wait, wait.min(span));
                self.spend(id, Term::Overhead, span.saturating_sub(wait));
                self.resume(id);
            }
            OF_WAIT => self.landed(id),
            OF_DISH => self.arrived(id),
            OF_WOKEN => self.gil_woken(id),
            _ => self.gil_due(id),
        }
    }

    pub(super) fn resume(&mut self, id: u32) {
        if std::mem::take(&mut self.actors[id as usize].preempted) {
            let actor = &self.actors[id as usize];
            return self.cores.start(id, actor.cost + actor.work);
        }
        match self.actors[id as usize].then {
            Then::Look => self.look(id),
            Then::Begin => self.begin(id),
            Then::Work => self.work(id),
            Then::Sleep => self.sleep(id),
            Then::Woke | Then::Freed => self.lock(id, Then::End),
            Then::Computed => self.computed(id),
            Then::End => self.end(id),
            Then::Awake => self.awake(id),
            Then::Born => self.lock(id, Then::Alive),
            Then::Alive => self.alive(id),
            Then::Hire => self.hire(id),
            Then::Hired => self.hired(id),
            Then::Start => self.start_next(id),
            Then::Started => self.started(id),
            Then::Turn => self.turn(id),
            Then::Sailed => self.sailed(id),
            Then::Burnt => self.burnt(id),
            Then::Blocked => self.lock(id, Then::Burnt),
            Then::Stirred => self.lock(id, Then::Turn),
            Then::Handed => self.handed(id),
            Then::Heard => self.heard(id),
            Then::Issued => self.issued(id),
            Then::Up => self.up(id),
            Then::Reported => self.reported(id),
            Then::Passed => self.passed(id),
            Then::Gone => self.gone(id),
            Then::Opened => self.opened(id),
        }
    }

    /// Somebody new, who has nothing to do yet.
    pub(super) fn hire_actor(&mut self, host: u32, role: Role) -> u32 {
        let actor = Actor { host, role, since: self.now, fresh: true, ..Actor::default() };
        if let Some(id) = self.retired.pop() {
            self.actors[id as usize] = actor;
            return id;
        }
        self.actors.push(actor);
        (self.actors.len() - 1) as u32
    }

    /// Somebody has nothing to do any more.
    pub(super) fn retire(&mut self, id: u32) {
        self.unlock(id);
        self.retired.push(id);
    }

    /// Goes on at once.
    pub(super) fn go(&mut self, id: u32, then: Then) {
        self.actors[id as usize].then = then;
        self.todo.push_back(id);
    }

    /// Computes: first overhead, then so much of a term.
    pub(super) fn burst(&mut self, id: u32, cost: Ns, work: (Term, Ns), then: Then) {
        let actor = &mut self.actors[id as usize];
        actor.then = then;
        (actor.term, actor.work) = (Some(work.0), work.1);
        actor.cost = cost + std::mem::take(&mut actor.owes);
        match actor.cost + actor.work {
            0 => self.todo.push_back(id),
            demand => self.cores.start(id, demand),
        }
    }

    /// Writes down what an actor has computed since it was looked at last.
    pub(super) fn progressed(&mut self, id: u32, done: Ns) {
        let actor = &mut self.actors[id as usize];
        let (cost, term) = (done.min(actor.cost), actor.term.unwrap_or(Term::Cpu));
        let work = (done - cost).min(actor.work);
        actor.cost -= cost;
        actor.work -= work;
        let waited = (self.now - actor.since).saturating_sub(cost + work);
        let span = self.now - actor.since;
        self.spend(id, Term::Overhead, cost.min(span));
        self.spend(id, term, work.min(span - cost.min(span)));
        self.spend(id, Term::CoreWait, waited);
    }

    /// Rests; `wait` of the span was asked for, the rest is overhead.
    pub(super) fn rest(&mut self, id: u32, span: Ns, wait: Ns, then: Then) {
        let actor = &mut self.actors[id as usize];
        (actor.then, actor.wait) = (then, wait);
        match span {
            0 => self.todo.push_back(id),
            _ => _ = self.timers.push(self.now + span, OF_ACTOR << KIND_BITS | id),
        }
    }

    /// Sets the timer of a wait on a loop.
    pub(super) fn set_wait(&mut self, at: u32, due: Ns) {
        self.timers.push(due, OF_WAIT << KIND_BITS | at);
    }

    /// Sets the timer of a dish that is still to come.
    pub(super) fn set_arrival(&mut self, dish: u32, at: Ns) {
        self.timers.push(at, OF_DISH << KIND_BITS | dish);
    }

    /// Sets the timer of a kitchen's lock.
    pub(super) fn set_gil(&mut self, host: u32, due: Ns) {
        self.timers.push(due, OF_GIL << KIND_BITS | host);
    }

    /// Sets the timer of whoever was woken to take a kitchen's lock.
    pub(super) fn set_woken(&mut self, host: u32, at: Ns) {
        self.timers.push(at, OF_WOKEN << KIND_BITS | host);
    }

    /// Adds to an actor's path and to the sum of all.
    pub(super) fn spend(&mut self, id: u32, term: Term, span: Ns) {
        let actor = &mut self.actors[id as usize];
        actor.path.add(term, span);
        actor.since += span;
        self.books.total.add(term, span);
    }

    /// The path of a dish is what led to this: whoever takes it up was not what it waited for.
    pub(super) fn follow(&mut self, id: u32, dish: u32) {
        let path = self.paths[dish as usize];
        let actor = &mut self.actors[id as usize];
        let own = std::mem::replace(&mut actor.path, path);
        let mut gap = self.now.saturating_sub(path.sum());
        for term in [Term::GilWait, Term::CoreWait] {
            let part = own.of(term).min(gap);
            actor.path.add(term, part);
            gap -= part;
        }
        actor.path.add(Term::Overhead, gap);
        actor.since = self.now;
    }

    /// Who has a dish: they are dealt out like cards.
    pub(super) fn host_of(&self, dish: u32) -> u32 {
        dish % self.hosts.len() as u32
    }

    /// Position of the dish of a step.
    pub(super) fn dish_of(&self, at: u32) -> u32 {
        at / self.works.len() as u32
    }

    /// A step by its number.
    pub(super) fn step_of(&self, at: u32) -> StepRef {
        let steps = self.works.len() as u32;
        StepRef { dish: self.spec.dish(at / steps), step: (at % steps) as u16 }
    }

    /// What a step does.
    pub(super) fn work_of(&self, at: u32) -> Work {
        let step = self.step_of(at);
        self.works[usize::from(step.step)].unwrap_or_else(|| self.spec.work(step))
    }
}
