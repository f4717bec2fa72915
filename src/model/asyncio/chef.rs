//! One chef cooking one order: a future per dish, all polled by the loop that runs this.
//!
//! It deliberately starts no thread but the order's own assistants, if it asked for some.

use std::future::poll_fn;
use std::ops::Range;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::{Notify, oneshot};
use tokio::task::{JoinSet, unconstrained};

use super::ASSISTANTS;
use super::turns::Turns;
use crate::clock;
use crate::domain::Ns;
use crate::domain::recipe::{StepRef, Work};
use crate::domain::record::Outcome;
use crate::domain::spec::Choice;
use crate::model::pool::{Pool, Task};
use crate::model::run::{Run, Stepped};
use crate::model::tune::Staffed;

/// Dishes that one task of the loop holds. Between two groups other orders get their turn, so a million dishes do not
/// keep the house's loop for longer than some thousand polls take (about 0.3 ms).
const GROUP: u32 = 1024;

/// Work at the assistants' that has begun.
#[derive(Default)]
struct Begun {
    count: AtomicUsize,
    changed: Notify,
}

/// One chef at one order.
pub(super) struct Chef {
    pub(super) run: Arc<Run>,
    assistants: Option<Arc<Pool>>,
    begun: Arc<Begun>,
    /// Its turns, where it competes with assistants for a GIL.
    pub(super) turns: Option<Turns>,
}

impl Chef {
    /// Cooks the order to its end, or until it is asked to stop.
    pub(super) async fn cook(run: Arc<Run>, house_pool: Option<Arc<Pool>>) {
        let own_pool = match run.spec.setup.0[ASSISTANTS] {
            Choice::Count(n) if n > 0 => Some(Pool::new(n as usize, "assistant", Staffed::Own)),
            _ => None,
        };
        let assistants = house_pool.or_else(|| own_pool.clone());
        let turns = run.gil.clone().map(Turns::new);
        let chef = Rc::new(Self { run, assistants, begun: Arc::default(), turns });
        let cooking = async {
            tokio::select! {
                biased;
                () = chef.clone().all() => {}
                () = chef.run.cancel.requested() => {}
            }
        };
        chef.by_turns(cooking).await;
        chef.await_assistants().await;
        if let Some(pool) = own_pool {
            pool.close();
        }
        chef.run.finish();
    }

    /// Polls this with the order's GIL in hand, if it has one.
    async fn by_turns(&self, cooking: impl Future<Output = ()>) {
        let mut cooking = pin!(cooking);
        poll_fn(|cx| match &self.turns {
            None => cooking.as_mut().poll(cx),
            Some(turns) => turns.take(&self.run.cancel, || cooking.as_mut().poll(cx)),
        })
        .await;
    }

    async fn all(self: Rc<Self>) {
        let spec = &self.run.spec;
        let dishes = 0..spec.dishes;
        if spec.dishes <= GROUP || spec.max_in_flight.is_some() {
            let window = spec.window() as usize;
            return self.clone().group(dishes, window).await;
        }
        let mut groups = JoinSet::new();
        for first in dishes.clone().step_by(GROUP as usize) {
            let group = first..dishes.end.min(first + GROUP);
            let chef = self.clone();
            let cooking = async move { chef.by_turns(chef.clone().group(group, GROUP as usize)).await };
            groups.spawn_local(unconstrained(cooking));
        }
        while groups.join_next().await.is_some() {}
    }

    async fn group(self: Rc<Self>, mut dishes: Range<u32>, window: usize) {
        let chain = self.run.spec.recipe.is_chain(self.run.spec.step_order);
        if chain {
            let mut open = FuturesUnordered::new();
            loop {
                open.extend(
                    dishes.by_ref().take(window - open.len()).map(|i| self.clone().chain(self.run.spec.dish(i))),
                );
                if open.next().await.is_none() {
                    return;
                }
            }
        }
        let mut open = FuturesUnordered::new();
        loop {
            open.extend(dishes.by_ref().take(window - open.len()).map(|i| self.clone().web(self.run.spec.dish(i))));
            if open.next().await.is_none() {
                return;
            }
        }
    }

    /// A dish whose steps follow one another.
    async fn chain(self: Rc<Self>, dish: u32) {
        let mut ready = self.ready();
        if self.run.spec.arrivals.is_some() {
            ready = Box::pin(self.arrival(dish, ready)).await;
        }
        for step in 0..self.run.spec.recipe.steps.len() as u16 {
            let at = StepRef { dish, step };
            // The wait stands here once more, unfolded: what a dish holds across it is what a million of them occupy.
            if let Work::Wait(d) = self.run.spec.work(at)
                && self.run.equipment.is_none()
            {
                let started = clock::now();
                let seq = self.run.recorder.started(0, at, self.run.offset(started));
                if !d.is_zero() {
                    tokio::time::sleep(d).await;
                }
                let at = StepRef { dish, step };
                ready = match &self.turns {
                    None => self.run.waited(at, ready, seq, started),
                    Some(_) => {
                        let done = self.awake(started, self.run.spec.work(at).wait());
                        let finished = self.run.record(0, at, ready, seq, done).finished;
                        self.end_of_chain(at, finished);
                        finished
                    }
                };
                continue;
            }
            let done = self.work(at, ready).await;
            if done.outcome != Outcome::Succeeded {
                return self.dish_over(dish, done.outcome);
            }
            ready = done.finished;
            self.end_of_chain(StepRef { dish, step }, ready);
        }
    }

    /// If this was the last step of steps that follow one another, its dish is over with it.
    fn end_of_chain(&self, at: StepRef, finished: Ns) {
        if usize::from(at.step) + 1 == self.run.spec.recipe.steps.len() {
            self.run.recorder.dish_over(0, at.dish, finished, true);
        }
    }

    /// A dish beyond the window is ready when a place is free, which is now; the first ones were at the start.
    fn ready(&self) -> Ns {
        if self.run.spec.max_in_flight.is_some() { self.run.elapsed() } else { 0 }
    }

    /// Waits until a dish is asked for; answers since when it is ready.
    async fn arrival(&self, dish: u32, free: Ns) -> Ns {
        let due = self.run.spec.arrival(dish);
        tokio::time::sleep(Duration::from_nanos(due.saturating_sub(self.run.elapsed()))).await;
        due.max(free)
    }

    /// A dish whose steps wait for any others.
    async fn web(self: Rc<Self>, dish: u32) {
        let spec = &self.run.spec;
        let mut ready = self.ready();
        if spec.arrivals.is_some() {
            ready = Box::pin(self.arrival(dish, ready)).await;
        }
        let (mut begun, mut done) = (0_u128, 0_u128);
        let mut worst = Outcome::Succeeded;
        let mut open = FuturesUnordered::new();
        loop {
            for i in 0..spec.recipe.steps.len() {
                let may_begin = begun >> i & 1 == 0 && spec.recipe.before(i, spec.step_order) & !done == 0;
                if may_begin && worst == Outcome::Succeeded {
                    begun |= 1 << i;
                    let (chef, at) = (&self, StepRef { dish, step: i as u16 });
                    open.push(async move { (i, chef.step(at, ready).await) });
                }
            }
            let Some((i, step)) = open.next().await else { break };
            ready = step.finished;
            done |= 1 << i;
            if step.outcome != Outcome::Succeeded && worst != Outcome::Failed {
                worst = step.outcome;
            }
        }
        match worst {
            Outcome::Succeeded => self.run.recorder.dish_over(0, dish, ready, true),
            other => self.dish_over(dish, other),
        }
    }

    fn dish_over(&self, dish: u32, outcome: Outcome) {
        if outcome == Outcome::Failed {
            self.run.recorder.dish_over(0, dish, self.run.elapsed(), false);
        }
    }

    async fn step(&self, at: StepRef, ready: Ns) -> Stepped {
        match self.run.spec.work(at) {
            Work::Wait(d) if self.run.equipment.is_none() => self.wait(at, ready, d).await,
            _ => self.work(at, ready).await,
        }
    }

    /// A step that is no plain wait: done on the loop, or handed over (boxed, for it is the larger half of a dish's size).
    async fn work(&self, at: StepRef, ready: Ns) -> Stepped {
        let work = self.run.spec.work(at);
        let turns = matches!(work, Work::Wait(_) | Work::Exchange { .. });
        let lets_turn = turns || self.run.equipment.is_some() || self.run.spec.step(at).yield_every.is_some();
        match &self.assistants {
            Some(pool) if !turns => Box::pin(self.hand_over(pool, at, ready)).await,
            _ if lets_turn => Box::pin(self.on_loop(at, ready, work)).await,
            _ => self.run.do_step(0, at, ready),
        }
    }

    async fn wait(&self, at: StepRef, ready: Ns, d: Duration) -> Stepped {
        let started = clock::now();
        let seq = self.run.recorder.started(0, at, self.run.offset(started));
        if !d.is_zero() {
            tokio::time::sleep(d).await;
        }
        self.run.record(0, at, ready, seq, self.awake(started, d))
    }

    /// `to_thread`: an assistant does the step, the chef goes on with other dishes.
    async fn hand_over(&self, pool: &Arc<Pool>, at: StepRef, ready: Ns) -> Stepped {
        let (reply, answer) = oneshot::channel();
        let (run, begun) = (self.run.clone(), self.begun.clone());
        pool.push(Task::Job(Box::new(move |lane| {
            // Counted before the flag is looked at, so that the chef who set it sees either nothing begun or this.
            begun.count.fetch_add(1, Ordering::SeqCst);
            if !run.cancel.is_requested() {
                let _ = reply.send(run.do_step(lane, at, ready));
            }
            begun.count.fetch_sub(1, Ordering::SeqCst);
            begun.changed.notify_one();
        })));
        answer.await.unwrap_or_else(|_| Stepped { outcome: Outcome::Canceled, finished: self.run.elapsed() })
    }

    /// After a cancel: waits until no assistant works at this order any more.
    async fn await_assistants(&self) {
        while self.begun.count.load(Ordering::SeqCst) > 0 {
            self.begun.changed.notified().await;
        }
    }
}
