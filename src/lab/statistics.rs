//! The little statistics a comparison needs: medians, ranges, and whether two samples differ.
//!
//! It deliberately knows nothing of orders.

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
}
