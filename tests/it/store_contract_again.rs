//! The contract of a store, of orders that may be tried again: when a failed run is not the end, and when it is.
//!
//! The table of all clauses is in `store_contract.rs`. Waits are zero here, or longer than the test: how long is deliberately looked
//! at through HTTP (`attempts.rs`), since a store that is shared goes by a clock nobody can move.

use std::sync::Arc;
use std::time::Duration;

use pasta_fasta::domain::id::{Ids, OrderId};
use pasta_fasta::domain::job::{Broken, ErrorKind, OrderError, Status};
use pasta_fasta::domain::spec::Spec;
use pasta_fasta::store::{Bounds, CancelAnswer, Fence, Finish, Finished, Lookup};

use crate::harness::eventually;
use crate::store_contract::{Blocking, Make, NONE, NOW_US, end_of, job, new_job, runtime, status};

/// Later than every wait, on the monotonic clock.
const LATE: u64 = u64::MAX / 2;

/// Queues an order that may have so many runs, this long after one another.
fn queue(store: &Blocking, ids: &Ids, max_attempts: u8, wait: Duration, expires_in: Option<Duration>) -> OrderId {
    let mut new = new_job(ids, NONE);
    let spec = Spec { max_attempts, first_retry_wait: wait, expires_in, ..(*new.job.spec).clone() };
    new.job.spec = Arc::new(spec);
    let id = new.job.id;
    store.submit(vec![new], None).expect("there is room");
    id
}

fn failed(id: OrderId, attempt: u32, kind: ErrorKind) -> Finish {
    let error = Some(OrderError { kind, detail: format!("of attempt {attempt}"), at: None });
    Finish { fence: Fence { id, attempt }, error, ..end_of(id, Status::Failed, NOW_US + i64::from(attempt)) }
}

fn claimed(store: &Blocking) -> Vec<(OrderId, u32)> {
    let claimed = store.claim(NONE, false, &mut |_, _| true, LATE, NOW_US + 1);
    claimed.into_iter().map(|(job, _)| (job.id, job.attempt)).collect()
}

/// Claims the order's next run, when the store has it in line.
fn begins(store: &Blocking, id: OrderId, attempt: u32) {
    runtime().block_on(eventually(Duration::from_secs(30), "it is in line again", async || {
        let _ = store.0.lapse(LATE, NOW_US).await;
        let claimed = claimed(store);
        assert!(claimed.is_empty() || claimed == [(id, attempt)], "{claimed:?}");
        !claimed.is_empty()
    }));
}

pub(crate) fn until_one_succeeds_or_none_is_left(make: Make) {
    let (store, ids) = (make(Bounds::default()), Ids::new(1));
    let id = queue(&store, &ids, 3, Duration::ZERO, None);
    assert_eq!(claimed(&store), [(id, 1)]);
    for attempt in [1, 2] {
        assert_eq!(store.ends(failed(id, attempt, ErrorKind::Exit)), Finished::Again);
        let waiting = job(&store, id);
        assert_eq!((waiting.status, waiting.attempt, waiting.error), (Status::Queued, attempt, None));
        let last = waiting.history.unwrap().attempts.pop().unwrap();
        assert_eq!((last.attempt, last.why, last.ended_us), (attempt, Broken::Failed, NOW_US + i64::from(attempt)));
        assert_eq!(last.error.unwrap().detail, format!("of attempt {attempt}"));
        begins(&store, id, attempt + 1);
        assert_eq!(store.ends(failed(id, attempt, ErrorKind::Exit)), Finished::Stale, "it has ended before");
    }
    assert_eq!(store.ends(failed(id, 3, ErrorKind::Exit)), Finished::Written);
    let ended = job(&store, id);
    assert_eq!(
        (ended.status, ended.attempt, ended.attempts().len()),
        (Status::Failed, 3, 2),
        "the last is the order's"
    );
    assert_eq!(ended.error.unwrap().detail, "of attempt 3");
    let second = queue(&store, &ids, 2, Duration::ZERO, None);
    begins(&store, second, 1);
    assert_eq!(store.ends(failed(second, 1, ErrorKind::Timeout)), Finished::Again);
    begins(&store, second, 2);
    let end = Finish { fence: Fence { id: second, attempt: 2 }, ..end_of(second, Status::Succeeded, NOW_US + 9) };
    assert_eq!(store.ends(end), Finished::Written);
    let ended = job(&store, second);
    assert_eq!((ended.status, ended.error, ended.history.unwrap().attempts.len()), (Status::Succeeded, None, 1));
    let counts = store.counts();
    assert_eq!((counts.accepted, counts.by_status), (2, [0, 0, 1, 1, 0, 0]), "an order that is tried again is one");
    assert_eq!(counts.active_bytes, 0);
}

pub(crate) fn not_what_would_come_again(make: Make) {
    let (store, ids) = (make(Bounds::default()), Ids::new(1));
    let end = |kind, max_attempts| {
        let id = queue(&store, &ids, max_attempts, Duration::ZERO, None);
        assert_eq!(claimed(&store), [(id, 1)]);
        assert_eq!(store.ends(failed(id, 1, kind)), Finished::Written, "{kind:?}");
        let ended = job(&store, id);
        assert_eq!((ended.status, ended.attempts().len()), (Status::Failed, 0));
        assert_eq!(ended.error.unwrap().kind, kind);
    };
    end(ErrorKind::Deadlock, 5);
    end(ErrorKind::Exit, 1);
    // Nor when somebody wanted it stopped.
    let id = queue(&store, &ids, 5, Duration::ZERO, None);
    assert_eq!(claimed(&store), [(id, 1)]);
    assert!(matches!(store.request_cancel(id, NOW_US), CancelAnswer::Running(_)));
    assert_eq!(store.ends(failed(id, 1, ErrorKind::Exit)), Finished::Written);
    assert_eq!(status(&store, id), Status::Failed);
}

pub(crate) fn not_before_its_time(make: Make) {
    let (store, ids) = (make(Bounds::default()), Ids::new(1));
    let minute = Duration::from_secs(60);
    let (canceled, late) = (queue(&store, &ids, 3, minute, None), queue(&store, &ids, 3, minute, Some(minute / 2)));
    assert_eq!(claimed(&store), [(canceled, 1), (late, 1)]);
    for id in [canceled, late] {
        assert_eq!(store.ends(failed(id, 1, ErrorKind::Exit)), Finished::Again);
    }
    runtime().block_on(eventually(Duration::from_secs(30), "they are this store's again", async || {
        store.0.here().queued == 2
    }));
    assert_eq!(claimed(&store), [], "it is not in line before it is time");
    let waiting = job(&store, late);
    assert_eq!(waiting.next_attempt_us(), Some(NOW_US + 1 + 60_000_000));
    match store.request_cancel(canceled, NOW_US + 5) {
        CancelAnswer::Canceled { job, now: true } => assert_eq!((job.status, job.attempt), (Status::Canceled, 1)),
        other => panic!("{other:?}"),
    }
    assert_eq!(job(&store, canceled).attempts().len(), 1, "what it had is not forgotten");
    // The deadline is before the next try: it ends of what it failed of, since it did begin.
    runtime().block_on(eventually(Duration::from_secs(30), "its deadline passes", async || {
        let _ = store.0.lapse(LATE, NOW_US + 7).await;
        matches!(store.0.get(late).await.unwrap(), Lookup::Found(job) if job.status == Status::Failed)
    }));
    let ended = job(&store, late);
    assert_eq!((ended.error.unwrap().detail.as_str(), ended.attempt), ("of attempt 1", 1));
    assert_eq!(claimed(&store), []);
}
