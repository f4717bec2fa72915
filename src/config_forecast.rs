//! The settings of `pasta-fasta forecast`.
//!
//! Beside the others (`src/config.rs`) for the length of that file alone. It deliberately checks nothing: that is the
//! laboratory's.

use clap::Args;

/// A forecast without a server.
#[derive(Debug, Args)]
pub struct Forecast {
    /// Milliseconds each dish waits.
    #[arg(long, default_value_t = 0)]
    pub io_ms: u64,
    /// Milliseconds of CPU each dish needs.
    #[arg(long, default_value_t = 0)]
    pub cpu_ms: u64,
    /// How many dishes.
    #[arg(long, default_value_t = 100)]
    pub dishes: u64,
    /// Who is foreseen: default or sweep.
    #[arg(long, default_value = "default")]
    pub line_up: String,
    /// Cores of another machine; this one's if absent.
    #[arg(long)]
    pub cores: Option<u64>,
    /// What is best: makespan, `mean_latency`, `p95_latency` or memory.
    #[arg(long, default_value = "makespan")]
    pub objective: String,
    /// Measure this machine first, for about three seconds.
    #[arg(long)]
    pub calibrate: bool,
    /// Print the forecast as JSON and nothing else.
    #[arg(long)]
    pub json: bool,
}
