//! The log: one line per event on stderr, user text escaped.
//!
//! It deliberately never blocks on or dies of a closed stderr.

use tracing_subscriber::EnvFilter;

/// Starts logging with this filter, which has been checked.
pub fn start(filter: &str) {
    let filter = EnvFilter::try_new(filter).unwrap_or_else(|_| EnvFilter::new("info"));
    // A second start (tests) keeps the first.
    let _ = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).try_init();
}
