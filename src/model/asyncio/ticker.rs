//! A ticker on an event loop: how late the loop is, whatever keeps it.
//!
//! It costs the loop one timer; whoever reads it takes no lock. It deliberately knows no order.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use crate::clock;
use crate::domain::Ns;
use crate::domain::ticks::{ROWS, Ticks};

/// How late the ticker of a loop was.
#[derive(Debug, Default)]
pub struct Lag {
    last: AtomicU64,
    max: AtomicU64,
    rows: [AtomicU32; ROWS],
    /// When it is to tick next; 0 before it began.
    due: AtomicU64,
}

impl Lag {
    /// Ticks on the loop that polls this, `every` so often, as long as it is polled.
    pub(super) async fn tick(&self, every: Duration) {
        loop {
            let due = self.due.load(Ordering::Relaxed);
            tokio::time::sleep(Duration::from_nanos(due.saturating_sub(clock::now()))).await;
            let now = clock::now();
            self.note(now.saturating_sub(due));
            self.due.store(now + clock::ns(every), Ordering::Relaxed);
        }
    }

    /// Says from when on the loop could tick, which may be long before it does.
    pub(super) fn begin(&self, every: Duration) {
        self.due.store(clock::now() + clock::ns(every), Ordering::Relaxed);
    }

    fn note(&self, late: Ns) {
        self.last.store(late, Ordering::Relaxed);
        self.max.fetch_max(late, Ordering::Relaxed);
        self.rows[Ticks::row(late)].fetch_add(1, Ordering::Relaxed);
    }

    /// How late it was last, and at most so far.
    pub(super) fn now(&self) -> (Ns, Ns) {
        (self.last.load(Ordering::Relaxed), self.max.load(Ordering::Relaxed))
    }

    /// All of them up to this moment, one that is overdue included; `None` if it never began.
    #[must_use]
    pub fn until(&self, at: Ns) -> Option<Ticks> {
        let due = self.due.load(Ordering::Relaxed);
        let count = |row: &AtomicU32| row.load(Ordering::Relaxed);
        let mut ticks =
            Ticks { max: self.max.load(Ordering::Relaxed), rows: std::array::from_fn(|i| count(&self.rows[i])) };
        if due > 0 && due < at {
            ticks.note(at - due);
        }
        (due > 0).then_some(ticks)
    }
}
