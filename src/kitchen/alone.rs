//! The house to oneself: what a comparison needs to measure undisturbed.
//!
//! New orders are accepted and wait meanwhile. It deliberately stops nobody: it waits until the house is empty.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::{Kitchen, Refusal, books};
use crate::clock;
use crate::domain::client::Client;
use crate::domain::job::Job;
use crate::domain::spec::Spec;

/// How long the house may take to become empty.
pub(super) const DRAIN: Duration = Duration::from_secs(60);
/// Time between two looks whether it has.
const LOOK: Duration = Duration::from_millis(5);

/// The house did not become empty in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the house did not become empty within 60 s")]
pub struct Busy;

/// The house, while it is somebody's own. Dropping it opens it again.
pub struct Alone<'a> {
    kitchen: &'a Kitchen,
    _turn: tokio::sync::MutexGuard<'a, ()>,
}

impl Kitchen {
    /// Waits for one's turn, then until the house is empty. Cancel-safe: the house opens again if the wait is dropped.
    pub async fn alone(&self) -> Result<Alone<'_>, Busy> {
        let turn = self.turn.lock().await;
        let alone = Alone { kitchen: self, _turn: turn };
        self.reserve(true);
        let empty = async {
            while self.running() > 0 {
                tokio::time::sleep(LOOK).await;
            }
        };
        tokio::time::timeout(DRAIN, empty).await.map_err(|_| Busy)?;
        Ok(alone)
    }

    fn reserve(&self, reserved: bool) {
        self.staffing.lock().unwrap_or_else(PoisonError::into_inner).reserve(reserved);
    }
}

impl Alone<'_> {
    /// Accepts an order while everyone else's wait.
    pub async fn submit(&self, spec: Spec) -> Result<Job, Refusal> {
        if self.kitchen.draining.load(Ordering::Acquire) {
            return Err(Refusal::Draining);
        }
        let now_us = clock::wall_us();
        let job = books::new_job(self.kitchen.ids.next(now_us), &Client::house(), spec, now_us);
        let placed = self.kitchen.accept(vec![job], None, true).await?;
        placed.jobs.into_iter().next().ok_or(Refusal::Draining)
    }
}

impl Drop for Alone<'_> {
    fn drop(&mut self) {
        self.kitchen.reserve(false);
        self.kitchen.pump();
    }
}
