//! The loop's turns at an order that has a GIL: each poll of its dishes holds the lock, as the callbacks of asyncio's loop
//! do, and between two polls the loop lets it go, as asyncio does around its `select`.
//!
//! It deliberately exists only where assistants compete for the lock: a chef alone has it anyway.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::sync::Arc;

use crate::clock;
use crate::domain::Ns;
use crate::model::cancel::Cancel;
use crate::model::gil::{self, Gil};

/// Waits of the loop that are remembered. A dish that is due is noticed within two or three turns.
const REMEMBERED: usize = 16;

/// The loop at one order.
pub(super) struct Turns {
    gil: Arc<Gil>,
    /// When the loop began to wait for the lock and when it had it, of late.
    waits: RefCell<VecDeque<(Ns, Ns)>>,
}

impl Turns {
    pub(super) fn new(gil: Arc<Gil>) -> Self {
        Self { gil, waits: RefCell::default() }
    }

    /// One poll, under the lock.
    pub(super) fn take<T>(&self, cancel: &Cancel, poll: impl FnOnce() -> T) -> T {
        let asked = clock::now();
        if gil::enter(Some(&self.gil), cancel) > 0 {
            let mut waits = self.waits.borrow_mut();
            waits.truncate(REMEMBERED - 1);
            waits.push_front((asked, clock::now()));
        }
        let polled = poll();
        gil::leave();
        polled
    }

    /// How long of the time between these two the loop waited for the lock.
    pub(super) fn waited(&self, from: Ns, to: Ns) -> Ns {
        let overlap = |(asked, had): &(Ns, Ns)| (*had).min(to).saturating_sub((*asked).max(from));
        self.waits.borrow().iter().map(overlap).sum()
    }
}
