//! The part of the contract of a store that stands at the door: whose turn it is, how much one client may hold, requests
//! that take effect once, deadlines.
//!
//! The table of all clauses is in `store_contract.rs`. It deliberately measures no speed.

use std::sync::Arc;
use std::time::Duration;

use pasta_fasta::domain::id::{Ids, OrderId};
use pasta_fasta::domain::job::{ErrorKind, Status};
use pasta_fasta::domain::spec::{ModelId, Spec};
use pasta_fasta::store::{Bounds, Fill, NewJob, Once, Query, Refused, Room, Submitted};
use uuid::Uuid;

use crate::store_contract::{Blocking, Make, NONE, NOW_US, PLENTY, claim, end_of, job, new_job, owner, queue, status};

fn new_of(ids: &Ids, client: u8, needs: Room) -> NewJob {
    let mut new = new_job(ids, needs);
    new.job.owner = owner(client);
    new
}

fn queue_of(store: &Blocking, ids: &Ids, client: u8, needs: Room) -> OrderId {
    let new = new_of(ids, client, needs);
    let id = new.job.id;
    store.submit(vec![new], None).expect("there is room");
    id
}

pub(crate) fn turns(make: Make) {
    for needs in [NONE, Room { threads: 1, children: 0 }] {
        let (store, ids) = (make(Bounds::default()), Ids::new(1));
        let noisy: Vec<_> = (0..50).map(|_| queue_of(&store, &ids, 1, needs)).collect();
        let quiet = queue_of(&store, &ids, 2, needs);
        let claimed = claim(&store, PLENTY);
        assert_eq!(claimed[..3], [noisy[0], quiet, noisy[1]], "needs {needs:?}");
        assert_eq!(claimed.len(), 51);
    }
}

pub(crate) fn places(make: Make) {
    let (store, ids) = (make(Bounds::default()), Ids::new(1));
    let noisy: Vec<_> = (0..5).map(|_| queue_of(&store, &ids, 1, NONE)).collect();
    let quiet = queue_of(&store, &ids, 2, NONE);
    let mut new = new_of(&ids, 1, NONE);
    new.job.spec = Arc::new(Spec { model: ModelId(1), ..(*new.job.spec).clone() });
    let elsewhere = new.job.id;
    store.submit(vec![new], None).unwrap();
    let mut left = 2;
    let mut place = |model: ModelId, client: &_| {
        let counted = model == ModelId(0) && *client == owner(1);
        let given = !counted || left > 0;
        left -= i32::from(counted && given);
        given
    };
    let claimed = store.claim(NONE, false, &mut place, 0, NOW_US);
    let mut claimed: Vec<_> = claimed.into_iter().map(|(job, _)| job.id).collect();
    claimed.sort_unstable();
    assert_eq!(claimed, [noisy[0], noisy[1], quiet, elsewhere]);
    assert!(noisy[2..].iter().all(|id| status(&store, *id) == Status::Queued));
    assert_eq!(claim(&store, NONE), noisy[2..], "what waited is where it was");
}

pub(crate) fn shares(make: Make) {
    let (store, ids) = (make(Bounds { active_orders: 12, ..Bounds::default() }), Ids::new(1));
    let fill = |client: u8| {
        let one = || store.submit(vec![new_of(&ids, client, NONE)], None);
        std::iter::repeat_with(one).take_while(|answer| *answer == Ok(Submitted::Fresh)).count()
    };
    assert_eq!((fill(1), fill(2), fill(3)), (6, 3, 1), "half, half of the rest, half of what is left then");
    assert_eq!(store.submit(vec![new_of(&ids, 1, NONE)], None), Err(Refused::Share));
    let (theirs, all) = store.fill(&owner(2));
    assert_eq!((theirs, all), (Fill { active: 3, part: 1.5 }, Fill { active: 10, part: 10.0 / 12.0 }));
    assert_eq!(store.fill(&owner(9)).0, Fill { active: 0, part: 0.0 });
    // What ended is given back.
    for id in claim(&store, NONE) {
        store.finish(end_of(id, Status::Succeeded, NOW_US)).unwrap();
    }
    assert_eq!((store.fill(&owner(1)).1.active, fill(3)), (0, 6));
}

pub(crate) fn once(make: Make) {
    let (store, ids) = (make(Bounds { retention_us: 100, ..Bounds::default() }), Ids::new(1));
    let once = |client: u8, key: &str, of: u128| {
        Some(Once { owner: owner(client), key: key.into(), fingerprint: Uuid::from_u128(of) })
    };
    let batch = |n: usize| (0..n).map(|_| new_job(&ids, NONE)).collect::<Vec<_>>();
    let first = batch(2);
    let placed: Vec<_> = first.iter().map(|new| new.job.id).collect();
    assert_eq!(store.submit(first, once(1, "k", 7)), Ok(Submitted::Fresh));
    let counts = store.counts();
    assert_eq!(store.submit(batch(2), once(1, "k", 7)), Ok(Submitted::Before(placed.clone())));
    assert_eq!(store.submit(batch(2), once(1, "k", 8)), Err(Refused::KeyReused));
    assert_eq!(store.counts(), counts, "neither queued anything");
    assert_eq!(
        store.submit(vec![new_of(&ids, 2, NONE)], once(2, "k", 9)),
        Ok(Submitted::Fresh),
        "another's key is another key"
    );
    assert_eq!(store.submit(batch(1), once(1, "l", 7)), Ok(Submitted::Fresh));
    // Ended, deleted, and with it the key.
    for id in claim(&store, NONE) {
        store.finish(end_of(id, Status::Succeeded, NOW_US)).unwrap();
    }
    assert_eq!(
        store.submit(batch(2), once(1, "k", 7)),
        Ok(Submitted::Before(placed.clone())),
        "ended is not forgotten"
    );
    store.delete(placed[0]);
    assert_eq!(store.submit(batch(1), once(1, "k", 8)), Ok(Submitted::Fresh));
    store.delete(placed[1]);
    assert!(matches!(store.submit(batch(1), once(1, "k", 8)), Ok(Submitted::Before(_))), "younger orders keep it");
    store.sweep(NOW_US + 100);
    assert_eq!(store.submit(batch(1), once(1, "l", 1)), Ok(Submitted::Fresh), "swept with its order");
    for id in claim(&store, NONE) {
        store.finish(end_of(id, Status::Succeeded, NOW_US)).unwrap();
    }
    store.sweep(NOW_US + 100);
    assert_eq!((store.counts().active_bytes, store.counts().ended_bytes), (0, 0));
}

pub(crate) fn lapsed(make: Make) {
    let (store, ids) = (make(Bounds::default()), Ids::new(1));
    let due = |within_ns: u64| {
        let mut new = new_job(&ids, NONE);
        let expires_in = Some(Duration::from_nanos(within_ns));
        new.job.spec = Arc::new(Spec { expires_in, ..(*new.job.spec).clone() });
        let id = new.job.id;
        store.submit(vec![new], None).unwrap();
        id
    };
    let patient = queue(&store, &ids, NONE);
    let (late, soon) = (due(9_000), due(2_000));
    // They were accepted at 1,000.
    let lapsed = store.lapse(2_999, NOW_US);
    assert_eq!((lapsed.jobs.len(), lapsed.next), (0, Some(3_000)));
    let lapsed = store.lapse(3_000, NOW_US + 4);
    assert_eq!((lapsed.jobs.len(), lapsed.next), (1, Some(10_000)));
    let ended = job(&store, soon);
    assert_eq!(lapsed.jobs, std::slice::from_ref(&ended));
    assert_eq!((ended.status, ended.attempt, ended.finished_us), (Status::Expired, 0, Some(NOW_US + 4)));
    assert_eq!(ended.error.map(|error| error.kind), Some(ErrorKind::Expired));
    assert_eq!(claim(&store, NONE), [patient, late]);
    let lapsed = store.lapse(20_000, NOW_US);
    assert_eq!((lapsed.jobs.len(), lapsed.next), (0, None), "who has begun does not expire");
    assert_eq!(status(&store, late), Status::Running);
}

pub(crate) fn owned(make: Make) {
    let (store, ids) = (make(Bounds::default()), Ids::new(1));
    let placed: Vec<_> = (0..6).map(|i| queue_of(&store, &ids, i % 2, NONE)).collect();
    claim(&store, NONE);
    store.finish(end_of(placed[1], Status::Succeeded, NOW_US)).unwrap();
    let list = |owner| store.list(&Query { owner, limit: 10, ..Query::default() }).jobs;
    let of_one: Vec<_> = list(Some(owner(1))).iter().map(|job| job.id).collect();
    assert_eq!(of_one, [placed[5], placed[3], placed[1]]);
    assert_eq!((list(None).len(), list(Some(owner(7))).len()), (6, 0));
}
