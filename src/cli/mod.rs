//! What the binary does: serve, cook, compare, foresee, and the small helpers.
//!
//! It deliberately contains no rule: every command calls the same rooms as the API does.

mod compare;
mod cook;
mod forecast;
mod healthcheck;
mod init;
mod serve;
mod tls_client;

use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use crate::app_store;
use crate::config::{Cli, Command};
use crate::config_store::StoreUrl;
use crate::domain::resolve::Violation;
use crate::http::router;

/// Bad settings or a bad order.
pub const EXIT_USAGE: u8 = 2;
/// Something was lost, failed, or is not well.
pub const EXIT_FAILURE: u8 = 1;

/// Runs the command line.
#[must_use]
pub fn main() -> ExitCode {
    if let Some(code) = init::run_if_first() {
        return code;
    }
    let cli = Cli::parse();
    match cli.command {
        None => serve::run(&cli.serve),
        Some(Command::Serve(serve)) => serve::run(&serve),
        Some(Command::Cook(cook)) => cook::run(*cook),
        Some(Command::Compare(compare)) => compare::run(&compare),
        Some(Command::Forecast(forecast)) => forecast::run(&forecast),
        Some(Command::Openapi) => {
            out(&router::contract_yaml());
            ExitCode::SUCCESS
        }
        Some(Command::Migrate { store }) => on_runtime(migrate(store)),
        Some(Command::Healthcheck(healthcheck)) => healthcheck::run(&healthcheck),
        Some(Command::Completions { shell }) => {
            let mut text = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "pasta-fasta", &mut text);
            out(&String::from_utf8_lossy(&text));
            ExitCode::SUCCESS
        }
    }
}

/// Does this on a runtime of its own.
fn on_runtime(work: impl Future<Output = ExitCode>) -> ExitCode {
    let Ok(runtime) = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build() else {
        err("error: cannot start the runtime");
        return ExitCode::from(EXIT_FAILURE);
    };
    let code = runtime.block_on(work);
    runtime.shutdown_background();
    code
}

/// Brings a database up to date.
async fn migrate(store: StoreUrl) -> ExitCode {
    match app_store::migrate(&store).await {
        Ok(()) => {
            out(&format!("{store} is up to date\n"));
            ExitCode::SUCCESS
        }
        Err(error) => {
            err(&format!("error: cannot migrate {store}: {error}"));
            ExitCode::from(EXIT_FAILURE)
        }
    }
}

/// Says what is wrong with what was asked.
fn refused(bad: &[Violation]) -> ExitCode {
    bad.iter().for_each(|v| err(&format!("error: {}: {}", v.pointer, v.detail)));
    ExitCode::from(EXIT_USAGE)
}

/// Says that a dish has to need something.
fn nothing_asked() -> ExitCode {
    err("error: say what a dish needs: --io-ms, --cpu-ms, or both");
    ExitCode::from(EXIT_USAGE)
}

/// Writes to stdout; a reader that has gone is no reason to panic.
fn out(text: &str) {
    use std::io::Write;
    let mut stdout = std::io::stdout().lock();
    let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
}

/// Writes to stderr, likewise.
fn err(text: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}
