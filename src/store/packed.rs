//! An ended order as bytes: a tenth of what it occupies as structs, read back only when somebody asks.
//!
//! It deliberately has no version: memory does not outlive the binary.

use serde::Serialize;

use crate::domain::job::Job;
use crate::domain::record::StepRecord;

#[derive(Serialize)]
struct Out<'a>(&'a Job, &'a [StepRecord]);

/// The job first, its records behind it.
pub(super) fn pack(job: &Job, records: &[StepRecord]) -> Box<[u8]> {
    postcard::to_stdvec(&Out(job, records)).expect("plain data can be written").into()
}

/// The job alone.
pub(super) fn job(bytes: &[u8]) -> Job {
    postcard::take_from_bytes(bytes).expect("what was packed can be read").0
}

/// The records alone.
pub(super) fn records(bytes: &[u8]) -> Vec<StepRecord> {
    let (_, rest) = postcard::take_from_bytes::<Job>(bytes).expect("what was packed can be read");
    postcard::from_bytes(rest).expect("what was packed can be read")
}
