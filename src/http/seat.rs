//! Seats for event streams: so many at once, each for so long.
//!
//! It deliberately knows nothing of what a stream tells.

use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;

use super::AppState;
use super::problem::{self, Problem};
use crate::clock;
use crate::domain::{Ns, limits};

/// How long a stream lives before the client has to come again: so that nobody holds a seat for ever.
const AGE: Duration = Duration::from_secs(3_600);

/// A stream's seat, given up with it.
pub(super) struct Seat {
    until: Ns,
    _permit: OwnedSemaphorePermit,
}

impl Seat {
    /// A seat for one more stream.
    pub(super) fn take(app: &AppState) -> Result<Self, Problem> {
        let full = |_| Problem::new(&problem::STREAMS, format!("{} event streams are open", limits::STREAMS));
        let permit = app.streams.clone().try_acquire_owned().map_err(full)?;
        Ok(Self { until: clock::now() + clock::ns(AGE), _permit: permit })
    }

    /// Whether the stream has to end.
    pub(super) fn is_over(&self, app: &AppState) -> bool {
        app.is_closing() || clock::now() >= self.until
    }
}
