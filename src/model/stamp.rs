//! The three clocks of a thread at one moment: what every account of a step is the difference of.
//!
//! It deliberately knows no steps.

use crate::clock::{self, CoreWait};
use crate::domain::Ns;

thread_local! {
    static CORE_WAIT: CoreWait = CoreWait::of_this_thread();
}

/// One look at all three.
#[derive(Clone, Copy, Debug)]
pub struct Stamp {
    /// The monotonic clock.
    pub now: Ns,
    /// CPU time of the thread.
    pub cpu: Ns,
    /// Time it was runnable without a core.
    pub core_wait: Ns,
}

impl Stamp {
    /// Reads all three. A thread's first look opens its counter, which takes long; and between two system calls the kernel may
    /// take the core away. What was torn so would miss in the books, so it is read again, a few times at most.
    #[must_use]
    pub fn take() -> Self {
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

    /// Time since then in which the thread neither computed nor wanted a core: it waited for something else.
    #[must_use]
    pub fn waited(self) -> Ns {
        let after = Self::take();
        (after.now - self.now).saturating_sub(after.cpu - self.cpu + after.core_wait - self.core_wait)
    }
}
