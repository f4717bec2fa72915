//! Where the time went on the way to a moment: the chain of causes that ends there, and what each link was.
//!
//! A step begins because its predecessor is done or because its worker has become free, whichever came last; the chain
//! goes on from that one. Its terms add up to the moment itself, exactly. It deliberately keeps sums only, no links.

use crate::domain::Ns;

/// What a span of time went into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Term {
    /// Computing.
    Cpu,
    /// Waits as asked for.
    Wait,
    /// Runnable without a core.
    CoreWait,
    /// Waiting for the GIL.
    GilWait,
    /// Waiting for equipment.
    EquipmentWait,
    /// Handing data over.
    Exchange,
    /// Starts, hand-overs, late timers, bookkeeping.
    Overhead,
    /// Before the dish arrived.
    Arrival,
}

impl Term {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Cpu,
        Self::Wait,
        Self::CoreWait,
        Self::GilWait,
        Self::EquipmentWait,
        Self::Exchange,
        Self::Overhead,
        Self::Arrival,
    ];

    /// Name on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        ["cpu", "wait", "core_wait", "gil_wait", "equipment_wait", "exchange", "overhead", "arrival"][self as usize]
    }
}

/// Time by term.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Path([Ns; 8]);

impl Path {
    /// Adds to a term.
    pub fn add(&mut self, term: Term, span: Ns) {
        self.0[term as usize] += span;
    }

    /// The time of one term.
    #[must_use]
    pub fn of(&self, term: Term) -> Ns {
        self.0[term as usize]
    }

    /// Every term that took time.
    pub fn terms(&self) -> impl Iterator<Item = (Term, Ns)> + '_ {
        Term::ALL.into_iter().map(|term| (term, self.of(term))).filter(|(_, span)| *span > 0)
    }

    /// The moment it leads to.
    #[must_use]
    pub fn sum(&self) -> Ns {
        self.0.iter().sum()
    }

    /// The largest term.
    #[must_use]
    pub fn dominant(&self) -> Term {
        Term::ALL.into_iter().rev().max_by_key(|term| self.of(*term)).unwrap_or(Term::Overhead)
    }
}
