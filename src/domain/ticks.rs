//! How late a ticker on an event loop was: the largest lag, and a histogram of all of them.
//!
//! Two rows an octave, so that a percentile is at most half above what it was; kitchens add theirs up without loss. It
//! deliberately keeps no single lag and reads no clock.

use serde::{Deserialize, Serialize};

use super::Ns;

/// Rows of the histogram: the first up to 66 us, the last from 2 s.
pub const ROWS: usize = 32;
/// Power of two below which all lags are one row: a millisecond timer tells no less than that.
const FIRST: u32 = 16;

/// Lags of a ticker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ticks {
    /// The largest.
    pub max: Ns,
    /// How many there were of each size.
    pub rows: [u32; ROWS],
}

impl Ticks {
    /// The row of a lag.
    #[must_use]
    pub fn row(lag: Ns) -> usize {
        let Some(octave) = (lag >> FIRST).checked_ilog2() else { return 0 };
        let is_upper_half = lag >> (FIRST + octave - 1) & 1;
        (1 + 2 * octave as usize + is_upper_half as usize).min(ROWS - 1)
    }

    /// Where a row ends.
    fn end(row: usize) -> Ns {
        match row.checked_sub(1) {
            None => 1 << FIRST,
            Some(half) => (3 + half as Ns % 2) << (FIRST as usize - 1 + half / 2),
        }
    }

    /// One more.
    pub fn note(&mut self, lag: Ns) {
        self.max = self.max.max(lag);
        self.rows[Self::row(lag)] += 1;
    }

    /// Those of another loop.
    pub fn add(&mut self, other: &Self) {
        self.max = self.max.max(other.max);
        for (mine, theirs) in self.rows.iter_mut().zip(other.rows) {
            *mine = mine.saturating_add(theirs);
        }
    }

    /// Nearest rank, as the end of its row, but never above the largest; `None` of nothing.
    #[must_use]
    pub fn percentile(&self, percent: u64) -> Option<Ns> {
        let count: u64 = self.rows.iter().map(|n| u64::from(*n)).sum();
        let rank = (count * percent).div_ceil(100).max(1);
        let mut below = 0;
        let row = self.rows.iter().position(|n| {
            below += u64::from(*n);
            below >= rank
        })?;
        Some(if row == ROWS - 1 { self.max } else { Self::end(row).min(self.max) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_at_most_half_above_the_lag_it_stands_for() {
        for exponent in 0..40 {
            for lag in [1_u64 << exponent, (1 << exponent) + 1, (3 << exponent) / 2, (1 << exponent) * 2 - 1] {
                let mut ticks = Ticks::default();
                ticks.note(lag);
                ticks.note(Ns::MAX >> 1);
                let found = ticks.percentile(50).unwrap();
                let bound = if Ticks::row(lag) == 0 { 1 << FIRST } else { lag + lag / 2 };
                assert!(found >= lag && (found <= bound || Ticks::row(lag) == ROWS - 1), "{lag} is shown as {found}");
            }
        }
    }

    #[test]
    fn loops_add_up_and_the_largest_is_exact() {
        let (mut one, mut two) = (Ticks::default(), Ticks::default());
        assert_eq!(one.percentile(50), None);
        (0..99).for_each(|_| one.note(1_000_000));
        two.note(70_123_456);
        one.add(&two);
        assert_eq!((one.max, one.percentile(100)), (70_123_456, Some(70_123_456)));
        assert!(one.percentile(95).unwrap() < 1_500_001 && one.percentile(50) == one.percentile(99));
    }
}
