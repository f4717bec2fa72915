//! What is written down of a simulation, and the figures made of it.
//!
//! It deliberately keeps no step: a million dishes leave a million completion times and some sums.

use super::path::Path;
use crate::domain::Ns;

/// The books.
#[derive(Debug)]
pub(super) struct Books {
    /// Where the time of all actors and waits went.
    pub(super) total: Path,
    /// Time steps were ready and not taken up.
    pub(super) queue: Ns,
    /// Completion time of each dish from its arrival; [`Ns::MAX`] if it was not completed.
    pub(super) dishes: Vec<Ns>,
    pub(super) over: u32,
    /// When the last step ended, and the way there.
    pub(super) last: (Ns, Path),
    /// Threads and processes alive, and the most there were.
    pub(super) alive: u32,
    pub(super) most_alive: u32,
}

impl Books {
    pub(super) fn new(dishes: usize) -> Self {
        Self {
            total: Path::default(),
            queue: 0,
            dishes: vec![Ns::MAX; dishes],
            over: 0,
            last: (0, Path::default()),
            alive: 0,
            most_alive: 0,
        }
    }

    /// A step is over.
    pub(super) fn step_over(&mut self, now: Ns, path: &Path) {
        if now >= self.last.0 {
            self.last = (now, *path);
        }
    }

    /// A dish is over.
    pub(super) fn dish_over(&mut self, dish: u32, took: Ns) {
        self.dishes[dish as usize] = took;
        self.over += 1;
    }

    /// Somebody has come, or has gone.
    pub(super) fn headcount(&mut self, by: i32) {
        self.alive = self.alive.saturating_add_signed(by);
        self.most_alive = self.most_alive.max(self.alive);
    }
}

/// Mean, median and 95th percentile of completion times; linear between neighbours (Hyndman and Fan 1996, type 7), as
/// comparisons have it.
pub(super) fn spread(mut dishes: Vec<Ns>) -> (Ns, Ns, Ns) {
    dishes.retain(|took| *took != Ns::MAX);
    dishes.sort_unstable();
    let sum: u128 = dishes.iter().map(|took| u128::from(*took)).sum();
    let mean = sum / (dishes.len().max(1) as u128);
    let quantile = |percent: usize| {
        let at = percent * dishes.len().saturating_sub(1);
        let value = |i: usize| u128::from(dishes.get(i.min(dishes.len().saturating_sub(1))).copied().unwrap_or(0));
        let (below, part) = (at / 100, (at % 100) as u128);
        ((value(below) * (100 - part) + value(below + 1) * part) / 100) as Ns
    };
    (mean as Ns, quantile(50), quantile(95))
}
