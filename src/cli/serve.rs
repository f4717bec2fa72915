//! `pasta-fasta serve`: the service, from settings to exit code.
//!
//! The control plane has a runtime of its own; no kitchen ever runs on it.

use std::process::ExitCode;

use tokio::signal::unix::{SignalKind, signal};

use super::{EXIT_FAILURE, EXIT_USAGE, err, out};
use crate::app::{App, Signals};
use crate::config::Serve;
use crate::config_store::StoreUrl;
use crate::http::access::Locks;
use crate::model::staff::StaffConfig;

/// Threads of the control plane. Two: one may be writing a large answer while the other accepts.
const WORKERS: usize = 2;

/// How long the last log lines may take. A stderr that takes none holds up the end no longer.
const LAST_LINES: std::time::Duration = std::time::Duration::from_millis(200);

/// Serves until told to end.
pub(super) fn run(serve: &Serve) -> ExitCode {
    let locks = match serve.check().and_then(|()| Locks::load(&serve.access)) {
        Ok(locks) => locks,
        Err(error) => {
            err(&format!("error: {error}"));
            return ExitCode::from(EXIT_USAGE);
        }
    };
    let log = match crate::telemetry::start(&serve.log) {
        Ok(log) => log,
        Err(error) => {
            err(&format!("error: cannot start the log: {error}"));
            return ExitCode::from(EXIT_FAILURE);
        }
    };
    if serve.shows_keys() {
        tracing::warn!(
            "API keys travel in the clear: give it --tls-cert and --tls-key, or say --insecure behind a proxy"
        );
    }
    let built =
        tokio::runtime::Builder::new_multi_thread().worker_threads(WORKERS).thread_name("door").enable_all().build();
    match built {
        Ok(runtime) => {
            let code = runtime.block_on(run_on(serve, locks));
            // Kitchens and pools are not waited for: what ran was abandoned above, children die with the process.
            runtime.shutdown_background();
            log.flush(LAST_LINES);
            code
        }
        Err(error) => {
            err(&format!("error: cannot start the runtime: {error}"));
            ExitCode::from(EXIT_FAILURE)
        }
    }
}

async fn run_on(serve: &Serve, locks: Locks) -> ExitCode {
    if let Err(error) = reload_on_hangup(serve, locks.clone()) {
        err(&format!("error: cannot listen for signals: {error}"));
        return ExitCode::from(EXIT_FAILURE);
    }
    let app = match App::build(serve, locks, StaffConfig::of_this_process()).await {
        Ok(app) => app,
        Err(error) => {
            err(&format!("error: {error}"));
            return ExitCode::from(EXIT_USAGE);
        }
    };
    let signals = match Signals::listen() {
        Ok(signals) => signals,
        Err(error) => {
            err(&format!("error: cannot listen for signals: {error}"));
            return ExitCode::from(EXIT_FAILURE);
        }
    };
    if let Ok(address) = app.address() {
        let base = format!("{}://{address}", if serve.access.is_tls() { "https" } else { "http" });
        out(&format!(
            "pasta-fasta is open.\n  page  {base}/\n  docs  {base}/docs\n  API   \
             {base}/orders   (contract: {base}/openapi.yaml)\n{}\n",
            kept(serve)
        ));
    }
    match app.run(signals).await {
        0 => ExitCode::SUCCESS,
        lost => {
            tracing::warn!(lost, "orders were not brought to their end");
            ExitCode::from(EXIT_FAILURE)
        }
    }
}

/// What becomes of orders at a restart, as a sentence.
fn kept(serve: &Serve) -> String {
    match &serve.storage.store {
        StoreUrl::Memory => "Orders are kept in memory: a restart forgets them.".to_owned(),
        store => format!("Orders are kept in {store}."),
    }
}

/// Reads API keys and certificate again at each SIGHUP: a restart would forget the orders. Without such files SIGHUP ends
/// the service, as it always does.
fn reload_on_hangup(serve: &Serve, locks: Locks) -> std::io::Result<()> {
    let settings = serve.access.clone();
    if settings.api_keys_file.is_none() && !settings.is_tls() {
        return Ok(());
    }
    let mut hangups = signal(SignalKind::hangup())?;
    tokio::spawn(async move {
        while hangups.recv().await.is_some() {
            if settings.api_keys_file.is_some() {
                match locks.access.reload(&settings) {
                    Ok(keys) => tracing::info!(keys, "API keys read again"),
                    Err(error) => tracing::error!(error, "API keys stay as they were"),
                }
            }
            if let (Some(tls), Some(cert), Some(key)) = (&locks.tls, &settings.tls_cert, &settings.tls_key) {
                match tls.reload(cert, key) {
                    Ok(()) => tracing::info!("certificate read again"),
                    Err(error) => tracing::error!(error, "the certificate stays as it was"),
                }
            }
        }
    });
    Ok(())
}
