//! Several nodes on one database, and a database that goes away: what a store of one node cannot be tried for.
//!
//! It deliberately repeats nothing of the contract of a backend, and starts no service: that is for the tests of clusters.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use pasta_fasta::domain::id::{Ids, OrderId};
use pasta_fasta::domain::job::{Broken, Status};
use pasta_fasta::domain::live::{Live, StepEvent};
use pasta_fasta::domain::recipe::StepRef;
use pasta_fasta::domain::spec::Spec;
use pasta_fasta::store::backend::{
    Appended, Change, Ended, Entry, Group, Hint, Lane, Published, Said, Stopped, Taken, Want, What,
};
use pasta_fasta::store::postgres::Postgres;
use pasta_fasta::store::{Backend, Bounds, Down, Fence, Once, packed};
use uuid::Uuid;

use crate::backend_contract::{Database, ids};
use crate::harness::eventually;
use crate::pg_server::{Kitchen, Server};
use crate::store_contract::{NONE, new_job, owner};

const LEASE: Duration = Duration::from_secs(15);

fn entry(ids: &Ids, held: bool) -> Entry {
    Entry { job: new_job(ids, NONE).job, needs: NONE, lane: Lane(0), turn: 0, held }
}

fn group(entry: Entry) -> Group {
    Group { entries: vec![entry], once: None }
}

async fn write(node: &Postgres, entry: Entry) -> OrderId {
    let id = entry.job.id;
    assert_eq!(node.append(vec![group(entry)]).await.unwrap(), [Appended::Fresh]);
    id
}

async fn take(node: &Postgres, most: u32) -> Vec<Taken> {
    node.take(Want { lanes: vec![(Lane(0), most)], room: NONE }).await.unwrap()
}

/// How the run of this grant ended.
async fn end(node: &Postgres, fence: Fence, status: Status) -> Change {
    let mut job = *node.get(fence.id).await.unwrap().unwrap();
    (job.status, job.attempt) = (status, fence.attempt);
    let packed = packed::pack(&job, &[]).into();
    Change { fence, what: What::Ended(Arc::new(Ended { job, packed })) }
}

/// The first answer of a database that was away. Each connection comes back by itself and says so in no other way; it does
/// in less time than would cost anybody a lease.
async fn back<T>(ask: impl Fn() -> Said<T>) -> T {
    let mut answered = None;
    eventually(LEASE, "it answers again", async || {
        answered = ask().await.ok();
        answered.is_some()
    })
    .await;
    answered.unwrap()
}

/// Says that it is away, before a lease runs out for want of an answer.
async fn away<T: std::fmt::Debug + PartialEq>(said: Said<T>) {
    let told = tokio::time::timeout(LEASE, said).await.expect("it does not hang");
    assert_eq!(told, Err(Down::Away));
}

/// Hints, until one is this.
async fn hears(node: &Postgres, hint: Hint) {
    let found = async { while node.hint().await != hint {} };
    tokio::time::timeout(LEASE, found).await.expect("it was called out");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_taking_at_once_never_take_the_same_order_and_leave_none() {
    let mut kitchen = Kitchen::new();
    let kitchen = kitchen.made().await;
    let (a, b) = (kitchen.node("a", LEASE).await, kitchen.node("b", LEASE).await);
    let order_ids = Ids::new(1);
    let mut written = HashSet::new();
    for _ in 0..20 {
        let groups: Vec<_> = (0..200).map(|_| group(entry(&order_ids, false))).collect();
        written.extend(groups.iter().map(|group| group.entries[0].job.id));
        assert!(a.append(groups).await.unwrap().iter().all(|answer| *answer == Appended::Fresh));
    }
    let all = |node: Arc<Postgres>| async move {
        let mut taken = Vec::new();
        loop {
            let more = take(&node, 37).await;
            if more.is_empty() {
                return taken;
            }
            taken.extend(ids(&more));
        }
    };
    let (of_a, of_b) = tokio::join!(tokio::spawn(all(Arc::new(a))), tokio::spawn(all(Arc::new(b))));
    let (of_a, of_b) = (of_a.unwrap(), of_b.unwrap());
    assert!(!of_a.is_empty() && !of_b.is_empty(), "both were at it");
    assert_eq!(of_a.len() + of_b.len(), written.len());
    assert_eq!(of_a.into_iter().chain(of_b).collect::<HashSet<_>>(), written);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_whose_lease_ran_out_is_the_other_nodes_and_the_first_ones_end_is_refused() {
    let mut kitchen = Kitchen::new();
    let mut kitchen = kitchen.made().await.clone();
    let (a, b) = (kitchen.node("a", LEASE).await, kitchen.node("b", LEASE).await);
    let id = write(&a, entry(&Ids::new(1), true)).await;
    let first = Fence { id, attempt: 1 };
    let begun = What::Begun { started_us: 1, queue_ns: 1 };
    assert_eq!(a.settle(vec![Change { fence: first, what: begun }]).await.unwrap(), [true]);
    b.tidy(Bounds::default(), 0).await.unwrap();
    assert_eq!(take(&b, 9).await.len(), 0, "its lease is good");
    kitchen.pass_time(LEASE / 2).await;
    assert!(a.renew(vec![first]).await.unwrap().lost.is_empty());
    kitchen.pass_time(LEASE / 2).await;
    assert_eq!(b.tidy(Bounds::default(), 0).await.unwrap().returned, 0, "it was renewed");
    kitchen.pass_time(LEASE).await;
    assert_eq!(b.tidy(Bounds::default(), 0).await.unwrap().returned, 1);
    let taken = take(&b, 9).await;
    let second = Fence { id, attempt: 2 };
    assert_eq!(taken[0].fence, second);
    let history = taken[0].job.history.clone().unwrap();
    assert_eq!(
        (history.attempts.len(), &*history.attempts[0].node, history.attempts[0].why),
        (1, "a", Broken::NodeLost)
    );
    // The first node wakes up, done.
    let late = end(&a, first, Status::Succeeded).await;
    assert_eq!(a.settle(vec![late]).await.unwrap(), [false], "refused");
    assert_eq!(a.renew(vec![first]).await.unwrap().lost, [first]);
    let impostor = end(&a, second, Status::Succeeded).await;
    assert_eq!(a.settle(vec![impostor]).await.unwrap(), [false], "right number, wrong node");
    let good = end(&b, second, Status::Failed).await;
    assert_eq!(b.settle(vec![good]).await.unwrap(), [true]);
    assert_eq!(a.get(id).await.unwrap().unwrap().status, Status::Failed);
    assert_eq!(a.counts().await.unwrap().by_status, [0, 0, 0, 1, 0, 0]);
}

fn event(seq: u32) -> StepEvent {
    StepEvent { seq, at: StepRef { dish: 1, step: 0 }, outcome: None, offset: u64::from(seq) }
}

fn published(fence: Fence, seqs: std::ops::RangeInclusive<u32>) -> Published {
    let live = Live { steps_done: 7, dishes_done: 3, last_seq: *seqs.end(), events: seqs.map(event).collect() };
    Published { fence, live }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_node_publishes_of_a_run_is_told_by_any_and_only_under_its_grant() {
    let mut kitchen = Kitchen::new();
    let mut kitchen = kitchen.made().await.clone();
    let (a, b) = (kitchen.node("a", LEASE).await, kitchen.node("b", LEASE).await);
    let id = write(&a, entry(&Ids::new(1), true)).await;
    let (first, second) = (Fence { id, attempt: 1 }, Fence { id, attempt: 2 });
    assert_eq!(b.published(first, 0).await.unwrap(), None);
    assert_eq!(a.publish(vec![published(first, 2..=40)]).await.unwrap(), [true]);
    // Nobody heard the answer: the same once more, and more. Then what comes next, in several rows.
    assert_eq!(a.publish(vec![published(first, 2..=50)]).await.unwrap(), [true]);
    assert_eq!(a.publish(vec![published(first, 51..=2_000)]).await.unwrap(), [true]);
    let mut seqs = Vec::new();
    while let Some(live) = b.published(first, seqs.last().copied().unwrap_or(0)).await.unwrap()
        && !live.events.is_empty()
    {
        assert_eq!((live.steps_done, live.dishes_done, live.last_seq), (7, 3, 2_000));
        assert!(live.events.iter().all(|told| *told == event(told.seq)));
        seqs.extend(live.events.iter().map(|event| event.seq));
    }
    assert_eq!(seqs, Vec::from_iter(2..=2_000));
    assert_eq!(b.published(first, 1_234).await.unwrap().unwrap().events[0], event(1_235));
    assert_eq!(b.publish(vec![published(first, 2_001..=2_002)]).await.unwrap(), [false], "not its order");
    assert_eq!(a.publish(vec![published(second, 2..=3)]).await.unwrap(), [false], "not its grant");

    kitchen.pass_time(LEASE).await;
    assert_eq!(b.tidy(Bounds::default(), 0).await.unwrap().returned, 1);
    assert_eq!(take(&b, 9).await[0].fence, second);
    assert_eq!(b.publish(vec![published(second, 2..=5)]).await.unwrap(), [true]);
    assert_eq!(a.publish(vec![published(first, 2_001..=2_002)]).await.unwrap(), [false], "it lost it");
    assert_eq!(a.published(second, 0).await.unwrap().unwrap().events.len(), 4);
    assert_eq!(a.published(first, 0).await.unwrap(), None, "another attempt, another beginning");
    let over = end(&b, second, Status::Succeeded).await;
    assert_eq!(b.settle(vec![over]).await.unwrap(), [true]);
    assert_eq!(b.publish(vec![published(second, 6..=7)]).await.unwrap(), [false], "it has ended");
    a.tidy(Bounds::default(), 0).await.unwrap();
    let left = "SELECT (SELECT count(*) FROM order_progress) + (SELECT count(*) FROM order_events)";
    assert_eq!(kitchen.visitor().await.query_one(left, &[]).await.unwrap().get::<_, i64>(0), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_clock_of_a_node_decides_nothing() {
    let mut kitchen = Kitchen::new();
    let kitchen = kitchen.made().await;
    let node = kitchen.node("a", LEASE).await;
    let order_ids = Ids::new(1);
    // Nodes half a century off, in both directions.
    for wrong_us in [0, 4_102_444_800_000_000] {
        let mut wrong = entry(&order_ids, false);
        wrong.job.created_us = wrong_us;
        wrong.job.spec = Arc::new(Spec { expires_in: Some(Duration::from_secs(60)), ..(*wrong.job.spec).clone() });
        let id = write(&node, wrong).await;
        let tidied = node.tidy(Bounds::default(), i64::MAX - wrong_us).await.unwrap();
        assert!(tidied.ended.is_empty() && tidied.returned == 0);
        let taken = take(&node, 9).await;
        assert_eq!(ids(&taken), [id]);
        assert!(taken[0].waited < Duration::from_secs(60), "{:?}", taken[0].waited);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_key_used_on_two_nodes_at_once_takes_effect_once() {
    let mut kitchen = Kitchen::new();
    let kitchen = kitchen.made().await;
    let nodes = [kitchen.node("a", LEASE).await, kitchen.node("b", LEASE).await];
    let order_ids = Ids::new(1);
    for round in 0..50 {
        let ask = |node: &Postgres| {
            let entries = vec![entry(&order_ids, false), entry(&order_ids, false)];
            let key = format!("key-{round}").into();
            let id = entries[0].job.id;
            let once = Once { owner: owner(1), key, fingerprint: Uuid::from_u128(1) };
            let said = node.append(vec![Group { entries, once: Some(once) }]);
            async move { (id, said.await.unwrap().remove(0)) }
        };
        let ((a, of_a), (b, of_b)) = tokio::join!(ask(&nodes[0]), ask(&nodes[1]));
        match (of_a, of_b) {
            (Appended::Fresh, Appended::Before(ids)) => assert_eq!(ids[0], a),
            (Appended::Before(ids), Appended::Fresh) => assert_eq!(ids[0], b),
            other => panic!("{other:?}"),
        }
        assert_eq!(nodes[0].counts().await.unwrap().accepted, 2 * (round + 1));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_happens_on_one_node_is_called_out_to_those_it_concerns() {
    let mut kitchen = Kitchen::new();
    let kitchen = kitchen.made().await;
    let (a, b) = (kitchen.node("a", LEASE).await, kitchen.node("b", LEASE).await);
    // What comes with the connection itself.
    hears(&a, Hint::Cancel).await;
    hears(&b, Hint::Cancel).await;
    let order_ids = Ids::new(1);
    let held = Fence { id: write(&a, entry(&order_ids, true)).await, attempt: 1 };
    assert!(matches!(b.cancel(held.id, 0).await.unwrap(), Stopped::Asked(_)));
    hears(&a, Hint::Cancel).await;
    assert_eq!(a.renew(vec![held]).await.unwrap().cancels, [held.id]);
    write(&a, entry(&order_ids, false)).await;
    hears(&b, Hint::Queued).await;
    let over = end(&a, held, Status::Canceled).await;
    assert_eq!(a.settle(vec![over]).await.unwrap(), [true]);
    hears(&b, Hint::Ended(held.id, Status::Canceled)).await;
    a.delete(held.id).await.unwrap();
    hears(&b, Hint::Deleted(held.id)).await;
    let nodes = a.nodes().await.unwrap();
    assert_eq!(nodes.iter().map(|row| &*row.node).collect::<Vec<_>>(), ["a", "b"]);
    assert!(nodes.iter().all(|row| row.capacity.children == 3 && row.started_us > 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_crashes_is_away_and_then_back_with_all_it_acknowledged() {
    let mut kitchen = Kitchen::new();
    let kitchen = kitchen.made().await;
    let node = kitchen.node("a", LEASE).await;
    let order_ids = Ids::new(1);
    let mut acknowledged = HashMap::new();
    for _ in 0..3 {
        let (held, waiting) = (entry(&order_ids, true), entry(&order_ids, false));
        acknowledged.insert(write(&node, held).await, true);
        acknowledged.insert(write(&node, waiting).await, false);
        Server::shared().down();
        let unsaid = entry(&order_ids, false);
        away(node.append(vec![group(unsaid.clone())])).await;
        assert_eq!(node.settle(vec![]).await, Ok(vec![]), "nothing to say needs no database");
        away(node.counts()).await;
        away(node.renew(vec![])).await;
        Server::shared().up();
        drop(kitchen.visitor().await);
        assert_eq!(back(|| node.append(vec![group(unsaid.clone())])).await, [Appended::Fresh]);
        acknowledged.insert(unsaid.job.id, false);
    }
    for (id, is_held) in &acknowledged {
        let job = back(|| node.get(*id)).await;
        let history = job.unwrap().history.unwrap();
        assert_eq!(history.node.is_some(), *is_held);
    }
    assert_eq!(back(|| node.counts()).await.accepted, acknowledged.len() as u64);
    hears(&node, Hint::Queued).await;
}
