//! The wish that a run stop, heard by threads in the middle of a wait or a CPU step and by tasks of an event loop.
//!
//! It deliberately kills nothing: whoever cannot be asked (a child process) is ended by the hook its model leaves here.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};

use rustix::event::{PollFd, PollFlags};
use rustix::thread::futex;
use rustix::time::Timespec;
use tokio::sync::Notify;

use crate::clock;
use crate::domain::Ns;

/// Why a run is to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// A client asked.
    Client = 1,
    /// It ran too long.
    Timeout = 2,
    /// The service is going down.
    Shutdown = 3,
    /// It cannot go on; why is among its errors.
    Stuck = 4,
    /// Its order is another node's by now.
    Lost = 5,
}

type Hook = Box<dyn FnOnce() + Send>;

/// The wish, and who waits for it.
#[derive(Default)]
pub struct Cancel {
    /// 0, or a [`Reason`]; threads sleep on this word.
    word: AtomicU32,
    tasks: Notify,
    hook: Mutex<Option<Hook>>,
    /// Whether the end of stdin is a request, too.
    lifeline: bool,
    looks: AtomicU32,
}

/// Looks at the word between two looks at the lifeline: 10 ms of computing, so that these cost nothing.
const LOOKS_PER_LIFELINE: u32 = 256;

/// Whether nobody holds the other end of stdin any more.
#[must_use]
pub fn is_lifeline_cut() -> bool {
    is_cut_within(&Timespec { tv_sec: 0, tv_nsec: 0 })
}

fn is_cut_within(at_most: &Timespec) -> bool {
    let stdin = rustix::stdio::stdin();
    // No event is asked for: a hang-up is told unasked (poll(2)), and what can be read is not for us.
    let mut watched = [PollFd::new(&stdin, PollFlags::empty())];
    rustix::event::poll(&mut watched, Some(at_most)).is_ok_and(|seen| seen > 0)
}

impl std::fmt::Debug for Cancel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Cancel").field(&self.reason()).finish()
    }
}

impl Cancel {
    /// Asks to stop; the first reason stays.
    pub fn request(&self, reason: Reason) {
        if self.word.compare_exchange(0, reason as u32, Ordering::AcqRel, Ordering::Acquire).is_err() {
            return;
        }
        let _ = futex::wake(&self.word, futex::Flags::PRIVATE, i32::MAX as u32);
        self.tasks.notify_waiters();
        let hook = self.hook.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(hook) = hook {
            hook();
        }
    }

    /// Why, if it was asked.
    #[must_use]
    pub fn reason(&self) -> Option<Reason> {
        match self.word.load(Ordering::Acquire) {
            0 => None,
            1 => Some(Reason::Client),
            2 => Some(Reason::Timeout),
            3 => Some(Reason::Shutdown),
            4 => Some(Reason::Stuck),
            _ => Some(Reason::Lost),
        }
    }

    /// For a child process: also asked to stop by the end of its stdin, when whoever it works for is gone.
    #[must_use]
    pub fn with_lifeline() -> Self {
        Self { lifeline: true, ..Self::default() }
    }

    /// Whether it was asked.
    #[must_use]
    pub fn is_requested(&self) -> bool {
        self.word.load(Ordering::Relaxed) != 0 || (self.lifeline && self.is_cut())
    }

    fn is_cut(&self) -> bool {
        let cut = self.looks.fetch_add(1, Ordering::Relaxed).is_multiple_of(LOOKS_PER_LIFELINE) && is_lifeline_cut();
        if cut {
            self.request(Reason::Shutdown);
        }
        cut
    }

    /// Calls this when it is asked, after what was left here before; at once if it was already.
    pub fn on_request(&self, hook: impl FnOnce() + Send + 'static) {
        let mut left = self.hook.lock().unwrap_or_else(PoisonError::into_inner);
        let before = left.take();
        *left = Some(match before {
            None => Box::new(hook),
            Some(before) => Box::new(move || {
                before();
                hook();
            }),
        });
        drop(left);
        // Asked between the caller's look and now: whoever takes the hook out first calls it.
        if self.is_requested() {
            // The lock is let go before the hook is called: it may end the run, which forgets the hook.
            let hook = self.hook.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(hook) = hook {
                hook();
            }
        }
    }

    /// Forgets the hook: the run is over.
    pub fn disarm(&self) {
        *self.hook.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Blocks the thread until `due` on the monotonic clock. Answers whether it was asked to stop instead.
    pub fn sleep_until(&self, due: Ns) -> bool {
        let deadline = Timespec { tv_sec: (due / 1_000_000_000) as i64, tv_nsec: (due % 1_000_000_000) as _ };
        if self.lifeline {
            return self.sleep_on_lifeline(due);
        }
        while !self.is_requested() && clock::now() < due {
            // An absolute deadline on CLOCK_MONOTONIC (futex(2), FUTEX_WAIT_BITSET): spurious wakes cost nothing.
            let _ = futex::wait_bitset(&self.word, futex::Flags::PRIVATE, 0, Some(&deadline), NonZeroU32::MAX);
        }
        self.is_requested()
    }

    fn sleep_on_lifeline(&self, due: Ns) -> bool {
        loop {
            let left = due.saturating_sub(clock::now());
            let at_most = Timespec { tv_sec: (left / 1_000_000_000) as i64, tv_nsec: (left % 1_000_000_000) as _ };
            if left > 0 && is_cut_within(&at_most) {
                self.request(Reason::Shutdown);
            }
            if left == 0 || self.word.load(Ordering::Relaxed) != 0 {
                return self.word.load(Ordering::Relaxed) != 0;
            }
        }
    }

    /// Resolves when it is asked. Cancel-safe.
    pub async fn requested(&self) {
        let mut notified = std::pin::pin!(self.tasks.notified());
        loop {
            // Register before looking, or a request in between is missed.
            notified.as_mut().enable();
            if self.is_requested() {
                return;
            }
            notified.as_mut().await;
            notified.set(self.tasks.notified());
        }
    }
}
