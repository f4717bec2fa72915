//! A run in a brigade's queue, and how the next unit of work is taken from the queue.
//!
//! It deliberately knows no kitchen: who gets the unit is the brigade's business.

use std::collections::VecDeque;
use std::sync::Arc;

use super::kitchen::Unit;
use super::shares::Shares;
use crate::clock;
use crate::model::line_run::LineRun;
use crate::model::run::Run;

/// A run in the queue.
pub(super) enum Ticket {
    Line(Arc<LineRun>),
    Shares(Arc<Shares>),
}

impl Ticket {
    /// The run.
    pub(super) fn run(&self) -> &Arc<Run> {
        match self {
            Self::Line(line) => &line.run,
            Self::Shares(shares) => shares.run(),
        }
    }

    /// Gives out nothing more of this run.
    pub(super) fn close(&self) {
        match self {
            Self::Line(line) => drop(line.close()),
            Self::Shares(shares) => shares.close(),
        }
    }

    /// The same run once more, for whoever may have to stop it.
    pub(super) fn again(&self) -> Self {
        match self {
            Self::Line(line) => Self::Line(line.clone()),
            Self::Shares(shares) => Self::Shares(shares.clone()),
        }
    }
}

/// Takes the next unit of the first run that has one; runs with more go to the end of the queue, so they take turns.
pub(super) fn next_unit(queue: &mut VecDeque<Ticket>) -> Option<Unit> {
    while let Some(ticket) = queue.pop_front() {
        match &ticket {
            Ticket::Line(line) => {
                let Some(taken) = line.take() else {
                    if line.run.cancel.is_requested() {
                        line.close();
                    }
                    continue;
                };
                let (line, since) = (line.clone(), clock::now());
                let seq = line.run.recorder.started(usize::from(taken.at.step), taken.at, line.run.offset(since));
                if taken.requeue {
                    queue.push_back(ticket);
                }
                return Some(Unit::Step { line, taken, since, seq });
            }
            Ticket::Shares(shares) => {
                let Some((share, more)) = shares.take() else { continue };
                if more {
                    queue.push_back(ticket);
                }
                return Some(Unit::Share(share));
            }
        }
    }
    None
}
