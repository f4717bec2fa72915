//! `pasta-fasta serve`: the service, from settings to exit code.
//!
//! The control plane has a runtime of its own; no kitchen ever runs on it.

use std::process::ExitCode;

use super::{EXIT_FAILURE, EXIT_USAGE, err, out};
use crate::app::{App, Signals};
use crate::config::Serve;
use crate::model::staff::StaffConfig;

/// Threads of the control plane. Two: one may be writing a large answer while the other accepts.
const WORKERS: usize = 2;

/// How long the last log lines may take. A stderr that takes none holds up the end no longer.
const LAST_LINES: std::time::Duration = std::time::Duration::from_millis(200);

/// Serves until told to end.
pub(super) fn run(serve: &Serve) -> ExitCode {
    if let Err(error) = serve.check() {
        err(&format!("error: {error}"));
        return ExitCode::from(EXIT_USAGE);
    }
    let log = match crate::telemetry::start(&serve.log) {
        Ok(log) => log,
        Err(error) => {
            err(&format!("error: cannot start the log: {error}"));
            return ExitCode::from(EXIT_FAILURE);
        }
    };
    let built =
        tokio::runtime::Builder::new_multi_thread().worker_threads(WORKERS).thread_name("door").enable_all().build();
    match built {
        Ok(runtime) => {
            let code = runtime.block_on(run_on(serve));
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

async fn run_on(serve: &Serve) -> ExitCode {
    let app = match App::build(serve, StaffConfig::of_this_process()).await {
        Ok(app) => app,
        Err(error) => {
            err(&format!("error: cannot listen on {}: {error}", serve.bind));
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
        out(&format!(
            "pasta-fasta is open.\n  page  http://{address}/\n  docs  http://{address}/docs\n  API   \
             http://{address}/orders   (contract: http://{address}/openapi.yaml)\nOrders are kept in memory: a restart \
             forgets them.\n"
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
