//! The second half of the contract of a store: what is kept, listed, counted and forgotten.
//!
//! The first half and the table of all clauses are in `store_contract.rs`. It deliberately measures no speed.

use std::time::Duration;

use pasta_fasta::domain::draw;
use pasta_fasta::domain::id::{Ids, OrderId};
use pasta_fasta::domain::job::Status;
use pasta_fasta::domain::spec::{ModelId, Spec};
use pasta_fasta::store::{Bounds, CancelAnswer, DeleteAnswer, Lookup, Query};

use crate::store_contract::{Blocking, Make, NONE, NOW_US, claim, end_of, job, new_job, queue, status};

/// Queues, claims and ends an order; it ended at this moment.
fn ended(store: &Blocking, ids: &Ids, finished_us: i64) -> OrderId {
    let id = queue(store, ids, NONE);
    assert_eq!(claim(store, NONE), [id]);
    store.finish(end_of(id, Status::Succeeded, finished_us)).unwrap();
    id
}

fn all() -> Query {
    Query { limit: 1_000, ..Query::default() }
}

fn listed_ids(store: &Blocking, query: &Query) -> Vec<OrderId> {
    store.list(query).jobs.iter().map(|job| job.id).collect()
}

pub(crate) fn listed(make: Make) {
    let (store, ids) = (make(Bounds::default()), Ids::new(1));
    assert!(store.list(&all()).jobs.is_empty() && store.list(&all()).next.is_none());
    let mut expected: Vec<_> = (0..25).map(|_| queue(&store, &ids, NONE)).collect();
    for id in claim(&store, NONE).into_iter().take(10) {
        store.finish(end_of(id, Status::Failed, NOW_US)).unwrap();
    }
    expected.reverse();
    for limit in [1, 4, 5, 25, 26] {
        let (mut seen, mut query) = (Vec::new(), Query { limit, ..Query::default() });
        loop {
            let page = store.list(&query);
            assert!(page.jobs.len() <= limit);
            seen.extend(page.jobs.iter().map(|job| job.id));
            assert!(page.jobs.iter().all(|listed| *listed == job(&store, listed.id)));
            let Some(next) = page.next else { break };
            query.before = Some(next);
        }
        assert_eq!(seen, expected, "pages of {limit}");
    }
    // Both ends are exclusive, in any order, also of orders that are not here.
    let between = |after: usize, before: usize| {
        listed_ids(&store, &Query { after: Some(expected[after]), before: Some(expected[before]), ..all() })
    };
    assert_eq!(between(10, 5), expected[6..10]);
    assert!(between(5, 10).is_empty() && between(5, 5).is_empty() && between(6, 5).is_empty());
    let now = Query { before: Some(ids.next(NOW_US)), ..all() };
    assert_eq!(listed_ids(&store, &now), expected);
}

pub(crate) fn filtered(make: Make) {
    let (store, ids) = (make(Bounds::default()), Ids::new(1));
    let mut placed = Vec::new();
    for (model, labels) in
        [(0, &[("a", "1"), ("b", "2")][..]), (1, &[("a", "1")]), (0, &[]), (0, &[("a", ""), ("1", "a")])]
    {
        let mut new = new_job(&ids, NONE);
        let labels = labels.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect();
        new.job.spec = std::sync::Arc::new(Spec { model: ModelId(model), labels, ..(*new.job.spec).clone() });
        placed.push(new.job.id);
        store.submit(vec![new], None).unwrap();
    }
    claim(&store, NONE);
    store.finish(end_of(placed[0], Status::Succeeded, NOW_US)).unwrap();
    store.finish(end_of(placed[2], Status::Failed, NOW_US)).unwrap();
    placed.push(queue(&store, &ids, NONE));
    let label = |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    let table: Vec<(Query, &[usize])> = vec![
        (Query { model: Some(ModelId(1)), ..all() }, &[1]),
        (Query { status: vec![Status::Running], ..all() }, &[3, 1]),
        (Query { status: vec![Status::Succeeded, Status::Failed, Status::Queued], ..all() }, &[4, 2, 0]),
        (Query { status: vec![Status::Expired], ..all() }, &[]),
        (Query { labels: label(&[("a", "1")]), ..all() }, &[1, 0]),
        (Query { labels: label(&[("a", "1"), ("b", "2")]), ..all() }, &[0]),
        (Query { labels: label(&[("a", "1"), ("a", "2")]), ..all() }, &[]),
        (Query { labels: label(&[("a", "")]), ..all() }, &[3]),
        (Query { labels: label(&[("a", "1")]), status: vec![Status::Running], model: Some(ModelId(1)), ..all() }, &[1]),
        (Query { labels: label(&[("a", "1")]), limit: 1, ..all() }, &[1]),
    ];
    for (query, expected) in table {
        let expected: Vec<_> = expected.iter().map(|i| placed[*i]).collect();
        assert_eq!(listed_ids(&store, &query), expected, "{query:?}");
    }
}

pub(crate) fn deleted(make: Make) {
    let (store, ids) = (make(Bounds::default()), Ids::new(1));
    let id = queue(&store, &ids, NONE);
    assert_eq!(store.delete(id), DeleteAnswer::Active);
    claim(&store, NONE);
    assert_eq!(store.delete(id), DeleteAnswer::Active);
    store.finish(end_of(id, Status::Succeeded, NOW_US)).unwrap();
    let other = ended(&store, &ids, NOW_US);
    let before = store.counts();
    assert_eq!((store.delete(id), store.delete(id)), (DeleteAnswer::Deleted, DeleteAnswer::Absent));
    assert_eq!((store.get(id), store.steps(id)), (Lookup::Absent, None));
    assert_eq!(store.request_cancel(id, NOW_US), CancelAnswer::Absent);
    assert_eq!(store.finish(end_of(id, Status::Failed, NOW_US)), None);
    assert_eq!(listed_ids(&store, &all()), [other]);
    let after = store.counts();
    assert_eq!((after.kept, after.by_status, after.accepted), (before.kept - 1, before.by_status, before.accepted));
    assert!(after.ended_bytes < before.ended_bytes);
    store.delete(other);
    assert_eq!(store.counts().ended_bytes, 0);
}

pub(crate) fn swept(make: Make) {
    let (store, ids) = (make(Bounds { retention_us: 1_000, ..Bounds::default() }), Ids::new(1));
    // By the time of their end, not of their birth; one that was deleted in between is no obstacle.
    let (first, second, third) = (queue(&store, &ids, NONE), queue(&store, &ids, NONE), queue(&store, &ids, NONE));
    claim(&store, NONE);
    for (id, at) in [(third, NOW_US), (second, NOW_US + 10), (first, NOW_US + 500)] {
        store.finish(end_of(id, Status::Succeeded, at)).unwrap();
    }
    let running = queue(&store, &ids, NONE);
    claim(&store, NONE);
    let waiting = queue(&store, &ids, NONE);
    store.sweep(NOW_US + 999);
    assert_eq!(store.counts().kept, 3, "not yet");
    store.delete(second);
    store.sweep(NOW_US + 1_010);
    assert_eq!(listed_ids(&store, &all()), [waiting, running, first]);
    store.sweep(i64::MAX - 1_000);
    assert_eq!(listed_ids(&store, &all()), [waiting, running], "active orders are never swept");
    let counts = store.counts();
    assert_eq!((counts.kept, counts.ended_bytes, counts.by_status[Status::Succeeded as usize]), (0, 0, 3));
}

pub(crate) fn bounded_by_count(make: Make) {
    let (store, ids) = (make(Bounds { ended_orders: 2, ..Bounds::default() }), Ids::new(1));
    let waiting = queue(&store, &ids, NONE);
    let old = queue(&store, &ids, NONE);
    store.request_cancel(waiting, NOW_US);
    assert_eq!(claim(&store, NONE), [old]);
    // Born first and running: nothing that ends evicts it.
    let ends: Vec<_> = (1..=4).map(|at| ended(&store, &ids, NOW_US + at)).collect();
    store.sweep(NOW_US);
    assert_eq!(listed_ids(&store, &all()), [ends[3], ends[2], old]);
    assert_eq!(
        (status(&store, old), store.get(ends[0]), store.steps(ends[1])),
        (Status::Running, Lookup::Absent, None)
    );
    // Ends last although it was born first, so it stays.
    store.finish(end_of(old, Status::Succeeded, NOW_US + 9)).unwrap();
    store.sweep(NOW_US);
    assert_eq!(listed_ids(&store, &all()), [ends[3], old]);
    let counts = store.counts();
    assert_eq!((counts.kept, counts.accepted), (2, 6));
    assert_eq!(counts.by_status.iter().sum::<u64>(), 6, "forgotten orders still count");
}

pub(crate) fn bounded_by_bytes(make: Make) {
    let ids = Ids::new(1);
    let one = {
        let store = make(Bounds::default());
        ended(&store, &ids, NOW_US);
        store.counts().ended_bytes
    };
    assert!(one > 0);
    // Room for three and a half: ids of one length, so every order weighs about the same.
    let store = make(Bounds { ended_bytes: 3 * one + one / 2, ..Bounds::default() });
    let running = queue(&store, &ids, NONE);
    claim(&store, NONE);
    let ends: Vec<_> = (0..10).map(|at| ended(&store, &ids, NOW_US + at)).collect();
    store.sweep(NOW_US);
    assert_eq!(listed_ids(&store, &all()), [ends[9], ends[8], ends[7], running]);
    let counts = store.counts();
    assert!(counts.ended_bytes <= 3 * one + one / 2 && counts.kept == 3);
    store.finish(end_of(running, Status::Canceled, NOW_US + 99)).unwrap();
    store.sweep(NOW_US);
    assert_eq!(listed_ids(&store, &all()), [ends[9], ends[8], running]);
}

pub(crate) fn counts_conserve(make: Make) {
    let bounds = Bounds { active_orders: 20, ended_orders: 15, retention_us: 200, ..Bounds::default() };
    let (store, ids) = (make(bounds), Ids::new(1));
    let (mut known, mut running, mut accepted): (Vec<OrderId>, Vec<OrderId>, u64) = (vec![], vec![], 0);
    // A few thousand where a step costs nothing, some hundred where it is written to a disk.
    let began = std::time::Instant::now();
    for step in 0..5_000_u64 {
        if step > 500 && began.elapsed() > Duration::from_secs(5) {
            break;
        }
        let draw = draw::mix(step);
        let pick = |list: &[OrderId]| list.get(draw as usize / 16 % list.len().max(1)).copied();
        let at = NOW_US + step as i64;
        match draw % 8 {
            0 | 1 => {
                let batch: Vec<_> = (0..=draw % 3).map(|_| new_job(&ids, NONE)).collect();
                let new: Vec<_> = batch.iter().map(|new| new.job.id).collect();
                if store.submit(batch, None).is_ok() {
                    accepted += new.len() as u64;
                    known.extend(new);
                }
            }
            2 => running.extend(claim(&store, NONE)),
            3..6 if !running.is_empty() => {
                let id = running.swap_remove(draw as usize / 16 % running.len());
                let end = [Status::Succeeded, Status::Failed, Status::Canceled][draw as usize / 8 % 3];
                assert_eq!(store.finish(end_of(id, end, at)), Some(()), "step {step}");
            }
            6 => {
                pick(&known).map(|id| store.request_cancel(id, at));
            }
            _ => {
                pick(&known).map(|id| store.delete(id));
                store.sweep(at);
            }
        }
        // What is too much may stay until the next sweep.
        store.sweep(NOW_US);
        let counts = store.counts();
        assert_eq!((counts.accepted, counts.by_status.iter().sum::<u64>()), (accepted, accepted), "step {step}");
        let jobs = store.list(&all()).jobs;
        let of = |status| jobs.iter().filter(|job| job.status == status).count() as u64;
        for status in [Status::Queued, Status::Running] {
            assert_eq!(counts.by_status[status as usize], of(status), "step {step}, {status:?}");
        }
        assert_eq!(counts.kept, jobs.iter().filter(|job| job.status.is_done()).count() as u64, "step {step}");
        assert!(counts.kept <= 15 && of(Status::Queued) + of(Status::Running) <= 20, "step {step}");
    }
    assert!(accepted > 100, "the walk went somewhere: {accepted}");
    // Everything ended and forgotten: not a byte is left over.
    running.extend(claim(&store, NONE));
    for id in running {
        store.finish(end_of(id, Status::Succeeded, NOW_US + 5_000)).unwrap();
    }
    store.sweep(NOW_US + 1_000_000);
    let counts = store.counts();
    assert_eq!((counts.kept, counts.active_bytes, counts.ended_bytes), (0, 0, 0));
}
