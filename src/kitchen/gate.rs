//! Who is refused without being read, and when he may come back.
//!
//! A client whose order did not fit is refused at the gate until a tenth of what it may hold is free again. Between the
//! two it deliberately does not look at the order: reading one to refuse it costs more than cooking a small one, and the
//! cores are what the kitchen needs to get empty.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::Refusal;
use crate::domain::client::Client;
use crate::domain::{Ns, draw};
use crate::store::Fill;

/// How full it may be when the gate opens again. Chosen: what is freed has to be worth coming back for.
const REOPEN: f32 = 0.9;
/// Clients shut out that are remembered; beyond it all are let in once more, which costs one look at each of their orders.
const SHUT: usize = 10_000;
/// Bounds of `Retry-After`: less makes a refused client hammer, more loses it.
const RETRY_AFTER: std::ops::RangeInclusive<f64> = 1.0..=30.0;
/// Part by which `Retry-After` is spread, so that clients refused together do not come back together.
const JITTER: f64 = 0.2;
/// Time between two looks at how fast orders end.
const LOOK_NS: Ns = 200_000_000;

/// The gate of the house.
#[derive(Debug, Default)]
pub(super) struct Gate {
    shut: Mutex<HashSet<Client>>,
    count: AtomicUsize,
    ended: AtomicU64,
    refused: AtomicU64,
    pace: Mutex<Pace>,
}

/// How fast orders end.
#[derive(Clone, Copy, Debug, Default)]
struct Pace {
    looked: Ns,
    ended: u64,
    per_s: f64,
}

impl Gate {
    fn shut_clients(&self) -> MutexGuard<'_, HashSet<Client>> {
        self.shut.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An order ended.
    pub(super) fn ended(&self) {
        self.ended.fetch_add(1, Ordering::Relaxed);
    }

    /// An order of this client did not fit.
    pub(super) fn shut(&self, client: &Client) {
        let mut shut = self.shut_clients();
        if shut.len() >= SHUT {
            shut.clear();
        }
        shut.insert(client.clone());
        self.count.store(shut.len(), Ordering::Relaxed);
    }

    /// Whether an order of this client is worth reading; counts only while somebody is shut out.
    pub(super) fn check(&self, client: &Client, now: Ns, fill: impl FnOnce() -> (Fill, Fill)) -> Result<(), Refusal> {
        if self.count.load(Ordering::Relaxed) == 0 || !self.shut_clients().contains(client) {
            return Ok(());
        }
        let (theirs, all) = fill();
        if theirs.part > REOPEN {
            return Err(Refusal::Share(self.come_back(theirs, now)));
        }
        if all.part > REOPEN {
            return Err(Refusal::Full(self.come_back(all, now)));
        }
        let mut shut = self.shut_clients();
        shut.remove(client);
        self.count.store(shut.len(), Ordering::Relaxed);
        Ok(())
    }

    /// When this will have been cooked down to where the gate opens, at the pace of the last seconds.
    pub(super) fn come_back(&self, fill: Fill, now: Ns) -> Duration {
        let too_many = (fill.active as f64 * f64::from(1.0 - REOPEN / fill.part.max(REOPEN))).max(1.0);
        let per_s = self.pace(now);
        let bits = draw::mix(self.refused.fetch_add(1, Ordering::Relaxed));
        let spread = 1.0 + JITTER * ((bits >> 11) as f64 / (1_u64 << 52) as f64 - 1.0);
        let wait_s = if per_s > 0.0 { too_many / per_s } else { *RETRY_AFTER.end() };
        let wait_s = (wait_s.clamp(*RETRY_AFTER.start(), *RETRY_AFTER.end()) * spread).round();
        Duration::from_secs_f64(wait_s.clamp(*RETRY_AFTER.start(), *RETRY_AFTER.end()))
    }

    fn pace(&self, now: Ns) -> f64 {
        let mut pace = self.pace.lock().unwrap_or_else(PoisonError::into_inner);
        let span = now.saturating_sub(pace.looked);
        if span >= LOOK_NS {
            let ended = self.ended.load(Ordering::Relaxed);
            let fresh = (ended - pace.ended) as f64 / (span as f64 / 1e9);
            // After a long silence the old pace says nothing.
            let per_s = if span > 50 * LOOK_NS { fresh } else { (pace.per_s + fresh) / 2.0 };
            *pace = Pace { looked: now, ended, per_s };
        }
        pace.per_s
    }
}
