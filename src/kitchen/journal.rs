//! What happened to all orders lately: one ring that streams come and look at.
//!
//! It deliberately pushes to nobody and keeps no order alive: an entry is an id, a state and a time, and who looks too
//! late is told that there is a gap.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use crate::domain::id::OrderId;
use crate::domain::job::Status;

/// Something that happened to an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Number since the start of the service, from 1, without gaps.
    pub seq: u64,
    /// The order.
    pub id: OrderId,
    /// The state it reached.
    pub status: Status,
}

/// Entries kept: a third of a second at 60,000 orders/s, hours on a quiet house. 1.1 MiB when it is full.
const ENTRIES: usize = 65_536;

/// The ring.
#[derive(Debug, Default)]
pub struct Journal(Mutex<Ring>);

#[derive(Debug, Default)]
struct Ring {
    last: u64,
    /// Without their numbers, which follow from the last one: every order writes three, and each costs memory to be brought in.
    entries: VecDeque<(OrderId, Status)>,
}

/// What a look at the journal found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Entries, oldest first.
    pub entries: Vec<Entry>,
    /// Some between the last one seen and the first of these are no longer kept, or were never written.
    pub gap: bool,
}

impl Journal {
    /// Writes one down.
    pub(super) fn write(&self, id: OrderId, status: Status) {
        let mut ring = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        ring.last += 1;
        if ring.entries.len() == ENTRIES {
            ring.entries.pop_front();
        }
        ring.entries.push_back((id, status));
    }

    /// Number of the last entry.
    #[must_use]
    pub fn last(&self) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).last
    }

    /// At most so many entries after this number.
    #[must_use]
    pub fn after(&self, seq: u64, at_most: usize) -> Found {
        let ring = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let first = ring.last + 1 - ring.entries.len() as u64;
        let gap = seq > ring.last || seq + 1 < first;
        // A number of the future is another run's: begin with what is here now.
        let from = if seq > ring.last { ring.last + 1 } else { first.max(seq + 1) };
        let told = ring.entries.iter().skip((from - first) as usize).take(at_most);
        let entries = (from..).zip(told).map(|(seq, (id, status))| Entry { seq, id: *id, status: *status }).collect();
        Found { entries, gap }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::id::Ids;

    #[test]
    fn who_looks_too_late_is_told_of_the_gap() {
        let (journal, id) = (Journal::default(), Ids::new(1).next(1));
        assert_eq!(journal.after(0, 10), Found::default());
        for _ in 0..ENTRIES + 5 {
            journal.write(id, Status::Queued);
        }
        let late = journal.after(4, 3);
        assert!(late.gap && late.entries.iter().map(|e| e.seq).eq([6, 7, 8]), "{late:?}");
        let timely = journal.after(5, 2);
        assert!(!timely.gap && timely.entries.iter().map(|e| e.seq).eq([6, 7]), "{timely:?}");
        assert_eq!(journal.after(journal.last(), 5), Found::default());
        assert_eq!(journal.after(journal.last() + 9, 5), Found { entries: Vec::new(), gap: true });
    }
}
