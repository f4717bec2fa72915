//! What is cooked: steps, their work, and the edges between them, as resolved.
//!
//! It deliberately knows nothing of JSON (that is [`super::ask`]) nor of how steps are run.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::draw::Spread;

/// One step of one dish. Dishes are numbered from 1, steps from 0 in the order of the recipe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct StepRef {
    /// Number of the dish, from 1.
    pub dish: u32,
    /// Position in the recipe, from 0.
    pub step: u16,
}

/// How a kitchen is made to fail, for experiments with failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Fault {
    /// The process ends with exit code 3.
    Exit,
    /// The process aborts (SIGABRT).
    Abort,
    /// The step panics; a panic is caught and fails the step alone.
    Panic,
    /// The step never ends by itself; a timeout or a cancel ends it, or the house, which finds its kitchen hung.
    Hang,
    /// The process allocates until it is refused, then aborts.
    Oom,
}

/// What a step does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Work {
    /// Waits without using the chef, where the model can.
    Wait(Duration),
    /// Waits and keeps the chef, in every model.
    BlockingWait(Duration),
    /// Sums `i * i` for `i` below this number, really computed.
    Iterations(u64),
    /// Burns this much CPU time of its thread.
    Burn(Duration),
    /// Hands messages to another chef, each of so many bytes.
    Exchange {
        /// Bytes of one message.
        bytes: u32,
        /// Messages.
        messages: u32,
    },
    /// Counts up a number that all steps of the order in its kitchen share.
    Counter {
        /// So many times, by one.
        increments: u32,
        /// Under a lock, or read and written back as it comes.
        locked: bool,
    },
    /// Fails on purpose.
    Fault(Fault),
    /// Fails on purpose in the first attempts at its order, and does nothing in later ones.
    PassingFault {
        /// How.
        fault: Fault,
        /// In so many of them.
        attempts: u32,
    },
}

impl Work {
    /// The name of the kind on the wire.
    #[must_use]
    pub fn kind(self) -> &'static str {
        match self {
            Self::Wait(_) => "wait",
            Self::BlockingWait(_) => "blocking_wait",
            Self::Iterations(_) | Self::Burn(_) => "cpu",
            Self::Exchange { .. } => "exchange",
            Self::Counter { .. } => "counter",
            Self::Fault(_) | Self::PassingFault { .. } => "fault",
        }
    }

    /// How long it waits; zero for other work.
    #[must_use]
    pub fn wait(self) -> Duration {
        match self {
            Self::Wait(d) | Self::BlockingWait(d) => d,
            _ => Duration::ZERO,
        }
    }

    /// Whether it fails on purpose, in some attempt at least.
    #[must_use]
    pub fn is_fault(self) -> bool {
        matches!(self, Self::Fault(_) | Self::PassingFault { .. })
    }

    /// What it is in this attempt at its order.
    #[must_use]
    pub fn in_attempt(self, attempt: u32) -> Self {
        match self {
            Self::PassingFault { fault, attempts } if attempt <= attempts => Self::Fault(fault),
            Self::PassingFault { .. } => Self::Wait(Duration::ZERO),
            other => other,
        }
    }

    /// Whether it needs a core for its whole length.
    #[must_use]
    pub fn is_cpu(self) -> bool {
        matches!(self, Self::Iterations(_) | Self::Burn(_) | Self::Counter { .. })
    }
}

/// A step of a recipe.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Unique within the recipe.
    pub name: Box<str>,
    /// What it does, waits undivided by `speed`; of a wait that is drawn, the middle of its distribution.
    pub work: Work,
    /// How its wait differs from dish to dish.
    pub spread: Spread,
    /// Share of its CPU that needs the GIL, 0 to 100.
    pub gil_held_percent: u8,
    /// CPU time after which it lets the event loop do something else.
    pub yield_every: Option<Duration>,
    /// Equipment it needs, positions in [`Recipe::equipment`], in the order they are taken.
    pub needs: Box<[u8]>,
    /// Whether it keeps what it has while it waits for the next.
    pub hold_while_waiting: bool,
    /// Steps that must be done before, one bit each.
    pub after: u128,
}

impl Step {
    /// A step that needs nothing and waits for nobody.
    #[must_use]
    pub fn plain(name: &str, work: Work) -> Self {
        Self {
            name: name.into(),
            work,
            spread: Spread::Constant,
            gil_held_percent: 100,
            yield_every: None,
            needs: Box::default(),
            hold_while_waiting: false,
            after: 0,
        }
    }
}

/// Something that only so many steps can use at once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Equipment {
    /// Unique within the recipe.
    pub name: Box<str>,
    /// Steps that can use it at once, at least 1.
    pub capacity: u32,
    /// One for all kitchens of an order, or one in each.
    pub shared: bool,
}

/// A recipe: one per order, never per dish.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recipe {
    /// Its name.
    pub name: Box<str>,
    /// What its steps share, at most [`super::limits::EQUIPMENT`].
    pub equipment: Box<[Equipment]>,
    /// At least one, at most [`super::limits::STEPS_PER_DISH`].
    pub steps: Box<[Step]>,
}

/// In which order the steps of one dish may run; independent of the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum StepOrder {
    /// As the `after` edges say.
    Recipe,
    /// One after another, as listed.
    Sequential,
    /// All at once, edges ignored.
    Concurrent,
}

impl StepOrder {
    /// Names on the wire, in the order of the variants.
    pub const NAMES: [&'static str; 3] = ["recipe", "sequential", "concurrent"];

    /// Name on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::NAMES[self as usize]
    }
}

impl Recipe {
    /// Whether this step needs what all kitchens of an order share.
    #[must_use]
    pub fn shares(&self, at: StepRef) -> bool {
        self.steps[usize::from(at.step)].needs.iter().any(|n| self.equipment[usize::from(*n)].shared)
    }

    /// Steps that must be done before step `i` may start, one bit each.
    #[must_use]
    pub fn before(&self, i: usize, order: StepOrder) -> u128 {
        match order {
            StepOrder::Recipe => self.steps[i].after,
            StepOrder::Sequential if i > 0 => 1 << (i - 1),
            StepOrder::Sequential | StepOrder::Concurrent => 0,
        }
    }

    /// Whether each step waits exactly for the one listed before it.
    #[must_use]
    pub fn is_chain(&self, order: StepOrder) -> bool {
        (0..self.steps.len()).all(|i| self.before(i, order) == if i == 0 { 0 } else { 1 << (i - 1) })
    }

    /// Steps on a cycle of `after` edges, if there is one (Kahn 1962: what topological sorting cannot place).
    #[must_use]
    pub fn cycle(&self) -> Option<Vec<usize>> {
        let mut placed = 0_u128;
        loop {
            let next = (0..self.steps.len()).find(|&i| placed >> i & 1 == 0 && self.steps[i].after & !placed == 0);
            match next {
                Some(i) => placed |= 1 << i,
                None => break,
            }
        }
        let left: Vec<_> = (0..self.steps.len()).filter(|i| placed >> i & 1 == 0).collect();
        (!left.is_empty()).then_some(left)
    }
}
