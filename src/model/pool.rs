//! A bounded pool of threads with one FIFO queue: the house's blocking pool, an order's own chefs, an order's assistants.
//!
//! Our own rather than the runtime's: tokio's blocking pool is process-wide and its threads come and go by idle time.
//! It deliberately stops nobody: work that is to stop early looks at its run's cancel flag.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::gil;
use super::line_run::{After, LineRun};
use super::tune::{self, Staffed};

type Job = Box<dyn FnOnce(usize) + Send>;

/// What a pool thread can be given.
pub enum Task {
    /// Steps of a run, one at a time; lines take turns.
    Line(Arc<LineRun>),
    /// One call; it gets the number of the thread within the pool.
    Job(Job),
}

#[derive(Default)]
struct State {
    queue: VecDeque<Task>,
    idle: usize,
    threads: usize,
    /// A thread was woken and has not yet looked: no need to wake another for the same queue.
    waking: bool,
    closed: bool,
}

/// The pool.
pub struct Pool {
    size: usize,
    staffed: Staffed,
    name: &'static str,
    state: Mutex<State>,
    wake: Condvar,
}

/// Stack of a kitchen thread: our steps need a few KiB; 4,096 of them reserve 1 GiB of addresses, not of memory.
const STACK_BYTES: usize = 256 * 1024;

impl Pool {
    /// A pool that grows to this size as it is needed.
    #[must_use]
    pub fn new(size: usize, name: &'static str, staffed: Staffed) -> Arc<Self> {
        Arc::new(Self { size, staffed, name, state: Mutex::default(), wake: Condvar::new() })
    }

    /// A pool with all its threads at once; the first of them starts the others, not the caller.
    #[must_use]
    pub fn full(size: usize, name: &'static str) -> Arc<Self> {
        let pool = Self::new(size, name, Staffed::Own);
        pool.state().threads = size;
        let crew = pool.clone();
        pool.spawn(0, move || (1..size).for_each(|i| crew.spawn(i, || ())));
        pool
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Threads started, threads without work, tasks waiting.
    #[must_use]
    pub fn load(&self) -> (usize, usize, usize) {
        let state = self.state();
        (state.threads, state.idle, state.queue.len())
    }

    /// Queues a task.
    pub fn push(self: &Arc<Self>, task: Task) {
        let mut state = self.state();
        state.queue.push_back(task);
        if state.idle == 0 && state.threads < self.size && !state.closed {
            let index = state.threads;
            state.threads += 1;
            drop(state);
            self.spawn(index, || ());
        } else {
            self.wake_one(state);
        }
    }

    fn wake_one(&self, mut state: MutexGuard<'_, State>) {
        if state.idle > 0 && !state.waking && !state.queue.is_empty() {
            state.waking = true;
            drop(state);
            self.wake.notify_one();
        }
    }

    /// Lets the threads go when they have nothing left to do; what is queued is dropped.
    pub fn close(&self) {
        let mut state = self.state();
        state.closed = true;
        let dropped = std::mem::take(&mut state.queue);
        drop(state);
        self.wake.notify_all();
        drop(dropped);
    }

    fn spawn(self: &Arc<Self>, index: usize, first: impl FnOnce() + Send + 'static) {
        let pool = self.clone();
        let builder = std::thread::Builder::new().name(self.name.to_owned()).stack_size(STACK_BYTES);
        let spawned = builder.spawn(move || {
            tune::burner(pool.staffed);
            first();
            pool.work(index);
        });
        if let Err(error) = spawned {
            // Those that exist do the work; a pool without any leaves its orders to their timeout.
            self.state().threads -= 1;
            tracing::error!(%error, pool = self.name, "cannot start a thread");
        }
    }

    fn work(self: &Arc<Self>, index: usize) {
        while let Some(task) = self.next() {
            match task {
                Task::Job(job) => job(index),
                Task::Line(line) => self.cook(line, index),
            }
        }
    }

    fn next(&self) -> Option<Task> {
        let mut state = self.state();
        loop {
            if let Some(task) = state.queue.pop_front() {
                // Wakes travel in a chain: each thread that found work wakes the next if there is more.
                self.wake_one(state);
                return Some(task);
            }
            if state.closed {
                return None;
            }
            // Under an order's GIL a thread without work lets the others compute.
            gil::leave();
            state.idle += 1;
            state = self.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.idle -= 1;
            state.waking = false;
        }
    }

    fn cook(self: &Arc<Self>, line: Arc<LineRun>, index: usize) {
        let Some(taken) = line.take() else {
            if line.run.cancel.is_requested() {
                line.close();
            }
            return;
        };
        if taken.requeue {
            self.push(Task::Line(line.clone()));
        }
        let step = line.run.do_step(index, taken.at, taken.ready);
        if line.settle(index, taken.at, step) == After::Requeue {
            self.push(Task::Line(line));
        }
    }
}
