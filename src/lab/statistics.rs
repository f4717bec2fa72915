//! The little statistics a comparison needs: medians, ranges, whether two samples differ, and by how much.
//!
//! It deliberately knows nothing of orders, and draws nothing at random that could not be drawn again.

use crate::domain::draw;

/// The middle of a sample (mean of the two middle ones), and its smallest and largest value.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Spread {
    /// Median.
    pub median: f64,
    /// Smallest.
    pub low: f64,
    /// Largest.
    pub high: f64,
}

impl Spread {
    /// Of a sample; `None` of nothing.
    #[must_use]
    pub fn of(values: &[f64]) -> Option<Self> {
        let mut sorted = values.to_vec();
        sorted.sort_unstable_by(f64::total_cmp);
        let (low, high) = (*sorted.first()?, *sorted.last()?);
        let n = sorted.len();
        Some(Self { median: f64::midpoint(sorted[(n - 1) / 2], sorted[n / 2]), low, high })
    }
}

/// Two-sided p-value of the Mann-Whitney U test, exact (Mann and Whitney 1947); ties count half.
#[must_use]
pub fn p_value(a: &[f64], b: &[f64]) -> f64 {
    let (n, m) = (a.len(), b.len());
    if n == 0 || m == 0 {
        return 1.0;
    }
    let wins = |x: f64| {
        b.iter()
            .map(|y| {
                if x < *y {
                    1.0
                } else if x == *y {
                    0.5
                } else {
                    0.0
                }
            })
            .sum::<f64>()
    };
    let u: f64 = a.iter().map(|x| wins(*x)).sum();
    let u = u.min((n * m) as f64 - u).floor() as usize;
    let counts = counts(n, m);
    let (total, tail): (f64, f64) = (counts.iter().sum(), counts.iter().take(u + 1).sum());
    (2.0 * tail / total).min(1.0)
}

/// Number of arrangements of n and m values for each U from 0 to n m: f(n, m, u) = f(n-1, m, u-m) + f(n, m-1, u).
fn counts(n: usize, m: usize) -> Vec<f64> {
    let size = n * m + 1;
    let mut table = vec![vec![vec![0.0_f64; size]; m + 1]; n + 1];
    for i in 0..=n {
        for j in 0..=m {
            for u in 0..=i * j {
                table[i][j][u] = if i == 0 || j == 0 {
                    1.0
                } else {
                    let taken = if u >= j { table[i - 1][j][u - j] } else { 0.0 };
                    taken + table[i][j - 1][u]
                };
            }
        }
    }
    std::mem::take(&mut table[n][m])
}

/// Resamples of a bootstrap: the ends of a 95 % interval then lie at ranks 50 and 1,950 (Efron and Tibshirani 1993 ask
/// for a thousand or more).
const RESAMPLES: usize = 2_000;
/// Runs below which an interval says nothing: two values have three different medians.
const FEWEST: usize = 3;

/// Where a ratio lies in 95 of 100 resamples.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// The 95 % interval of median(a) / median(b), by the percentile bootstrap. The same samples give the same interval.
#[must_use]
pub fn ratio_interval(a: &[f64], b: &[f64]) -> Option<Interval> {
    if a.len() < FEWEST || b.len() < FEWEST {
        return None;
    }
    let mut drawn = 0_u64;
    let mut resampled_median = |values: &[f64]| {
        let draw = |_| {
            drawn += 1;
            values[(draw::mix(drawn) % values.len() as u64) as usize]
        };
        Spread::of(&(0..values.len()).map(draw).collect::<Vec<_>>()).map_or(f64::NAN, |s| s.median)
    };
    let mut ratios: Vec<f64> = (0..RESAMPLES).map(|_| resampled_median(a) / resampled_median(b)).collect();
    ratios.sort_unstable_by(f64::total_cmp);
    Some(Interval { low: ratios[RESAMPLES / 40], high: ratios[RESAMPLES - 1 - RESAMPLES / 40] })
}

/// The value below which this share of a sample lies, linearly between neighbours (Hyndman and Fan 1996, type 7).
#[must_use]
pub fn quantile(values: &[f64], q: f64) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let at = q * sorted.len().checked_sub(1)? as f64;
    let below = sorted[at.floor() as usize];
    let above = sorted[at.ceil() as usize];
    Some(below + (at - at.floor()) * (above - below))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exact_tail_of_five_against_five_is_the_tables() {
        assert_eq!(counts(5, 5).iter().sum::<f64>(), 252.0);
        // Complete separation: 2 / 252. U = 2 is the largest U that is significant at 5 % (Mann and Whitney's table).
        let low = [1.0, 2.0, 3.0, 4.0, 5.0];
        assert!((p_value(&low, &[6.0, 7.0, 8.0, 9.0, 10.0]) - 2.0 / 252.0).abs() < 1e-12);
        assert!(p_value(&low, &[3.5, 5.5, 6.0, 7.0, 8.0]) > 0.03);
        assert!(p_value(&low, &low) > 0.9);
    }

    #[test]
    fn a_spread_is_median_and_range() {
        assert_eq!(Spread::of(&[3.0, 1.0, 2.0, 10.0]), Some(Spread { median: 2.5, low: 1.0, high: 10.0 }));
        assert_eq!(Spread::of(&[]), None);
    }

    #[test]
    fn an_interval_holds_the_ratio_says_how_sure_it_is_and_is_always_the_same() {
        let calm = [100.0, 101.0, 99.0, 100.5, 99.5];
        let loud = [150.0, 260.0, 200.0, 190.0, 230.0];
        let interval = ratio_interval(&loud, &calm).expect("enough runs");
        assert!(interval.low < 2.0 && 2.0 < interval.high && interval.low > 1.4 && interval.high < 2.7, "{interval:?}");
        assert_eq!(ratio_interval(&loud, &calm), Some(interval));
        let itself = ratio_interval(&calm, &calm).expect("enough runs");
        assert!(itself.low < 1.0 && 1.0 < itself.high && itself.high - itself.low < 0.05, "{itself:?}");
        assert_eq!(ratio_interval(&calm[..2], &calm), None);
    }

    #[test]
    fn a_quantile_lies_between_its_neighbours() {
        let values = [4.0, 1.0, 3.0, 2.0];
        assert_eq!((quantile(&values, 0.5), quantile(&values, 1.0), quantile(&[], 0.5)), (Some(2.5), Some(4.0), None));
    }
}
