//! A queue of moments, earliest first, ties in the order in which they were written down.
//!
//! Most moments are written down in order of time, by each of a few who take turns (the loops of eight kitchens, whose waits are
//! equally long): they stay in a plain queue for each of those and cost hardly a comparison. Only what fits behind none goes through
//! a heap, which for a million waits is one miss of the cache after the other. It deliberately forgets nothing by itself: who
//! writes down what may lapse tells the lapsed ones apart.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

/// From the highest bits down: a moment (64), the number of the entry (32), what happens then (32).
type Entry = u128;

/// Queues beside the heap, at most: two kitchens on each of eight cores. Every one is looked at for each moment.
const QUEUES: usize = 16;

/// Stands for the heap among the queues.
const HEAP: usize = QUEUES;

/// Comes after every entry.
const NEVER: Entry = Entry::MAX;

/// The queue.
#[derive(Debug)]
pub(super) struct Agenda {
    /// Each in order.
    queues: [VecDeque<Entry>; QUEUES],
    others: BinaryHeap<Reverse<Entry>>,
    /// First entry of each queue and of the heap; [`NEVER`] if it is empty.
    firsts: [Entry; QUEUES + 1],
    /// Last entry each queue was given.
    lasts: [Entry; QUEUES],
    /// The earliest entry and where it is.
    first: (Entry, usize),
    written: u32,
}

impl Default for Agenda {
    fn default() -> Self {
        Self {
            queues: Default::default(),
            others: BinaryHeap::new(),
            firsts: [NEVER; QUEUES + 1],
            lasts: [0; QUEUES],
            first: (NEVER, HEAP),
            written: 0,
        }
    }
}

impl Agenda {
    /// Writes down that `what` happens `at`; answers the number of the entry.
    pub(super) fn push(&mut self, at: u64, what: u32) -> u32 {
        self.written = self.written.wrapping_add(1);
        let entry = Entry::from(at) << 64 | Entry::from(self.written) << 32 | Entry::from(what);
        let place = self.lasts.iter().position(|last| *last <= entry).unwrap_or(HEAP);
        if place == HEAP {
            self.others.push(Reverse(entry));
        } else {
            self.queues[place].push_back(entry);
            self.lasts[place] = entry;
        }
        self.firsts[place] = self.firsts[place].min(entry);
        self.first = self.first.min((entry, place));
        self.written
    }

    /// The earliest entry: when, its number, and what.
    pub(super) fn first(&self) -> Option<(u64, u32, u32)> {
        let (entry, _) = self.first;
        (entry != NEVER).then_some(((entry >> 64) as u64, (entry >> 32) as u32, entry as u32))
    }

    /// Takes the earliest entry out.
    pub(super) fn pop(&mut self) {
        let (_, place) = self.first;
        let next = if place == HEAP {
            self.others.pop();
            self.others.peek().map(|Reverse(entry)| *entry)
        } else {
            self.queues[place].pop_front();
            self.queues[place].front().copied()
        };
        self.firsts[place] = next.unwrap_or(NEVER);
        if next.is_none() && place != HEAP {
            self.lasts[place] = 0;
        }
        let mut first = (NEVER, HEAP);
        for (place, entry) in self.firsts.iter().enumerate() {
            if *entry < first.0 {
                first = (*entry, place);
            }
        }
        self.first = first;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::draw;

    #[test]
    fn moments_come_out_in_order_and_ties_as_they_were_written_down() {
        // Rising, falling, equal and drawn moments in turn, some of them taken out in between.
        let moment = |i: u32| match i % 4 {
            0 => u64::from(i),
            1 => u64::from(10_000 - i),
            2 => 5_000,
            _ => draw::bits(7, i, 0) % 10_000,
        };
        let mut agenda = Agenda::default();
        let mut left = std::collections::BTreeSet::new();
        for i in 0..8_000 {
            let at = moment(i);
            left.insert((at, agenda.push(at, i), i));
            if i % 3 == 0 {
                assert_eq!(agenda.first(), left.pop_first());
                agenda.pop();
            }
        }
        while let Some(next) = left.pop_first() {
            assert_eq!(agenda.first(), Some(next));
            agenda.pop();
        }
        assert_eq!(agenda.first(), None);
    }
}
