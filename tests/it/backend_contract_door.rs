//! The contract of a backend, first part: how orders come in and are taken up.
//!
//! The table of all clauses is in `backend_contract.rs`. It deliberately ends no order: that is the second part.

use std::sync::Arc;

use pasta_fasta::domain::job::Status;
use pasta_fasta::domain::spec::Spec;
use pasta_fasta::store::backend::{Appended, Entry, Group, Lane, Want};
use pasta_fasta::store::{Bounds, DeleteAnswer, Fence, Once, Query};
use uuid::Uuid;

use crate::backend_contract::{House, all, ids, threads};
use crate::store_contract::owner;

fn keyed(key: &str, fingerprint: u128) -> Option<Once> {
    Some(Once { owner: owner(1), key: key.into(), fingerprint: Uuid::from_u128(fingerprint) })
}

pub(crate) async fn written(house: House) {
    assert_eq!(house.append(vec![]).await, []);
    let mut entry = house.entry(Lane(0), 7);
    entry.job.retry_of = Some(house.ids.next(house.now_us()));
    entry.job.spec = Arc::new(Spec { seed: u64::MAX, dishes: u32::MAX, ..(*entry.job.spec).clone() });
    let mut job = entry.job.clone();
    let bytes = job.spec.weight();
    house.write(entry).await;
    let read = house.get(job.id).await.unwrap();
    job.history.clone_from(&read.history);
    assert_eq!(read, job);
    assert!(read.history.is_none_or(|history| history.node.is_none() && history.attempts.is_empty()));
    let counts = house.counts().await;
    assert_eq!((counts.accepted, counts.by_status[Status::Queued as usize], counts.kept), (1, 1, 0));
    assert_eq!((counts.active_bytes, counts.ended_bytes), (bytes, 0));
    assert_eq!(house.backend().steps(job.id).await.unwrap(), None, "it is active");
    let stranger = house.ids.next(house.now_us());
    assert_eq!((house.get(stranger).await, house.backend().steps(stranger).await.unwrap()), (None, None));
}

async fn once_of(house: &House, key: &str, fingerprint: u128) -> (Vec<Appended>, Vec<Entry>) {
    let entries = vec![house.entry(Lane(0), 0), house.entry(Lane(0), 0)];
    let group = Group { entries: entries.clone(), once: keyed(key, fingerprint) };
    (house.append(vec![group]).await, entries)
}

pub(crate) async fn once(house: House) {
    let (answer, entries) = once_of(&house, "a", 1).await;
    assert_eq!(answer, [Appended::Fresh]);
    let first: Vec<_> = entries.iter().map(|entry| entry.job.id).collect();
    assert_eq!(once_of(&house, "a", 1).await.0, [Appended::Before(first.clone())]);
    assert_eq!(once_of(&house, "a", 2).await.0, [Appended::KeyReused]);
    assert_eq!(once_of(&house, "b", 2).await.0, [Appended::Fresh]);
    // Another client's key is another key.
    let mut other = house.entry(Lane(0), 0);
    other.job.owner = owner(2);
    let theirs = keyed("a", 3).map(|once| Once { owner: owner(2), ..once });
    assert_eq!(house.append(vec![Group { entries: vec![other], once: theirs }]).await, [Appended::Fresh]);
    // Twice in one batch, beside one without a key.
    let group = |once| Group { entries: vec![house.entry(Lane(0), 0)], once };
    let groups = vec![group(keyed("c", 1)), group(None), group(keyed("c", 1)), group(keyed("c", 2))];
    let c = groups[0].entries[0].job.id;
    let expected = [Appended::Fresh, Appended::Fresh, Appended::Before(vec![c]), Appended::KeyReused];
    assert_eq!(house.append(groups).await, expected);
    assert_eq!(house.counts().await.accepted, 7);
    // It is forgotten with the first order of its group, and not before.
    for (id, forgets) in [(first[1], false), (first[0], true)] {
        house.backend().cancel(id, house.now_us()).await.unwrap();
        assert_eq!(house.backend().delete(id).await.unwrap(), DeleteAnswer::Deleted);
        let again = once_of(&house, "a", 9).await.0;
        assert_eq!(again, [if forgets { Appended::Fresh } else { Appended::KeyReused }]);
    }
}

pub(crate) async fn written_again(house: House) {
    for once in [None, keyed("again", 1)] {
        let entries = vec![house.entry(Lane(0), 0), Entry { held: true, ..house.entry(Lane(0), 0) }];
        let group = Group { entries, once };
        let before = house.counts().await.accepted;
        assert_eq!(house.append(vec![group.clone()]).await, [Appended::Fresh]);
        let fence = Fence { id: group.entries[1].job.id, attempt: 1 };
        assert!(house.settle(fence, house.begun()).await);
        assert_eq!(house.append(vec![group]).await, [Appended::Fresh]);
        assert_eq!(house.status(fence.id).await, Status::Running, "what came of it stands");
        assert_eq!(house.counts().await.accepted, before + 2);
    }
}

pub(crate) async fn hostile_labels(house: House) {
    let values =
        ["'; DROP TABLE orders; --", "\"", "\\", "\u{0}", "%", "_", "{}", "[]", "null", "ü\u{1F35D}", "", "$1", "?1"];
    let mut written = Vec::new();
    for value in values {
        let mut entry = house.entry(Lane(0), 0);
        let labels = Box::new([("a".into(), value.into()), (value.into(), "a".into())]);
        entry.job.spec = Arc::new(Spec { labels, ..(*entry.job.spec).clone() });
        written.push(house.write(entry).await);
    }
    for (id, value) in written.iter().zip(values) {
        for pair in [("a".to_owned(), value.to_owned()), (value.to_owned(), "a".to_owned())] {
            let found = house.listed(Query { labels: vec![pair], ..all() }).await;
            assert_eq!(found, [*id], "{value:?}");
        }
        assert_eq!(&*house.get(*id).await.unwrap().spec.labels[0].1, value);
    }
}

pub(crate) async fn turns(house: House) {
    let mut written = Vec::new();
    for (lane, turn) in [(0, 5), (1, 1), (0, -3), (0, 5), (0, 4), (1, i64::MAX), (2, 0)] {
        written.push(house.write(house.entry(Lane(lane), turn)).await);
    }
    let want =
        |lanes: &[(i16, u32)]| Want { lanes: lanes.iter().map(|(l, n)| (Lane(*l), *n)).collect(), room: threads(0) };
    assert_eq!(house.take(want(&[(0, 0), (7, 9)])).await.len(), 0);
    let taken = house.take(want(&[(0, 3), (1, 1)])).await;
    let mut of_0: Vec<_> = taken.iter().filter(|taken| taken.lane == Lane(0)).map(|taken| taken.fence.id).collect();
    assert_eq!(of_0, [written[2], written[4], written[0]], "by turn, equal ones by id");
    of_0.push(written[1]);
    assert_eq!(ids(&taken).len(), 4);
    assert!(of_0.iter().all(|id| ids(&taken).contains(id)));
    for taken in &taken {
        assert_eq!((taken.fence.attempt, taken.job.attempt, taken.job.status), (1, 0, Status::Queued));
        assert_eq!(house.get(taken.fence.id).await.unwrap(), taken.job);
    }
    assert_eq!(ids(&house.take(want(&[(0, 9), (1, 9)])).await), [written[3], written[5]], "nothing is given out twice");
    assert_eq!(ids(&house.take(want(&[(2, 1)])).await), [written[6]]);
}

pub(crate) async fn room(house: House) {
    let mut written = Vec::new();
    for (turn, needs) in [2, 3, 1, 1].into_iter().enumerate() {
        let entry = house.entry(Lane::STAFFED, turn as i64);
        written.push(house.write(Entry { needs: threads(needs), ..entry }).await);
    }
    let want = |free, n| Want { lanes: vec![(Lane::STAFFED, n)], room: threads(free) };
    assert_eq!(house.take(want(1, 9)).await.len(), 0, "the first does not fit, and is not passed by");
    let taken = house.take(want(4, 9)).await;
    assert_eq!(ids(&taken), [written[0]], "the second does not fit, and is not passed by");
    assert_eq!(taken[0].needs, threads(2));
    assert_eq!(ids(&house.take(want(4, 1)).await), [written[1]], "no more than wanted");
    assert_eq!(ids(&house.take(want(4, 9)).await), written[2..]);
}

pub(crate) async fn held(house: House) {
    let held = house.granted().await;
    let alone = house.write(Entry { held: true, ..house.entry(Lane::ALONE, 0) }).await;
    assert_eq!(house.take_all().await.len(), 0);
    assert_eq!(house.take(Want { lanes: vec![(Lane::ALONE, 9)], room: threads(9) }).await.len(), 0);
    let job = house.get(held.id).await.unwrap();
    assert_eq!((job.status, job.attempt), (Status::Queued, 0), "a grant is no attempt before its run begins");
    assert!(job.history.unwrap().node.is_some());
    assert!(
        house.settle(held, house.begun()).await && house.settle(Fence { id: alone, attempt: 1 }, house.begun()).await
    );
    house.tidy(Bounds::default()).await;
    assert_eq!(house.status(held.id).await, Status::Running, "its lease has not run out");
}
