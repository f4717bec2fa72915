//! The first half of the contract of a store: how an order is queued, claimed, canceled and ended.
//!
//! The table of all clauses is in `store_contract.rs`. It deliberately measures no speed.

use pasta_fasta::domain::draw;
use pasta_fasta::domain::id::{Ids, OrderId};
use pasta_fasta::domain::job::{ErrorKind, Job, OrderError, Status};
use pasta_fasta::domain::recipe::StepRef;
use pasta_fasta::domain::record::{Outcome, StepRecord, Worker};
use pasta_fasta::store::{Bounds, CancelAnswer, Counts, Fence, Finish, Lookup, NewJob, Refused, Room, Submitted};

use crate::store_contract::{Blocking, Make, NONE, NOW_US, PLENTY, claim, end_of, job, new_job, queue, status};

pub(crate) fn claimed_oldest_first(make: Make) {
    let (store, ids) = (make(Bounds::default()), Ids::new(1));
    let queued: Vec<_> = (0..5).map(|_| queue(&store, &ids, NONE)).collect();
    assert!(queued.iter().all(|id| status(&store, *id) == Status::Queued && job(&store, *id).attempt == 0));
    let claimed = store.claim(NONE, false, &mut |_, _| true, 4_000, NOW_US + 7);
    assert_eq!(claimed.iter().map(|(job, _)| job.id).collect::<Vec<_>>(), queued);
    for (claimed, needs) in claimed {
        assert_eq!((claimed.status, claimed.attempt, claimed.started_us), (Status::Running, 1, Some(NOW_US + 7)));
        assert_eq!((claimed.queue_ns, needs), (3_000, NONE));
        assert_eq!(job(&store, claimed.id), claimed);
    }
    assert!(claim(&store, PLENTY).is_empty());
    assert_eq!(store.get(ids.next(NOW_US)), Lookup::Absent);
}

pub(crate) fn all_or_none(make: Make) {
    // One client may hold half.
    let (store, ids) = (make(Bounds { active_orders: 6, ..Bounds::default() }), Ids::new(1));
    let batch = |n: usize| (0..n).map(|_| new_job(&ids, NONE)).collect::<Vec<_>>();
    let submit = |store: &Blocking, n: usize| store.submit(batch(n), None);
    let four = batch(4);
    assert_eq!(store.submit(four.clone(), None), Err(Refused::Full));
    assert!(four.iter().all(|new| store.get(new.job.id) == Lookup::Absent));
    assert_eq!(store.counts(), Counts::default());
    assert_eq!(submit(&store, 7), Err(Refused::Full));
    assert_eq!(submit(&store, 3), Ok(Submitted::Fresh));
    assert_eq!(submit(&store, 1), Err(Refused::Share));
    // Running ones count; ended ones make room.
    let running = claim(&store, NONE);
    assert_eq!((running.len(), submit(&store, 1)), (3, Err(Refused::Share)));
    store.finish(end_of(running[0], Status::Succeeded, NOW_US)).unwrap();
    assert_eq!((submit(&store, 1), submit(&store, 1)), (Ok(Submitted::Fresh), Err(Refused::Share)));
    // The same by bytes.
    let one = {
        let s = make(Bounds::default());
        queue(&s, &ids, NONE);
        s.counts().active_bytes
    };
    let store = make(Bounds { active_bytes: 4 * one, ..Bounds::default() });
    let answers = [5, 3, 2, 1].map(|n| submit(&store, n));
    assert_eq!(answers, [Err(Refused::Full), Err(Refused::Full), Ok(Submitted::Fresh), Err(Refused::Share)]);
}

pub(crate) fn staff_is_counted(make: Make) {
    let (store, ids) = (make(Bounds::default()), Ids::new(1));
    let threads = |threads| Room { threads, children: 0 };
    let children = |children| Room { threads: 0, children };
    let a = queue(&store, &ids, threads(3));
    let b = queue(&store, &ids, threads(2));
    let c = queue(&store, &ids, children(1));
    let plain = queue(&store, &ids, NONE);
    // `b` does not fit beside `a` and holds `c` back, though `c` would fit; what needs nothing passes.
    let claimed = store.claim(Room { threads: 4, children: 1 }, false, &mut |_, _| true, 0, 0);
    let mut got: Vec<_> = claimed.iter().map(|(job, room)| (job.id, *room)).collect();
    got.sort_unstable_by_key(|(id, _)| *id);
    assert_eq!(got, [(a, threads(3)), (plain, NONE)]);
    assert!(claim(&store, threads(1)).is_empty());
    assert_eq!(claim(&store, threads(2)), [b]);
    assert_eq!(claim(&store, Room { threads: 0, children: 1 }), [c]);
}

pub(crate) fn canceled_head(make: Make) {
    let (store, ids) = (make(Bounds::default()), Ids::new(1));
    let large = queue(&store, &ids, Room { threads: 50, children: 0 });
    let small = queue(&store, &ids, Room { threads: 1, children: 0 });
    let few = Room { threads: 2, children: 0 };
    assert!(claim(&store, few).is_empty());
    assert!(matches!(store.request_cancel(large, NOW_US), CancelAnswer::Canceled { now: true, .. }));
    assert_eq!(claim(&store, few), [small]);
}

pub(crate) fn alone(make: Make) {
    let (store, ids) = (make(Bounds::default()), Ids::new(1));
    let other = queue(&store, &ids, NONE);
    let new = NewJob { alone: true, ..new_job(&ids, NONE) };
    let own = new.job.id;
    store.submit(vec![new], None).unwrap();
    let of = |alone| {
        store.claim(PLENTY, alone, &mut |_, _| true, 0, 0).into_iter().map(|(job, _)| job.id).collect::<Vec<_>>()
    };
    assert_eq!((of(true), of(true)), (vec![own], vec![]));
    let late = NewJob { alone: true, ..new_job(&ids, NONE) };
    let late_id = late.job.id;
    store.submit(vec![late], None).unwrap();
    assert_eq!((of(false), of(false), of(true)), (vec![other], vec![], vec![late_id]));
}

pub(crate) fn fenced(make: Make) {
    let (store, ids) = (make(Bounds::default()), Ids::new(1));
    let id = queue(&store, &ids, NONE);
    let end = end_of(id, Status::Succeeded, NOW_US + 5);
    assert_eq!(store.finish(end.clone()), None, "nobody runs it yet");
    claim(&store, NONE);
    let before = job(&store, id);
    for attempt in [0, 2, u32::MAX] {
        assert_eq!(store.finish(Finish { fence: Fence { id, attempt }, ..end.clone() }), None, "attempt {attempt}");
    }
    for state in [Status::Queued, Status::Running, Status::Expired] {
        assert_eq!(store.finish(Finish { status: state, ..end.clone() }), None, "{state:?} is no end of a run");
    }
    let unknown = Fence { id: ids.next(NOW_US), attempt: 1 };
    assert_eq!(store.finish(Finish { fence: unknown, ..end.clone() }), None);
    assert_eq!(job(&store, id), before, "refused writes change nothing");
    assert_eq!(store.finish(end.clone()), Some(()));
    let after = (job(&store, id), store.counts());
    assert_eq!(store.finish(Finish { status: Status::Failed, ..end.clone() }), None);
    assert_eq!(store.finish(end), None);
    assert_eq!((job(&store, id), store.counts()), after, "ended orders never change");
    // An order canceled while it waited has no run that could end.
    let canceled = queue(&store, &ids, NONE);
    store.request_cancel(canceled, NOW_US);
    assert_eq!(store.finish(end_of(canceled, Status::Succeeded, NOW_US)), None);
    assert_eq!(status(&store, canceled), Status::Canceled);
}

pub(crate) fn end_is_kept(make: Make) {
    let (store, ids) = (make(Bounds::default()), Ids::new(1));
    let id = queue(&store, &ids, NONE);
    assert_eq!(store.steps(id), None, "queued");
    let running = store.claim(NONE, false, &mut |_, _| true, 2_000, NOW_US + 1).remove(0).0;
    assert_eq!(store.steps(id), None, "running");
    let at = StepRef { dish: 1, step: 2 };
    let worker = Worker { pid: 4, tid: 5 };
    let record = StepRecord { worker, finished: 6, value: Some(u128::MAX), ..StepRecord::unrun(at, Outcome::Failed) };
    let records = vec![record, StepRecord::unrun(StepRef { dish: 1, step: 0 }, Outcome::Skipped)];
    let error = OrderError { kind: ErrorKind::Signal, detail: "ended by signal 9".to_owned(), at: Some(at) };
    let end = Finish { error: Some(error), records: records.clone(), ..end_of(id, Status::Failed, NOW_US + 9) };
    store.finish(end.clone()).unwrap();
    let expected = Job {
        status: Status::Failed,
        finished_us: Some(NOW_US + 9),
        retained_us: Some(NOW_US + 9 + Bounds::default().retention_us),
        concurrent_orders: 9,
        error: end.error,
        summary: Some(Box::new(end.summary)),
        ..running
    };
    assert_eq!(job(&store, id), expected);
    assert_eq!(store.steps(id).as_deref(), Some(&records));
}

pub(crate) fn cancel_meets_every_state(make: Make) {
    let (store, ids) = (make(Bounds::default()), Ids::new(1));
    let cancel = |id| store.request_cancel(id, NOW_US + 3);
    assert_eq!(cancel(ids.next(NOW_US)), CancelAnswer::Absent);
    let waiting = queue(&store, &ids, NONE);
    for first in [true, false] {
        let CancelAnswer::Canceled { job, now } = cancel(waiting) else { panic!("it was waiting") };
        assert_eq!(now, first);
        assert_eq!((job.status, job.attempt, job.cancel_requested), (Status::Canceled, 0, true));
        assert_eq!((job.started_us, job.finished_us, &job.summary), (None, Some(NOW_US + 3), &None));
    }
    assert!(claim(&store, PLENTY).is_empty(), "a canceled order is not started");
    for end in [Status::Canceled, Status::Succeeded, Status::Failed] {
        let id = queue(&store, &ids, NONE);
        claim(&store, NONE);
        for _ in 0..2 {
            let CancelAnswer::Running(job) = cancel(id) else { panic!("it is running") };
            assert!(job.cancel_requested && job.status == Status::Running && job.finished_us.is_none());
        }
        // The run says how it ended: perhaps its last step was over before it heard.
        store.finish(end_of(id, end, NOW_US + 8)).unwrap();
        let ended = job(&store, id);
        assert_eq!((ended.status, ended.cancel_requested), (end, true));
        match cancel(id) {
            CancelAnswer::Canceled { job, now } => assert!(end == Status::Canceled && !now && *job == ended),
            CancelAnswer::Ended(job) => assert!(end != Status::Canceled && *job == ended),
            other => panic!("{other:?}"),
        }
    }
}

pub(crate) fn claimed_by_one(make: Make) {
    let (store, ids) = (make(Bounds::default()), Ids::new(1));
    let queued: Vec<_> = (0..2_000).map(|_| queue(&store, &ids, NONE)).collect();
    // Claims in the middle of cancels, from several threads.
    let claimed: Vec<OrderId> = std::thread::scope(|scope| {
        let claimants: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let mut got = claim(&store, NONE);
                    for id in queued.iter().skip(draw::mix(got.len() as u64) as usize % 7).step_by(7) {
                        store.request_cancel(*id, NOW_US);
                        got.extend(claim(&store, NONE));
                    }
                    got
                })
            })
            .collect();
        claimants.into_iter().flat_map(|claimant| claimant.join().unwrap()).collect()
    });
    let mut once = claimed.clone();
    once.sort_unstable();
    once.dedup();
    assert_eq!(once.len(), claimed.len(), "an order was given to two");
    let canceled = queued.iter().filter(|id| status(&store, **id) == Status::Canceled).count();
    assert_eq!(claimed.len() + canceled, queued.len());
}
