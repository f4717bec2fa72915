//! The thread that keeps this node's leases: its own, so that no kitchen and no request can starve it.
//!
//! It deliberately knows one rule only: who could not renew in time has lost everything, and must have stopped before
//! anybody else may begin.

use std::sync::{Arc, Weak};
use std::time::Duration;

use super::{House, locked};
use crate::clock;
use crate::domain::Ns;

/// Renewals per lease while all goes well.
const RENEWALS: u32 = 3;
/// Tries per lease once one has failed.
const TRIES: u32 = 15;
/// Part of a lease before whose end a node stops trusting itself: time to stop what runs.
const MARGIN: u32 = 5;
/// The least time an answer is given, however late it is.
const AT_LEAST: Duration = Duration::from_millis(100);

/// Starts it.
pub(super) fn start(house: &Arc<House>) {
    let house = Arc::downgrade(house);
    let keeper = std::thread::Builder::new().name("keeper".to_owned()).spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        match runtime {
            Ok(runtime) => runtime.block_on(keep(house)),
            Err(error) => tracing::error!(%error, "leases cannot be kept"),
        }
    });
    if let Err(error) = keeper {
        tracing::error!(%error, "leases cannot be kept");
    }
}

async fn keep(house: Weak<House>) {
    let mut trust = Trust::new(clock::now());
    loop {
        let Some(now) = house.upgrade() else { return };
        let lease = now.backend.lease();
        now.renew(lease, &mut trust).await;
        drop(now);
        // The house itself is not held meanwhile: its end must not wait for this.
        let Some(renew_now) = house.upgrade().map(|house| house.renew_now.clone()) else { return };
        let _ = tokio::time::timeout(trust.next_in(lease, clock::now()), renew_now.notified()).await;
    }
}

/// How long this node may believe that it holds what it held.
#[derive(Clone, Copy, Debug)]
struct Trust {
    /// When the renewal was asked for that was granted last.
    renewed_at: Ns,
    has_failed: bool,
}

impl Trust {
    fn new(now: Ns) -> Self {
        Self { renewed_at: now, has_failed: false }
    }

    /// What is left of it.
    fn left(self, lease: Duration, now: Ns) -> Duration {
        (lease - lease / MARGIN).saturating_sub(Duration::from_nanos(now.saturating_sub(self.renewed_at)))
    }

    /// How long an answer is waited for: one that comes when nothing is trusted any more says nothing.
    fn answer_in(self, lease: Duration, now: Ns) -> Duration {
        (lease / RENEWALS).min(self.left(lease, now).max(AT_LEAST))
    }

    /// When to try next: soon after a failure, and no later than what is left.
    fn next_in(self, lease: Duration, now: Ns) -> Duration {
        let (soon, left) = (lease / TRIES, self.left(lease, now));
        match self.has_failed {
            false => lease / RENEWALS,
            true if left.is_zero() => soon,
            true => soon.min(left),
        }
    }
}

impl House {
    async fn renew(&self, lease: Duration, trust: &mut Trust) {
        let (asked_at, fences) = (clock::now(), locked(&self.holdings).fences());
        let said = tokio::time::timeout(trust.answer_in(lease, asked_at), self.backend.renew(fences.clone())).await;
        if let Ok(Ok(renewed)) = said {
            // Counted from the question: what the database granted began no earlier.
            *trust = Trust::new(asked_at);
            self.lose(&renewed.lost);
            if !renewed.cancels.is_empty() {
                self.tell(|news| news.cancels.extend(renewed.cancels));
            }
            return;
        }
        trust.has_failed = true;
        if trust.left(lease, clock::now()).is_zero() {
            self.lose(&fences);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// When a node gives up what it held, if every renewal after the first fails after this time; in parts of the lease.
    fn gives_up_at(lease: Duration, fails_after: Duration) -> f64 {
        let mut trust = Trust::new(0);
        let mut now = clock::ns(trust.next_in(lease, 0));
        loop {
            now += clock::ns(fails_after.min(trust.answer_in(lease, now)));
            trust.has_failed = true;
            if trust.left(lease, now).is_zero() {
                return now as f64 / clock::ns(lease) as f64;
            }
            now += clock::ns(trust.next_in(lease, now));
        }
    }

    #[test]
    fn who_cannot_renew_gives_up_before_the_lease_ends_however_fast_or_slowly_it_is_refused() {
        for lease_ms in [1_000, 2_000, 15_000, 3_600_000] {
            for fails_after_ms in [0, 1, 50, 333, 1_000, 5_000, u64::MAX] {
                let lease = Duration::from_millis(lease_ms);
                let at = gives_up_at(lease, Duration::from_millis(fails_after_ms));
                assert!((0.8..0.95).contains(&at), "{lease_ms} ms, refused after {fails_after_ms} ms: {at}");
            }
        }
    }

    #[test]
    fn a_failure_is_followed_by_several_tries_before_anything_is_given_up() {
        let lease = Duration::from_secs(15);
        let mut trust = Trust::new(0);
        let mut now = clock::ns(trust.next_in(lease, 0));
        trust.has_failed = true;
        let tries = std::iter::from_fn(|| {
            now += clock::ns(trust.next_in(lease, now));
            (!trust.left(lease, now).is_zero()).then_some(())
        });
        assert!(tries.count() >= 5);
    }
}
