//! The settings of `pasta-fasta compare` and `pasta-fasta forecast`.
//!
//! Beside the others (`src/config.rs`) for the length of that file alone. It deliberately checks nothing: that is the
//! laboratory's.

use clap::Args;

use crate::domain::ask::OrderAsk;

/// What is asked of the laboratory, measured or foreseen.
#[derive(Debug, Args)]
pub struct Asked {
    /// Milliseconds each dish waits.
    #[arg(long, default_value_t = 0)]
    pub io_ms: u64,
    /// Milliseconds of CPU each dish needs.
    #[arg(long, default_value_t = 0)]
    pub cpu_ms: u64,
    /// How many dishes.
    #[arg(long, default_value_t = 100)]
    pub dishes: u64,
    /// Who stands in it: default or sweep.
    #[arg(long, default_value = "default")]
    pub line_up: String,
    /// What is best: makespan, `mean_latency`, `p95_latency`, memory, or several with weights: `makespan=3,memory=1`.
    #[arg(long, default_value = "makespan")]
    pub objective: String,
    /// Print the answer as JSON and nothing else.
    #[arg(long)]
    pub json: bool,
}

impl Asked {
    /// The work of a dish as an order; `None` if it needs nothing.
    #[must_use]
    pub fn work(&self) -> Option<OrderAsk> {
        let some = |ms: u64| (ms > 0).then_some(ms);
        let (io_ms, cpu_ms) = (some(self.io_ms), some(self.cpu_ms));
        let needs = io_ms.or(cpu_ms).is_some();
        needs.then(|| OrderAsk { io_ms, cpu_ms, dishes: Some(self.dishes), ..OrderAsk::default() })
    }
}

/// A comparison without a server.
#[derive(Debug, Args)]
pub struct Compare {
    /// What to compare.
    #[command(flatten)]
    pub asked: Asked,
    /// Runs of each.
    #[arg(long, default_value_t = 5)]
    pub repeats: u64,
    /// Milliseconds to measure for, all in all; dishes are sampled to fit. 8000, a sweep 60000.
    #[arg(long)]
    pub budget_ms: Option<u64>,
}

/// A forecast without a server.
#[derive(Debug, Args)]
pub struct Forecast {
    /// What to foresee.
    #[command(flatten)]
    pub asked: Asked,
    /// Cores of another machine; this one's if absent.
    #[arg(long)]
    pub cores: Option<u64>,
    /// Measure this machine first, for about three seconds.
    #[arg(long)]
    pub calibrate: bool,
}
