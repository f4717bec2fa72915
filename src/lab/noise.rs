//! How far a machine can be trusted while it measures: cores before and after, foreign waits for cores, spread.
//!
//! It deliberately corrects nothing: noise is reported, and lowers what a recommendation claims.

use super::entry::Entry;
use super::objective::Objective;
use super::plan::{self, Machine};
use super::probe::effective_cores;
use super::statistics;

/// Cores that may be missing, as a share; a burner of a tenth of a second is itself this exact. Chosen.
const MISSING_CORES: f64 = 0.10;
/// Change of cores between before and after, as a share. Chosen.
const DRIFT: f64 = 0.10;
/// Wait for cores beside CPU time where no wait was needed. Chosen.
const CORE_WAIT: f64 = 0.05;
/// Range of an entry's runs by their median, at the median entry. Chosen: five runs on an idle machine stay within 5 %.
const SPREAD: f64 = 0.15;
/// Percent of time in which somebody waited for a core, in the ten seconds before. Chosen.
const PRESSURE_PERCENT: f64 = 10.0;

/// The machine at one moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reading {
    /// CPU seconds per second that burners got.
    pub cores: f64,
    /// Percent of the last ten seconds in which somebody waited for a core; `None` where the kernel does not say.
    pub pressure_percent: Option<f64>,
}

impl Reading {
    /// Looks at the machine. Blocks for a tenth of a second.
    #[must_use]
    pub fn take(nominal: usize) -> Self {
        // First, for the burners would be in it.
        let pressure_percent = pressure();
        Self { cores: effective_cores(nominal), pressure_percent }
    }
}

/// `some avg10` of `/proc/pressure/cpu` (kernel: Documentation/accounting/psi.rst).
fn pressure() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/pressure/cpu").ok()?;
    let some = text.lines().find(|line| line.starts_with("some"))?;
    some.split_ascii_whitespace().find_map(|field| field.strip_prefix("avg10="))?.parse().ok()
}

/// What disturbed a comparison.
#[derive(Clone, Debug, PartialEq)]
pub struct Noise {
    /// Just before.
    pub before: Reading,
    /// Cores just after.
    pub cores_after: f64,
    /// Wait for cores by CPU time, over entries that never use more threads than there are cores: nobody but others can
    /// have kept them waiting. `None` without such an entry.
    pub core_wait_share: Option<f64>,
    /// Range of an entry's runs by their median, at the median entry.
    pub spread: Option<f64>,
    /// Why the machine cannot be trusted; empty if it can.
    pub reasons: Vec<String>,
}

impl Noise {
    /// Whether the figures are to be taken with care.
    #[must_use]
    pub fn is_noisy(&self) -> bool {
        !self.reasons.is_empty()
    }

    /// Judges a comparison's runs between two readings; `machine` has the cores it should have.
    #[must_use]
    pub fn of(entries: &[Entry], objective: Objective, before: Reading, cores_after: f64, machine: Machine) -> Self {
        let spreads: Vec<_> = entries
            .iter()
            .filter(|entry| entry.runs.len() > 1)
            .filter_map(|entry| entry.spread(|run| objective.of_run(run)))
            .map(|spread| (spread.high - spread.low) / spread.median)
            .collect();
        let mut noise = Self {
            before,
            cores_after,
            core_wait_share: core_wait_share(entries, machine),
            spread: statistics::quantile(&spreads, 0.5),
            reasons: Vec::new(),
        };
        noise.reasons = noise.found(machine.cores);
        noise
    }

    fn found(&self, nominal: f64) -> Vec<String> {
        let (before, after) = (self.before.cores, self.cores_after);
        let share = self.core_wait_share.unwrap_or_default();
        let (spread, pressure) = (self.spread.unwrap_or_default(), self.before.pressure_percent.unwrap_or_default());
        let table = [
            (
                before.min(after) < nominal * (1.0 - MISSING_CORES),
                format!("of {nominal:.0} cores only {before:.2} were free before and {after:.2} after"),
            ),
            ((before - after).abs() > before * DRIFT, format!("the free cores changed from {before:.2} to {after:.2}")),
            (
                share > CORE_WAIT,
                format!("others kept steps waiting for a core for {:.0} % of their CPU", 100.0 * share),
            ),
            (spread > SPREAD, format!("runs of the same entry differ by {:.0} %", 100.0 * spread)),
            (
                pressure > PRESSURE_PERCENT,
                format!("somebody waited for a core for {pressure:.0} % of the seconds before"),
            ),
        ];
        table.into_iter().filter(|(is_so, _)| *is_so).map(|(_, reason)| reason).collect()
    }
}

fn core_wait_share(entries: &[Entry], machine: Machine) -> Option<f64> {
    let fits = |entry: &&Entry| plan::computing(&entry.spec, machine) <= machine.cores;
    let (cpu, wait) = entries
        .iter()
        .filter(fits)
        .fold((0, 0), |(cpu, wait), entry| (cpu + entry.totals.terms.cpu, wait + entry.totals.terms.core_wait));
    (cpu > 0).then(|| wait as f64 / cpu as f64)
}
