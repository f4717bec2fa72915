//! Bytes of every format there ever was: orders that were kept by an earlier version are read by this one.
//!
//! If `every_format_is_read_as_it_was_written` fails, what an order is made of has changed. Do not change the file: databases hold
//! such bytes. Raise `packed::FORMAT`, teach `packed::job_of` the old layout, and add a file of the new one
//! here. It deliberately compares values, so that it also tells when bytes are read as something else.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use pasta_fasta::domain::id::{Ids, OrderId};
use pasta_fasta::domain::job::{Attempt, Broken, ErrorKind, History, Job, OrderError, Status};
use pasta_fasta::domain::recipe::StepRef;
use pasta_fasta::domain::record::{GilUse, Outcome, StepRecord, Terms, Worker};
use pasta_fasta::domain::summary::{Bill, ProcessUse};
use pasta_fasta::domain::ticks::Ticks;
use pasta_fasta::store::packed;

use crate::store_contract::{NONE, NOW_US, end_of, new_job};

fn golden(format: i16) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/it/golden/order-format-{format}.bin"))
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
        error: None,
    };
    let mut ticks = Ticks::default();
    [1, 1 << 20, 1 << 40].into_iter().for_each(|lag| ticks.note(lag));
    let used = ProcessUse {
        pid: 4_711,
        cpu: 1,
        peak_rss_bytes: 2,
        switches: [3, 4],
        faults: [5, 6],
        loop_lag: Some(ticks),
        ..ProcessUse::default()
    };
    let mut summary = end_of(job.id, Status::Failed, NOW_US).summary;
    summary.totals.gil = GilUse { switches: 8, forced: 9, held: 10 };
    summary.bill = Some(Bill { processes: 1, sum: used, spawn_sum: 7, ..Bill::default() });
    job.retry_of = Some(OrderId(job.id.0));
    (job.status, job.attempt, job.queue_ns, job.concurrent_orders) = (Status::Failed, 3, 1 << 40, 2);
    (job.started_us, job.finished_us, job.retained_us) = (Some(NOW_US + 1), Some(NOW_US + 2), Some(NOW_US + 3));
    job.cancel_requested = true;
    job.error = Some(OrderError { kind: ErrorKind::Lost, detail: "ü, \"quoted\"\u{0}".to_owned(), at: Some(at) });
    job.summary = Some(Box::new(summary));
    let failure = OrderError { kind: ErrorKind::Exit, detail: "code 3".to_owned(), at: Some(at) };
    let failed = Attempt { error: Some(failure), ..run(3, Broken::Failed) };
    let attempts = vec![run(1, Broken::NodeLost), run(2, Broken::Shutdown), failed];
    let spec = Arc::make_mut(&mut job.spec);
    (spec.max_attempts, spec.first_retry_wait) = (3, Duration::from_millis(250));
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

/// What it was in format 2, which knew nothing of loops and locks that was not written down here.
fn order_2() -> (Job, Vec<StepRecord>) {
    let (mut job, records) = order();
    let summary = job.summary.as_mut().unwrap();
    summary.totals.gil = GilUse::default();
    summary.bill.as_mut().unwrap().sum.loop_lag = None;
    (job, records)
}

/// What it was in format 1, which knew no other try.
fn order_1() -> (Job, Vec<StepRecord>) {
    let (mut job, records) = order_2();
    let spec = Arc::make_mut(&mut job.spec);
    (spec.max_attempts, spec.first_retry_wait) = (1, Duration::from_secs(1));
    job.history.as_mut().unwrap().attempts.truncate(2);
    (job, records)
}

#[test]
fn every_format_is_read_as_it_was_written() {
    for (format, (job, records)) in [(1, order_1()), (2, order_2()), (3, order())] {
        let bytes = std::fs::read(golden(format)).unwrap();
        assert_eq!(packed::job_of(format, &bytes), Some(job), "format {format}");
        assert_eq!(packed::records_of(format, &bytes), Some(records), "format {format}");
        assert_eq!(packed::job_of(4, &bytes), None, "a later format is guessed");
    }
}

#[test]
fn the_format_that_is_written_is_the_latest_that_is_kept_here() {
    assert_eq!(packed::FORMAT, 3, "a new format needs a file here");
    let (job, records) = order();
    let bytes = packed::pack(&job, &records);
    // That of a new format is written here, to be committed.
    if !golden(packed::FORMAT).exists() {
        std::fs::write(golden(packed::FORMAT), &bytes).unwrap();
    }
    assert_eq!(*bytes, *std::fs::read(golden(packed::FORMAT)).unwrap(), "see the head of this file");
}
