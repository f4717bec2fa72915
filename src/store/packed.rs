//! An order as bytes: a tenth of what it occupies as structs, read back only when somebody asks.
//!
//! Durable stores keep the same bytes, in a column beside [`FORMAT`]; `tests/it/packed.rs` holds bytes of every format there
//! ever was. Whoever changes [`Job`], [`StepRecord`] or anything in them raises the number and teaches [`job`] and
//! [`records`] the old one. It deliberately packs nothing that a database must search by.

use std::cell::Cell;
use std::fmt;
use std::sync::Arc;

use serde::de::{DeserializeSeed, SeqAccess, Visitor};
use serde::{Deserializer, Serialize};
use uuid::Uuid;

use super::{format_1, format_2};
use crate::domain::id::OrderId;
use crate::domain::job::{Attempt, History, Job, Status};
use crate::domain::record::StepRecord;

/// Number of the layout that is written.
pub const FORMAT: i16 = 3;

#[derive(Serialize)]
struct Out<'a>(&'a Job, &'a [StepRecord]);

/// Bytes of scratch space that a thread keeps for packing: all but orders with thousands of records.
const SCRATCH_BYTES: usize = 16 * 1024;

thread_local! {
    static SCRATCH: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// The job first, its records behind it.
pub fn pack(job: &Job, records: &[StepRecord]) -> Box<[u8]> {
    // Grown once for all, so that each order is one allocation of its size: a store packs while others wait for it.
    let mut scratch = SCRATCH.take();
    scratch.clear();
    let packed = postcard::to_extend(&Out(job, records), scratch).expect("plain data can be written");
    let bytes = packed.as_slice().into();
    if packed.capacity() <= SCRATCH_BYTES {
        SCRATCH.set(packed);
    }
    bytes
}

/// The job alone; `None` if these are not bytes of this format.
#[must_use]
pub fn job(bytes: &[u8]) -> Option<Job> {
    job_of(FORMAT, bytes)
}

/// The records alone; `None` if these are not bytes of this format.
#[must_use]
pub fn records(bytes: &[u8]) -> Option<Vec<StepRecord>> {
    records_of(FORMAT, bytes)
}

/// The job alone, from bytes of any format there ever was; `None` if it is a later one, or these are no such bytes.
#[must_use]
pub fn job_of(format: i16, bytes: &[u8]) -> Option<Job> {
    parts(format, bytes).map(|(job, _)| job)
}

/// The records alone, as [`job_of`].
#[must_use]
pub fn records_of(format: i16, bytes: &[u8]) -> Option<Vec<StepRecord>> {
    // Their layout has always been the same.
    parts(format, bytes).and_then(|(_, rest)| postcard::from_bytes(rest).ok())
}

/// Hands one record after another of such bytes to who looks at them, so that never all are there at once; `None` as above.
pub(super) fn each_record(bytes: &[u8], look: impl FnMut(StepRecord)) -> Option<()> {
    let (_, rest) = parts(FORMAT, bytes)?;
    Each(look).deserialize(&mut postcard::Deserializer::from_bytes(rest)).ok()
}

struct Each<F>(F);

impl<'de, F: FnMut(StepRecord)> DeserializeSeed<'de> for Each<F> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, bytes: D) -> Result<(), D::Error> {
        bytes.deserialize_seq(self)
    }
}

impl<'de, F: FnMut(StepRecord)> Visitor<'de> for Each<F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the records of an order")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut records: A) -> Result<(), A::Error> {
        while let Some(record) = records.next_element()? {
            (self.0)(record);
        }
        Ok(())
    }
}

/// The job, and the bytes of its records.
fn parts(format: i16, bytes: &[u8]) -> Option<(Job, &[u8])> {
    match format {
        1 => postcard::take_from_bytes::<format_1::Job1>(bytes).ok().map(|(job, rest)| (job.into(), rest)),
        2 => postcard::take_from_bytes::<format_2::Job2>(bytes).ok().map(|(job, rest)| (job.into(), rest)),
        FORMAT => postcard::take_from_bytes(bytes).ok(),
        _ => None,
    }
}

/// Ids of a group as one column, 16 bytes each.
pub(super) fn join_ids(ids: impl Iterator<Item = OrderId>) -> Vec<u8> {
    ids.flat_map(|id| id.0.into_bytes()).collect()
}

/// The ids of such a column.
pub(super) fn split_ids(ids: &[u8]) -> Vec<OrderId> {
    ids.chunks_exact(16).filter_map(|id| Uuid::from_slice(id).ok()).map(OrderId).collect()
}

/// What changes of an order while it is packed in a database: columns beside the bytes, and above them.
#[derive(Clone, Debug)]
pub struct Overlay {
    /// Its state: of an order that a node holds and has not begun, `Queued`.
    pub status: Status,
    /// Number of the latest grant.
    pub grant: u32,
    /// Whether a node holds that grant.
    pub is_held: bool,
    /// Begun, microseconds since 1970.
    pub started_us: Option<i64>,
    /// Time it had waited then, nanoseconds.
    pub queue_ns: u64,
    /// Somebody asked to stop it.
    pub cancel_requested: bool,
    /// The node that holds it or held it last.
    pub node: Option<Arc<str>>,
    /// Runs that did not come to their end.
    pub attempts: Vec<Attempt>,
}

impl Overlay {
    /// The order as it is now, if it has not ended; one that has is read as it was packed.
    #[must_use]
    pub fn onto(self, packed: Job) -> Job {
        if self.status.is_done() {
            return packed;
        }
        let is_granted_only = self.is_held && self.status == Status::Queued;
        Job {
            status: self.status,
            // A grant becomes an attempt when its run begins.
            attempt: self.grant - u32::from(is_granted_only),
            started_us: self.started_us,
            queue_ns: self.queue_ns,
            cancel_requested: self.cancel_requested,
            history: Some(Box::new(History { node: self.node, attempts: self.attempts })),
            ..packed
        }
    }
}
