//! Random draws as pure functions of (seed, dish, step): the same in every model and every run.
//!
//! It deliberately keeps no generator state, so the order in which steps happen to run changes nothing.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::limits;

/// The finaliser of splitmix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014).
#[must_use]
pub fn mix(x: u64) -> u64 {
    let mut z = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The draw of one step of one dish: 64 uniform bits.
#[must_use]
pub fn bits(seed: u64, dish: u32, step: u16) -> u64 {
    mix(mix(seed) ^ (u64::from(dish) << 16) ^ u64::from(step))
}

/// A uniform number in (0, 1], of these bits.
#[must_use]
pub fn unit(bits: u64) -> f64 {
    // 53 bits fill an f64; never 0, whose logarithm there is none of.
    ((bits >> 11) + 1) as f64 / (1_u64 << 53) as f64
}

/// How a wait differs from dish to dish.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Spread {
    /// Not at all.
    #[default]
    Constant,
    /// Every length from `low` to `high` is as likely.
    Uniform {
        /// The shortest.
        low: Duration,
        /// The longest.
        high: Duration,
    },
    /// Its logarithm is normal: response times of most services.
    LogNormal {
        /// Half of them are shorter.
        median: Duration,
        /// One in twenty is longer.
        p95: Duration,
    },
    /// Memoryless.
    Exponential {
        /// Their mean.
        mean: Duration,
    },
}

/// The 95th percentile of the standard normal distribution.
const NORMAL_P95: f64 = 1.644_853_626_951_472_2;

impl Spread {
    /// The length that stands for it where one number must: its mean, of a log-normal its median.
    #[must_use]
    pub fn middle(self) -> Option<Duration> {
        match self {
            Self::Constant => None,
            Self::Uniform { low, high } => Some((low + high) / 2),
            Self::LogNormal { median, .. } => Some(median),
            Self::Exponential { mean } => Some(mean),
        }
    }

    /// No draw is longer than this; `constant` if there is nothing to draw.
    #[must_use]
    pub fn longest(self, constant: Duration) -> Duration {
        match self {
            Self::Constant => constant,
            Self::Uniform { high, .. } => high,
            Self::LogNormal { .. } | Self::Exponential { .. } => Duration::from_millis(limits::WAIT_MS),
        }
    }

    /// The length that these bits draw, at most [`limits::WAIT_MS`]; `constant` if there is nothing to draw.
    #[must_use]
    pub fn draw(self, constant: Duration, bits: u64) -> Duration {
        let u = unit(bits);
        let seconds = match self {
            Self::Constant => return constant,
            Self::Uniform { low, high } => low.as_secs_f64() + (high - low).as_secs_f64() * u,
            Self::LogNormal { median, p95 } => {
                let sigma = (p95.as_secs_f64() / median.as_secs_f64()).ln() / NORMAL_P95;
                median.as_secs_f64() * (sigma * normal(u, unit(mix(bits)))).exp()
            }
            Self::Exponential { mean } => -mean.as_secs_f64() * u.ln(),
        };
        Duration::from_secs_f64(seconds.clamp(0.0, limits::WAIT_MS as f64 / 1e3))
    }
}

/// A standard normal number from two uniform ones (Box and Muller 1958).
fn normal(u: f64, v: f64) -> f64 {
    (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sorted(spread: Spread) -> Vec<f64> {
        let mut all: Vec<_> =
            (1..=20_000).map(|dish| spread.draw(Duration::ZERO, bits(7, dish, 0)).as_secs_f64() * 1e3).collect();
        all.sort_unstable_by(f64::total_cmp);
        all
    }

    fn mean(all: &[f64]) -> f64 {
        all.iter().sum::<f64>() / all.len() as f64
    }

    #[test]
    fn draws_have_the_shape_they_are_asked_for() {
        let ms = Duration::from_millis;
        let uniform = sorted(Spread::Uniform { low: ms(10), high: ms(30) });
        assert!(uniform[0] >= 10.0 && uniform[19_999] <= 30.0 && (mean(&uniform) - 20.0).abs() < 0.2);
        let exponential = sorted(Spread::Exponential { mean: ms(50) });
        assert!((mean(&exponential) - 50.0).abs() < 1.5, "{}", mean(&exponential));
        // Of an exponential, the median is ln 2 of the mean.
        assert!((exponential[10_000] - 34.66).abs() < 1.5, "{}", exponential[10_000]);
        let log_normal = sorted(Spread::LogNormal { median: ms(50), p95: ms(200) });
        assert!((log_normal[10_000] - 50.0).abs() < 2.0, "{}", log_normal[10_000]);
        assert!((log_normal[19_000] - 200.0).abs() < 12.0, "{}", log_normal[19_000]);
    }

    #[test]
    fn the_same_dish_draws_the_same_and_no_draw_is_longer_than_the_longest_wait() {
        let wild = Spread::Exponential { mean: Duration::from_millis(limits::WAIT_MS) };
        for dish in 1..1_000 {
            let draw = wild.draw(Duration::ZERO, bits(1, dish, 3));
            assert_eq!(draw, wild.draw(Duration::ZERO, bits(1, dish, 3)));
            assert!(draw <= Duration::from_millis(limits::WAIT_MS));
        }
    }
}
