//! The contract of a backend, second part: what becomes of an order that a node holds.
//!
//! The table of all clauses is in `backend_contract.rs`. It deliberately deletes nothing: that is the third part.

use pasta_fasta::domain::job::{Attempt, Broken, ErrorKind, Status};
use pasta_fasta::domain::life::RUNS;
use pasta_fasta::store::backend::{Change, Entry, Lane, Stopped, What};
use pasta_fasta::store::{Bounds, Fence};

use crate::backend_contract::{House, ids, records};

/// A run that did not come to its end.
fn broken(house: &House, fence: Fence) -> What {
    let attempt = Attempt {
        attempt: fence.attempt,
        node: "elsewhere".into(),
        started_us: Some(1),
        ended_us: house.now_us(),
        why: Broken::Shutdown,
        error: None,
    };
    What::Returned { attempt: Some(attempt), turn: 0 }
}

fn unbegun() -> What {
    What::Returned { attempt: None, turn: 0 }
}

pub(crate) async fn begun_and_ended(house: House) {
    let fence = house.granted().await;
    assert!(house.settle(fence, What::Begun { started_us: 77, queue_ns: 5 }).await);
    let job = house.get(fence.id).await.unwrap();
    assert_eq!((job.status, job.attempt, job.started_us, job.queue_ns), (Status::Running, 1, Some(77), 5));
    assert_eq!(house.backend().steps(fence.id).await.unwrap(), None);
    let end = house.end(fence, Status::Failed).await;
    let What::Ended(told) = &end else { unreachable!() };
    let told = told.clone();
    assert!(house.settle(fence, end).await);
    assert_eq!(house.get(fence.id).await.unwrap(), told.job, "as it was handed in");
    assert_eq!(house.backend().steps(fence.id).await.unwrap(), Some(records()));
    let counts = house.counts().await;
    assert_eq!((counts.by_status[Status::Failed as usize], counts.kept, counts.active_bytes), (1, 1, 0));
    assert!(counts.ended_bytes >= told.packed.len());
}

pub(crate) async fn ended_only(house: House) {
    for status in [Status::Succeeded, Status::Failed, Status::Canceled, Status::Expired] {
        let fence = house.granted().await;
        let end = house.end(fence, status).await;
        assert!(house.settle(fence, end).await);
        assert_eq!(house.status(fence.id).await, status);
    }
    assert_eq!(house.counts().await.by_status, [0, 0, 1, 1, 1, 1]);
}

pub(crate) async fn fenced(house: House) {
    let fence = house.granted().await;
    let waiting = house.waiting().await;
    let stranger = house.ids.next(house.now_us());
    for (id, attempt) in [(fence.id, 0), (fence.id, 2), (waiting, 0), (waiting, 1), (stranger, 1)] {
        let bad = Fence { id, attempt };
        assert!(!house.settle(bad, house.begun()).await, "{bad:?}");
        assert!(!house.settle(bad, unbegun()).await, "{bad:?}");
        let end = house.end(fence, Status::Succeeded).await;
        assert!(!house.settle(bad, end).await, "{bad:?}");
    }
    // Given back and taken up once more: only the new grant counts. Good and bad ones in one batch.
    assert!(house.settle(fence, unbegun()).await);
    assert!(!house.settle(fence, house.begun()).await, "nobody holds it");
    let taken = house.take_all().await;
    let new = Fence { attempt: 2, ..fence };
    assert!(taken.iter().any(|taken| taken.fence == new));
    let change = |fence| Change { fence, what: house.begun() };
    let first = Fence { id: waiting, attempt: 1 };
    let changes = vec![change(fence), change(first)];
    assert_eq!(house.backend().settle(changes).await.unwrap(), [false, true]);
    assert_eq!((house.status(fence.id).await, house.status(waiting).await), (Status::Queued, Status::Running));
    assert!(house.settle(new, house.begun()).await && house.settle(new, house.begun()).await, "said again");
    assert_eq!(house.get(fence.id).await.unwrap().attempt, 2);
}

pub(crate) async fn ended_twice(house: House) {
    let fence = house.running().await;
    let end = house.end(fence, Status::Succeeded).await;
    assert!(house.settle(fence, end.clone()).await && house.settle(fence, end.clone()).await);
    let job = house.get(fence.id).await.unwrap();
    let other = house.end(fence, Status::Canceled).await;
    for late in [other, house.begun(), unbegun(), broken(&house, fence)] {
        assert!(!house.settle(fence, late).await);
    }
    assert!(!house.settle(Fence { attempt: 2, ..fence }, end).await);
    assert_eq!(house.get(fence.id).await.unwrap(), job);
    assert_eq!((house.counts().await.kept, house.counts().await.accepted), (1, 1));
}

pub(crate) async fn given_back(house: House) {
    let (first, second) = (house.granted().await, house.waiting().await);
    assert!(house.settle(first, What::Returned { attempt: None, turn: 9 }).await);
    let job = house.get(first.id).await.unwrap();
    assert_eq!((job.status, job.started_us), (Status::Queued, None));
    assert!(job.history.is_none_or(|history| history.attempts.is_empty()));
    let taken = house.take_all().await;
    assert_eq!(ids(&taken), [second, first.id], "at the place it was given back to");
    assert_eq!(taken[1].fence.attempt, 2, "a grant's number never comes again");
}

pub(crate) async fn runs(house: House) {
    let mut fence = house.granted().await;
    let bytes = house.counts().await.active_bytes;
    for run in 1..=RUNS {
        assert!(house.settle(fence, house.begun()).await);
        let lost = broken(&house, fence);
        let What::Returned { attempt: Some(told), .. } = &lost else { unreachable!() };
        let told = told.clone();
        assert!(house.settle(fence, lost).await);
        let job = house.get(fence.id).await.unwrap();
        let history = job.history.unwrap();
        assert_eq!((history.attempts.len() as u32, history.attempts.last()), (run, Some(&told)));
        if run < RUNS {
            assert_eq!((job.status, job.attempt, job.started_us), (Status::Queued, run, None));
            assert_eq!(house.counts().await.active_bytes, bytes);
            fence = house.take_all().await[0].fence;
            assert_eq!(fence.attempt, run + 1);
        } else {
            let error = job.error.unwrap();
            assert_eq!((job.status, error.kind), (Status::Failed, ErrorKind::Lost));
            assert!((1..=RUNS).all(|run| error.detail.contains(&run.to_string())), "{}", error.detail);
            assert!(job.finished_us.is_some());
        }
    }
    assert_eq!(house.take_all().await.len(), 0);
    assert_eq!(house.counts().await.by_status, [0, 0, 0, 1, 0, 0]);
    assert_eq!(house.backend().steps(fence.id).await.unwrap(), Some(vec![]));
}

pub(crate) async fn not_again(house: House) {
    for begun in [false, true] {
        let fence = house.granted().await;
        assert!(!begun || house.settle(fence, house.begun()).await);
        assert!(matches!(house.backend().cancel(fence.id, house.now_us()).await.unwrap(), Stopped::Asked(_)));
        assert!(house.settle(fence, if begun { broken(&house, fence) } else { unbegun() }).await);
        assert_eq!(house.status(fence.id).await, Status::Canceled);
        let id = house.write(Entry { held: true, ..house.entry(Lane::ALONE, 0) }).await;
        let fence = Fence { id, attempt: 1 };
        assert!(!begun || house.settle(fence, house.begun()).await);
        assert!(house.settle(fence, if begun { broken(&house, fence) } else { unbegun() }).await);
        let job = house.get(id).await.unwrap();
        assert_eq!((job.status, job.error.unwrap().kind), (Status::Failed, ErrorKind::Shutdown));
    }
    assert_eq!(house.take_all().await.len(), 0);
    assert_eq!(house.counts().await.by_status, [0, 0, 0, 2, 2, 0]);
}

pub(crate) async fn canceled(house: House) {
    let cancel = |id| house.backend().cancel(id, house.now_us());
    assert!(matches!(cancel(house.ids.next(house.now_us())).await.unwrap(), Stopped::Absent));
    let id = house.waiting().await;
    let Stopped::Now(job) = cancel(id).await.unwrap() else { panic!("it waits for any node") };
    assert_eq!(house.get(id).await.unwrap(), *job);
    assert!(job.status == Status::Canceled && job.cancel_requested);
    assert!(job.finished_us.is_some() && job.retained_us > job.finished_us);
    assert_eq!(house.backend().steps(id).await.unwrap(), Some(vec![]));
    let Stopped::Ended(again) = cancel(id).await.unwrap() else { panic!("it has ended") };
    assert_eq!(*again, *job);
    assert_eq!(house.take_all().await.len(), 0);
    for fence in [house.granted().await, house.running().await] {
        let status = house.status(fence.id).await;
        for _ in 0..2 {
            let Stopped::Asked(job) = cancel(fence.id).await.unwrap() else { panic!("a node holds it") };
            assert_eq!((job.status, job.cancel_requested), (status, true));
            assert_eq!(house.get(fence.id).await.unwrap(), *job);
        }
        let end = house.end(fence, Status::Succeeded).await;
        assert!(house.settle(fence, end).await, "it was done before it was stopped");
        assert!(matches!(cancel(fence.id).await.unwrap(), Stopped::Ended(job) if job.status == Status::Succeeded));
    }
    assert_eq!(house.counts().await.by_status, [0, 0, 2, 0, 1, 0]);
}

pub(crate) async fn renewed(house: House) {
    let (good, stopped, over) = (house.granted().await, house.running().await, house.running().await);
    house.backend().cancel(stopped.id, house.now_us()).await.unwrap();
    let end = house.end(over, Status::Succeeded).await;
    house.settle(over, end).await;
    let old = Fence { attempt: 0, ..good };
    let stranger = Fence { id: house.ids.next(house.now_us()), attempt: 1 };
    let renewed = house.backend().renew(vec![good, stopped, over, old, stranger]).await.unwrap();
    assert_eq!((renewed.lost, renewed.cancels), (vec![over, old, stranger], vec![stopped.id]));
    let none = house.backend().renew(vec![]).await.unwrap();
    assert_eq!((none.lost.len(), none.cancels.len()), (0, 0));
}

pub(crate) async fn reopened(mut house: House) {
    let waiting = house.waiting().await;
    let (granted, running, ended) = (house.granted().await, house.running().await, house.ended().await);
    let canceled = house.waiting().await;
    house.backend().cancel(canceled, house.now_us()).await.unwrap();
    let (before, counts) = (house.get(ended).await, house.counts().await);
    house.reopen().await;
    assert_eq!((house.get(ended).await, house.counts().await), (before, counts), "as it was answered");
    assert_eq!(house.backend().steps(ended).await.unwrap(), Some(records()));
    assert_eq!(house.status(canceled).await, Status::Canceled);
    house.tidy(Bounds::default()).await;
    let taken = house.take_all().await;
    assert_eq!(ids(&taken), [waiting, granted.id, running.id], "all that had not ended");
    assert_eq!(taken.iter().map(|taken| taken.fence.attempt).collect::<Vec<_>>(), [1, 2, 2]);
    let history = |at: usize| taken[at].job.history.as_ref().map_or(0, |history| history.attempts.len());
    assert_eq!([history(0), history(1), history(2)], [0, 0, 1], "a grant without a run is no lost run");
    assert!(!house.settle(running, house.begun()).await && !house.settle(granted, house.begun()).await);
    for taken in &taken {
        assert_eq!((taken.job.status, taken.job.started_us), (Status::Queued, None));
        assert!(house.settle(taken.fence, house.begun()).await);
    }
    assert_eq!(house.get(running.id).await.unwrap().attempt, 2);
}

pub(crate) async fn lost_with_node(mut house: House) {
    let (order, stopped, unbegun) = (house.running().await, house.running().await, house.granted().await);
    for fence in [stopped, unbegun] {
        house.backend().cancel(fence.id, house.now_us()).await.unwrap();
    }
    let alone = house.write(Entry { held: true, ..house.entry(Lane::ALONE, 0) }).await;
    for run in 1..=RUNS {
        house.reopen().await;
        house.tidy(Bounds::default()).await;
        let taken = house.take_all().await;
        let job = house.get(order.id).await.unwrap();
        let attempts = job.history.unwrap().attempts;
        assert_eq!(attempts.len() as u32, run);
        let last = attempts.last().unwrap();
        assert_eq!((last.attempt, last.why, last.started_us.is_some()), (run, Broken::NodeLost, true));
        assert_eq!([house.status(stopped.id).await, house.status(unbegun.id).await], [Status::Canceled; 2]);
        assert_eq!(house.get(alone).await.unwrap().error.unwrap().kind, ErrorKind::Shutdown);
        if run < RUNS {
            assert_eq!(ids(&taken), [order.id]);
            assert!(house.settle(taken[0].fence, house.begun()).await);
        } else {
            assert_eq!((job.status, job.error.unwrap().kind, taken.len()), (Status::Failed, ErrorKind::Lost, 0));
        }
    }
    let counts = house.counts().await;
    assert_eq!((counts.by_status, counts.accepted, counts.kept), ([0, 0, 0, 2, 2, 0], 4, 4));
}
