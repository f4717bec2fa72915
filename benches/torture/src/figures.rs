//! Numbers of a row and how they are printed.
//!
//! It deliberately keeps every sample: a percentile of a percentile says nothing.

use std::time::Duration;

/// Samples of one kind.
#[derive(Clone, Debug, Default)]
pub struct Samples(Vec<u64>);

impl Samples {
    pub fn add(&mut self, sample: Duration) {
        self.0.push(sample.as_nanos() as u64);
    }

    pub fn join(&mut self, other: Samples) {
        self.0.extend(other.0);
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The value that `percent` of the samples do not exceed (nearest rank); zero without samples.
    pub fn percentile(&self, percent: f64) -> Duration {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let rank = (percent / 100.0 * sorted.len() as f64).ceil() as usize;
        sorted.get(rank.saturating_sub(1)).map_or(Duration::ZERO, |ns| Duration::from_nanos(*ns))
    }

    pub fn p99(&self) -> Duration {
        self.percentile(99.0)
    }

    pub fn max(&self) -> Duration {
        self.percentile(100.0)
    }
}

/// Milliseconds, with as many digits as mean something.
pub fn ms(duration: Duration) -> String {
    let ms = duration.as_secs_f64() * 1e3;
    if ms < 10.0 { format!("{ms:.2} ms") } else { format!("{ms:.0} ms") }
}

/// Mebibytes.
pub fn mib(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / 1_048_576.0)
}

/// What a row found out.
#[derive(Debug, Default)]
pub struct Finding {
    /// Which row, and which case of it.
    pub row: String,
    /// How much.
    pub size: String,
    /// How it was seen that the fault happened; `None` if it was not.
    pub fault: Option<String>,
    /// What was measured.
    pub figures: Vec<String>,
    /// What must hold.
    pub pass_line: String,
    /// What did not hold.
    pub broken: Vec<String>,
}

impl Finding {
    pub fn of(row: &str, size: impl Into<String>, pass_line: &str) -> Self {
        Self { row: row.to_owned(), size: size.into(), pass_line: pass_line.to_owned(), ..Self::default() }
    }

    /// Says that the fault happened, if it did.
    pub fn fault(&mut self, happened: bool, what: impl Into<String>) {
        let what = what.into();
        if happened {
            self.fault = Some(self.fault.take().map_or_else(|| what.clone(), |said| format!("{said}; {what}")));
        } else {
            self.broken.push(format!("the fault did not happen: {what}"));
            self.fault = None;
        }
    }

    pub fn figure(&mut self, what: impl Into<String>) {
        self.figures.push(what.into());
    }

    /// Notes a promise that does not hold.
    pub fn must(&mut self, holds: bool, what: impl Into<String>) {
        if !holds {
            self.broken.push(what.into());
        }
    }

    /// A time that is measured, printed and must not be longer than this.
    pub fn at_most(&mut self, what: &str, is: Duration, limit: Duration) {
        self.figure(format!("{what} {}", ms(is)));
        self.must(is <= limit, format!("{what} {} is over {}", ms(is), ms(limit)));
    }

    pub fn passed(&self) -> bool {
        self.broken.is_empty() && self.fault.is_some()
    }

    /// One line of the table.
    pub fn line(&self) -> String {
        let verdict = match (&self.fault, self.passed()) {
            (None, _) => "NOT PROVED",
            (_, true) => "passed",
            (_, false) => "FAILED",
        };
        let fault = self.fault.as_deref().unwrap_or("not seen");
        let figures = self.figures.join(", ");
        format!("| {} | {} | {fault} | {figures} | {} | {verdict} |", self.row, self.size, self.pass_line)
    }
}
