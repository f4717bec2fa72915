//! What a machine gives to those who compute: how much all together, by how many they are.
//!
//! On a machine of one's own that is one core each until the cores are used up. With neighbours it is less, and grows with
//! the number of those who ask. It deliberately says nothing of who gets how much: all get the same.

/// What so many who compute get together.
#[derive(Clone, Debug, PartialEq)]
pub struct Supply {
    /// Thousandths of a core for 1, 2, 3 ...; more than there are entries get what the last one says.
    milli: Box<[u64]>,
}

impl Supply {
    /// So many cores, which need not be whole, and nobody else.
    #[must_use]
    pub fn of(cores: f64) -> Self {
        let cores = cores.clamp(1e-3, 65_536.0);
        Self::new((1..=cores.ceil() as u32).map(|n| f64::from(n).min(cores)))
    }

    /// As measured with so many burners, ascending; straight lines in between. `factor` scales all of it.
    #[must_use]
    pub fn measured(burners: &[(u32, f64)], factor: f64) -> Self {
        let most = burners.last().map_or(1, |(n, _)| *n);
        let at = |n: u32| {
            let above = burners.iter().find(|(m, _)| *m >= n).copied().unwrap_or((n, 1.0));
            let below = burners.iter().rev().find(|(m, _)| *m <= n).copied().unwrap_or((0, 0.0));
            let part = f64::from(n - below.0) / f64::from((above.0 - below.0).max(1));
            factor * (below.1 + part * (above.1 - below.1))
        };
        Self::new((1..=most).map(at))
    }

    /// Never less for more, and never more than a core each.
    fn new(cores: impl Iterator<Item = f64>) -> Self {
        let mut least = 1;
        let milli = cores.zip(1_u64..).map(|(cores, n)| {
            least = ((cores * 1e3).round() as u64).clamp(least, 1_000 * n);
            least
        });
        Self { milli: milli.collect() }
    }

    /// Thousandths of a core for so many.
    pub(super) fn milli(&self, runnable: u64) -> u64 {
        let at = (runnable.max(1) as usize).min(self.milli.len()) - 1;
        self.milli.get(at).copied().unwrap_or(1_000)
    }

    /// All there is.
    #[must_use]
    pub fn cores(&self) -> f64 {
        self.milli(u64::MAX) as f64 / 1e3
    }

    /// The least share that few get of what they would get of so many cores without neighbours.
    pub(super) fn worst(&self) -> f64 {
        let all = self.milli(u64::MAX);
        let share = |(milli, n): (&u64, u64)| *milli as f64 / all.min(1_000 * n) as f64;
        self.milli.iter().zip(1..).map(share).fold(1.0, f64::min)
    }
}
