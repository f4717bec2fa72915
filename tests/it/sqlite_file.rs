//! Orders in a file: what only a file can have happen to it, and the file that the contract of backends is tried on.
//!
//! It deliberately repeats nothing of that contract.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use futures_util::future::BoxFuture;
use pasta_fasta::domain::id::Ids;
use pasta_fasta::store::backend::{Appended, Entry, Group, Lane, Want};
use pasta_fasta::store::sqlite::{OpenError, Sqlite};
use pasta_fasta::store::{Backend, Down};

use crate::backend_contract::Database;
use crate::store_contract::{NONE, new_job};

const NAMES: &[&str] = &["sequential", "asyncio", "multithreading", "multiprocessing"];

/// A file in a folder of its own, which goes with it.
pub(crate) struct File {
    folder: PathBuf,
}

impl File {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("orders-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir(&folder).unwrap();
        Self { folder }
    }

    fn path(&self) -> PathBuf {
        self.folder.join("orders.db")
    }

    pub(crate) fn sqlite(&self) -> Result<Sqlite, OpenError> {
        Sqlite::open(&self.path(), "here".into(), NAMES)
    }

    /// Something done to the file by a stranger.
    pub(crate) fn meddle(&self, sql: &str) {
        rusqlite::Connection::open(self.path()).unwrap().execute_batch(sql).unwrap();
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

impl Database for File {
    fn open(&mut self) -> BoxFuture<'_, Arc<dyn Backend>> {
        Box::pin(async { Arc::new(self.sqlite().unwrap()) as Arc<dyn Backend> })
    }

    fn pass_time(&mut self, _: Duration) -> BoxFuture<'_, ()> {
        // Its time is the one that is handed in.
        Box::pin(async {})
    }
}

fn group(ids: &Ids) -> Group {
    let entry = Entry { job: new_job(ids, NONE).job, needs: NONE, lane: Lane(0), turn: 0, held: false };
    Group { entries: vec![entry], once: None }
}

#[test]
fn a_second_server_on_the_same_file_is_refused_with_a_sentence() {
    let file = File::new();
    let first = file.sqlite().unwrap();
    let refused = file.sqlite().err().unwrap();
    assert!(matches!(refused, OpenError::Busy(_)) && refused.to_string().contains("another server has"), "{refused}");
    assert!(matches!(Sqlite::migrate(&file.path()), Err(OpenError::Busy(_))));
    drop(first);
    Sqlite::migrate(&file.path()).unwrap();
    file.sqlite().unwrap();
}

#[test]
fn a_second_server_is_refused_by_whichever_name_it_reaches_the_file() {
    let file = File::new();
    let (symbolic, hard) = (file.folder.join("symbolic.db"), file.folder.join("hard.db"));
    // Before there is a file: the link makes it.
    std::os::unix::fs::symlink(file.path(), &symbolic).unwrap();
    let open = |path: &Path| Sqlite::open(path, "there".into(), NAMES);
    let first = open(&symbolic).unwrap();
    std::fs::hard_link(file.path(), &hard).unwrap();
    for path in [&file.path(), &symbolic, &hard] {
        assert!(matches!(open(path), Err(OpenError::Busy(_))), "{}", path.display());
    }
    drop(first);
    open(&symbolic).unwrap();
}

#[test]
fn a_schema_of_a_newer_version_is_refused_with_a_sentence_and_left_alone() {
    let file = File::new();
    drop(file.sqlite().unwrap());
    file.meddle("INSERT INTO refinery_schema_history VALUES (99, 'later', '2030-01-01T00:00:00Z', '1')");
    let refused = file.sqlite().err().unwrap();
    assert!(matches!(refused, OpenError::Newer { version: 99, .. }), "{refused}");
    assert!(refused.to_string().contains("newer version"), "{refused}");
    file.meddle("DELETE FROM refinery_schema_history WHERE version = 99");
    file.sqlite().unwrap();
}

#[test]
fn what_is_no_database_is_refused_with_a_sentence() {
    let file = File::new();
    std::fs::write(file.path(), "a shopping list, not a database").unwrap();
    let refused = file.sqlite().err().unwrap();
    assert!(matches!(refused, OpenError::Unusable { .. }) && refused.to_string().contains("orders.db"), "{refused}");
    let nowhere = Sqlite::open(&file.folder.join("none/orders.db"), "here".into(), NAMES).err().unwrap();
    assert!(matches!(nowhere, OpenError::Lock { .. }), "{nowhere}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_migration_leaves_the_rows_that_are_there() {
    let (file, ids) = (File::new(), Ids::new(1));
    let store = file.sqlite().unwrap();
    store.append(vec![group(&ids)]).await.unwrap();
    drop(store);
    Sqlite::migrate(&file.path()).unwrap();
    assert_eq!(file.sqlite().unwrap().take(Want::default()).await.unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn who_cannot_write_says_so_leaves_no_trace_and_can_again_later() {
    let (file, ids) = (File::new(), Ids::new(1));
    let store = file.sqlite().unwrap();
    let group = group(&ids);
    let visitor = rusqlite::Connection::open(file.path()).unwrap();
    visitor.execute_batch("BEGIN IMMEDIATE").unwrap();
    assert_eq!(store.append(vec![group.clone()]).await, Err(Down::Away));
    assert_eq!(store.get(group.entries[0].job.id).await.unwrap(), None, "reads go on");
    visitor.execute_batch("ROLLBACK").unwrap();
    assert_eq!(store.append(vec![group]).await.unwrap(), [Appended::Fresh]);
    assert_eq!(store.counts().await.unwrap().accepted, 1);
}
