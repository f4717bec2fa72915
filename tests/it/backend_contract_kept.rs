//! The contract of a backend, third part: what is listed, counted and forgotten.
//!
//! The table of all clauses is in `backend_contract.rs`. It deliberately measures no speed.

use std::sync::Arc;
use std::time::Duration;

use pasta_fasta::domain::draw;
use pasta_fasta::domain::id::OrderId;
use pasta_fasta::domain::job::{ErrorKind, Status};
use pasta_fasta::domain::spec::{ModelId, Spec};
use pasta_fasta::store::backend::{Entry, Lane, What};
use pasta_fasta::store::{Bounds, DeleteAnswer, Fence, Query};

use crate::backend_contract::{House, all};
use crate::store_contract::owner;

pub(crate) async fn listed(house: House) {
    let page = house.backend().list(all()).await.unwrap();
    assert!(page.jobs.is_empty() && page.next.is_none());
    let mut expected = Vec::new();
    for nth in 0..25 {
        expected.push(match nth % 3 {
            0 => house.waiting().await,
            1 => house.running().await.id,
            _ => house.ended().await,
        });
    }
    expected.reverse();
    for limit in [1, 4, 5, 25, 26] {
        let (mut seen, mut query) = (Vec::new(), Query { limit, ..Query::default() });
        loop {
            let page = house.backend().list(query.clone()).await.unwrap();
            assert!(page.jobs.len() <= limit);
            for job in page.jobs {
                seen.push(job.id);
                assert_eq!(house.get(job.id).await, Some(job));
            }
            let Some(next) = page.next else { break };
            query.before = Some(next);
        }
        assert_eq!(seen, expected, "pages of {limit}");
    }
    let between = |after: usize, before: usize| {
        house.listed(Query { after: Some(expected[after]), before: Some(expected[before]), ..all() })
    };
    assert_eq!(between(10, 5).await, expected[6..10]);
    assert!(between(5, 10).await.is_empty() && between(5, 5).await.is_empty() && between(6, 5).await.is_empty());
}

pub(crate) async fn filtered(house: House) {
    let mut placed = Vec::new();
    for (model, client, labels) in
        [(0, 1, &[("a", "1"), ("b", "2")][..]), (1, 2, &[("a", "1")]), (0, 2, &[]), (0, 1, &[("a", ""), ("1", "a")])]
    {
        let mut entry = Entry { held: true, ..house.entry(Lane(0), 0) };
        let labels = labels.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect();
        entry.job.spec = Arc::new(Spec { model: ModelId(model), labels, ..(*entry.job.spec).clone() });
        entry.job.owner = owner(client);
        placed.push(house.write(entry).await);
    }
    let fence = |nth: usize| Fence { id: placed[nth], attempt: 1 };
    for (nth, status) in [(0, Status::Succeeded), (2, Status::Failed)] {
        let end = house.end(fence(nth), status).await;
        house.settle(fence(nth), end).await;
    }
    house.settle(fence(1), house.begun()).await;
    let label = |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    let table: Vec<(Query, &[usize])> = vec![
        (Query { model: Some(ModelId(1)), ..all() }, &[1]),
        (Query { model: Some(ModelId(2)), ..all() }, &[]),
        (Query { owner: Some(owner(1)), ..all() }, &[3, 0]),
        (Query { owner: Some(owner(9)), ..all() }, &[]),
        (Query { status: vec![Status::Running], ..all() }, &[1]),
        (Query { status: vec![Status::Succeeded, Status::Failed, Status::Queued], ..all() }, &[3, 2, 0]),
        (Query { status: vec![Status::Expired], ..all() }, &[]),
        (Query { labels: label(&[("a", "1")]), ..all() }, &[1, 0]),
        (Query { labels: label(&[("a", "1"), ("b", "2")]), ..all() }, &[0]),
        (Query { labels: label(&[("a", "2")]), ..all() }, &[]),
        (Query { labels: label(&[("a", "")]), ..all() }, &[3]),
        (Query { labels: label(&[("a", "1")]), owner: Some(owner(2)), status: vec![Status::Running], ..all() }, &[1]),
        (Query { after: Some(placed[1]), model: Some(ModelId(0)), ..all() }, &[3, 2]),
    ];
    for (query, expected) in table {
        let expected: Vec<_> = expected.iter().map(|nth| placed[*nth]).collect();
        assert_eq!(house.listed(query.clone()).await, expected, "{query:?}");
    }
}

pub(crate) async fn deleted(house: House) {
    let (waiting, running, ended) = (house.waiting().await, house.running().await.id, house.ended().await);
    let delete = |id| house.backend().delete(id);
    for active in [waiting, running] {
        assert_eq!(delete(active).await.unwrap(), DeleteAnswer::Active);
    }
    assert_eq!(delete(ended).await.unwrap(), DeleteAnswer::Deleted);
    assert_eq!(delete(ended).await.unwrap(), DeleteAnswer::Absent);
    assert_eq!((house.get(ended).await, house.backend().steps(ended).await.unwrap()), (None, None));
    assert_eq!(house.listed(all()).await, [running, waiting]);
    let counts = house.counts().await;
    assert_eq!((counts.kept, counts.ended_bytes, counts.accepted), (0, 0, 3));
    assert_eq!(counts.by_status[Status::Succeeded as usize], 1, "deleted orders still count");
}

pub(crate) async fn expired(mut house: House) {
    let timed = |house: &House, held| {
        let mut entry = house.entry(Lane(0), 0);
        let expires_in = Some(Duration::from_secs(60));
        entry.job.spec = Arc::new(Spec { expires_in, ..(*entry.job.spec).clone() });
        Entry { held, ..entry }
    };
    let (waiting, plain) = (house.write(timed(&house, false)).await, house.waiting().await);
    let given_back = Fence { id: house.write(timed(&house, true)).await, attempt: 1 };
    assert!(house.settle(given_back, What::Returned { attempt: None, turn: 0 }).await);
    assert!(house.tidy(Bounds::default()).await.ended.is_empty(), "not yet");
    house.pass_time(Duration::from_secs(61)).await;
    let mut ended = house.tidy(Bounds::default()).await.ended;
    ended.sort_unstable_by_key(|(id, _)| *id);
    assert_eq!(ended, [(waiting, Status::Expired), (given_back.id, Status::Expired)]);
    let job = house.get(waiting).await.unwrap();
    assert_eq!((job.status, job.error.as_ref().unwrap().kind), (Status::Expired, ErrorKind::Expired));
    assert!(job.retained_us > job.finished_us && job.finished_us.is_some());
    let taken = house.take_all().await;
    assert_eq!(crate::backend_contract::ids(&taken), [plain]);
    assert!(house.tidy(Bounds::default()).await.ended.is_empty(), "once");
    assert_eq!(house.counts().await.by_status, [1, 0, 0, 0, 0, 2]);
}

pub(crate) async fn aged(mut house: House) {
    let (old, waiting) = (house.ended().await, house.waiting().await);
    let day = Duration::from_micros(Bounds::default().retention_us.unsigned_abs());
    house.pass_time(day / 2).await;
    let young = house.ended().await;
    house.tidy(Bounds::default()).await;
    assert_eq!(house.listed(all()).await, [young, waiting, old], "not yet");
    house.pass_time(day / 2 + Duration::from_secs(1)).await;
    house.tidy(Bounds::default()).await;
    assert_eq!(house.listed(all()).await, [young, waiting]);
    house.pass_time(day * 100).await;
    house.tidy(Bounds::default()).await;
    assert_eq!(house.listed(all()).await, [waiting], "active orders are never forgotten");
    let counts = house.counts().await;
    assert_eq!((counts.kept, counts.ended_bytes, counts.by_status[Status::Succeeded as usize]), (0, 0, 2));
}

pub(crate) async fn bounded(house: House) {
    let first = house.running().await;
    let mut ends = Vec::new();
    for _ in 0..6 {
        ends.push(house.ended().await);
    }
    let end = house.end(first, Status::Failed).await;
    house.settle(first, end).await;
    house.tidy(Bounds { ended_orders: 4, ..Bounds::default() }).await;
    assert_eq!(house.listed(all()).await, [ends[5], ends[4], ends[3], first.id], "by their end, not their birth");
    let counts = house.counts().await;
    assert_eq!((counts.kept, counts.accepted), (4, 7));
    let three_and_a_half = counts.ended_bytes * 7 / 8;
    house.tidy(Bounds { ended_bytes: three_and_a_half, ..Bounds::default() }).await;
    assert_eq!(house.listed(all()).await, [ends[5], ends[4], first.id]);
    house.tidy(Bounds { ended_orders: 0, ..Bounds::default() }).await;
    assert_eq!((house.counts().await.kept, house.counts().await.ended_bytes), (0, 0));
}

pub(crate) async fn shares(house: House) {
    let mut bytes = 0;
    for (client, turn) in [(1, 7), (1, 5), (2, 1), (3, 9)] {
        let mut entry = Entry { held: client == 2, ..house.entry(Lane(client), turn) };
        entry.job.owner = owner(client as u8);
        bytes = entry.job.spec.weight() as u64;
        house.write(entry).await;
    }
    house.ended().await;
    let mut tidied = house.tidy(Bounds::default()).await;
    tidied.shares.sort_unstable();
    assert_eq!(tidied.shares, [(owner(1), 2, 2 * bytes), (owner(2), 1, bytes), (owner(3), 1, bytes)]);
    let waiting: Vec<_> = tidied.waiting.iter().map(|lane| (lane.lane, lane.turn)).collect();
    assert_eq!(waiting, [(Lane(1), 5), (Lane(3), 9)], "the lowest turn of each; held orders wait for nobody");
    assert_eq!(tidied.returned, 0);
    let nodes = house.backend().nodes().await.unwrap();
    assert_eq!(nodes.len(), 1);
    assert!(nodes[0].seen_us >= nodes[0].started_us);
}

pub(crate) async fn conserved(house: House) {
    let bounds = Bounds { ended_orders: 15, ..Bounds::default() };
    let (mut known, mut held, mut accepted): (Vec<OrderId>, Vec<Fence>, u64) = (vec![], vec![], 0);
    for step in 0..600_u64 {
        let draw = draw::mix(step);
        match draw % 8 {
            0 | 1 => {
                known.push(house.waiting().await);
                accepted += 1;
            }
            2 => held.extend(house.take_all().await.iter().map(|taken| taken.fence)),
            3..6 if !held.is_empty() => {
                let fence = held.swap_remove(draw as usize / 16 % held.len());
                let end = house.end(fence, [Status::Succeeded, Status::Canceled][draw as usize / 8 % 2]).await;
                let back = What::Returned { attempt: None, turn: 0 };
                let what = vec![end, house.begun(), back].swap_remove(draw as usize / 64 % 3);
                held.extend(matches!(what, What::Begun { .. }).then_some(fence));
                assert!(house.settle(fence, what).await, "step {step}");
            }
            6 if !known.is_empty() => {
                house.backend().cancel(known[draw as usize / 16 % known.len()], house.now_us()).await.unwrap();
            }
            _ if !known.is_empty() => {
                house.backend().delete(known[draw as usize / 16 % known.len()]).await.unwrap();
                house.tidy(bounds).await;
                assert!(house.counts().await.kept <= 15, "step {step}");
            }
            _ => {}
        }
        let counts = house.counts().await;
        assert_eq!((counts.accepted, counts.by_status.iter().sum::<u64>()), (accepted, accepted), "step {step}");
        let jobs = house.backend().list(all()).await.unwrap().jobs;
        let of = |status| jobs.iter().filter(|job| job.status == status).count() as u64;
        assert_eq!(counts.by_status[..2], [of(Status::Queued), of(Status::Running)], "step {step}");
        assert_eq!(counts.kept, jobs.iter().filter(|job| job.status.is_done()).count() as u64, "step {step}");
        let active = jobs.iter().filter(|job| !job.status.is_done());
        assert_eq!(counts.active_bytes, active.map(|job| job.spec.weight()).sum::<usize>(), "step {step}");
    }
    assert!(accepted > 100, "the walk went somewhere: {accepted}");
}
