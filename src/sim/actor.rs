//! Somebody in a simulation: a thread, a loop, a kitchen, a starter; what it has in hand, and what it goes on with.
//!
//! It deliberately does nothing by itself: the engine moves it.

use super::path::{Path, Term};
use crate::domain::Ns;

/// What an actor goes on with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Then {
    /// Looks for a step.
    #[default]
    Look,
    /// Begins the step it has in hand.
    Begin,
    /// Does the work of it.
    Work,
    /// Goes to sleep for it.
    Sleep,
    /// Has slept.
    Woke,
    /// Has computed what needs the GIL.
    Computed,
    /// Has computed the rest.
    Freed,
    /// Is done with it.
    End,
    /// Was woken, and looks for a step.
    Awake,
    /// Exists, and takes its first breath.
    Born,
    /// Has had the lock, and does what it was started for.
    Alive,
    /// Starts the next thread of its pool.
    Hire,
    /// Has started it.
    Hired,
    /// Starts a thread for the next ready step.
    Start,
    /// Has started it.
    Started,
    /// Turns the loop.
    Turn,
    /// Has begun a wait on the loop.
    Sailed,
    /// Has computed on the loop, or taken note of a wait's end.
    Burnt,
    /// Has blocked the loop.
    Blocked,
    /// Was idle, and has something to turn to.
    Stirred,
    /// Has handed a step to an assistant.
    Handed,
    /// Has heard of an assistant's end of a step.
    Heard,
    /// Has issued the start of a process.
    Issued,
    /// A process is up.
    Up,
    /// What it did has arrived at the house.
    Reported,
    /// The house has written it down.
    Passed,
    /// A process has ended.
    Gone,
    /// A kitchen's own staff is at work.
    Opened,
}

/// What an actor is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Role {
    /// A thread of a pool.
    #[default]
    Worker,
    /// A thread for one step, or whoever starts such threads.
    Each,
    /// A process that takes steps.
    Kitchen,
    /// Anything else.
    Other,
}

/// Somebody.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Actor {
    pub(super) host: u32,
    pub(super) role: Role,
    pub(super) then: Then,
    /// The step in hand: position of its dish times the steps of a dish, plus its position in the recipe.
    pub(super) at: u32,
    pub(super) ready: Ns,
    /// What is left of the step beyond the current burst.
    pub(super) left: Ns,
    /// Overhead to compute before its next piece of work.
    pub(super) owes: Ns,
    /// Of the current burst: overhead, then work.
    pub(super) cost: Ns,
    pub(super) work: Ns,
    pub(super) term: Option<Term>,
    /// Of the current rest: what was asked for.
    pub(super) wait: Ns,
    /// Up to here its path is written.
    pub(super) since: Ns,
    /// It has done nothing yet, so whatever it takes was waiting for something else.
    pub(super) fresh: bool,
    /// The GIL was taken from it in the middle of a burst.
    pub(super) preempted: bool,
    /// What it goes on with when it is alive, or when the thread it has started is.
    pub(super) next: Then,
    /// Who waits for it to be alive.
    pub(super) parent: Option<u32>,
    pub(super) path: Path,
}
