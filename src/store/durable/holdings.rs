//! Which orders this node holds, under which grants, and what it could take up.
//!
//! It deliberately decides nothing about lines: an order it counts may wait, run, or be over and not yet written.

use std::collections::HashMap;

use super::super::backend::{Lane, Want};
use super::super::shares::Load;
use super::super::{Fence, Room};
use crate::domain::Ns;
use crate::domain::client::Client;
use crate::domain::id::OrderId;

/// Time an order runs before that is written down by itself: most are over by then, and their end says it too.
const NOTE_AFTER_NS: Ns = 50_000_000;
/// Orders taken up in one go for staff of their own.
const STAFFED: u32 = 64;

/// An order this node holds.
#[derive(Clone, Debug)]
pub(super) struct Held {
    pub(super) attempt: u32,
    pub(super) lane: Lane,
    pub(super) needs: Room,
    pub(super) owner: Client,
    pub(super) load: Load,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// It is being written for the first time, and this node has it if that succeeds.
    Promised,
    Waiting,
    /// It waits for another try, and keeps nobody else from being taken up.
    Resting,
    Begun {
        at: Ns,
        started_us: i64,
        queue_ns: u64,
        is_noted: bool,
    },
    /// It is over, and its end is being written.
    Over,
    /// Somebody else's by now; its run is being stopped.
    Lost,
}

/// Orders that began and are not known to have in the database.
pub(super) struct Begun {
    pub(super) fence: Fence,
    pub(super) started_us: i64,
    pub(super) queue_ns: u64,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Holdings {
    held: HashMap<OrderId, Held>,
    /// Orders in hand per lane: not those that are over.
    in_hand: HashMap<Lane, u32>,
    /// Staff that was free when the kitchen last claimed, less what was taken up for it since.
    free: Room,
    /// The house is a comparison's: nothing else is taken up.
    is_reserved: bool,
    begun: u32,
}

impl Held {
    pub(super) fn new(attempt: u32, lane: Lane, needs: Room, owner: Client, load: Load) -> Self {
        Self { attempt, lane, needs, owner, load, stage: Stage::Promised }
    }
}

impl Holdings {
    pub(super) fn add(&mut self, id: OrderId, held: Held) {
        *self.in_hand.entry(held.lane).or_default() += 1;
        self.free.threads = self.free.threads.saturating_sub(held.needs.threads);
        self.free.children = self.free.children.saturating_sub(held.needs.children);
        self.held.insert(id, held);
    }

    /// It is written, and waits here.
    pub(super) fn written(&mut self, id: OrderId) {
        if let Some(held) = self.held.get_mut(&id) {
            held.stage = Stage::Waiting;
        }
    }

    /// It is not to begin for a while.
    pub(super) fn rest(&mut self, id: OrderId) {
        let Some(held) = self.held.get_mut(&id).filter(|held| held.stage == Stage::Waiting) else { return };
        held.stage = Stage::Resting;
        let lane = held.lane;
        self.leave(lane);
    }

    /// The grant an order is held under; `None` if it is not, or no longer.
    pub(super) fn attempt(&self, id: OrderId) -> Option<u32> {
        self.held.get(&id).filter(|held| held.stage != Stage::Lost).map(|held| held.attempt)
    }

    /// Whether an order is a comparison's.
    pub(super) fn is_alone(&self, id: OrderId) -> bool {
        self.held.get(&id).is_some_and(|held| held.lane == Lane::ALONE)
    }

    /// The kitchen claims, with this much free staff.
    pub(super) fn claiming(&mut self, free: Room, is_reserved: bool) {
        (self.free, self.is_reserved) = (free, is_reserved);
    }

    /// A run begins.
    pub(super) fn begin(&mut self, id: OrderId, at: Ns, started_us: i64, queue_ns: u64) {
        let Some(held) = self.held.get_mut(&id) else { return };
        if held.stage == Stage::Resting {
            *self.in_hand.entry(held.lane).or_default() += 1;
        }
        held.stage = Stage::Begun { at, started_us, queue_ns, is_noted: false };
        self.begun += 1;
        self.free.threads = self.free.threads.saturating_sub(held.needs.threads);
        self.free.children = self.free.children.saturating_sub(held.needs.children);
    }

    /// A run is over, or a waiting order about to end: its end is being written.
    pub(super) fn over(&mut self, id: OrderId) {
        let Some(held) = self.held.get_mut(&id).filter(|held| held.stage != Stage::Lost) else { return };
        let before = std::mem::replace(&mut held.stage, Stage::Over);
        let lane = held.lane;
        if !matches!(before, Stage::Over | Stage::Resting) {
            self.leave(lane);
        }
    }

    fn leave(&mut self, lane: Lane) {
        if let Some(count) = self.in_hand.get_mut(&lane) {
            *count = count.saturating_sub(1);
        }
    }

    /// No longer held.
    pub(super) fn let_go(&mut self, id: OrderId) -> Option<Held> {
        let held = self.held.remove(&id)?;
        if !matches!(held.stage, Stage::Over | Stage::Resting) {
            self.leave(held.lane);
        }
        Some(held)
    }

    /// This grant is worth nothing any more; answers whether it was until now.
    pub(super) fn lose(&mut self, fence: Fence) -> bool {
        let held = self.held.get_mut(&fence.id).filter(|held| held.attempt == fence.attempt);
        // What is over may just have been written: whether it was good is told by that write.
        let held = held.filter(|held| matches!(held.stage, Stage::Waiting | Stage::Resting | Stage::Begun { .. }));
        let Some(held) = held else { return false };
        let before = std::mem::replace(&mut held.stage, Stage::Lost);
        if before == Stage::Resting {
            // Whoever lets it go takes it off.
            *self.in_hand.entry(held.lane).or_default() += 1;
        }
        true
    }

    /// Every grant whose lease is to be renewed.
    pub(super) fn fences(&self) -> Vec<Fence> {
        let held = self.held.iter().filter(|(_, held)| !matches!(held.stage, Stage::Promised | Stage::Lost));
        held.map(|(id, held)| Fence { id: *id, attempt: held.attempt }).collect()
    }

    /// Runs to be written down as begun: all of them, or those that last.
    pub(super) fn unnoted(&mut self, now: Option<Ns>) -> Vec<Begun> {
        if self.begun == 0 {
            return Vec::new();
        }
        self.begun = 0;
        let mut out = Vec::new();
        for (id, held) in &mut self.held {
            let Stage::Begun { at, started_us, queue_ns, is_noted: is_noted @ false } = &mut held.stage else {
                continue;
            };
            if now.is_none_or(|now| *at + NOTE_AFTER_NS <= now) {
                *is_noted = true;
                let fence = Fence { id: *id, attempt: held.attempt };
                out.push(Begun { fence, started_us: *started_us, queue_ns: *queue_ns });
            } else {
                self.begun += 1;
            }
        }
        out
    }

    /// Whether an order of this lane could begin here right away.
    pub(super) fn has_hand(&self, lane: Lane, needs: Room, hands: &[u32]) -> bool {
        match lane {
            Lane::ALONE => true,
            _ if self.is_reserved => false,
            Lane::STAFFED => needs.fits(self.free),
            Lane(model) => self.in_hand.get(&lane).copied().unwrap_or(0) < hand(hands, model),
        }
    }

    /// What could be taken up.
    pub(super) fn want(&self, hands: &[u32]) -> Want {
        if self.is_reserved {
            return Want::default();
        }
        let free = |model: i16| {
            let lane = Lane(model);
            (lane, hand(hands, model).saturating_sub(self.in_hand.get(&lane).copied().unwrap_or(0)))
        };
        let staffed = if self.free == Room::default() { 0 } else { STAFFED };
        let lanes = (0..hands.len() as i16).map(free).chain([(Lane::STAFFED, staffed)]);
        Want { lanes: lanes.filter(|(_, orders)| *orders > 0).collect(), room: self.free }
    }
}

fn hand(hands: &[u32], model: i16) -> u32 {
    usize::try_from(model).ok().and_then(|model| hands.get(model)).copied().unwrap_or(0)
}
