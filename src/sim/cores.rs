//! The cores: everybody who computes gets the same share of what the machine supplies to so many.
//!
//! Virtual time makes it cheap: all who compute progress alike, so a burst is over when the progress made by anybody since
//! then equals its demand, and a newcomer changes the pace, not the order. It deliberately knows no time slices: over
//! more than some milliseconds the kernel's fair scheduler comes to the same.

use super::agenda::Agenda;
use super::supply::Supply;
use crate::domain::Ns;

/// Bits behind the point of a progress in nanoseconds: a million changes of pace lose a microsecond at most.
const FRACTION: u32 = 10;

/// The cores.
#[derive(Debug)]
pub(super) struct Cores {
    supply: Supply,
    runnable: u64,
    /// Thousandths of a core that so many get together.
    milli: u64,
    /// Progress of whoever has been computing all the time.
    progress: u64,
    /// The moment up to which `progress` counts.
    at: Ns,
    ends: Agenda,
    /// Of each actor: the number of its entry in `ends` (0: does not compute), and the progress at which it is done.
    bursts: Vec<(u32, u64)>,
    busy: u128,
    waited: u128,
}

impl Cores {
    pub(super) fn new(supply: Supply) -> Self {
        Self {
            milli: supply.milli(1),
            supply,
            runnable: 0,
            progress: 0,
            at: 0,
            ends: Agenda::default(),
            bursts: Vec::new(),
            busy: 0,
            waited: 0,
        }
    }

    fn are(&mut self, runnable: u64) {
        self.runnable = runnable;
        self.milli = self.supply.milli(runnable);
    }

    fn is_shared(&self) -> bool {
        self.runnable * 1_000 > self.milli
    }

    /// Lets time pass.
    pub(super) fn advance(&mut self, to: Ns) {
        let span = (to - self.at) << FRACTION;
        self.at = to;
        if span == 0 || self.runnable == 0 {
            return;
        }
        let made = if self.is_shared() { times(span, self.milli, self.runnable * 1_000, false) } else { span };
        self.progress += made;
        self.busy += u128::from(made) * u128::from(self.runnable);
        self.waited += u128::from(span - made) * u128::from(self.runnable);
    }

    /// An actor begins to compute.
    pub(super) fn start(&mut self, actor: u32, demand: Ns) {
        let i = actor as usize;
        if self.bursts.len() <= i {
            self.bursts.resize(i + 1, (0, 0));
        }
        let end = self.progress + (demand << FRACTION);
        self.bursts[i] = (self.ends.push(end, actor), end);
        self.are(self.runnable + 1);
    }

    /// Takes the cores from an actor; answers what it still has to compute.
    pub(super) fn stop(&mut self, actor: u32) -> Ns {
        let (_, end) = std::mem::take(&mut self.bursts[actor as usize]);
        self.are(self.runnable - 1);
        end.saturating_sub(self.progress).div_ceil(1 << FRACTION)
    }

    /// When the next burst is over, if nothing changes until then.
    pub(super) fn next_end(&mut self) -> Option<Ns> {
        let end = self.first()?.0;
        let left = end.saturating_sub(self.progress);
        let span = if self.is_shared() { times(left, self.runnable * 1_000, self.milli, true) } else { left };
        Some(self.at + span.div_ceil(1 << FRACTION))
    }

    /// Whose burst is over now.
    pub(super) fn ended(&mut self) -> Option<u32> {
        let (end, actor) = self.first()?;
        if end > self.progress {
            return None;
        }
        self.ends.pop();
        self.bursts[actor as usize] = (0, 0);
        self.are(self.runnable - 1);
        Some(actor)
    }

    /// The earliest burst that has not been stopped.
    fn first(&mut self) -> Option<(u64, u32)> {
        loop {
            let (end, number, actor) = self.ends.first()?;
            if self.bursts[actor as usize].0 == number {
                return Some((end, actor));
            }
            self.ends.pop();
        }
    }

    /// Whether this actor computes.
    pub(super) fn has(&self, actor: u32) -> bool {
        self.bursts.get(actor as usize).is_some_and(|burst| burst.0 != 0)
    }

    /// CPU time given, and time spent runnable without a core, by all together.
    pub(super) fn totals(&self) -> (Ns, Ns) {
        ((self.busy >> FRACTION) as Ns, (self.waited >> FRACTION) as Ns)
    }
}

/// `x * numerator / denominator`, exact, rounded up or down.
fn times(x: u64, numerator: u64, denominator: u64, up: bool) -> u64 {
    let more = if up { denominator - 1 } else { 0 };
    match x.checked_mul(numerator).and_then(|product| product.checked_add(more)) {
        Some(product) => product / denominator,
        None => ((u128::from(x) * u128::from(numerator) + u128::from(more)) / u128::from(denominator)) as u64,
    }
}
