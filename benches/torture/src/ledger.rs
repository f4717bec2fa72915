//! The ledger: an append-only log of every call of a row, and what each was answered.
//!
//! It is the client's memory of what was promised; [`crate::checker`] holds the service to it. It deliberately records
//! calls that were never answered too: they are the ones that may or may not have happened.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Write;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::Try;
use crate::wire::{Answer, id_text};

/// One call.
#[derive(Clone, Debug)]
pub struct Call {
    /// What it was about: an idempotency key, a label, or the kind of call.
    pub key: Box<str>,
    pub body_hash: u64,
    /// From the start of the row.
    pub sent: Duration,
    /// When its answer was complete; `None` if there was none.
    pub received: Option<Duration>,
    /// 0 without an answer.
    pub status: u16,
    /// The order it was answered with.
    pub order: Option<u128>,
    /// Whether the answer said that it was a replay.
    pub replayed: bool,
    /// Whether it places orders.
    pub places: bool,
}

/// All calls of a row, in the order in which they were over.
pub struct Ledger {
    began: Instant,
    calls: Mutex<Vec<Call>>,
}

impl Default for Ledger {
    fn default() -> Self {
        Self { began: Instant::now(), calls: Mutex::default() }
    }
}

/// A body as a number.
pub fn hash(body: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    body.hash(&mut hasher);
    hasher.finish()
}

impl Ledger {
    /// Time since the row began.
    pub fn now(&self) -> Duration {
        self.began.elapsed()
    }

    /// Appends a call that placed an order, or tried to.
    pub fn placed(&self, key: &str, body_hash: u64, sent: Duration, answer: Option<&Answer>) {
        self.append(Call {
            key: key.into(),
            body_hash,
            sent,
            received: answer.map(|_| self.now()),
            status: answer.map_or(0, |answer| answer.status),
            order: answer.filter(|answer| answer.status < 300).and_then(Answer::id),
            replayed: answer.and_then(|answer| answer.header("idempotency-replayed")) == Some("true"),
            places: true,
        });
    }

    /// Appends any other call.
    pub fn called(&self, key: &str, sent: Duration, status: u16) {
        let received = (status != 0).then(|| self.now());
        self.append(Call {
            key: key.into(),
            body_hash: 0,
            sent,
            received,
            status,
            order: None,
            replayed: false,
            places: false,
        });
    }

    /// Appends a call.
    pub fn append(&self, call: Call) {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).push(call);
    }

    /// The order accepted last of those with such a key.
    pub fn latest(&self, wanted: impl Fn(&str) -> bool) -> Option<u128> {
        let calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        calls.iter().rev().find_map(|call| call.order.filter(|_| wanted(&call.key)))
    }

    /// Everything so far.
    pub fn calls(&self) -> Vec<Call> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Writes it down, one call a line.
    pub fn write(&self, file: &Path) -> Try<()> {
        let mut out = std::io::BufWriter::new(std::fs::File::create(file)?);
        for call in self.calls.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            let line = serde_json::json!({
                "key": call.key, "body_hash": format!("{:016x}", call.body_hash),
                "sent_us": call.sent.as_micros() as u64, "received_us": call.received.map(|at| at.as_micros() as u64),
                "status": call.status, "order": call.order.map(id_text), "replayed": call.replayed,
            });
            writeln!(out, "{line}")?;
        }
        Ok(out.flush()?)
    }
}
