//! Opening a database: how everyday sessions are bounded, and its schema.
//!
//! It deliberately mends nothing: a database that is not as expected is refused with a sentence.

use tokio_postgres::Client;

use super::hosts::Hosts;

mod embedded {
    refinery::embed_migrations!("migrations/postgres");
}

/// Why a database cannot be used for orders.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Its address is none.
    #[error("the address of the database cannot be read: {0}")]
    Address(String),
    /// TLS is asked for and cannot be had.
    #[error("TLS to the database cannot be set up: {0}")]
    Tls(String),
    /// It does not answer, or lets nobody in.
    #[error("cannot connect to the database: {0}")]
    Unreachable(String),
    /// Written by a later version.
    #[error("the database was written by a newer version of pasta-fasta (migration {0}): start that one")]
    Newer(i32),
    /// A migration failed.
    #[error("the schema of the database cannot be brought up to date: {0}")]
    Migration(String),
}

/// Bounds the server keeps by itself, should this node no longer be there to do it; milliseconds.
const OPTIONS: &str =
    "-c statement_timeout=5000 -c lock_timeout=2000 -c idle_in_transaction_session_timeout=10000 -c TimeZone=UTC";
/// Who migrates has this lock; any number nobody else uses.
const MIGRATION_LOCK: i64 = 7_305_806_148_091_633_006;

/// The same hosts for everyday sessions, which must not hang.
pub(super) fn bounded(hosts: &Hosts) -> Hosts {
    hosts.with(|host| {
        let own = host.get_options().unwrap_or_default().to_owned();
        host.options(format!("{own} {OPTIONS}").trim());
    })
}

/// Brings the schema up to date; who comes second waits for the first, and finds nothing to do.
pub(super) async fn migrate(hosts: &Hosts) -> Result<(), OpenError> {
    let (mut client, connection) = hosts.connect().await.map_err(OpenError::Unreachable)?;
    let driven = async {
        // How it ended is in the answers of whoever used it.
        let _ = connection.await;
        Err(OpenError::Unreachable("the connection broke".to_owned()))
    };
    tokio::select! {
        // First what was done: the connection ends after it too.
        biased;
        done = under_lock(&mut client) => done,
        broken = driven => broken,
    }
}

async fn under_lock(client: &mut Client) -> Result<(), OpenError> {
    let failed = |error: tokio_postgres::Error| OpenError::Migration(told(&error));
    // Given up with the connection.
    client.execute("SELECT pg_advisory_lock($1)", &[&MIGRATION_LOCK]).await.map_err(failed)?;
    match embedded::migrations::runner().run_async(client).await {
        Ok(_) => Ok(()),
        Err(error) => Err(match error.kind() {
            refinery::error::Kind::MissingVersion(applied) => OpenError::Newer(applied.version()),
            _ => OpenError::Migration(told(&error)),
        }),
    }
}

/// An error with all its causes, in a line.
pub(super) fn told(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
