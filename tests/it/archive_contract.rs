//! The contract of what keeps comparisons, clause by clause, through the trait alone: memory, a file, a database.
//!
//! It deliberately knows no comparison: what is kept is text to it. How services use it is in `comparisons_kept.rs`.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use pasta_fasta::clock;
use pasta_fasta::domain::client::Client;
use pasta_fasta::domain::id::Ids;
use pasta_fasta::domain::job::Status;
use pasta_fasta::domain::limits;
use pasta_fasta::store::MemoryArchive;
use pasta_fasta::store::archive::{Archive, Filed, Filing, Shelf};

#[cfg(feature = "postgres")]
use crate::backend_contract::Database;
#[cfg(feature = "postgres")]
use crate::pg_server::{Kitchen, LEASE};
#[cfg(feature = "sqlite")]
use crate::sqlite_file::File;

fn new(ids: &Ids, owner: &str) -> Filed {
    Filed {
        id: ids.next(clock::wall_us()),
        owner: Client::key(owner),
        status: Status::Queued,
        cancel_requested: false,
        seen_us: clock::wall_us(),
        is_lost: false,
        answer: r#"{"name":"'quoted' \"twice\" \u0000 \ud83c\udf5d 🍝"}"#.into(),
        notes: "{}".into(),
    }
}

async fn opened(archive: &dyn Archive, filed: Filed) -> Filed {
    archive.open(filed.clone()).await.unwrap();
    filed
}

/// The same, but for the time, which is the database's.
fn is_same(found: &Filed, filed: &Filed) -> bool {
    *found == Filed { seen_us: found.seen_us, ..filed.clone() }
}

/// It is written, read back whole, written anew while it lasts, and its end does not change.
async fn written(archive: &dyn Archive, ids: &Ids) {
    let queued = opened(archive, new(ids, "a")).await;
    assert!(is_same(&archive.filed(queued.id).await.unwrap().unwrap(), &queued));
    let running = Filed { status: Status::Running, answer: "{}".into(), notes: r#"{"told":[]}"#.into(), ..queued };
    let kept = Filing::Kept { cancel_requested: false };
    assert_eq!(archive.file(running.clone()).await, Ok(kept));
    assert!(is_same(&archive.filed(running.id).await.unwrap().unwrap(), &running));
    let ended = Filed { status: Status::Succeeded, answer: "[1]".into(), ..running.clone() };
    assert_eq!((archive.file(ended.clone()).await, archive.file(ended.clone()).await), (Ok(kept), Ok(kept)));
    assert_eq!(archive.file(running).await, Ok(Filing::Refused));
    assert_eq!(archive.file(Filed { status: Status::Failed, ..ended.clone() }).await, Ok(Filing::Refused));
    assert!(is_same(&archive.filed(ended.id).await.unwrap().unwrap(), &ended));
    assert_eq!(archive.file(new(ids, "a")).await, Ok(Filing::Refused), "nobody has opened it");
}

/// A wish to stop is remembered, told to who writes next, and comes too late after the end.
async fn wished(archive: &dyn Archive, ids: &Ids) {
    let queued = opened(archive, new(ids, "b")).await;
    let wished = archive.wish_stopped(queued.id).await.unwrap().unwrap();
    assert!(wished.cancel_requested && !wished.is_over());
    let running = Filed { status: Status::Running, ..queued };
    assert_eq!(archive.file(running.clone()).await, Ok(Filing::Kept { cancel_requested: true }));
    archive.file(Filed { status: Status::Canceled, ..running.clone() }).await.unwrap();
    let ended = opened(archive, new(ids, "b")).await;
    archive.file(Filed { status: Status::Succeeded, ..ended.clone() }).await.unwrap();
    let too_late = archive.wish_stopped(ended.id).await.unwrap().unwrap();
    assert_eq!((too_late.status, too_late.cancel_requested), (Status::Succeeded, false));
    assert_eq!(archive.wish_stopped(new(ids, "b").id).await, Ok(None));
}

/// Pages are youngest first, of one client or of all.
async fn listed(archive: &dyn Archive, ids: &Ids) {
    let mut all = Vec::new();
    for n in 0..5 {
        all.insert(0, opened(archive, new(ids, ["c", "d"][n % 2])).await);
    }
    let ids_of = |page: Vec<Filed>| page.iter().map(|filed| filed.id).collect::<Vec<_>>();
    let shelf = |before, owner: Option<&str>, limit| Shelf { before, owner: owner.map(Client::key), limit };
    let page = ids_of(archive.shelf(shelf(None, None, 2)).await.unwrap());
    assert_eq!(page, [all[0].id, all[1].id]);
    let next = ids_of(archive.shelf(shelf(Some(page[1]), None, 3)).await.unwrap());
    assert_eq!(next, [all[2].id, all[3].id, all[4].id]);
    let of_d = ids_of(archive.shelf(shelf(None, Some("d"), 10)).await.unwrap());
    assert_eq!(of_d, [all[1].id, all[3].id]);
    assert_eq!(ids_of(archive.shelf(shelf(Some(of_d[0]), Some("d"), 10)).await.unwrap()), [all[3].id]);
    assert_eq!(archive.notes(shelf(None, Some("d"), 10)).await.unwrap(), vec![all[0].notes.clone(); 2]);
    assert!(archive.shelf(shelf(None, Some("nobody"), 10)).await.unwrap().is_empty());
}

/// Only what is over is forgotten.
async fn discarded(archive: &dyn Archive, ids: &Ids) {
    let queued = opened(archive, new(ids, "e")).await;
    assert_eq!(archive.discard(queued.id).await, Ok(Some(false)));
    archive.file(Filed { status: Status::Failed, ..queued.clone() }).await.unwrap();
    assert_eq!(archive.discard(queued.id).await, Ok(Some(true)));
    assert_eq!((archive.discard(queued.id).await, archive.filed(queued.id).await), (Ok(None), Ok(None)));
}

/// What another run of the service did not end is lost; what it ended is there.
async fn lost(place: &mut dyn Place, archive: Arc<dyn Archive>, ids: &Ids) -> Arc<dyn Archive> {
    let (open, ended) = (opened(&*archive, new(ids, "f")).await, opened(&*archive, new(ids, "f")).await);
    archive.file(Filed { status: Status::Succeeded, ..ended.clone() }).await.unwrap();
    drop(archive);
    let archive = place.reopen().await;
    let found = archive.filed(ended.id).await.unwrap().unwrap();
    assert!(is_same(&found, &Filed { status: Status::Succeeded, ..ended }), "{found:?}");
    let found = archive.filed(open.id).await.unwrap().unwrap();
    assert!(found.is_lost && found.is_over() && is_same(&found, &Filed { is_lost: true, ..open.clone() }), "{found:?}");
    assert_eq!(archive.file(open.clone()).await, Ok(Filing::Refused), "it is another's");
    assert_eq!(archive.discard(open.id).await, Ok(Some(true)));
    archive
}

/// Of too many the oldest that are over go. `most` minus one are kept already, the oldest of them over.
async fn bounded(archive: &dyn Archive, ids: &Ids, most: usize) {
    let shelf = Shelf { before: None, owner: None, limit: most + 10 };
    let before = archive.shelf(shelf.clone()).await.unwrap();
    assert_eq!(before.len(), most - 1);
    let lasting = opened(archive, new(ids, "g")).await;
    assert_eq!(archive.shelf(shelf.clone()).await.unwrap().len(), most);
    let another = opened(archive, new(ids, "g")).await;
    let after = archive.shelf(shelf).await.unwrap();
    assert_eq!(after.len(), most);
    assert_eq!((after[0].id, after[1].id), (another.id, lasting.id));
    assert_eq!(after.last().map(|filed| filed.id), before.get(before.len() - 2).map(|filed| filed.id));
}

async fn exercise(archive: &dyn Archive, ids: &Ids) {
    written(archive, ids).await;
    wished(archive, ids).await;
    listed(archive, ids).await;
    discarded(archive, ids).await;
}

#[tokio::test]
async fn memory_keeps_the_contract_of_an_archive_and_bounds_its_bytes() {
    let ids = Ids::new(1);
    exercise(&MemoryArchive::default(), &ids).await;
    let archive = MemoryArchive::default();
    let over = |filed: Filed| Filed { status: Status::Succeeded, ..filed };
    for _ in 1..limits::COMPARISONS_IN_MEMORY {
        opened(&archive, over(new(&ids, "g"))).await;
    }
    bounded(&archive, &ids, limits::COMPARISONS_IN_MEMORY).await;
    let answer: Arc<str> = "x".repeat(limits::COMPARISON_BYTES_IN_MEMORY / 4).into();
    for _ in 0..6 {
        opened(&archive, over(Filed { answer: answer.clone(), ..new(&ids, "h") })).await;
    }
    let kept = archive.shelf(Shelf { before: None, owner: Some(Client::key("h")), limit: 10 }).await.unwrap();
    assert!((2..=4).contains(&kept.len()), "{}", kept.len());
}

/// What a clause needs beside an archive: another run of the service over the same database, and many rows.
trait Place {
    fn reopen(&mut self) -> BoxFuture<'_, Arc<dyn Archive>>;
    /// Nothing but so many comparisons that are over.
    fn fill(&mut self, rows: usize) -> BoxFuture<'_, ()>;
}

async fn exercise_database(place: &mut dyn Place) {
    let (ids, archive) = (Ids::new(1), place.reopen().await);
    exercise(&*archive, &ids).await;
    let archive = lost(place, archive, &ids).await;
    place.fill(limits::COMPARISONS - 1).await;
    bounded(&*archive, &ids, limits::COMPARISONS).await;
}

#[cfg(feature = "sqlite")]
impl Place for File {
    fn reopen(&mut self) -> BoxFuture<'_, Arc<dyn Archive>> {
        Box::pin(async { Arc::new(self.sqlite().unwrap()) as Arc<dyn Archive> })
    }

    fn fill(&mut self, rows: usize) -> BoxFuture<'_, ()> {
        let id = "unhex(printf('%012x70008000000000000000', n))";
        self.meddle(&format!(
            "DELETE FROM comparisons; WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < {rows}) \
             INSERT INTO comparisons SELECT {id}, 'key:g', 'before', 2, 0, 0, '{{}}', '{{}}' FROM c"
        ));
        Box::pin(async {})
    }
}

#[cfg(feature = "sqlite")]
#[tokio::test]
async fn a_file_keeps_the_contract_of_an_archive() {
    exercise_database(&mut File::new()).await;
}

#[cfg(feature = "postgres")]
impl Place for Kitchen {
    fn reopen(&mut self) -> BoxFuture<'_, Arc<dyn Archive>> {
        Box::pin(async {
            let node = self.made().await.node("here", LEASE).await;
            self.pass_time(LEASE * 2).await;
            Arc::new(node) as Arc<dyn Archive>
        })
    }

    fn fill(&mut self, rows: usize) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let fill = format!(
                "DELETE FROM comparisons; INSERT INTO comparisons SELECT (lpad(to_hex(n), 12, '0') || '70008000000000000000')::uuid, \
                 'key:g', 'before', 2, false, clock_timestamp(), '{{}}', '{{}}' FROM generate_series(1, {rows}) n"
            );
            self.visitor().await.batch_execute(&fill).await.unwrap();
        })
    }
}

#[cfg(feature = "postgres")]
#[tokio::test]
async fn postgres_keeps_the_contract_of_an_archive() {
    exercise_database(&mut Kitchen::new()).await;
}
