//! Who takes the steps: a model and its setup, said without naming either.
//!
//! Whoever knows the models writes a plan (`src/lab/forecast.rs`). It deliberately has no figure of cost or of cores.

use crate::domain::Ns;

/// Who takes the steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crew {
    /// One thread, one dish after another.
    Sequential,
    /// An event loop, with a pool of so many threads for what would block it.
    Loop {
        /// Threads of the pool; none if 0.
        assistants: u32,
    },
    /// A pool of threads.
    Pool {
        /// Its size.
        threads: u32,
        /// Whether all are started at once; else as they are needed.
        at_once: bool,
    },
    /// A thread for each step.
    ThreadPerStep,
    /// Processes.
    Kitchens {
        /// How many at once.
        count: u32,
        /// Each does one unit and ends.
        one_use: bool,
        /// What a kitchen takes, and how it goes about it.
        inside: Inside,
        /// They are up before the clock starts.
        up: bool,
    },
}

/// What a kitchen takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inside {
    /// The next ready step.
    Steps,
    /// A share of the dishes, on a loop of its own.
    Loop,
    /// A share of the dishes, on a pool of so many threads.
    Pool(u32),
}

/// How an exchange travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channel {
    /// It stays in one address space.
    Move,
    /// Through a pipe.
    Pipe,
    /// Through shared memory.
    Memory,
}

/// A model and its setup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Who takes the steps.
    pub crew: Crew,
    /// The switch interval of the GIL that each process has, if it has one.
    pub gil: Option<Ns>,
    /// How an exchange travels.
    pub channel: Channel,
}
