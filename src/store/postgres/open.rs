//! The address of a database, how connections to it are set, and its schema.
//!
//! It deliberately mends nothing: a database that is not as expected is refused with a sentence.

use std::time::Duration;

use tokio_postgres::config::{SslMode, TargetSessionAttrs};
use tokio_postgres::{Client, Config, NoTls};

mod embedded {
    refinery::embed_migrations!("migrations/postgres");
}

/// Why a database cannot be used for orders.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Its address is none.
    #[error("the address of the database cannot be read: {0}")]
    Address(String),
    /// TLS is asked for.
    #[error(
        "sslmode=require is not supported yet: put a TLS proxy before the database, or use sslmode=disable on a trusted network"
    )]
    Tls,
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

/// A connection attempt. Longer than a TCP retransmission (1 s), shorter than anybody waits for a 202.
const CONNECT: Duration = Duration::from_secs(3);
/// A connection on which nothing was said for so long is asked whether it is there.
const KEEPALIVE: Duration = Duration::from_secs(15);
/// Sent data that nobody confirmed for so long: the connection is dead.
const USER_TIMEOUT: Duration = Duration::from_secs(10);
/// Bounds the server keeps by itself, should this node no longer be there to do it; milliseconds.
const OPTIONS: &str =
    "-c statement_timeout=5000 -c lock_timeout=2000 -c idle_in_transaction_session_timeout=10000 -c TimeZone=UTC";
/// Who migrates has this lock; any number nobody else uses.
const MIGRATION_LOCK: i64 = 7_305_806_148_091_633_006;

/// Reads an address, as `postgres://USER@HOST/DATABASE`; several hosts are tried in turn for the one that can be written to.
pub(super) fn config(url: &str) -> Result<Config, OpenError> {
    let mut config: Config = url.parse().map_err(|error| OpenError::Address(told(&error)))?;
    if config.get_ssl_mode() == SslMode::Require {
        return Err(OpenError::Tls);
    }
    if config.get_application_name().is_none() {
        config.application_name("pasta-fasta");
    }
    config
        .connect_timeout(CONNECT)
        .keepalives(true)
        .keepalives_idle(KEEPALIVE)
        .tcp_user_timeout(USER_TIMEOUT)
        .target_session_attrs(TargetSessionAttrs::ReadWrite);
    Ok(config)
}

/// The same for everyday sessions, which must not hang.
pub(super) fn bounded(config: &Config) -> Config {
    let mut config = config.clone();
    let own = config.get_options().unwrap_or_default().to_owned();
    config.options(format!("{own} {OPTIONS}").trim());
    config
}

/// Brings the schema up to date; who comes second waits for the first, and finds nothing to do.
pub(super) async fn migrate(config: &Config) -> Result<(), OpenError> {
    let (mut client, connection) = config.connect(NoTls).await.map_err(|error| OpenError::Unreachable(told(&error)))?;
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
