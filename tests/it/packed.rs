//! Bytes of every format there ever was: orders that were kept by an earlier version are read by this one.
//!
//! If `format_1_is_read_as_it_was_written` fails, what an order is made of has changed. Do not change the file: databases hold
//! such bytes. Raise `packed::FORMAT`, teach `packed::job` and `packed::records` the old layout, and add a file of the new one
//! here. It deliberately compares values, so that it also tells when bytes are read as something else.

use std::path::PathBuf;

use pasta_fasta::domain::id::{Ids, OrderId};
use pasta_fasta::domain::job::{Attempt, Broken, ErrorKind, History, Job, OrderError, Status};
use pasta_fasta::domain::recipe::StepRef;
use pasta_fasta::domain::record::{Outcome, StepRecord, Terms, Worker};
use pasta_fasta::domain::summary::{Bill, ProcessUse};
use pasta_fasta::store::packed;

use crate::store_contract::{NONE, NOW_US, end_of, new_job};

fn golden() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/it/golden/order-format-1.bin")
}

/// An order that has everything an order can have.
fn order() -> (Job, Vec<StepRecord>) {
    let ids = Ids::new(1);
    let mut job = new_job(&ids, NONE).job;
    let at = StepRef { dish: 1, step: 2 };
    let run = |attempt, why| Attempt {
        attempt,
        node: "kitchen-1".into(),
        started_us: Some(NOW_US + i64::from(attempt)),
        ended_us: NOW_US + 50,
        why,
    };
    let used =
        ProcessUse { pid: 4_711, cpu: 1, peak_rss_bytes: 2, switches: [3, 4], faults: [5, 6], ..ProcessUse::default() };
    let mut summary = end_of(job.id, Status::Failed, NOW_US).summary;
    summary.bill = Some(Bill { processes: 1, sum: used, spawn_sum: 7, ..Bill::default() });
    job.retry_of = Some(OrderId(job.id.0));
    (job.status, job.attempt, job.queue_ns, job.concurrent_orders) = (Status::Failed, 3, 1 << 40, 2);
    (job.started_us, job.finished_us, job.retained_us) = (Some(NOW_US + 1), Some(NOW_US + 2), Some(NOW_US + 3));
    job.cancel_requested = true;
    job.error = Some(OrderError { kind: ErrorKind::Lost, detail: "ü, \"quoted\"\u{0}".to_owned(), at: Some(at) });
    job.summary = Some(Box::new(summary));
    let attempts = vec![run(1, Broken::NodeLost), run(2, Broken::Shutdown)];
    job.history = Some(Box::new(History { node: Some("kitchen-2".into()), attempts }));
    let ran = StepRecord {
        worker: Worker { pid: 4_711, tid: 4_712 },
        ready: 1,
        started: 2,
        finished: 1 << 50,
        terms: Terms { cpu: 1, core_wait: 2, gil_wait: 3, equipment_wait: 4, exchange: 5, yielded: 6, held_idle: 7 },
        value: Some(1 << 100),
        seq_started: 8,
        seq_finished: 9,
        ..StepRecord::unrun(at, Outcome::Succeeded)
    };
    (job, vec![ran, StepRecord::unrun(StepRef { dish: u32::MAX, step: 0 }, Outcome::Skipped)])
}

#[test]
fn format_1_is_read_as_it_was_written() {
    let bytes = std::fs::read(golden()).unwrap();
    let (job, records) = order();
    assert_eq!(packed::job(&bytes), Some(job));
    assert_eq!(packed::records(&bytes), Some(records));
}

#[test]
fn the_format_that_is_written_is_the_latest_that_is_kept_here() {
    assert_eq!(packed::FORMAT, 1, "a new format needs a file here");
    let (job, records) = order();
    let bytes = packed::pack(&job, &records);
    // That of a new format is written here, to be committed.
    if !golden().exists() {
        std::fs::write(golden(), &bytes).unwrap();
    }
    assert_eq!(*bytes, *std::fs::read(golden()).unwrap(), "see the head of this file");
}
