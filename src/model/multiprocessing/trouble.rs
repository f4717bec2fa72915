//! What keeps kitchens from being started, for the probe and the log.
//!
//! It deliberately decides nothing: who rests and who fails is the brigade's business.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock;
use crate::domain::Ns;

/// How long a failure is news. Longer than the longest pause between two tries, so that a house that is still failing
/// says so without a gap; when nobody has tried for that long, nobody knows.
const NEWS: Duration = Duration::from_secs(6);
/// Time between two lines of a kind in the log, at least: ten a second.
const QUIET: Duration = Duration::from_millis(100);

#[derive(Default)]
struct State {
    /// When a start failed last, and why.
    last: Option<(Ns, String)>,
    logged: Ns,
    unsaid: u64,
    /// When its end was logged last.
    cured: Ns,
}

/// The trouble there is with starting kitchens.
#[derive(Default)]
pub(super) struct Trouble(Mutex<State>);

impl Trouble {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A kitchen could not be started.
    pub(super) fn report(&self, why: &str) {
        let mut state = self.state();
        let now = clock::now();
        state.last = Some((now, why.to_owned()));
        if now.saturating_sub(state.logged) < clock::ns(QUIET) {
            state.unsaid += 1;
            return;
        }
        state.logged = now;
        let unsaid = std::mem::take(&mut state.unsaid);
        drop(state);
        tracing::error!(why, unsaid, "cannot start a kitchen");
    }

    /// A kitchen came up.
    pub(super) fn over(&self) {
        let mut state = self.state();
        let now = clock::now();
        if state.last.take().is_some() && now.saturating_sub(state.cured) >= clock::ns(QUIET) {
            state.cured = now;
            drop(state);
            tracing::warn!("kitchens can be started again");
        }
    }

    /// Why kitchens cannot be started, if that is so.
    pub(super) fn now(&self) -> Option<String> {
        let state = self.state();
        let (at, why) = state.last.as_ref()?;
        (clock::now().saturating_sub(*at) < clock::ns(NEWS)).then(|| why.clone())
    }
}
