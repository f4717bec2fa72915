//! Threads that take steps one by one: a pool of them, or one for each step.
//!
//! As `src/model/pool.rs` does it: one queue, a woken thread wakes the next if there is more, threads are started as they
//! are needed or all at once by the first. It deliberately has no order of steps of its own: that is the line's.

use super::actor::{Actor, Role, Then};
use super::engine::Sim;
use super::host::Pool;
use super::path::{Path, Term};
use crate::domain::Ns;

impl Sim<'_> {
    /// Starts a pool that takes steps from its host's line; `at_once` also all its threads.
    pub(super) fn open_pool(&mut self, host: u32, size: u32, at_once: bool) {
        let size = size.max(1);
        self.hosts[host as usize].pool = Pool { size, threads: if at_once { size } else { 1 }, ..Pool::default() };
        let first = self.born(host, Role::Worker, if at_once { Then::Hire } else { Then::Look }, None);
        self.actors[first as usize].left = if at_once { Ns::from(size - 1) } else { 0 };
        self.hosts[host as usize].queued = true;
        self.expect(host, self.costs.thread_late);
    }

    /// Somebody who is at work a moment from now. With a GIL whoever started it waits until it has had the lock once.
    pub(super) fn born(&mut self, host: u32, role: Role, next: Then, parent: Option<u32>) -> u32 {
        let id = self.hire_actor(host, role);
        self.books.headcount(1);
        self.actors[id as usize].next = next;
        self.actors[id as usize].parent = parent.filter(|_| self.hosts[host as usize].gil.is_some());
        if let Some(parent) = self.actors[id as usize].parent {
            self.unlock(parent);
        }
        self.rest(id, self.costs.thread_birth, 0, Then::Born);
        id
    }

    /// It has had the lock: it goes on, and so may whoever started it.
    pub(super) fn alive(&mut self, id: u32) {
        let actor = &mut self.actors[id as usize];
        let (next, parent) = (actor.next, actor.parent.take());
        self.go(id, next);
        if let Some(parent) = parent {
            let waited = self.now - self.actors[parent as usize].since;
            self.spend(parent, Term::Overhead, waited);
            let next = self.actors[parent as usize].next;
            self.lock(parent, next);
        }
    }

    /// The first thread of a pool starts the others, then works like them.
    pub(super) fn hire(&mut self, id: u32) {
        if self.actors[id as usize].left == 0 {
            return self.look(id);
        }
        self.actors[id as usize].left -= 1;
        self.burst(id, self.costs.thread_start, (Term::Cpu, 0), Then::Hired);
    }

    /// It has started one.
    pub(super) fn hired(&mut self, id: u32) {
        let host = self.actors[id as usize].host;
        self.actors[id as usize].next = Then::Hire;
        self.born(host, Role::Worker, Then::Look, Some(id));
        if self.hosts[host as usize].gil.is_none() {
            self.go(id, Then::Hire);
        }
    }

    /// A thread without a step looks for one.
    pub(super) fn look(&mut self, id: u32) {
        let host = self.actors[id as usize].host;
        let (taken, more) = self.take(host);
        let Some((at, ready)) = taken else {
            self.unlock(id);
            return self.hosts[host as usize].pool.idle.push_back(id);
        };
        let actor = &mut self.actors[id as usize];
        (actor.at, actor.ready) = (at, ready);
        if more {
            self.call_another(host, Some(id));
        }
        self.begin(id);
    }

    /// Takes the next step of a host; answers also whether there is more.
    pub(super) fn take(&mut self, host: u32) -> (Option<(u32, Ns)>, bool) {
        let (steps, spec) = (self.works.len() as u32, self.spec);
        let host = &mut self.hosts[host as usize];
        let Some(line) = &mut host.line else {
            let job = host.jobs.pop_front();
            return (job, !host.jobs.is_empty());
        };
        let taken = line.next();
        host.queued = taken.is_some() && line.has_next();
        let numbered = taken.map(|(at, ready)| (spec.position(at.dish) as u32 * steps + u32::from(at.step), ready));
        (numbered, host.queued)
    }

    /// Wakes an idle thread, or starts one if there is none and may be one more; at the cost of whoever calls.
    pub(super) fn call_another(&mut self, host: u32, caller: Option<u32>) {
        let pool = &mut self.hosts[host as usize].pool;
        if pool.waking {
            return;
        }
        if let Some(idle) = pool.idle.pop_front() {
            pool.waking = true;
            let actor = &mut self.actors[idle as usize];
            (actor.path, actor.since, actor.fresh) = (Path::default(), self.now, true);
            return self.rest(idle, self.costs.wake, 0, Then::Awake);
        }
        if pool.threads < pool.size {
            pool.threads += 1;
            if let Some(caller) = caller {
                self.actors[caller as usize].owes += self.costs.thread_start;
            }
            self.born(host, Role::Worker, Then::Look, None);
        }
    }

    /// A thread that was woken is awake.
    pub(super) fn awake(&mut self, id: u32) {
        let host = self.actors[id as usize].host;
        self.hosts[host as usize].pool.waking = false;
        self.lock(id, Then::Look);
    }

    /// A step that a thread of a pool took from the line is over.
    pub(super) fn settled(&mut self, id: u32) {
        let (host, at) = (self.actors[id as usize].host, self.actors[id as usize].at);
        if self.line_done(host, at, self.now) {
            self.call_another(host, Some(id));
        }
        self.look(id);
    }

    /// Reports a step to its line; answers whether the line has to go into its pool's queue.
    pub(super) fn line_done(&mut self, number: u32, at: u32, finished: Ns) -> bool {
        let (step, dish, hosts) = (self.step_of(at), self.dish_of(at), self.hosts.len() as u32);
        let host = &mut self.hosts[number as usize];
        let Some(line) = &mut host.line else { return false };
        if line.done(step, true, finished).is_some() {
            let arrived = self.spec.arrival(step.dish);
            self.books.dish_over(dish, finished.saturating_sub(arrived));
            // Its end is what the next dish beyond the window has waited for.
            let next = host.window + host.over;
            host.over += 1;
            if next < host.dishes && self.spec.arrivals.is_none() {
                self.paths[(number + next * hosts) as usize] = self.paths[dish as usize];
            }
        }
        let requeue = line.has_next() && !host.queued;
        host.queued |= requeue;
        requeue
    }

    /// Starts a thread for each step that is ready; the first starter is a thread of its own.
    pub(super) fn open_each(&mut self, host: u32) {
        self.born(host, Role::Each, Then::Start, None);
        self.books.headcount(-1);
        self.expect(host, self.costs.thread_late);
    }

    /// Whoever lets dishes in by the clock starts a thread for each step that has become ready: all others may have ended.
    pub(super) fn let_in(&mut self, host: u32) {
        let porter = self.hire_actor(host, Role::Each);
        self.lock(porter, Then::Start);
    }

    /// Whoever has become free starts a thread for the next ready step, or ends.
    pub(super) fn start_next(&mut self, id: u32) {
        let host = self.actors[id as usize].host;
        let (Some((at, ready)), _) = self.take(host) else { return self.retire(id) };
        let actor = &mut self.actors[id as usize];
        (actor.at, actor.ready) = (at, ready);
        self.burst(id, self.costs.thread_start, (Term::Overhead, 0), Then::Started);
    }

    /// A thread was started: it begins its step, and the starter starts the next.
    pub(super) fn started(&mut self, id: u32) {
        let Actor { host, at, ready, .. } = self.actors[id as usize];
        self.actors[id as usize].next = Then::Start;
        let chef = self.born(host, Role::Each, Then::Begin, Some(id));
        let actor = &mut self.actors[chef as usize];
        (actor.at, actor.ready) = (at, ready);
        if self.hosts[host as usize].gil.is_none() {
            self.go(id, Then::Start);
        }
    }

    /// A thread for one step has done it.
    pub(super) fn settled_each(&mut self, id: u32) {
        let (host, at) = (self.actors[id as usize].host, self.actors[id as usize].at);
        self.line_done(host, at, self.now);
        self.books.headcount(-1);
        self.go(id, Then::Start);
    }
}
