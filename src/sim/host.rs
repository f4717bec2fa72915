//! A kitchen's own staff: its lock, its loop, its pool, and the dishes that are its share.
//!
//! It deliberately decides nothing; the files named after the crews do.

use std::collections::VecDeque;

use super::gil::Gil;
use crate::domain::Ns;
use crate::domain::line::Line;

/// A kitchen with staff.
#[derive(Debug, Default)]
pub(super) struct Host {
    /// How many dishes are its share.
    pub(super) dishes: u32,
    /// Of those, how many may be in progress at once, and how many are over.
    pub(super) window: u32,
    pub(super) over: u32,
    pub(super) gil: Option<Gil>,
    /// The steps of its dishes, where workers take them one by one.
    pub(super) line: Option<Line>,
    /// The line stands in the pool's queue.
    pub(super) queued: bool,
    /// Steps handed to assistants, and since when they are ready.
    pub(super) jobs: VecDeque<(u32, Ns)>,
    pub(super) pool: Pool,
    pub(super) desk: Desk,
    pub(super) door: Door,
}

/// Where dishes arrive by the clock.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Door {
    /// Since when somebody looks for them.
    pub(super) open: Ns,
    /// How late one is noticed that comes later than that.
    pub(super) late: Ns,
}

/// A pool of threads.
#[derive(Debug, Default)]
pub(super) struct Pool {
    pub(super) size: u32,
    pub(super) threads: u32,
    pub(super) idle: VecDeque<u32>,
    /// A thread was woken and has not looked yet.
    pub(super) waking: bool,
}

/// An event loop.
#[derive(Debug, Default)]
pub(super) struct Desk {
    pub(super) chef: u32,
    pub(super) idle: bool,
    /// Dishes that may be begun without waiting for anything, and those begun.
    pub(super) initial: u32,
    pub(super) begun: u32,
    /// Dishes that have arrived, and those that are over.
    pub(super) arrived: u32,
    pub(super) over: u32,
    pub(super) window: u32,
    /// When the loop next comes for a wait, as far as the last one that began knows.
    pub(super) landing: Ns,
    /// Steps of the dish in hand that are ready, and since when.
    pub(super) local: VecDeque<(u32, Ns)>,
    /// What the loop will turn to.
    pub(super) ready: VecDeque<Item>,
    /// Of each dish: its steps that are done, if they do not simply follow one another.
    pub(super) done: Vec<u128>,
}

/// Something the loop will turn to.
#[derive(Clone, Copy, Debug)]
pub(super) enum Item {
    /// A dish may begin.
    Dish(u32, Ns),
    /// A wait is over.
    Landed(u32),
    /// An assistant has done a step.
    Done(u32),
    /// A step has the equipment it needs.
    Equipped(u32),
    /// A step that yielded goes on; so much is left of it.
    More(u32, Ns),
}
