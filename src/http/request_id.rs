//! The id of a request: the client's if it is a decent one, else one of ours.
//!
//! It stands in the answer and in the log. It deliberately says nothing about the client.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::http::{HeaderMap, HeaderName, HeaderValue};

/// The header, in requests and in answers.
pub static X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Bytes of an id that is taken over. Chosen: a trace id with its parents.
const MAX_BYTES: usize = 128;

static BOOT: OnceLock<u32> = OnceLock::new();
static COUNT: AtomicU64 = AtomicU64::new(0);

/// Sets what ids of this run of the service begin with, so that logs of two runs can be told apart.
pub fn begin(random: u64) {
    // A second start in one process (tests) keeps the first.
    let _ = BOOT.set(random as u32);
}

/// A new id.
#[must_use]
pub fn new() -> HeaderValue {
    let (boot, mut count) = (BOOT.get().copied().unwrap_or_default(), COUNT.fetch_add(1, Ordering::Relaxed));
    let mut text = *b"00000000-000000000000";
    let mut digits = u64::from(boot);
    for place in text[..8].iter_mut().rev() {
        *place = b"0123456789abcdef"[(digits % 16) as usize];
        digits /= 16;
    }
    for place in text[9..].iter_mut().rev() {
        *place = b"0123456789abcdef"[(count % 16) as usize];
        count /= 16;
    }
    HeaderValue::from_bytes(&text).unwrap_or_else(|_| HeaderValue::from_static("0"))
}

/// The id of a request with these headers.
pub fn of(headers: &HeaderMap) -> HeaderValue {
    let given = headers.get(&X_REQUEST_ID).filter(|id| is_decent(id.as_bytes()));
    given.cloned().unwrap_or_else(new)
}

/// Visible ASCII without quotes: it can stand in a log line and in a shell as it is.
fn is_decent(id: &[u8]) -> bool {
    (1..=MAX_BYTES).contains(&id.len())
        && id.iter().all(|b| b.is_ascii_graphic() && !matches!(b, b'"' | b'\'' | b'`' | b'\\'))
}
