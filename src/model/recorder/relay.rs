//! From one kitchen's books to another's: what a child has written goes upstairs in parts, while it works.
//!
//! It deliberately keeps no map of its own: who relays knows from which kitchen.

use std::sync::atomic::Ordering;

use serde::{Deserialize, Serialize};

use super::{Event, Recorder};
use crate::domain::recipe::StepRef;
use crate::domain::record::Totals;
use crate::domain::spec::Spec;
use crate::domain::summary::Harvest;

/// What was written in a kitchen since it last reported.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Delta {
    /// Events in order of that kitchen's own numbers.
    pub events: Vec<Event>,
    /// Records and sums.
    pub harvest: Harvest,
}

impl Delta {
    /// Whether nothing was written.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let written = &self.harvest;
        let dishes = written.dishes.len() as u32 + written.dishes_failed;
        self.events.is_empty() && written.totals == Totals::default() && dishes == 0
    }

    /// Whether a kitchen that cooks this can have written it. What a dying process writes may stand in the middle of a
    /// frame, and still decode: steps that do not exist, and event numbers that would take gigabytes to map.
    #[must_use]
    pub fn fits(&self, spec: &Spec) -> bool {
        let is_step = |at: StepRef| {
            let offset = at.dish.checked_sub(spec.first_dish);
            let dish = offset.is_some_and(|o| o % spec.stride == 0 && o / spec.stride < spec.dishes);
            dish && usize::from(at.step) < spec.recipe.steps.len()
        };
        // Twice what it can be: a start and an end for each step, and the start of the order.
        let last = 4 * (spec.steps_total() + 1);
        let written = &self.harvest;
        let dishes = written.dishes.len() as u64 + u64::from(written.dishes_failed);
        dishes <= u64::from(spec.dishes)
            && written.values.len() <= spec.recipe.steps.len()
            && written.records.iter().all(|record| is_step(record.at))
            && self.events.iter().all(|event| is_step(event.at) && u64::from(event.seq) <= last)
    }
}

impl Recorder {
    /// Takes out what has been written since the last call, for the kitchen upstairs.
    #[must_use]
    pub fn drain(&self) -> Delta {
        let mut delta = Delta::default();
        for mut shard in self.open_shards() {
            delta.events.append(&mut shard.events);
            delta.harvest.merge(shard.take_harvest());
        }
        delta.events.sort_unstable_by_key(|e| e.seq);
        delta
    }

    /// Takes in what a kitchen downstairs wrote. Its events get numbers of this run; `seqs` maps one to the other and
    /// belongs to that kitchen.
    pub fn absorb(&self, lane: usize, delta: Delta, seqs: &mut Vec<u32>) {
        let Delta { events, mut harvest } = delta;
        let steps: u32 = harvest.totals.steps[..2].iter().sum();
        let dishes = harvest.dishes.len() as u32 + harvest.dishes_failed;
        let mut shard = self.shard(lane);
        for event in events {
            let seq = self.seq.fetch_add(1, Ordering::Relaxed) + 1;
            let theirs = event.seq as usize;
            if seqs.len() <= theirs {
                seqs.resize(theirs + 1, 0);
            }
            seqs[theirs] = seq;
            shard.events.push(Event { seq, ..event });
        }
        for record in &mut harvest.records {
            record.seq_started = seqs.get(record.seq_started as usize).copied().unwrap_or(0);
            record.seq_finished = seqs.get(record.seq_finished as usize).copied().unwrap_or(0);
        }
        let mut mine = shard.take_harvest();
        mine.merge(harvest);
        shard.put_harvest(mine);
        shard.done.0 += u64::from(steps);
        shard.done.1 += dishes;
    }
}
