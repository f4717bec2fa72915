//! The emulated GIL: of the threads of one kitchen that cook one order, one computes at a time.
//!
//! The protocol is [`crate::domain::gil`]; here threads wait for it, and how long is measured exactly, which no tool for
//! Python can. As in Python a thread has the lock while it does anything but wait: it keeps it from one step to the next
//! and lets it go before it sleeps, looks for work in vain or ends. An order has its own lock, also where it shares the
//! house's threads with others; a kitchen of `multiprocessing` has its own. It deliberately makes nobody wait where no
//! order has one: then nothing here is called but a look at a thread-local flag.

use std::cell::RefCell;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::Thread;
use std::time::Duration;

use super::cancel::Cancel;
use super::stamp::Stamp;
use crate::clock;
use crate::domain::options::OptionInfo;
use crate::domain::record::GilUse;
use crate::domain::spec::{Choice, Spec};
use crate::domain::{Ns, gil as protocol};

/// Microseconds a thread may have waited before it asks, if nothing is said: CPython's `DEFAULT_INTERVAL`.
const INTERVAL_US: u32 = 5_000;

/// What `setup` says of it, in every model that can have one.
pub const OPTION: OptionInfo = OptionInfo {
    name: "gil",
    summary: "whether one thread at a time computes, as in CPython; each kitchen has its own lock",
    words: &[],
    counts: None,
    default: Choice::Truth(false),
};

/// How long its holder is left alone.
pub const INTERVAL_OPTION: OptionInfo = OptionInfo {
    name: "switch_interval_us",
    summary: "how long a thread waits for the GIL before it asks its holder to let go (sys.setswitchinterval)",
    words: &[],
    counts: Some(1..=1_000_000),
    default: Choice::Count(INTERVAL_US),
};

/// The lock an order asks for with these two options of its model.
#[must_use]
pub fn of(spec: &Spec, option: usize, interval: usize) -> Option<Arc<Gil>> {
    match (spec.setup.0[option], spec.setup.0[interval]) {
        (Choice::Truth(true), Choice::Count(us)) => Some(Gil::new(Duration::from_micros(u64::from(us)))),
        _ => None,
    }
}

/// A thread, as the protocol knows it.
#[derive(Clone, Debug)]
struct Chef(Thread);

impl PartialEq for Chef {
    fn eq(&self, other: &Self) -> bool {
        self.0.id() == other.0.id()
    }
}

/// The lock.
#[derive(Debug)]
pub struct Gil {
    interval: Duration,
    state: Mutex<protocol::Gil<Chef>>,
    /// Whether its holder is asked to let go: what a computing thread looks at every 20 to 50 us.
    asked: AtomicBool,
}

thread_local! {
    static HELD: RefCell<Held> = const { RefCell::new(Held(None)) };
}

/// The lock a thread has. One that ends lets it go.
struct Held(Option<Arc<Gil>>);

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(gil) = self.0.take() {
            gil.release();
        }
    }
}

/// Makes the calling thread have this lock and no other; answers how long it waited for it, cores and its own computing
/// apart. Returns without it when the run is to stop.
pub fn enter(gil: Option<&Arc<Gil>>, cancel: &Cancel) -> Ns {
    let has_it = HELD.with_borrow(|held| match (&held.0, gil) {
        (None, None) => true,
        (Some(held), Some(gil)) => Arc::ptr_eq(held, gil),
        _ => false,
    });
    if has_it {
        return 0;
    }
    leave();
    gil.map_or(0, |gil| gil.acquire(cancel))
}

/// The calling thread lets go of whatever lock it has, because it is going to wait.
pub fn leave() {
    HELD.with_borrow_mut(|held| *held = Held(None));
}

/// The calling thread lets go of its lock if it was asked to, and has it again when others have had it; answers how long
/// it waited.
pub fn give_way(gil: &Arc<Gil>, cancel: &Cancel) -> Ns {
    if !gil.asked.load(Ordering::Relaxed) {
        return 0;
    }
    leave();
    gil.acquire(cancel)
}

impl Gil {
    /// A free lock with this switch interval.
    #[must_use]
    pub fn new(interval: Duration) -> Arc<Self> {
        let state = Mutex::new(protocol::Gil::new(clock::ns(interval)));
        Arc::new(Self { interval, state, asked: AtomicBool::new(false) })
    }

    /// What has become of it so far.
    #[must_use]
    pub fn used(&self) -> GilUse {
        self.state().used(clock::now())
    }

    /// Wakes all who wait, so that they hear that the run is to stop.
    pub fn wake_all(&self) {
        self.state().waiting().for_each(|chef| chef.0.unpark());
    }

    fn state(&self) -> MutexGuard<'_, protocol::Gil<Chef>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn acquire(self: &Arc<Self>, cancel: &Cancel) -> Ns {
        let me = Chef(std::thread::current());
        let mut state = self.state();
        let at_once = state.ask(&me, clock::now());
        self.asked.store(state.is_asked(), Ordering::Relaxed);
        drop(state);
        let mut waited = 0;
        if !at_once {
            let before = Stamp::take();
            if !self.wait(&me, cancel) {
                return before.waited();
            }
            waited = before.waited();
        }
        HELD.with_borrow_mut(|held| held.0 = Some(self.clone()));
        waited
    }

    /// Waits in the queue; answers whether the caller has it.
    fn wait(&self, me: &Chef, cancel: &Cancel) -> bool {
        let mut state = self.state();
        loop {
            let now = clock::now();
            if state.take(me, now) {
                self.asked.store(state.is_asked(), Ordering::Relaxed);
                return true;
            }
            if cancel.is_requested() {
                if let Some(next) = state.forget(me) {
                    next.0.unpark();
                }
                return false;
            }
            // The last of the queue keeps the clock for all: it was awake last, so nobody has to be woken up to do it.
            let keeps_clock = state.waiting().next_back() == Some(me);
            if keeps_clock && state.expire(now) {
                self.asked.store(true, Ordering::Relaxed);
            }
            let due = state.due().map(|due| Duration::from_nanos(due.saturating_sub(now)));
            drop(state);
            if keeps_clock {
                std::thread::park_timeout(due.unwrap_or(self.interval));
            } else {
                std::thread::park();
            }
            state = self.state();
        }
    }

    fn release(&self) {
        if let Some(next) = self.state().leave(clock::now()) {
            next.0.unpark();
        }
    }
}
