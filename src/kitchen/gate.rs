//! Shut when the house is full, open again when some of it has been cooked.
//!
//! Between the two it deliberately refuses without looking at the order: reading one to refuse it costs more than
//! cooking a small one, and the cores are what the kitchen needs to get empty.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::domain::job::Status;
use crate::store::{Bounds, Counts};

/// How full the house may be when it opens again, of its bounds. Chosen: room for ten more full batches of 1,000.
const REOPEN_PERCENT: usize = 90;

/// The gate of the house.
#[derive(Debug)]
pub(super) struct Gate {
    shut: AtomicBool,
    orders: usize,
    bytes: usize,
}

impl Gate {
    /// An open gate before a house of this size.
    pub(super) fn new(bounds: &Bounds) -> Self {
        let part = |whole: usize| whole / 100 * REOPEN_PERCENT + whole % 100 * REOPEN_PERCENT / 100;
        Self { shut: AtomicBool::new(false), orders: part(bounds.active_orders), bytes: part(bounds.active_bytes) }
    }

    /// An order did not fit.
    pub(super) fn shut(&self) {
        self.shut.store(true, Ordering::Relaxed);
    }

    /// Whether an order is worth reading; counts only while the gate is shut.
    pub(super) fn is_open(&self, counts: impl FnOnce() -> Counts) -> bool {
        if !self.shut.load(Ordering::Relaxed) {
            return true;
        }
        let counts = counts();
        let active = counts.by_status[Status::Queued as usize] + counts.by_status[Status::Running as usize];
        let open = active as usize <= self.orders && counts.active_bytes <= self.bytes;
        if open {
            self.shut.store(false, Ordering::Relaxed);
        }
        open
    }
}
