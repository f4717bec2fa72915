//! One number in the memory of a kitchen that all its chefs count up: the bug that shared memory invites.
//!
//! Without the lock a chef reads the number, adds one and writes it back; whoever did the same in between has counted for
//! nothing. Both accesses are atomic, so that nothing is undefined but the sum. The chef looks round (for a cancel, for the
//! GIL) between the two, where CPython may switch threads, too: a GIL does not make `x += 1` safe. It deliberately keeps
//! one number per process and run: kitchens share no memory, which is the other half of the lesson.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// Increments between two looks round: some 50 us.
const LOOK: u64 = 10_000;

/// The number, and a lock that nobody has to use.
#[derive(Debug, Default)]
pub struct Counter {
    value: AtomicU64,
    lock: Mutex<()>,
}

impl Counter {
    /// What it says now.
    #[must_use]
    pub fn value(&self) -> u64 {
        self.value.load(Ordering::Relaxed)
    }

    /// Counts up so many times; answers what it wrote last, or nothing if `look` said to stop.
    pub fn count(&self, increments: u64, locked: bool, mut look: impl FnMut() -> bool) -> Option<u64> {
        let mut written = 0;
        for n in 0..increments {
            // Nobody looks round with the lock in hand: who waits for the GIL with it would keep it from everybody.
            if locked && n % LOOK == 0 && !look() {
                return None;
            }
            let _alone = locked.then(|| self.lock.lock().unwrap_or_else(PoisonError::into_inner));
            written = self.value.load(Ordering::Relaxed) + 1;
            if !locked && n % LOOK == 0 && !look() {
                return None;
            }
            self.value.store(written, Ordering::Relaxed);
        }
        Some(written)
    }
}
