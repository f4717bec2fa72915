//! The work itself: one piece of code for all models, else comparing them would be void.
//!
//! It deliberately does not know who calls it: it performs one unit of [`Work`] on the calling thread, measures it, and
//! stops early when asked.

use std::cell::Cell;
use std::hint::black_box;
use std::panic::{AssertUnwindSafe, catch_unwind};

use serde::{Deserialize, Serialize};

use super::cancel::Cancel;
use crate::clock::{self, CoreWait};
use crate::domain::Ns;
use crate::domain::job::ErrorKind;
use crate::domain::recipe::{Fault, Work};
use crate::domain::record::{Outcome, Terms, Worker};

/// Iterations between two looks at the cancel flag: about 50 us, so a stop takes effect far within its 100 ms.
const ITERATIONS_PER_LOOK: u64 = 20_000;
/// Iterations between two looks at the CPU clock while burning: about 20 us, so the look itself costs 1 %.
const ITERATIONS_PER_BURN: u64 = 8_000;

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
    static CORE_WAIT: CoreWait = CoreWait::of_this_thread();
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
pub fn perform(work: Work, cancel: &Cancel, begun: impl FnOnce(Ns)) -> Performed {
    match work {
        Work::Wait(d) | Work::BlockingWait(d) => {
            let started = clock::now();
            begun(started);
            let stopped = !d.is_zero() && cancel.sleep_until(started + clock::ns(d));
            let outcome = if stopped { Outcome::Canceled } else { Outcome::Succeeded };
            waited(started, clock::now(), outcome)
        }
        Work::Iterations(n) => measured(begun, || iterate(n, cancel)),
        Work::Burn(d) => measured(begun, || burn(clock::ns(d), cancel)),
        // Refused until it is built ([`crate::domain::resolve`]).
        Work::Exchange { .. } => measured(begun, || (Outcome::Succeeded, None)),
        Work::Fault(fault) => measured(begun, || fail(fault, cancel)),
    }
}

/// A wait that is over: nothing but the wait is accounted, a chef who waits uses no core worth reading a clock for.
#[must_use]
pub fn waited(started: Ns, finished: Ns, outcome: Outcome) -> Performed {
    Performed { started, finished, terms: Terms::default(), worker: me(), outcome, value: None, error: None }
}

/// Runs `work` between the clocks; a panic in it is caught and becomes a failed step.
fn measured(begun: impl FnOnce(Ns), work: impl FnOnce() -> (Outcome, Option<u128>)) -> Performed {
    let before = Stamp::take();
    begun(before.now);
    let result = catch_unwind(AssertUnwindSafe(work));
    let after = Stamp::take();
    let (outcome, value, error) = match result {
        Ok((outcome, value)) => (outcome, value, None),
        Err(panic) => (Outcome::Failed, None, Some((ErrorKind::Panic, panic_text(&*panic)))),
    };
    Performed {
        started: before.now,
        finished: after.now,
        terms: Terms { cpu: after.cpu - before.cpu, core_wait: after.core_wait - before.core_wait, ..Terms::default() },
        worker: me(),
        outcome,
        value,
        error,
    }
}

/// The three clocks of a thread at one moment.
struct Stamp {
    now: Ns,
    cpu: Ns,
    core_wait: Ns,
}

impl Stamp {
    /// Reads all three. A thread's first look opens its counter, which takes long; and between two system calls the kernel may
    /// take the core away. What was torn so would miss in the books, so it is read again, a few times at most.
    fn take() -> Self {
        const TRIES: usize = 4;
        const WHOLE: Ns = 20_000;
        let mut stamp = Self::read();
        for _ in 0..TRIES {
            if clock::now() - stamp.now < WHOLE {
                break;
            }
            stamp = Self::read();
        }
        stamp
    }

    fn read() -> Self {
        let now = clock::now();
        Self { now, core_wait: CORE_WAIT.with(CoreWait::read), cpu: clock::thread_cpu() }
    }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("a step panicked: {}", text.unwrap_or("no message"))
}

/// The seed's `sum(i * i for i in range(n))`, every product computed: 10^7 needs more than 64 bits.
fn sum_of_squares(from: u64, to: u64) -> u128 {
    let mut total = 0_u128;
    for i in from..to {
        total += u128::from(black_box(i)) * u128::from(i);
    }
    total
}

fn iterate(n: u64, cancel: &Cancel) -> (Outcome, Option<u128>) {
    let mut total = 0_u128;
    let mut from = 0;
    while from < n {
        if cancel.is_requested() {
            return (Outcome::Canceled, None);
        }
        let to = n.min(from + ITERATIONS_PER_LOOK);
        total += sum_of_squares(from, to);
        from = to;
    }
    (Outcome::Succeeded, Some(total))
}

fn burn(cpu: Ns, cancel: &Cancel) -> (Outcome, Option<u128>) {
    let until = clock::thread_cpu() + cpu;
    while clock::thread_cpu() < until {
        if cancel.is_requested() {
            return (Outcome::Canceled, None);
        }
        black_box(sum_of_squares(0, ITERATIONS_PER_BURN));
    }
    (Outcome::Succeeded, None)
}

/// Exit code of a kitchen that was told to exit.
pub const FAULT_EXIT_CODE: i32 = 3;
/// Exit code of a kitchen whose allocation was refused.
pub const OOM_EXIT_CODE: i32 = 137;

#[expect(clippy::panic, reason = "a panic on purpose is what this fault is")]
fn fail(fault: Fault, cancel: &Cancel) -> (Outcome, Option<u128>) {
    match fault {
        Fault::Exit => std::process::exit(FAULT_EXIT_CODE),
        Fault::Abort => std::process::abort(),
        Fault::Panic => panic!("ketchup in the carbonara"),
        Fault::Hang => {
            while !cancel.sleep_until(Ns::MAX / 4) {}
            (Outcome::Canceled, None)
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
    use std::time::Duration;

    #[test]
    fn the_seeds_sum_is_really_computed() {
        let done = perform(Work::Iterations(10_000_000), &Cancel::default(), |_| ());
        assert_eq!(done.value, Some(333_333_283_333_335_000_000));
        let closed_form = |n: u128| (n - 1) * n * (2 * n - 1) / 6;
        assert_eq!(iterate(12_345, &Cancel::default()).1, Some(closed_form(12_345)));
    }

    #[test]
    fn a_burn_uses_the_cpu_time_it_was_asked_for_and_its_books_balance() {
        let done = perform(Work::Burn(Duration::from_millis(30)), &Cancel::default(), |_| ());
        let residual = (done.finished - done.started) as i64 - done.terms.sum() as i64;
        assert!((30_000_000..32_000_000).contains(&done.terms.cpu), "burned {} ns", done.terms.cpu);
        assert!(residual.abs() <= 2_000_000, "residual {residual} ns");
    }

    #[test]
    fn a_panic_is_a_failed_step() {
        let done = perform(Work::Fault(Fault::Panic), &Cancel::default(), |_| ());
        assert_eq!(done.outcome, Outcome::Failed);
        assert_eq!(done.error.unwrap().0, ErrorKind::Panic);
    }
}
