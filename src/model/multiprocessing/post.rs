//! What went over a kitchen's pipe, both ways, and what only its parent knows of it.
//!
//! It deliberately counts and does not look into messages.

use std::sync::atomic::{AtomicU64, Ordering};

use super::kitchen::Kitchen;
use crate::clock;
use crate::domain::Ns;
use crate::domain::summary::ProcessUse;

/// Messages, their bytes, and how long steps and their results travelled.
#[derive(Default)]
pub(super) struct Post {
    messages: AtomicU64,
    bytes: AtomicU64,
    transit: AtomicU64,
}

impl Post {
    /// Counts a message.
    pub(super) fn sent(&self, bytes: usize) {
        self.messages.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}

impl Kitchen {
    /// Counts how long a step and its result travelled: it was handed over at `since`, or when the kitchen was up.
    pub(super) fn delivered(&self, since: Ns, started: Ns, finished: Ns) {
        let there = started.saturating_sub(since.max(self.greeting.load(Ordering::Relaxed)));
        let back = clock::now().saturating_sub(finished);
        self.post.transit.fetch_add(there + back, Ordering::Relaxed);
    }

    /// What it says it used, with what only its parent knows.
    pub(super) fn account(&self, used: ProcessUse) -> ProcessUse {
        ProcessUse {
            lived: clock::now() - self.called,
            spawn: self.greeting.load(Ordering::Relaxed).saturating_sub(self.called),
            messages: self.post.messages.load(Ordering::Relaxed),
            message_bytes: self.post.bytes.load(Ordering::Relaxed),
            transit: self.post.transit.load(Ordering::Relaxed),
            ..used
        }
    }
}
