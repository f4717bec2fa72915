//! What everything costs that is not the work itself: the figures a calibration measures, with defaults that hold until then.
//!
//! The defaults were read from calibrations of a 2-core virtual machine and from docs/performance.md; ratios between them
//! travel better than the figures. It deliberately has no figure for the work.

use serde::{Deserialize, Serialize};

use crate::domain::Ns;
use crate::domain::recipe::Work;

/// Costs of doing things.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Costs {
    /// From the run's start until its model is at work.
    pub begin: Ns,
    /// CPU of the loop to begin a wait.
    pub loop_begin: Ns,
    /// CPU of the loop to take note of a wait's end.
    pub loop_end: Ns,
    /// How late the loop hears of a timer while it is idle: its timers count whole milliseconds.
    pub loop_late: Ns,
    /// CPU of the loop to hand a step to an assistant, and as much to hear of its end.
    pub hand_over: Ns,
    /// From an assistant's end of a step until the idle loop hears of it.
    pub hand_back: Ns,
    /// CPU of starting a thread, on the one who starts it.
    pub thread_start: Ns,
    /// From there until the thread is at work.
    pub thread_birth: Ns,
    /// From the wake-up of an idle thread until it is at work.
    pub wake: Ns,
    /// How late a thread comes back from a wait.
    pub thread_late: Ns,
    /// CPU of taking, measuring and writing down one step in a thread.
    pub step: Ns,
    /// CPU of the starter per process.
    pub spawn_issue: Ns,
    /// CPU of a new process until it is at work.
    pub spawn: Ns,
    /// CPU of a process that ends.
    pub exit: Ns,
    /// From one end of a kitchen's pipe to the other, the reader's wake-up included.
    pub pipe: Ns,
    /// CPU of the house per step that a kitchen has done.
    pub pass: Ns,
    /// From a ticket for whole dishes until the kitchen's own staff is at work.
    pub kitchen_begin: Ns,
    /// From the release of the GIL until the next thread computes.
    pub gil_switch: Ns,
    /// One message of an exchange: within a kitchen, through a pipe, through shared memory.
    pub message: [Ns; 3],
    /// A mebibyte of an exchange, likewise.
    pub mebibyte: [Ns; 3],
    /// Iterations in a millisecond of CPU.
    pub iterations_per_ms: u64,
    /// Increments of a counter in a millisecond of CPU: without its lock, and with a lock that nobody else wants. What losing a
    /// cache line or the lock to others costs is not foreseen.
    pub increments_per_ms: [u64; 2],
    /// Bytes of a process that has done nothing yet.
    pub process_bytes: u64,
    /// Bytes of a process that waits for steps.
    pub kitchen_bytes: u64,
    /// Bytes of a thread that has worked.
    pub thread_bytes: u64,
    /// Bytes of a dish on a loop.
    pub task_bytes: u64,
    /// Bytes of the books and the line per dish.
    pub dish_bytes: u64,
}

const US: Ns = 1_000;

impl Default for Costs {
    fn default() -> Self {
        Self {
            begin: 300 * US,
            loop_begin: 350,
            loop_end: 350,
            loop_late: 1_080 * US,
            hand_over: 4 * US,
            hand_back: 40 * US,
            thread_start: 25 * US,
            thread_birth: 60 * US,
            wake: 50 * US,
            thread_late: 75 * US,
            step: 4 * US,
            spawn_issue: 500 * US,
            spawn: 700 * US,
            exit: 300 * US,
            pipe: 40 * US,
            pass: 15 * US,
            kitchen_begin: 400 * US,
            gil_switch: 30 * US,
            message: [200, 30 * US, 3 * US],
            mebibyte: [100 * US, 700 * US, 150 * US],
            iterations_per_ms: crate::domain::limits::ITERATIONS_PER_CPU_MS,
            increments_per_ms: [500_000, 70_000],
            process_bytes: 11 << 20,
            kitchen_bytes: 8 << 20,
            thread_bytes: 28 << 10,
            task_bytes: 250,
            dish_bytes: 40,
        }
    }
}

impl Costs {
    /// Nothing costs anything: what theory speaks of.
    #[must_use]
    pub fn zero() -> Self {
        Self {
            begin: 0,
            loop_begin: 0,
            loop_end: 0,
            loop_late: 0,
            hand_over: 0,
            hand_back: 0,
            thread_start: 0,
            thread_birth: 0,
            wake: 0,
            thread_late: 0,
            step: 0,
            spawn_issue: 0,
            spawn: 0,
            exit: 0,
            pipe: 0,
            pass: 0,
            kitchen_begin: 0,
            gil_switch: 0,
            message: [0; 3],
            mebibyte: [0; 3],
            ..Self::default()
        }
    }

    /// CPU time of a piece of work; zero if it is no computing.
    #[must_use]
    pub fn cpu(&self, work: Work) -> Ns {
        let at = |per_ms: u64, n: u64| (u128::from(n) * 1_000_000 / u128::from(per_ms.max(1))) as Ns;
        match work {
            Work::Iterations(n) => at(self.iterations_per_ms, n),
            Work::Burn(d) => d.as_nanos() as Ns,
            Work::Counter { increments, locked } => {
                at(self.increments_per_ms[usize::from(locked)], u64::from(increments))
            }
            _ => 0,
        }
    }
}
