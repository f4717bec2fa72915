//! CPU work, in pieces: the seed's sum of squares, or a burn of so much CPU time; with or without the GIL.
//!
//! A piece is short (20 to 50 us), and between two of them a thread looks whether it is to stop or to let go of the GIL:
//! our granularity where Python's is some bytecodes. It deliberately measures nothing but the wait for the GIL.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use super::cancel::Cancel;
use super::gil::{self, Gil};
use crate::clock;
use crate::domain::Ns;
use crate::domain::recipe::Work;
use crate::domain::record::Outcome;

/// Iterations between two looks: about 50 us, so a stop takes effect far within its 100 ms.
const ITERATIONS_PER_LOOK: u64 = 20_000;
/// Iterations between two looks at the CPU clock while burning: about 20 us, so the look itself costs 1 %.
const ITERATIONS_PER_BURN: u64 = 8_000;
/// CPU time of one turn with the GIL and one without, of work that holds it for a share only: two of CPython's switch
/// intervals (chosen: library calls that let the lock go for less are not worth their hand-over).
const CYCLE: Duration = Duration::from_millis(10);

/// The lock that work is to hold, and for how much of it.
#[derive(Clone, Copy, Debug)]
pub struct Hold<'a> {
    /// The lock.
    pub gil: &'a Arc<Gil>,
    /// Share of the CPU time that is spent with it, 0 to 100.
    pub percent: u8,
}

/// How a stretch of work ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stretch {
    /// There is nothing left to do.
    Done,
    /// It has used what it may.
    Used,
    /// The run is to stop.
    Stopped,
}

/// CPU work, and how much of it is left.
#[derive(Debug)]
pub struct Compute {
    left: Left,
    /// Time spent waiting for the GIL so far, after it was had for the first time.
    pub gil_wait: Ns,
}

#[derive(Debug)]
enum Left {
    Sum { from: u64, to: u64, total: u128 },
    Burn(Ns),
}

impl Compute {
    /// The whole of it; other work is none.
    #[must_use]
    pub fn new(work: Work) -> Self {
        let left = match work {
            Work::Iterations(to) => Left::Sum { from: 0, to, total: 0 },
            Work::Burn(d) => Left::Burn(clock::ns(d)),
            _ => Left::Burn(0),
        };
        Self { left, gil_wait: 0 }
    }

    /// Whether nothing is left.
    #[must_use]
    pub fn is_done(&self) -> bool {
        match self.left {
            Left::Sum { from, to, .. } => from == to,
            Left::Burn(left) => left == 0,
        }
    }

    /// What it computed, when nothing is left.
    #[must_use]
    pub fn value(&self) -> Option<u128> {
        match self.left {
            Left::Sum { from, to, total } if from == to => Some(total),
            _ => None,
        }
    }

    /// Does so much of it, or all, without a look at any lock.
    pub fn go_on(&mut self, at_most: Option<Duration>, cancel: &Cancel) -> Outcome {
        self.stretch(at_most.map(clock::ns), cancel, None).outcome()
    }

    /// Does all of it under the lock, which the calling thread has now and has again afterwards.
    pub fn hold(&mut self, hold: Hold<'_>, cancel: &Cancel) -> Outcome {
        if hold.percent >= 100 {
            return self.stretch(None, cancel, Some(hold.gil)).outcome();
        }
        let with = clock::ns(CYCLE) * Ns::from(hold.percent) / 100;
        let without = (hold.percent > 0).then(|| clock::ns(CYCLE) - with);
        loop {
            let held = self.stretch(Some(with), cancel, Some(hold.gil));
            if held != Stretch::Used {
                return held.outcome();
            }
            gil::leave();
            let free = self.stretch(without, cancel, None);
            self.gil_wait += gil::enter(Some(hold.gil), cancel);
            if free != Stretch::Used {
                return free.outcome();
            }
        }
    }

    /// Works until nothing is left, so much CPU time is used, or the run is to stop; gives way to others at `gil`.
    fn stretch(&mut self, at_most: Option<Ns>, cancel: &Cancel, gil: Option<&Arc<Gil>>) -> Stretch {
        let mut used = 0;
        let mut last = clock::thread_cpu();
        loop {
            if self.is_done() {
                return Stretch::Done;
            }
            if at_most.is_some_and(|most| used >= most) {
                return Stretch::Used;
            }
            if cancel.is_requested() {
                return Stretch::Stopped;
            }
            self.piece();
            // Counted iterations that nobody interrupts need no clock.
            if at_most.is_some() || matches!(self.left, Left::Burn(_)) {
                let now = clock::thread_cpu();
                used += now - last;
                if let Left::Burn(left) = &mut self.left {
                    *left = left.saturating_sub(now - last);
                }
                last = now;
            }
            if let Some(gil) = gil {
                self.gil_wait += gil::give_way(gil, cancel);
            }
        }
    }

    fn piece(&mut self) {
        match &mut self.left {
            Left::Sum { from, to, total } => {
                let end = (*to).min(*from + ITERATIONS_PER_LOOK);
                *total += sum_of_squares(*from, end);
                *from = end;
            }
            Left::Burn(_) => {
                black_box(sum_of_squares(0, ITERATIONS_PER_BURN));
            }
        }
    }
}

impl Stretch {
    fn outcome(self) -> Outcome {
        if self == Self::Stopped { Outcome::Canceled } else { Outcome::Succeeded }
    }
}

/// The seed's `sum(i * i for i in range(n))`, every product computed: 10^7 needs more than 64 bits.
fn sum_of_squares(from: u64, to: u64) -> u128 {
    let mut total = 0_u128;
    for i in from..to {
        total += u128::from(black_box(i)) * u128::from(i);
    }
    total
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seeds_sum_is_really_computed_however_it_is_cut() {
        let closed_form = |n: u128| (n - 1) * n * (2 * n - 1) / 6;
        let cancel = Cancel::default();
        let gil = Gil::new(Duration::from_millis(5));
        for (n, percent) in [(10_000_000, 100), (1_234_567, 100), (12_345, 50), (1_234_567, 0), (0, 50)] {
            let mut whole = Compute::new(Work::Iterations(n));
            assert_eq!(whole.go_on(None, &cancel), Outcome::Succeeded);
            let mut held = Compute::new(Work::Iterations(n));
            gil::enter(Some(&gil), &cancel);
            assert_eq!(held.hold(Hold { gil: &gil, percent }, &cancel), Outcome::Succeeded);
            let mut cut = Compute::new(Work::Iterations(n));
            while !cut.is_done() {
                cut.go_on(Some(Duration::from_micros(100)), &cancel);
            }
            let expected = Some(if n == 0 { 0 } else { closed_form(u128::from(n)) });
            assert_eq!((whole.value(), held.value(), cut.value()), (expected, expected, expected));
        }
        gil::leave();
    }
}
