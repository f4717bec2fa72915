//! How many cores this machine really gives: `nproc` counts neighbours' cores as ours.
//!
//! It deliberately measures for a tenth of a second only: enough to tell 1.2 cores from 2.

use std::time::Duration;

use crate::clock;
use crate::domain::recipe::Work;
use crate::model::cancel::Cancel;
use crate::model::work;

/// CPU seconds per second that this many burners get together. Blocks for a tenth of a second or more.
#[must_use]
pub fn effective_cores(burners: usize) -> f64 {
    const SPAN: Duration = Duration::from_millis(100);
    let started = clock::now();
    let burn = || std::thread::spawn(|| work::perform(Work::Burn(SPAN), &Cancel::default(), None, |_| ()));
    let threads: Vec<_> = (0..burners.max(1)).map(|_| burn()).collect();
    let cpu: u64 = threads.into_iter().filter_map(|t| t.join().ok()).map(|done| done.terms.cpu).sum();
    let span = clock::now() - started;
    (cpu as f64 / span as f64).clamp(0.1, burners.max(1) as f64)
}
