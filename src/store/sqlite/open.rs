//! Opening the file: the lock that keeps a second server out, the schema, and how connections are set.
//!
//! It deliberately mends nothing: a file that is not as expected is refused with a sentence.

use std::fs::{File, TryLockError};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

mod embedded {
    refinery::embed_migrations!("migrations/sqlite");
}

/// Why a file cannot be used for orders.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another service has it.
    #[error("another server has {} open: a file of orders belongs to one server (several share a Postgres)", .0.display())]
    Busy(PathBuf),
    /// Written by a later version.
    #[error("{} was written by a newer version of pasta-fasta (migration {version}): start that one", .path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its first unknown migration.
        version: i32,
    },
    /// Its lock cannot be had.
    #[error("cannot lock {}: {error}", .path.display())]
    Lock {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: std::io::Error,
    },
    /// It is no file of orders, or cannot be read or written.
    #[error("cannot use {} for orders: {why}", .path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What SQLite says.
        why: String,
    },
}

/// How long a statement waits for a lock of SQLite's own: only a reader at a checkpoint or a visitor with a shell can have one.
const BUSY: Duration = Duration::from_secs(5);
/// Who may use a file that is made: as SQLite makes them.
const MODE: u32 = 0o644;
/// Statements kept prepared: all there are.
const STATEMENTS: usize = 64;
/// What a commit promises. FULL: it is on the disk when it returns. The log is written back every 1,000 pages (4 MiB) and cut
/// to 64 MiB at most, so that a burst does not occupy the disk for good. Each connection caches 4 MiB: what is beyond the system has
/// in its own cache, and three times 16 MiB were 400 bytes for each of 100,000 waiting orders.
const SETTINGS: &str = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 1000; \
                        PRAGMA journal_size_limit = 67108864; PRAGMA temp_store = MEMORY; PRAGMA cache_size = -4096;";

/// Locks the file for as long as the answer lives, whichever of its names it was reached by: the lock (flock) is of the file
/// itself, so links lead to the same one. It is no lock of SQLite's own (POSIX), which this process would lose with any handle
/// it closes: so this handle must be the last to be closed, and whoever was refused has nothing to lose.
pub(super) fn lock(path: &Path) -> Result<File, OpenError> {
    let failed = |error| OpenError::Lock { path: path.to_owned(), error };
    // Made here if it is not there; SQLite takes an empty file for a new one.
    let file = File::options().create(true).truncate(false).write(true).mode(MODE).open(path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::Busy(path.to_owned())),
        Err(TryLockError::Error(error)) => Err(failed(error)),
    }
}

/// A connection with the settings of all. The lock must be held.
pub(super) fn connect(path: &Path) -> Result<Connection, OpenError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let open = || {
        let connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(BUSY)?;
        connection.execute_batch(SETTINGS)?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS);
        Ok(connection)
    };
    open().map_err(|error: rusqlite::Error| unusable(path, &error))
}

/// Brings the schema up to date.
pub(super) fn migrate(path: &Path, connection: &mut Connection) -> Result<(), OpenError> {
    let known = embedded::migrations::runner();
    match known.run(connection) {
        Ok(_) => Ok(()),
        Err(error) => Err(match error.kind() {
            refinery::error::Kind::MissingVersion(applied) => {
                OpenError::Newer { path: path.to_owned(), version: applied.version() }
            }
            _ => unusable(path, &error),
        }),
    }
}

fn unusable(path: &Path, why: &dyn std::error::Error) -> OpenError {
    let mut text = why.to_string();
    let mut source = why.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    OpenError::Unusable { path: path.to_owned(), why: text }
}
