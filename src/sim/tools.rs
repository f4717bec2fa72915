//! Equipment: so many of a kind at a time, first come, first served.
//!
//! A step that keeps what it has while it waits takes its needs one by one; any other takes all of them at once or none,
//! and waits for the first that is missing. It deliberately looks for no circle: steps that wait for each other are found
//! when nothing else is left to happen.

use std::collections::VecDeque;

/// Who waits: an actor, or a step on an event loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Waiter {
    /// Its number.
    pub(super) who: u32,
    /// Whether the number is a step's.
    pub(super) is_step: bool,
    /// How many of its needs it has already; it waits for the next.
    pub(super) held: u8,
}

/// A kind of equipment in one kitchen.
#[derive(Debug)]
struct Kind {
    free: u32,
    queue: VecDeque<Waiter>,
}

/// The equipment of all kitchens.
#[derive(Debug, Default)]
pub(super) struct Tools {
    kinds: Vec<Kind>,
    per_kitchen: usize,
    shared: Box<[bool]>,
}

impl Tools {
    /// For so many kitchens: what is shared once, the rest in each.
    pub(super) fn new(equipment: &[(u32, bool)], kitchens: usize) -> Self {
        let all = (0..=kitchens).flat_map(|_| equipment);
        let kinds = all.map(|(free, _)| Kind { free: *free, queue: VecDeque::new() }).collect();
        Self { kinds, per_kitchen: equipment.len(), shared: equipment.iter().map(|(_, shared)| *shared).collect() }
    }

    fn kind(&mut self, kitchen: u32, need: u8) -> &mut Kind {
        let i = usize::from(need);
        let row = if self.shared[i] { 0 } else { kitchen as usize + 1 };
        &mut self.kinds[row * self.per_kitchen + i]
    }

    /// Asks for `needs`; whether it has them all now. Else it stands in the queue of the one it waits for.
    pub(super) fn ask(&mut self, mut waiter: Waiter, kitchen: u32, needs: &[u8], hold: bool) -> bool {
        if !hold && let Some(missing) = needs.iter().find(|need| self.kind(kitchen, **need).free == 0) {
            self.kind(kitchen, *missing).queue.push_back(waiter);
            return false;
        }
        for need in &needs[usize::from(waiter.held)..] {
            let kind = self.kind(kitchen, *need);
            if kind.free == 0 {
                kind.queue.push_back(waiter);
                return false;
            }
            kind.free -= 1;
            waiter.held += 1;
        }
        true
    }

    /// Puts one back.
    pub(super) fn release(&mut self, kitchen: u32, need: u8) {
        self.kind(kitchen, need).free += 1;
    }

    /// Who is to ask again, if one of this kind is free.
    pub(super) fn next(&mut self, kitchen: u32, need: u8) -> Option<Waiter> {
        let kind = self.kind(kitchen, need);
        if kind.free > 0 { kind.queue.pop_front() } else { None }
    }
}
