//! The event loop: dishes in turn, each until it waits; what computes or blocks keeps all others.
//!
//! As `src/model/asyncio/chef.rs` does it: all dishes that may are begun in order, then whatever is over is gone on with, first
//! come, first served. It deliberately has no groups: they change who else gets a turn, not the order of the dishes.

use std::collections::VecDeque;

use super::actor::{Role, Then};
use super::engine::Sim;
use super::host::{Desk, Item, Pool};
use super::path::{Path, Term};
use super::plan::Crew;
use super::tools::Waiter;
use crate::domain::Ns;
use crate::domain::recipe::Work;

impl Sim<'_> {
    /// Opens the loop of a host, at once.
    pub(super) fn open_desk(&mut self, host: u32, window: Option<u32>, assistants: u32) {
        let chef = self.hire_actor(host, Role::Other);
        self.actors[chef as usize].path.add(Term::Overhead, self.now);
        let is_chain = self.spec.recipe.is_chain(self.spec.step_order);
        let dishes = self.hosts[host as usize].dishes;
        let limit = window.unwrap_or(dishes).min(dishes);
        let arrives = self.spec.arrivals.is_some();
        let desk = Desk {
            chef,
            idle: false,
            initial: if arrives { 0 } else { limit },
            begun: 0,
            arrived: if arrives { 0 } else { dishes },
            over: 0,
            landing: 0,
            window: limit,
            local: VecDeque::new(),
            ready: VecDeque::new(),
            done: if is_chain { Vec::new() } else { vec![0; dishes as usize] },
        };
        self.hosts[host as usize].desk = desk;
        self.hosts[host as usize].pool = Pool { size: assistants, ..Pool::default() };
        self.expect(host, self.costs.loop_late);
        self.lock(chef, Then::Turn);
    }

    /// Turns to the next thing there is to do, or idles.
    pub(super) fn turn(&mut self, chef: u32) {
        let host = self.actors[chef as usize].host;
        loop {
            let hosts = self.hosts.len() as u32;
            let number = host;
            let host = &mut self.hosts[host as usize];
            if let Some((at, ready)) = host.desk.local.pop_front() {
                return self.serve(chef, at, ready);
            }
            if host.desk.begun < host.desk.initial {
                let dish = number + host.desk.begun * hosts;
                host.desk.begun += 1;
                self.begin_dish(chef, dish, 0);
                continue;
            }
            match host.desk.ready.pop_front() {
                Some(Item::Dish(dish, ready)) => self.begin_dish(chef, dish, ready),
                Some(Item::Landed(at)) => {
                    self.actors[chef as usize].at = at;
                    return self.burst(chef, self.costs.loop_end, (Term::Cpu, 0), Then::Burnt);
                }
                Some(Item::Done(at)) => {
                    self.actors[chef as usize].at = at;
                    return self.burst(chef, self.costs.hand_over, (Term::Cpu, 0), Then::Heard);
                }
                Some(Item::Equipped(at)) => {
                    (self.actors[chef as usize].at, self.actors[chef as usize].ready) = (at, self.now);
                    return self.serve_equipped(chef);
                }
                Some(Item::More(at, left)) => {
                    self.actors[chef as usize].at = at;
                    return self.compute(chef, left);
                }
                None => {
                    host.desk.idle = true;
                    return self.unlock(chef);
                }
            }
        }
    }

    fn begin_dish(&mut self, chef: u32, dish: u32, ready: Ns) {
        let first_step = dish * self.works.len() as u32;
        let desk = &mut self.hosts[self.actors[chef as usize].host as usize].desk;
        desk.local.extend(self.roots.iter().map(|step| (first_step + step, ready)));
    }

    /// Begins a step, once it has its equipment.
    fn serve(&mut self, chef: u32, at: u32, ready: Ns) {
        self.actors[chef as usize].at = at;
        self.actors[chef as usize].ready = ready;
        let host = self.actors[chef as usize].host;
        if self.is_handed(at) || self.equip(host, Waiter::Loop, at) {
            return self.serve_equipped(chef);
        }
        self.leave(chef, at);
        self.go(chef, Then::Turn);
    }

    /// Whether an assistant does this step; he waits for its equipment himself.
    fn is_handed(&self, at: u32) -> bool {
        let has_assistants = matches!(self.plan.crew, Crew::Loop { assistants } if assistants > 0);
        has_assistants && !matches!(self.work_of(at), Work::Wait(_) | Work::Exchange { .. })
    }

    fn serve_equipped(&mut self, chef: u32) {
        let (at, ready) = (self.actors[chef as usize].at, self.actors[chef as usize].ready);
        match self.work_of(at) {
            Work::Wait(d) => {
                self.books.queue += self.now.saturating_sub(ready);
                self.actors[chef as usize].left = d.as_nanos() as Ns;
                self.burst(chef, self.costs.loop_begin, (Term::Cpu, 0), Then::Sailed);
            }
            _ if self.is_handed(at) => self.burst(chef, self.costs.hand_over, (Term::Cpu, 0), Then::Handed),
            Work::BlockingWait(d) => {
                self.books.queue += self.now.saturating_sub(ready);
                let wait = d.as_nanos() as Ns;
                self.actors[chef as usize].left = 0;
                self.unlock(chef);
                self.rest(chef, if wait == 0 { 0 } else { wait + self.costs.thread_late }, wait, Then::Blocked);
            }
            Work::Exchange { bytes, messages } => {
                self.books.queue += self.now.saturating_sub(ready);
                self.actors[chef as usize].left = 0;
                self.burst(chef, self.costs.step, (Term::Exchange, self.price(bytes, messages)), Then::Burnt);
            }
            work => {
                self.books.queue += self.now.saturating_sub(ready);
                self.actors[chef as usize].owes += self.costs.step;
                self.compute(chef, self.costs.cpu(work));
            }
        }
    }

    /// Computes, or so much as it may before it yields.
    fn compute(&mut self, chef: u32, cpu: Ns) {
        let at = self.actors[chef as usize].at;
        let now = cpu.min(self.chunks[usize::from(self.step_of(at).step)]);
        self.actors[chef as usize].left = cpu - now;
        self.burst(chef, 0, (Term::Cpu, now), Then::Burnt);
    }

    /// Leaves a dish where it is: its way there is the loop's.
    fn leave(&mut self, chef: u32, at: u32) {
        let dish = self.dish_of(at) as usize;
        self.paths[dish] = self.actors[chef as usize].path;
    }

    /// A wait has begun.
    pub(super) fn sailed(&mut self, chef: u32) {
        let (at, wait) = (self.actors[chef as usize].at, std::mem::take(&mut self.actors[chef as usize].left));
        if wait == 0 {
            return self.burnt(chef);
        }
        self.leave(chef, at);
        let (due, late) = (self.now + wait, self.costs.loop_late);
        let desk = &mut self.hosts[self.actors[chef as usize].host as usize].desk;
        // What is due when the loop comes for another wait anyway is heard of in the same turn, before anything that turn sets off.
        if !(due..due + late).contains(&desk.landing) {
            desk.landing = due + late;
        }
        let landing = desk.landing;
        self.set_wait(at, landing);
        self.turn(chef);
    }

    /// A wait is over, as soon as the loop hears of it.
    pub(super) fn landed(&mut self, at: u32) {
        let (dish, late) = (self.dish_of(at), self.costs.loop_late);
        let span = self.now - self.paths[dish as usize].sum().min(self.now);
        let (wait, late) = (span.saturating_sub(late), late.min(span));
        self.paths[dish as usize].add(Term::Wait, wait);
        self.paths[dish as usize].add(Term::Overhead, late);
        self.books.total.add(Term::Wait, wait);
        self.books.total.add(Term::Overhead, late);
        self.tell(dish, Item::Landed(at), 0);
    }

    /// Lets dishes that have arrived begin, as far as there is room.
    pub(super) fn admit(&mut self, host: u32, ready: Ns) {
        loop {
            let hosts = self.hosts.len() as u32;
            let desk = &mut self.hosts[host as usize].desk;
            if desk.begun >= desk.arrived || desk.begun - desk.over >= desk.window {
                return;
            }
            let dish = host + desk.begun * hosts;
            desk.begun += 1;
            self.tell(dish, Item::Dish(dish, ready), 0);
        }
    }

    /// A step on the loop has the equipment it waited for.
    pub(super) fn equipped(&mut self, at: u32) {
        let dish = self.dish_of(at);
        let waited = self.now - self.paths[dish as usize].sum().min(self.now);
        self.paths[dish as usize].add(Term::EquipmentWait, waited);
        self.books.total.add(Term::EquipmentWait, waited);
        self.tell(dish, Item::Equipped(at), 0);
    }

    /// Puts something before the loop of a dish; an idle one turns to it, after a moment.
    fn tell(&mut self, dish: u32, item: Item, moment: Ns) {
        let host = self.host_of(dish);
        let desk = &mut self.hosts[host as usize].desk;
        desk.ready.push_back(item);
        if std::mem::take(&mut desk.idle) {
            let chef = desk.chef;
            self.actors[chef as usize].path = Path::default();
            self.follow(chef, dish);
            self.rest(chef, moment, 0, Then::Stirred);
        }
    }

    /// Has computed, or taken note of a wait's end: the step is over, or goes on after the others.
    pub(super) fn burnt(&mut self, chef: u32) {
        let actor = &mut self.actors[chef as usize];
        let (at, host, left) = (actor.at, actor.host, std::mem::take(&mut actor.left));
        if left > 0 {
            self.hosts[host as usize].desk.ready.push_back(Item::More(at, left));
            return self.turn(chef);
        }
        let path = self.actors[chef as usize].path;
        self.books.step_over(self.now, &path);
        self.leave(chef, at);
        self.put_back(host, at);
        self.go_on(chef, at);
    }

    /// Hands a step to the assistants.
    pub(super) fn handed(&mut self, chef: u32) {
        let actor = &self.actors[chef as usize];
        let (at, host, ready) = (actor.at, actor.host, actor.ready);
        self.leave(chef, at);
        self.hosts[host as usize].jobs.push_back((at, ready));
        self.call_another(host, Some(chef));
        self.turn(chef);
    }

    /// An assistant has done a step: the loop hears of it, and the assistant looks for the next.
    pub(super) fn assisted(&mut self, id: u32) {
        let at = self.actors[id as usize].at;
        self.tell(self.dish_of(at), Item::Done(at), self.costs.hand_back);
        self.look(id);
    }

    /// The loop has heard of it.
    pub(super) fn heard(&mut self, chef: u32) {
        let at = self.actors[chef as usize].at;
        self.leave(chef, at);
        self.go_on(chef, at);
    }

    /// A step is over: what waited for it is ready, or its dish is over.
    fn go_on(&mut self, chef: u32, at: u32) {
        let (step, dish, now, spec) = (self.step_of(at), self.dish_of(at), self.now, self.spec);
        let host = self.actors[chef as usize].host;
        let hosts = self.hosts.len() as u32;
        let desk = &mut self.hosts[host as usize].desk;
        let steps = self.works.len();
        let first_step = at - u32::from(step.step);
        let is_over = if desk.done.is_empty() {
            let next = usize::from(step.step) + 1;
            if next < steps {
                desk.local.push_back((at + 1, now));
            }
            next == steps
        } else {
            let done = &mut desk.done[(dish / hosts) as usize];
            *done |= 1 << step.step;
            for next in 0..steps {
                let before = spec.recipe.before(next, spec.step_order);
                if before >> step.step & 1 == 1 && before & !*done == 0 {
                    desk.local.push_back((first_step + next as u32, now));
                }
            }
            done.count_ones() as usize == steps
        };
        if is_over {
            desk.over += 1;
            self.books.dish_over(dish, now.saturating_sub(spec.arrival(step.dish)));
            self.admit(host, now);
        }
        self.turn(chef);
    }
}
