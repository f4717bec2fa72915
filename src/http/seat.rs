//! Seats for event streams: so many at once, each for so long.
//!
//! It deliberately knows nothing of what a stream tells.

use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;

use super::AppState;
use super::caller::Caller;
use super::keys::Pass;
use super::problem::{self, Problem};
use crate::clock;
use crate::domain::{Ns, limits};

/// How long a stream lives before the client has to come again: so that nobody holds a seat for ever.
const AGE: Duration = Duration::from_secs(3_600);

/// A stream's seat, given up with it.
pub(super) struct Seat {
    until: Ns,
    pass: Pass,
    _permit: OwnedSemaphorePermit,
}

impl Seat {
    /// A seat for one more stream.
    pub(super) fn take(app: &AppState, caller: &Caller) -> Result<Self, Problem> {
        let full = |_| Problem::new(&problem::STREAMS, format!("{} event streams are open", limits::STREAMS));
        let permit = app.streams.clone().try_acquire_owned().map_err(full)?;
        Ok(Self { until: clock::now() + clock::ns(AGE), pass: caller.pass.clone(), _permit: permit })
    }

    /// Whether the stream has to end. Whoever is told by it may go on only as long as he could begin.
    pub(super) fn is_over(&self, app: &AppState) -> bool {
        app.is_closing() || self.pass.is_withdrawn() || clock::now() >= self.until
    }
}
