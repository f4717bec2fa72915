//! What can be known of an order while it runs: the events of its steps, and how far it is.
//!
//! Plain data, so that a node can tell what another cooks. It deliberately holds no account of time: that is in the
//! records, which are there when the order has ended.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Ns;
use super::recipe::StepRef;
use super::record::{Outcome, StepRecord};

/// Something that happened to a step, in the order of `seq`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepEvent {
    /// Number within the attempt, without gaps.
    pub seq: u32,
    /// The step.
    pub at: StepRef,
    /// How it ended; `None` when it started.
    pub outcome: Option<Outcome>,
    /// When, as an offset from the run's start.
    pub offset: Ns,
}

/// A run, as far as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Live {
    /// Steps that are over.
    pub steps_done: u64,
    /// Dishes that are over.
    pub dishes_done: u32,
    /// Number of the last event there is.
    pub last_seq: u32,
    /// Events of its steps, without a gap; not necessarily all.
    pub events: Vec<StepEvent>,
}

/// The first events after a number, picked out of records in any order. However many records there are, it holds no more
/// than it is asked for.
#[derive(Debug)]
pub struct Window {
    after: u32,
    at_most: usize,
    events: BTreeMap<u32, StepEvent>,
}

impl Window {
    /// Of at most so many events after this number.
    #[must_use]
    pub fn new(after: u32, at_most: usize) -> Self {
        Self { after, at_most, events: BTreeMap::new() }
    }

    /// Takes the events that a record was announced with, if they belong here.
    pub fn add(&mut self, record: &StepRecord) {
        let begun = StepEvent { seq: record.seq_started, at: record.at, outcome: None, offset: record.started };
        let outcome = Some(record.outcome);
        let over = StepEvent { seq: record.seq_finished, at: record.at, outcome, offset: record.finished };
        // One that was never announced has no number, which is zero.
        for event in [begun, over].into_iter().filter(|event| event.seq > self.after) {
            self.events.insert(event.seq, event);
            if self.events.len() > self.at_most {
                self.events.pop_last();
            }
        }
    }

    /// The events, in their order.
    #[must_use]
    pub fn into_events(self) -> Vec<StepEvent> {
        self.events.into_values().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_one_after_another_are_all_events_in_their_order() {
        let at = StepRef { dish: 1, step: 0 };
        let record = |n: u32| StepRecord {
            seq_started: 2 * n - 1,
            seq_finished: 2 * n,
            ..StepRecord::unrun(at, Outcome::Succeeded)
        };
        // In another order than they were announced in, and with one that was not announced.
        let mut records: Vec<_> = (1..=50).rev().map(record).collect();
        records.push(StepRecord::unrun(at, Outcome::Skipped));
        let (mut told, mut after) = (Vec::new(), 0);
        loop {
            let mut window = Window::new(after, 7);
            records.iter().for_each(|record| window.add(record));
            let events = window.into_events();
            assert!(events.len() <= 7);
            let Some(last) = events.last() else { break };
            after = last.seq;
            told.extend(events.iter().map(|event| event.seq));
        }
        assert_eq!(told, (1..=100).collect::<Vec<_>>());
    }
}
