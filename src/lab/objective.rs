//! What is best: one figure of a run, or several weighed against each other.
//!
//! It deliberately measures nothing and knows no unit: only the ratio of two scores means something.

use super::entry::Figures;

/// Figures that can be aimed at, in the order of [`Objective::NAMES`]; less of each is better.
pub type Aims = [f64; 4];

/// What is best: a weight for each figure that can be aimed at.
///
/// Several figures are weighed by their geometric mean: the ratio of two scores is then the weighted mean of the ratios,
/// whatever the units and whoever else is compared (Fleming and Wallace 1986). No figure has to be normalised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Objective {
    weights: [u32; 4],
}

impl Objective {
    /// Names on the wire.
    pub const NAMES: [&'static str; 4] = ["makespan", "mean_latency", "p95_latency", "memory"];
    /// Least time for all dishes.
    pub const MAKESPAN: Self = Self { weights: [1, 0, 0, 0] };
    /// Largest weight; chosen.
    pub const LARGEST_WEIGHT: u64 = 100;

    /// The objective of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let at = Self::NAMES.iter().position(|n| *n == name)?;
        let mut weights = [0; 4];
        weights[at] = 1;
        Some(Self { weights })
    }

    /// Several figures, weighed in the order of [`Self::NAMES`]; `None` without any weight.
    #[must_use]
    pub fn weighed(weights: [u32; 4]) -> Option<Self> {
        weights.iter().any(|w| *w > 0).then_some(Self { weights })
    }

    /// Its weights, in the order of [`Self::NAMES`].
    #[must_use]
    pub fn weights(self) -> [u32; 4] {
        self.weights
    }

    /// Names and weights of what it looks at.
    pub fn parts(self) -> impl Iterator<Item = (&'static str, u32)> {
        Self::NAMES.into_iter().zip(self.weights).filter(|(_, weight)| *weight > 0)
    }

    /// Its name, if it looks at one figure only.
    #[must_use]
    pub fn name(self) -> Option<&'static str> {
        let mut parts = self.parts();
        parts.next().filter(|_| parts.next().is_none()).map(|(name, _)| name)
    }

    /// As people say it, "makespan" or "3 makespan + 1 memory".
    #[must_use]
    pub fn words(self) -> String {
        let part = |(name, weight): (&str, u32)| format!("{weight} {}", name.replace('_', " "));
        match self.name() {
            Some(name) => name.replace('_', " "),
            None => self.parts().map(part).collect::<Vec<_>>().join(" + "),
        }
    }

    /// What is to be small.
    #[must_use]
    pub fn of(self, aims: Aims) -> f64 {
        let weighed = aims.into_iter().zip(self.weights).filter(|(_, weight)| *weight > 0);
        let (mut sum, mut all, mut last) = (0.0, 0.0, 0.0);
        let mut count = 0;
        for (aim, weight) in weighed {
            let weight = f64::from(weight);
            // A figure of nothing has no logarithm; less than a nanosecond or a byte is not measured anyway.
            sum += weight * aim.max(1e-6).ln();
            all += weight;
            last = aim;
            count += 1;
        }
        if count == 1 { last } else { f64::exp(sum / all) }
    }

    /// The same of a run.
    #[must_use]
    pub fn of_run(self, figures: &Figures) -> f64 {
        self.of(figures.aims())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_figure_is_itself_and_several_are_the_weighted_mean_of_their_ratios() {
        let aims = [300.0, 20.0, 30.0, 1e6];
        assert_eq!(Objective::MAKESPAN.of(aims), 300.0);
        assert_eq!(Objective::named("memory").map(|o| o.of(aims)), Some(1e6));
        let both = Objective::weighed([3, 0, 0, 1]).expect("weights");
        // Twice the time with weight 3 and a quarter of the memory with weight 1: (2^3 / 4)^(1/4).
        let ratio = both.of([600.0, 0.0, 0.0, 2.5e5]) / both.of(aims);
        assert!((ratio - 2_f64.powf(0.25)).abs() < 1e-9, "{ratio}");
        assert_eq!(both.words(), "3 makespan + 1 memory");
        assert_eq!((both.name(), Objective::weighed([0; 4])), (None, None));
    }
}
