//! The one way to a frame from outside: for `fuzz/`, which shows that no bytes harm who reads them.
//!
//! Frames are private, and are to stay so. It deliberately starts no process: what a kitchen writes is read as its parent
//! reads it, and written into books as its parent does.

use std::fmt::Debug;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::frames::{self, Down, Up};
use crate::domain::spec::Spec;
use crate::domain::summary;
use crate::model::recorder::{self, Recorder};

/// Reads these bytes as both ends of the pipe do. `spec` is what the kitchen was given to cook.
///
/// # Panics
/// If a frame that can be read is not the same once it was written and read again, or a report breaks the books.
pub async fn frame(mut bytes: &[u8], spec: &Spec) {
    let down: Option<Down> = same_again(bytes);
    drop(down);
    if let Some(Up::Live(delta)) = same_again(bytes)
        && delta.fits(spec)
    {
        let books = Recorder::new(std::sync::Arc::new(spec.clone()));
        books.absorb(0, delta, &mut Vec::new());
        let _ = books.events_after(0);
        let (harvest, events) = books.harvest(0);
        let (_, records) = summary::close(spec, harvest, 0, events, !books.is_live());
        let _ = recorder::told(&records, 0);
    }
    // The parent's own reader, to the end: frames until something is none.
    let mut buffer = Vec::new();
    while frames::receive::<Up>(&mut bytes, &mut buffer).await.is_ok() {}
}

fn same_again<T: Serialize + DeserializeOwned + Debug>(mut bytes: &[u8]) -> Option<T> {
    let read: T = frames::read(&mut bytes).ok().flatten()?;
    let again: Option<T> = frames::encode(&read).ok().and_then(|bytes| frames::read(&mut &bytes[..]).ok().flatten());
    assert_eq!(again.map(|again| format!("{again:?}")), Some(format!("{read:?}")));
    Some(read)
}
