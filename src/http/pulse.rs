//! One connection as the accept loop sees it: what it waits for, since when, and what it has been told.
//!
//! Every request passes here several times, so all of it is atomics: no lock, and no timer per request. It deliberately
//! enforces nothing; [`super::server`] looks at all connections a few times a second and tells those that are late.

use std::future::poll_fn;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::task::{Poll, Waker};

use futures_util::task::AtomicWaker;

use crate::clock::{self, Ns};

/// What a connection is doing. The first three wait for the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Nothing of a request has arrived.
    Idle,
    /// A head has begun.
    Head,
    /// A handler waits for the rest of the body.
    Body,
    /// The service works on an answer, or sends it.
    Busy,
    /// The answer is held back because the client wishes to wait; it could be given at any time.
    Held,
    /// The answer is out; what the client still sends is read and thrown away.
    Leaving,
}

/// Bits of a word of nanoseconds that hold the phase instead.
const PHASE: u64 = 0b111;

/// What a connection has been told, weakest first; a stronger word replaces a weaker one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Order {
    /// Nothing.
    Stay,
    /// End after the answer in hand; at once if there is none.
    Leave,
    /// The head took too long: say so, then end.
    Late,
    /// End now.
    Cut,
}

/// The head says two things at once: request smuggling, unless it is a defect of the client.
pub const AMBIGUOUS: u8 = 1;
/// The request line is longer than the longest URI allowed.
pub const LONG_LINE: u8 = 2;
/// The client may still be sending what nobody will read.
pub const LINGER: u8 = 4;

/// The pulse of one connection.
#[derive(Debug)]
pub struct Pulse {
    phase: AtomicU64,
    /// When a write first found the socket full; 0 when the last one went through.
    stalled: AtomicU64,
    marks: AtomicU8,
    order: AtomicU8,
    waker: AtomicWaker,
}

impl Default for Pulse {
    fn default() -> Self {
        let pulse = Self {
            phase: AtomicU64::new(0),
            stalled: AtomicU64::new(0),
            marks: AtomicU8::new(0),
            order: AtomicU8::new(0),
            waker: AtomicWaker::new(),
        };
        pulse.enter(Phase::Idle);
        pulse
    }
}

impl Pulse {
    /// Enters a phase now.
    pub fn enter(&self, phase: Phase) {
        self.enter_at(phase, clock::now());
    }

    /// Enters a phase at a time that was read anyway.
    pub fn enter_at(&self, phase: Phase, at: Ns) {
        self.phase.store((at & !PHASE) | phase as u64, Ordering::Relaxed);
    }

    /// The phase, and since when.
    #[must_use]
    pub fn phase(&self) -> (Phase, Ns) {
        let word = self.phase.load(Ordering::Relaxed);
        let phase = match word & PHASE {
            0 => Phase::Idle,
            1 => Phase::Head,
            2 => Phase::Body,
            3 => Phase::Busy,
            4 => Phase::Held,
            _ => Phase::Leaving,
        };
        (phase, word & !PHASE)
    }

    /// A write found the socket full, or went through.
    pub fn stall(&self, stalled: bool) {
        self.stalled.store(if stalled { clock::now() } else { 0 }, Ordering::Relaxed);
    }

    /// Since when the client takes nothing, if it does not.
    #[must_use]
    pub fn stalled_since(&self) -> Option<Ns> {
        Some(self.stalled.load(Ordering::Relaxed)).filter(|since| *since != 0)
    }

    /// Since when the service waits for the client, if it does.
    #[must_use]
    pub fn waits_since(&self) -> Option<Ns> {
        match self.phase() {
            (Phase::Busy | Phase::Held, _) => self.stalled_since(),
            (_, since) => Some(since),
        }
    }

    /// The answer is held back from now on, if it was not already.
    pub fn hold(&self) {
        if self.phase().0 != Phase::Held {
            self.enter(Phase::Held);
        }
    }

    /// Since when the answer is held back, if it is.
    #[must_use]
    pub fn held_since(&self) -> Option<Ns> {
        Some(self.phase()).filter(|(phase, _)| *phase == Phase::Held).map(|(_, since)| since)
    }

    /// Resolves when the connection has been told anything. Only within its own task, which every word wakes: there is room
    /// for one waker, and that is the connection's.
    pub async fn told(&self) {
        let is_told = || self.order.load(Ordering::Acquire) != Order::Stay as u8;
        poll_fn(|_| if is_told() { Poll::Ready(()) } else { Poll::Pending }).await;
    }

    /// Sets marks.
    pub fn mark(&self, marks: u8) {
        self.marks.fetch_or(marks, Ordering::Relaxed);
    }

    /// Whether one of these marks is set.
    #[must_use]
    pub fn has(&self, marks: u8) -> bool {
        self.marks.load(Ordering::Relaxed) & marks != 0
    }

    /// Forgets the marks: another request begins.
    pub fn forget(&self) {
        if self.marks.load(Ordering::Relaxed) != 0 {
            self.marks.store(0, Ordering::Relaxed);
        }
    }

    /// Tells the connection something; a weaker word than an earlier one changes nothing. True if it was the first.
    pub fn tell(&self, order: Order) -> bool {
        let before = self.order.fetch_max(order as u8, Ordering::AcqRel);
        if before < order as u8 {
            self.waker.wake();
        }
        before == Order::Stay as u8
    }

    /// What it has been told; `waker` is woken when that changes.
    #[must_use]
    pub fn order(&self, waker: &Waker) -> Order {
        // First, so that a word in between is not missed.
        self.waker.register(waker);
        match self.order.load(Ordering::Acquire) {
            0 => Order::Stay,
            1 => Order::Leave,
            2 => Order::Late,
            _ => Order::Cut,
        }
    }
}
