//! A queue of moments, earliest first, ties in the order in which they were written down.
//!
//! What is written down in order of time (waits of equal length, bursts of equal demand) stays in a plain queue and costs no
//! comparison; only what comes out of order goes through a heap. It deliberately forgets nothing by itself: who writes
//! down what may lapse tells the lapsed ones apart.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

/// A moment and what happens then.
type Entry = (u64, u64);

/// The queue.
#[derive(Debug, Default)]
pub(super) struct Agenda {
    in_order: VecDeque<Entry>,
    others: BinaryHeap<Reverse<Entry>>,
    written: u32,
}

impl Agenda {
    /// Writes down that `what` happens `at`; answers the number of the entry.
    pub(super) fn push(&mut self, at: u64, what: u32) -> u32 {
        self.written = self.written.wrapping_add(1);
        let entry = (at, u64::from(self.written) << 32 | u64::from(what));
        if self.in_order.back().is_none_or(|last| *last <= entry) {
            self.in_order.push_back(entry);
        } else {
            self.others.push(Reverse(entry));
        }
        self.written
    }

    /// The earliest entry: when, its number, and what.
    pub(super) fn first(&self) -> Option<(u64, u32, u32)> {
        let entry = match (self.in_order.front(), self.others.peek()) {
            (Some(a), Some(Reverse(b))) => *a.min(b),
            (Some(a), None) => *a,
            (None, Some(Reverse(b))) => *b,
            (None, None) => return None,
        };
        Some((entry.0, (entry.1 >> 32) as u32, entry.1 as u32))
    }

    /// Takes the earliest entry out.
    pub(super) fn pop(&mut self) {
        let from_heap = match (self.in_order.front(), self.others.peek()) {
            (Some(a), Some(Reverse(b))) => b < a,
            (in_order, _) => in_order.is_none(),
        };
        if from_heap {
            self.others.pop();
        } else {
            self.in_order.pop_front();
        }
    }
}
