//! The schema in Postgres: who may open which database, and whether what is ended weighs on what waits.
//!
//! It deliberately measures no time.

use std::time::Duration;

use pasta_fasta::domain::id::Ids;
use pasta_fasta::domain::live::Live;
use pasta_fasta::store::backend::{Appended, Entry, Group, Lane, Published, Want};
use pasta_fasta::store::postgres::{OpenError, Postgres};
use pasta_fasta::store::{Backend, Bounds, Query, packed};
use tokio_postgres::types::ToSql;

use crate::backend_contract::Database;
use crate::harness::eventually;
use crate::pg_server::{Kitchen, Server, node_row};
use crate::store_contract::{NONE, new_job, owner};

const LEASE: Duration = Duration::from_secs(15);

async fn refused(url: &str) -> OpenError {
    Postgres::connect(url, node_row("a"), LEASE, &[]).await.err().expect("it is refused")
}

fn order(ids: &Ids) -> Group {
    let entry = Entry { job: new_job(ids, NONE).job, needs: NONE, lane: Lane(0), turn: 0, held: false };
    Group { entries: vec![entry], once: None }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_that_migrate_at_once_agree_and_leave_the_rows_that_are_there() {
    let mut kitchen = Kitchen::new();
    let url = kitchen.made().await.url();
    let migrations = (0..4).map(|_| {
        let url = url.clone();
        tokio::spawn(async move { Postgres::migrate(&url).await })
    });
    for migration in migrations.collect::<Vec<_>>() {
        migration.await.unwrap().unwrap();
    }
    let node = kitchen.node("a", LEASE).await;
    assert_eq!(node.append(vec![order(&Ids::new(1))]).await.unwrap(), [Appended::Fresh]);
    Postgres::migrate(&url).await.unwrap();
    let other = kitchen.node("b", LEASE).await;
    assert_eq!(other.take(Want { lanes: vec![(Lane(0), 9)], room: NONE }).await.unwrap().len(), 1);
}

mod embedded {
    refinery::embed_migrations!("migrations/postgres");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn orders_of_the_first_schema_are_there_after_two_nodes_brought_it_up_to_date_at_once() {
    let kitchen = Kitchen::opened().await;
    let mut visitor = kitchen.visitor().await;
    let first = embedded::migrations::runner().set_target(refinery::Target::Version(1));
    first.run_async(&mut visitor).await.unwrap();
    let ids = Ids::new(1);
    let jobs = [0, 1].map(|_| new_job(&ids, NONE).job);
    // One waits, one runs on a node that is no more.
    let insert = "INSERT INTO orders (id, owner, status, model, lane, turn, threads, children, attempt, node, lease_until, \
                  started_us, bytes, format, body) VALUES ($1, $2, $3::int4, 'sequential', 0, 0, 0, 0, $3::int4, \
                  CASE WHEN $3 = 1 THEN 'gone' END, CASE WHEN $3 = 1 THEN clock_timestamp() - interval '1 hour' END, 1, 9, $4, $5)";
    for (status, job) in (0..).zip(&jobs) {
        let body = packed::pack(job, &[]).into_vec();
        let row: [&(dyn ToSql + Sync); 5] = [&job.id.0, &job.owner.as_str(), &status, &packed::FORMAT, &body];
        visitor.execute(insert, &row).await.unwrap();
    }
    visitor.batch_execute("UPDATE tally SET queued = 1, running = 1, active_bytes = 18 WHERE shard = 0").await.unwrap();
    let (a, b) = tokio::join!(kitchen.node("a", LEASE), kitchen.node("b", LEASE));
    assert_eq!(a.counts().await.unwrap().by_status, [1, 1, 0, 0, 0, 0]);
    assert_eq!(b.tidy(Bounds::default(), 0).await.unwrap().returned, 1);
    let taken = a.take(Want { lanes: vec![(Lane(0), 9)], room: NONE }).await.unwrap();
    let (mut ids, mut expected) = (taken.iter().map(|taken| taken.job.id).collect::<Vec<_>>(), jobs.map(|job| job.id));
    ids.sort();
    expected.sort();
    assert_eq!(ids, expected);
    let live = Live { steps_done: 1, dishes_done: 1, last_seq: 1, events: Vec::new() };
    let said = taken.iter().map(|taken| Published { fence: taken.fence, live: live.clone() }).collect();
    assert_eq!(a.publish(said).await.unwrap(), [true, true], "what the second schema has works too");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_that_cannot_be_read_keeps_no_other_from_being_taken_over() {
    let mut kitchen = Kitchen::opened().await;
    let (a, b) = (kitchen.node("a", LEASE).await, kitchen.node("b", LEASE).await);
    let ids = Ids::new(1);
    let visitor = kitchen.visitor().await;
    let take = async || b.take(Want { lanes: vec![(Lane(0), 9)], room: NONE }).await.unwrap();
    for held in [true, false] {
        let mut groups: Vec<_> = (0..3).map(|_| order(&ids)).collect();
        groups.iter_mut().for_each(|group| group.entries[0].held = held);
        let [newer, damaged, good] = [0, 1, 2].map(|nth: usize| groups[nth].entries[0].job.id);
        a.append(groups).await.unwrap();
        visitor.execute("UPDATE orders SET format = 99 WHERE id = $1", &[&newer.0]).await.unwrap();
        visitor.execute("UPDATE orders SET body = 'x' WHERE id = $1", &[&damaged.0]).await.unwrap();
        kitchen.pass_time(LEASE).await;
        let tidied = b.tidy(Bounds::default(), 0).await.unwrap();
        assert_eq!(tidied.returned, u64::from(held), "of lost holders what can be read waits again");
        let taken = take().await;
        assert_eq!(taken.iter().map(|taken| taken.job.id).collect::<Vec<_>>(), [good]);
        let tidied = b.tidy(Bounds::default(), 0).await.unwrap();
        assert!(tidied.unreadable > 0, "it is counted");
        assert!(tidied.waiting.is_empty(), "nobody is kept busy by what waits for a later version");
        // The later version, or its end.
        visitor.execute("UPDATE orders SET format = $2 WHERE id = $1", &[&newer.0, &packed::FORMAT]).await.unwrap();
        b.tidy(Bounds::default(), 0).await.unwrap();
        assert_eq!(take().await.iter().map(|taken| taken.job.id).collect::<Vec<_>>(), [newer]);
        visitor.batch_execute("DELETE FROM orders").await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_makes_a_backup_or_subscribes_to_rows_is_no_standby() {
    let kitchen = Kitchen::opened().await;
    Server::shared().listening("wal_level = logical", "");
    let visitor = kitchen.visitor().await;
    let node = kitchen.node("a", LEASE).await;
    let senders = async |kind: &str| -> i64 {
        let count = format!("SELECT count(*) FROM pg_stat_replication r WHERE {kind}");
        visitor.query_one(&count, &[]).await.unwrap().get(0)
    };
    let caveat = async || {
        node.tidy(Bounds::default(), 0).await.unwrap();
        node.caveat()
    };
    let soon = Duration::from_secs(60);
    let mut backup = Server::shared().backup();
    eventually(soon, "a backup is made, with what is written meanwhile", async || {
        senders("state = 'backup'").await == 1 && senders("state = 'streaming'").await == 1
    })
    .await;
    assert_eq!(caveat().await, None, "a backup");
    backup.kill().unwrap();
    backup.wait().unwrap();

    let subscriber = Kitchen::opened().await;
    visitor.batch_execute("CREATE TABLE rows (id int PRIMARY KEY); CREATE PUBLICATION p FOR TABLE rows").await.unwrap();
    visitor.query_one("SELECT pg_create_logical_replication_slot('s', 'pgoutput')", &[]).await.unwrap();
    let from = kitchen.url().replace("postgres://pasta@", "").replace("%2F", "/");
    let (host, port) =
        from.split_once('/').map(|_| from.rsplit_once('/').unwrap().0.rsplit_once(':').unwrap()).unwrap();
    let there = subscriber.visitor().await;
    there.batch_execute("CREATE TABLE rows (id int PRIMARY KEY)").await.unwrap();
    let subscribe = format!(
        "CREATE SUBSCRIPTION s CONNECTION 'host={host} port={port} user=pasta dbname={}' PUBLICATION p \
         WITH (create_slot = false)",
        kitchen.name
    );
    there.batch_execute(&subscribe).await.unwrap();
    let streaming = "state = 'streaming' AND replay_lsn IS NOT NULL";
    eventually(soon, "rows are sent", async || senders(streaming).await == 1).await;
    assert_eq!(caveat().await, None, "a subscriber");

    Server::shared().standby();
    eventually(soon, "a standby is a standby", async || {
        caveat().await.is_some_and(|caveat| caveat.contains("asynchronous"))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_schema_of_a_newer_version_is_refused_with_a_sentence_and_left_alone() {
    let mut kitchen = Kitchen::new();
    let url = kitchen.made().await.url();
    Postgres::migrate(&url).await.unwrap();
    let visitor = kitchen.visitor().await;
    let later = "INSERT INTO refinery_schema_history VALUES (99, 'later', '2030-01-01T00:00:00Z', '1')";
    visitor.batch_execute(later).await.unwrap();
    let error = refused(&url).await;
    assert!(matches!(error, OpenError::Newer(99)) && error.to_string().contains("newer version"), "{error}");
    visitor.batch_execute("DELETE FROM refinery_schema_history WHERE version = 99").await.unwrap();
    kitchen.node("a", LEASE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_connected_to_is_refused_with_a_sentence() {
    drop(Server::shared().visitor("postgres").await);
    let url = Server::shared().url("nowhere");
    let error = refused(&url).await;
    assert!(matches!(error, OpenError::Unreachable(_)) && error.to_string().contains("nowhere"), "{error}");
    // Port 1 of this machine: nobody is there.
    assert!(matches!(refused("postgres://pasta@127.0.0.1:1/x").await, OpenError::Unreachable(_)));
    assert!(matches!(refused("postgres://pasta@h/x?sslrootcert=/nowhere").await, OpenError::Tls(_)));
    assert!(matches!(refused("postgres://pasta@h/x?nonsense=1").await, OpenError::Address(_)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_thousand_ended_orders_are_not_looked_at_to_take_one_up_or_to_list_a_few() {
    let mut kitchen = Kitchen::new();
    let plain = kitchen.made().await.url();
    // The server writes the plan of each statement, with the rows that were really looked at, into its log.
    let options =
        "-c session_preload_libraries=auto_explain -c auto_explain.log_min_duration=0 -c auto_explain.log_analyze=on";
    let url = format!("{plain}?options={}", options.replace(' ', "%20").replace('=', "%3D"));
    let node = Postgres::connect(&url, node_row("a"), LEASE, &[]).await.unwrap();
    let ended = "INSERT INTO orders (id, owner, status, model, lane, turn, threads, children, attempt, node, ended_at, bytes, format, body) \
                 SELECT gen_random_uuid(), 'a', 2, 'asyncio', 0, n, 0, 0, 1, 'a', clock_timestamp(), 9, 1, 'x' FROM generate_series(1, 100000) n";
    kitchen.visitor().await.batch_execute(ended).await.unwrap();
    assert_eq!(node.append(vec![order(&Ids::new(1))]).await.unwrap(), [Appended::Fresh]);
    assert_eq!(node.take(Want { lanes: vec![(Lane(0), 9)], room: NONE }).await.unwrap().len(), 1);
    let query = Query { owner: Some(owner(9)), limit: 10, ..Query::default() };
    assert!(node.list(query).await.unwrap().jobs.is_empty());
    let log = Server::shared().log();
    let plan = log.split("duration:").filter(|plan| plan.contains("plan:") && plan.contains("SKIP LOCKED")).last();
    let plan = plan.expect("the claim was explained");
    assert!(plan.contains("Index Scan using orders_waiting"), "{plan}");
    assert!(!plan.contains("Seq Scan on orders") && !plan.contains("Rows Removed by Filter: 1"), "{plan}");
    let plan = log.split("duration:").filter(|plan| plan.contains("plan:") && plan.contains("o.labels @>")).last();
    let plan = plan.expect("the list was explained");
    assert!(plan.contains("Index Scan Backward using orders_pkey") && !plan.contains("Sort"), "{plan}");
}
