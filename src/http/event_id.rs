//! Ids of events, as a client sends them back in `Last-Event-ID`.
//!
//! An id that was never given out is no error: it is answered by a gap and a new beginning. It deliberately knows no
//! stream.

use axum::http::HeaderValue;

/// The number in an id of the stream of an order or a comparison, `attempt.seq`, unless it was never told: `last` is the last one that was.
#[must_use]
pub fn of_order(value: &HeaderValue, attempt: u32, last: u32) -> Option<u32> {
    let (theirs, seq) = value.to_str().ok()?.split_once('.')?;
    let seq = seq.parse().ok()?;
    (theirs.parse() == Ok(attempt) && seq <= last).then_some(seq)
}

/// The number in an id of the stream of all orders, `boot.seq`, unless it is from another run of the service.
#[must_use]
pub fn of_house(value: &HeaderValue, boot: &str) -> Option<u64> {
    let (theirs, seq) = value.to_str().ok()?.split_once('.')?;
    seq.parse().ok().filter(|_| theirs == boot)
}
