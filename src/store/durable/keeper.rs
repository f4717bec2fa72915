//! The thread that keeps this node's leases: its own, so that no kitchen and no request can starve it.
//!
//! It deliberately knows one rule only: who could not renew in time has lost everything, and must have stopped before
//! anybody else may begin.

use std::sync::{Arc, Weak};
use std::time::Duration;

use super::{House, locked};
use crate::clock;
use crate::domain::Ns;

/// Renewals per lease: two may fail.
const RENEWALS: u32 = 3;
/// Part of a lease before whose end a node stops trusting itself: time to stop what runs.
const MARGIN: u32 = 5;

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
    let mut renewed_at = clock::now();
    loop {
        let Some(now) = house.upgrade() else { return };
        let lease = now.backend.lease();
        now.renew(lease, &mut renewed_at).await;
        drop(now);
        // The house itself is not held meanwhile: its end must not wait for this.
        let Some(renew_now) = house.upgrade().map(|house| house.renew_now.clone()) else { return };
        let _ = tokio::time::timeout(lease / RENEWALS, renew_now.notified()).await;
    }
}

impl House {
    async fn renew(&self, lease: Duration, renewed_at: &mut Ns) {
        let (asked_at, fences) = (clock::now(), locked(&self.holdings).fences());
        let trusted = lease - lease / MARGIN;
        let left = trusted.saturating_sub(Duration::from_nanos(asked_at.saturating_sub(*renewed_at)));
        // An answer that comes when nothing is trusted any more says nothing.
        let at_most = (lease / RENEWALS).min(left.max(Duration::from_millis(100)));
        match tokio::time::timeout(at_most, self.backend.renew(fences.clone())).await {
            Ok(Ok(renewed)) => {
                // Counted from the question: what the database granted began no earlier.
                *renewed_at = asked_at;
                self.lose(&renewed.lost);
                if !renewed.cancels.is_empty() {
                    self.tell(|news| news.cancels.extend(renewed.cancels));
                }
            }
            Ok(Err(_)) | Err(_) => {
                if Duration::from_nanos(clock::now().saturating_sub(*renewed_at)) >= trusted {
                    self.lose(&fences);
                }
            }
        }
    }
}
