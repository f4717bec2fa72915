//! Single steps in a kitchen: one chef, who asks the parent for what all kitchens share and hands things to it.
//!
//! The other chef of an exchange is the parent, at the other end of the pipe or of a piece of shared memory. It
//! deliberately knows no run: what the step belongs to is the parent's business.

use std::io::{self, Read};

use super::child::say;
use super::confine;
use super::frames::{self, Down, Task, Up};
use super::ring::Ring;
use crate::clock;
use crate::domain::Ns;
use crate::domain::job::ErrorKind;
use crate::domain::recipe::{StepRef, Work};
use crate::domain::record::Outcome;
use crate::model::cancel::{self, Cancel};
use crate::model::work::{self, Performed};

/// The number of the one claim a step can have.
const CLAIM: u64 = 0;

/// The chef's hands.
pub(super) struct Hands {
    cancel: Cancel,
    /// The shared memory in use, by the parent's descriptor.
    ring: Option<(i32, Ring)>,
}

impl Hands {
    pub(super) fn new() -> Self {
        // Whoever holds the other end of stdin is the one this work is for.
        Self { cancel: Cancel::with_lifeline(), ring: None }
    }

    /// Does one step.
    pub(super) fn step(&mut self, task: &Task, stdin: &mut impl Read) -> io::Result<Performed> {
        let Some(at) = task.asks else { return Ok(self.perform(task, stdin)) };
        let started = clock::now();
        let held_idle = ask(at, stdin)?;
        let equipped = clock::now();
        Ok(self.perform(task, stdin).after_equipment(started, equipped, held_idle))
    }

    fn perform(&mut self, task: &Task, stdin: &mut impl Read) -> Performed {
        let Work::Exchange { bytes, messages } = task.work else {
            return confine::within_cpu(task.work, || work::perform(task.work, &self.cancel, None, |_| ()));
        };
        work::handed(
            |_| (),
            || {
                let handed = match task.ring {
                    None => over_the_pipe(bytes, messages, stdin),
                    Some(fd) => self.ring(fd).and_then(|ring| ring.hand(bytes, messages, cancel::is_lifeline_cut)),
                };
                let why = |error| (ErrorKind::Exit, format!("cannot hand things over: {error}"));
                handed.map(|()| Outcome::Succeeded).map_err(why)
            },
        )
    }

    fn ring(&mut self, fd: i32) -> io::Result<&Ring> {
        let ring = match self.ring.take() {
            Some((open, ring)) if open == fd => ring,
            _ => Ring::of_parent(fd)?,
        };
        Ok(&self.ring.insert((fd, ring)).1)
    }
}

/// Waits until the parent lends what this step needs; answers how long a part of it was held meanwhile.
fn ask(at: StepRef, stdin: &mut impl Read) -> io::Result<Ns> {
    say(&Up::Need(CLAIM, at))?;
    match frames::read(stdin)? {
        Some(Down::Lent(CLAIM, held_idle)) => Ok(held_idle),
        _ => Err(io::ErrorKind::BrokenPipe.into()),
    }
}

fn over_the_pipe(bytes: u32, messages: u32, stdin: &mut impl Read) -> io::Result<()> {
    say(&Up::Hand(messages))?;
    for _ in 0..messages {
        frames::write_message(rustix::stdio::stdout(), bytes)?;
    }
    match frames::read(stdin)? {
        Some(Down::Taken) => Ok(()),
        _ => Err(io::ErrorKind::BrokenPipe.into()),
    }
}
