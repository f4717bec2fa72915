//! The work itself: one piece of code for all models, else comparing them would be void.
//!
//! It deliberately does not know who calls it: it performs one unit of [`Work`] on the calling thread, measures it, and
//! stops early when asked.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::cancel::Cancel;
use super::compute::{Compute, Hold};
use super::counter::Counter;
use super::exchange::{self, Handed};
use super::gil::{self, Gil};
use super::stamp::Stamp;
use crate::clock;
use crate::domain::Ns;
use crate::domain::job::ErrorKind;
use crate::domain::recipe::{Fault, Work};
use crate::domain::record::{Outcome, Terms, Worker};

/// One unit of work as it went; times on the monotonic clock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Performed {
    /// Taken up.
    pub started: Ns,
    /// Over.
    pub finished: Ns,
    /// Where the time in between went.
    pub terms: Terms,
    /// Who did it.
    pub worker: Worker,
    /// How it ended.
    pub outcome: Outcome,
    /// What it computed.
    pub value: Option<u128>,
    /// Why it failed.
    pub error: Option<(ErrorKind, String)>,
}

thread_local! {
    static ME: Cell<Worker> = const { Cell::new(Worker { pid: 0, tid: 0 }) };
}

/// The calling thread.
#[must_use]
pub fn me() -> Worker {
    ME.with(|me| {
        if me.get().pid == 0 {
            let tid = rustix::thread::gettid().as_raw_nonzero().get().unsigned_abs();
            me.set(Worker { pid: std::process::id(), tid });
        }
        me.get()
    })
}

/// Performs one unit of work on the calling thread; `begun` hears when, just after it has.
///
/// With `hold` the thread has its order's GIL while it does anything but wait, and has it again when the work is over.
pub fn perform(work: Work, cancel: &Cancel, hold: Option<Hold<'_>>, begun: impl FnOnce(Ns)) -> Performed {
    let gil = hold.map(|hold| hold.gil);
    match work {
        Work::Wait(d) | Work::BlockingWait(d) => {
            let mut done = waited(clock::now(), 0, Outcome::Succeeded);
            begun(done.started);
            let mut from = done.started;
            if gil.is_some() {
                done.terms.gil_wait = gil::enter(gil, cancel);
                from = clock::now();
            }
            gil::leave();
            if !d.is_zero() && cancel.sleep_until(from + clock::ns(d)) {
                done.outcome = Outcome::Canceled;
            }
            if gil.is_some() {
                done.terms.gil_wait += gil::enter(gil, cancel);
            }
            Performed { finished: clock::now(), ..done }
        }
        Work::Iterations(_) | Work::Burn(_) => {
            let mut compute = Compute::new(work);
            let mut done = measured(begun, || {
                compute.gil_wait = gil::enter(gil, cancel);
                match hold {
                    Some(hold) => compute.hold(hold, cancel),
                    None => compute.go_on(None, cancel),
                }
            });
            (done.terms.gil_wait, done.value) = (compute.gil_wait, compute.value());
            done
        }
        Work::Exchange { bytes, messages } => {
            without_gil(gil, cancel, || handed(begun, || exchange::to_colleague(bytes, messages, cancel)))
        }
        // Of one's own: who shares a counter does not come here.
        Work::Counter { increments, locked } => counted(&Counter::default(), (increments, locked), cancel, hold, begun),
        // What a run is given says which attempt it is; without that it is the first.
        Work::Fault(fault) | Work::PassingFault { fault, .. } => measured(begun, || fail(fault, cancel)),
    }
}

/// Counts up so many times, under its lock or not; what that takes beyond CPU and cores is waiting for the lock.
pub fn counted(
    counter: &Counter,
    (increments, locked): (u32, bool),
    cancel: &Cancel,
    hold: Option<Hold<'_>>,
    begun: impl FnOnce(Ns),
) -> Performed {
    let gil = hold.map(|hold| hold.gil);
    let (mut gil_wait, mut value) = (0, None);
    let mut done = measured(begun, || {
        gil_wait = gil::enter(gil, cancel);
        let look = || {
            gil_wait += gil.map_or(0, |gil| gil::give_way(gil, cancel));
            !cancel.is_requested()
        };
        value = counter.count(u64::from(increments), locked, look);
        if value.is_some() { Outcome::Succeeded } else { Outcome::Canceled }
    });
    (done.terms.gil_wait, done.value) = (gil_wait, value.map(u128::from));
    if locked {
        done.terms.equipment_wait = (done.finished - done.started).saturating_sub(done.terms.sum());
    }
    done
}

/// CPU work that is done in pieces, between which its thread does something else.
#[derive(Debug)]
pub struct Pieces(Compute);

impl Pieces {
    /// The whole of it.
    #[must_use]
    pub fn of(work: Work) -> Self {
        Self(Compute::new(work))
    }

    /// Does one piece of so much CPU time; `begun` as for [`perform`]. Answers also whether it was the last.
    pub fn next(&mut self, piece: Duration, cancel: &Cancel, begun: impl FnOnce(Ns)) -> (Performed, bool) {
        let mut done = measured(begun, || self.0.go_on(Some(piece), cancel));
        done.value = self.0.value();
        let over = self.0.is_done() || done.outcome != Outcome::Succeeded;
        (done, over)
    }
}

impl Performed {
    /// This piece, and the next one after a while in which the thread did something else.
    #[must_use]
    pub fn then(self, next: Self) -> Self {
        let mut terms = self.terms;
        terms.add(&next.terms);
        terms.yielded += next.started.saturating_sub(self.finished);
        Self { started: self.started, terms, ..next }
    }
}

/// Does what waits for another chef: as with a queue of Python's, the lock is let go meanwhile and had again afterwards.
fn without_gil(gil: Option<&Arc<Gil>>, cancel: &Cancel, hand: impl FnOnce() -> Performed) -> Performed {
    gil::leave();
    let mut done = hand();
    if gil.is_some() {
        let before = Stamp::take();
        done.terms.gil_wait = gil::enter(gil, cancel);
        // Coming back takes a core, too, and a while until there is one: neither is the wait for the lock.
        let after = Stamp::take();
        done.terms.cpu += after.cpu - before.cpu;
        done.terms.core_wait += after.core_wait - before.core_wait;
        done.finished = after.now;
    }
    done
}

/// A wait that is over: nothing but the wait is accounted, a chef who waits uses no core worth reading a clock for.
#[must_use]
pub fn waited(started: Ns, finished: Ns, outcome: Outcome) -> Performed {
    Performed { started, finished, terms: Terms::default(), worker: me(), outcome, value: None, error: None }
}

/// An exchange on an event loop that is over: the loop did other things meanwhile, so no CPU time is this step's.
#[must_use]
pub fn exchanged(started: Ns, finished: Ns) -> Performed {
    let done = waited(started, finished, Outcome::Succeeded);
    Performed { terms: Terms { exchange: finished - started, ..Terms::default() }, ..done }
}

/// An exchange on a thread: what it takes beyond CPU time and waiting for a core is the exchange's own.
pub fn handed(begun: impl FnOnce(Ns), hand: impl FnOnce() -> Handed) -> Performed {
    let mut error = None;
    let hand = || {
        hand().unwrap_or_else(|why| {
            error = Some(why);
            Outcome::Failed
        })
    };
    let mut done = measured(begun, hand);
    done.terms.exchange = (done.finished - done.started).saturating_sub(done.terms.cpu + done.terms.core_wait);
    done.error = done.error.or(error);
    done
}

/// Runs `work` between the clocks; a panic in it is caught and becomes a failed step.
fn measured(begun: impl FnOnce(Ns), work: impl FnOnce() -> Outcome) -> Performed {
    let before = Stamp::take();
    begun(before.now);
    let result = catch_unwind(AssertUnwindSafe(work));
    let after = Stamp::take();
    let (outcome, error) = match result {
        Ok(outcome) => (outcome, None),
        Err(panic) => (Outcome::Failed, Some((ErrorKind::Panic, panic_text(&*panic)))),
    };
    let (cpu, core_wait) = (after.cpu - before.cpu, after.core_wait - before.core_wait);
    let terms = Terms { cpu, core_wait, ..Terms::default() };
    Performed { started: before.now, finished: after.now, terms, worker: me(), outcome, value: None, error }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("a step panicked: {}", text.unwrap_or("no message"))
}

/// Exit code of a kitchen that was told to exit.
pub const FAULT_EXIT_CODE: i32 = 3;
/// Exit code of a kitchen whose allocation was refused.
pub const OOM_EXIT_CODE: i32 = 137;

#[expect(clippy::panic, reason = "a panic on purpose is what this fault is")]
fn fail(fault: Fault, cancel: &Cancel) -> Outcome {
    match fault {
        Fault::Exit => std::process::exit(FAULT_EXIT_CODE),
        Fault::Abort => std::process::abort(),
        Fault::Panic => panic!("ketchup in the carbonara"),
        Fault::Hang => {
            while !cancel.sleep_until(Ns::MAX / 4) {}
            Outcome::Canceled
        }
        Fault::Oom => exhaust_memory(),
    }
}

/// Memory a starving step takes and touches before it asks for more than there is.
const OOM_HOARD_BYTES: usize = 64 << 20;

/// Takes memory until it is refused. The limit falls only when the hoard is full, so that seldom another thread of the
/// process is refused first, which then aborts it.
fn exhaust_memory() -> ! {
    use rustix::process::{Resource, Rlimit, setrlimit};
    let hoard = std::hint::black_box(vec![1_u8; OOM_HOARD_BYTES]);
    let limit = Some(clock::address_space_bytes());
    let _ = setrlimit(Resource::As, Rlimit { current: limit, maximum: limit });
    let mut more: Vec<u8> = Vec::new();
    // A terabyte is in nobody's reserve.
    if more.try_reserve_exact(1 << 40).is_err() {
        std::process::exit(OOM_EXIT_CODE);
    }
    drop(hoard);
    std::process::abort();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burn_uses_the_cpu_time_it_was_asked_for_and_its_books_balance() {
        let done = perform(Work::Burn(Duration::from_millis(30)), &Cancel::default(), None, |_| ());
        let residual = (done.finished - done.started) as i64 - done.terms.sum() as i64;
        assert!((30_000_000..32_000_000).contains(&done.terms.cpu), "burned {} ns", done.terms.cpu);
        assert!(residual.abs() <= 2_000_000, "residual {residual} ns");
    }

    #[test]
    fn a_panic_is_a_failed_step() {
        let done = perform(Work::Fault(Fault::Panic), &Cancel::default(), None, |_| ());
        assert_eq!(done.outcome, Outcome::Failed);
        assert_eq!(done.error.unwrap().0, ErrorKind::Panic);
    }
}
