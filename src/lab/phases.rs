//! What a step's time consists of: the terms of its books, in a fixed order, each with its name, its mark and its colour.
//!
//! The one visual language of reports, timelines and traces. How long each term took is measured; where in the step it
//! lay is not, so the order in which they are drawn is a convention. It deliberately draws nothing itself.

use crate::domain::Ns;
use crate::domain::record::{StepRecord, wait_of};
use crate::domain::spec::Spec;

/// A kind of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Ready, and nobody had taken it up.
    Queue,
    /// Waiting for equipment.
    Equipment,
    /// The wait the recipe asks for.
    Wait,
    /// The wait was over, and nobody had noticed.
    Lag,
    /// Waiting for the GIL.
    Gil,
    /// Runnable, without a core.
    Core,
    /// Handing something over.
    Exchange,
    /// Between two pieces of CPU work, while the loop did something else (`yield_every_ms`).
    Yielded,
    /// On a core.
    Cpu,
    /// What no term explains.
    Rest,
}

/// Number of kinds.
pub const PHASES: usize = 10;

impl Phase {
    /// All of them, in the order in which a step is drawn.
    pub const ALL: [Self; PHASES] = [
        Self::Queue,
        Self::Equipment,
        Self::Wait,
        Self::Lag,
        Self::Gil,
        Self::Core,
        Self::Exchange,
        Self::Yielded,
        Self::Cpu,
        Self::Rest,
    ];

    /// Name on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        ["queue", "equipment_wait", "wait", "lag", "gil_wait", "core_wait", "exchange", "yielded", "cpu", "residual"]
            [self as usize]
    }

    /// Name in a legend.
    #[must_use]
    pub fn words(self) -> &'static str {
        [
            "ready, no worker free",
            "waits for equipment",
            "wait",
            "wait is over, not noticed",
            "waits for the GIL",
            "waits for a core",
            "exchange",
            "lets the loop turn",
            "cpu",
            "unexplained",
        ][self as usize]
    }

    /// Mark in a text chart.
    #[must_use]
    pub fn mark(self) -> char {
        ['·', 'e', '░', '>', 'g', 'c', '=', 'y', '▓', '?'][self as usize]
    }

    /// Colour in a drawing: warm is work, blue is waiting as asked, the rest is what nobody asked for.
    #[must_use]
    pub fn colour(self) -> &'static str {
        ["#d5d8dc", "#8e44ad", "#5dade2", "#1f618d", "#b03a2e", "#f4d03f", "#229954", "#a3e4d7", "#d35400", "#7b7d7d"]
            [self as usize]
    }
}

/// The time of one step, by kind; the parts from equipment to rest add up to its span, the rest unclipped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Parts(pub [i64; PHASES]);

impl Parts {
    /// Of a step that ran.
    #[must_use]
    pub fn of(spec: &Spec, record: &StepRecord) -> Self {
        let (terms, span) = (record.terms, (record.finished - record.started) as i64);
        let measured = terms.sum() as i64;
        let (wait, lag) = match (wait_of(spec.work(record.at)), record.lag(spec)) {
            // What came after the wait is a part of its lag, and has terms of its own.
            (Some(asked), Some(lag)) => (asked as i64, lag as i64 - (measured - terms.equipment_wait as i64)),
            // A wait that was stopped waited as long as it lasted.
            (Some(_), None) => (span - measured, 0),
            (None, _) => (0, 0),
        };
        let rest = span - measured - wait - lag;
        Self([
            (record.started - record.ready) as i64,
            terms.equipment_wait as i64,
            wait,
            lag,
            terms.gil_wait as i64,
            terms.core_wait as i64,
            terms.exchange as i64,
            terms.yielded as i64,
            terms.cpu as i64,
            rest,
        ])
    }

    /// One part.
    #[must_use]
    pub fn get(&self, phase: Phase) -> i64 {
        self.0[phase as usize]
    }

    /// Adds those of another step.
    pub fn add(&mut self, other: &Self) {
        self.0.iter_mut().zip(other.0).for_each(|(mine, theirs)| *mine += theirs);
    }

    /// Without those of another.
    #[must_use]
    pub fn minus(&self, other: &Self) -> Self {
        Self(std::array::from_fn(|i| self.0[i] - other.0[i]))
    }

    /// All of them together.
    #[must_use]
    pub fn sum(&self) -> i64 {
        self.0.iter().sum()
    }

    /// One after another from when the step was ready: kind, from, to. Nothing goes beyond its end, however the books
    /// stand.
    pub fn laid_out(&self, record: &StepRecord) -> impl Iterator<Item = (Phase, Ns, Ns)> {
        let (mut at, end) = (record.ready, record.finished);
        Phase::ALL.into_iter().zip(self.0).filter_map(move |(phase, length)| {
            let from = if phase == Phase::Equipment { record.started } else { at };
            at = match phase {
                Phase::Queue => record.started,
                Phase::Rest => end,
                _ => from.saturating_add_signed(length.max(0)).min(end),
            };
            (at > from).then_some((phase, from, at))
        })
    }
}
