//! Open arrivals: dishes are asked for by the clock, not all at once, and whether or not others are done.
//!
//! It deliberately decides nothing about the kitchen: a dish that nobody takes up yet has arrived all the same.

use std::sync::{Arc, OnceLock};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Ns;
use super::draw;

/// How the gaps between two dishes are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Process {
    /// Exponential gaps: independent clients.
    Poisson,
    /// Equal gaps: a clock.
    Uniform,
}

impl Process {
    /// Names on the wire, in the order of the variants.
    pub const NAMES: [&'static str; 2] = ["poisson", "uniform"];

    /// Name on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::NAMES[self as usize]
    }
}

/// When dishes are asked for.
#[derive(Debug, Serialize, Deserialize)]
pub struct Arrivals {
    /// Dishes a second, on average.
    pub rate_per_s: u32,
    /// How the gaps are made.
    pub process: Process,
    /// The times of a Poisson process, drawn when first asked for: each is the sum of all gaps before it.
    #[serde(skip)]
    times: OnceLock<Arc<[Ns]>>,
}

impl Clone for Arrivals {
    /// Without its draws: the copy may be of an order with more dishes.
    fn clone(&self) -> Self {
        Self::new(self.rate_per_s, self.process)
    }
}

impl PartialEq for Arrivals {
    fn eq(&self, other: &Self) -> bool {
        (self.rate_per_s, self.process) == (other.rate_per_s, other.process)
    }
}

impl Eq for Arrivals {}

const NS_PER_S: u64 = 1_000_000_000;
/// Keeps these draws apart from those of the steps, whose numbers are smaller.
const STEP: u16 = u16::MAX;

impl Arrivals {
    /// Arrivals, none drawn yet.
    #[must_use]
    pub fn new(rate_per_s: u32, process: Process) -> Self {
        Self { rate_per_s, process, times: OnceLock::new() }
    }

    /// When this dish arrives; the first one at once. `last` is the number of the last dish.
    pub(super) fn of(&self, seed: u64, dish: u32, last: impl FnOnce() -> u32) -> Ns {
        match self.process {
            Process::Uniform => u64::from(dish - 1) * NS_PER_S / u64::from(self.rate_per_s),
            Process::Poisson => self.times.get_or_init(|| self.draw(seed, last()))[dish as usize - 1],
        }
    }

    fn draw(&self, seed: u64, dishes: u32) -> Arc<[Ns]> {
        let mean = NS_PER_S as f64 / f64::from(self.rate_per_s);
        let mut at = 0.0;
        let next = |dish| {
            let now = at as Ns;
            at -= mean * draw::unit(draw::bits(seed, dish, STEP)).ln();
            now
        };
        (1..=dishes).map(next).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_poisson_process_has_its_rate_and_gaps_as_wide_as_their_mean() {
        let arrivals = Arrivals::new(1_000, Process::Poisson);
        let times: Vec<_> = (1..=20_000).map(|dish| arrivals.of(3, dish, || 20_000)).collect();
        assert_eq!(times[0], 0);
        let gaps: Vec<_> = times.windows(2).map(|pair| (pair[1] - pair[0]) as f64 / 1e6).collect();
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        let deviation = (gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / gaps.len() as f64).sqrt();
        assert!((mean - 1.0).abs() < 0.03 && (deviation - 1.0).abs() < 0.05, "{mean} {deviation}");
    }

    #[test]
    fn uniform_arrivals_keep_the_beat() {
        let arrivals = Arrivals::new(4, Process::Uniform);
        assert_eq!([1, 2, 5].map(|dish| arrivals.of(3, dish, || 5)), [0, 250_000_000, NS_PER_S]);
    }
}
