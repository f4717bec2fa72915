//! Every setting once: flag, variable, meaning, unit, default. Bad ones are refused before anything is bound.
//!
//! It deliberately reads no file: flags and `PASTA_FASTA_*` variables are all there is.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use crate::config_access::AccessSettings;
use crate::config_lab::{Compare, Forecast};
use crate::config_store::{Storage, StoreUrl};
use crate::domain::limits;
use crate::model::staff::KITCHEN_MEMORY_MIB;

/// A concurrency laboratory behind an HTTP job API.
#[derive(Debug, Parser)]
#[command(name = "pasta-fasta", version, about, args_conflicts_with_subcommands = true)]
pub struct Cli {
    /// What to do; `serve` if nothing is said.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Settings of `serve`.
    #[command(flatten)]
    pub serve: Serve,
}

/// What the binary can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve the API, the API docs and the page.
    Serve(Box<Serve>),
    /// Cook one order without a server: narration, Gantt chart, timings.
    Cook(Box<Cook>),
    /// Compare the models on one kind of work: which one, how many?
    Compare(Compare),
    /// Foresee the same without cooking it: for any number of cores and up to a million dishes.
    Forecast(Forecast),
    /// Bring a database up to date and do nothing else: what `serve` does at its start, for operators who want it apart.
    Migrate {
        /// The database: `sqlite:PATH` or `postgres://USER@HOST/DATABASE`.
        #[arg(long, env = "PASTA_FASTA_STORE", value_name = "STORE", hide_env_values = true)]
        store: StoreUrl,
    },
    /// Print the contract (`OpenAPI` 3.1, YAML).
    Openapi,
    /// Ask a running service whether it accepts orders; exit code 0 if it does.
    Healthcheck(Healthcheck),
    /// Print shell completions.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

/// Settings of `serve`.
#[derive(Clone, Debug, Args)]
pub struct Serve {
    /// Address and port to listen on. Port 0 takes a free one and prints it.
    #[arg(long, env = "PASTA_FASTA_BIND", default_value = "127.0.0.1:8080")]
    pub bind: SocketAddr,
    /// Allow recipes with fault steps (exit, abort, panic, hang, oom).
    #[arg(long, env = "PASTA_FASTA_ALLOW_FAULTS", default_value_t = false)]
    pub allow_faults: bool,
    /// Who may connect, and for how long.
    #[command(flatten)]
    pub door: Door,
    /// Listen without API keys on an address other machines can reach. With keys: say nothing about a missing TLS.
    #[arg(long, env = "PASTA_FASTA_INSECURE", default_value_t = false)]
    pub insecure: bool,
    /// Who may come in.
    #[command(flatten)]
    pub access: AccessSettings,
    /// Threads that orders may have of their own at once.
    #[arg(long, env = "PASTA_FASTA_MAX_THREADS", default_value_t = limits::THREADS,
          value_parser = clap::value_parser!(u32).range(1..=65_536))]
    pub max_threads: u32,
    /// Child processes that orders may have of their own at once.
    #[arg(long, env = "PASTA_FASTA_MAX_CHILDREN", default_value_t = limits::CHILDREN,
          value_parser = clap::value_parser!(u32).range(1..=16_384))]
    pub max_children: u32,
    /// MiB of address space of a child process, beyond what the size of its order needs; 0 is no limit.
    #[arg(long, env = "PASTA_FASTA_KITCHEN_MEMORY_MIB", default_value_t = KITCHEN_MEMORY_MIB,
          value_parser = clap::value_parser!(u32).range(0..=1_048_576))]
    pub kitchen_memory_mib: u32,
    /// What keeps orders.
    #[command(flatten)]
    pub storage: Storage,
    /// Orders waiting or running at once.
    #[arg(long, env = "PASTA_FASTA_MAX_ACTIVE_ORDERS", default_value_t = limits::ACTIVE_ORDERS as u32,
          value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    pub max_active_orders: u32,
    /// Ended orders kept, oldest dropped first.
    #[arg(long, env = "PASTA_FASTA_MAX_ENDED_ORDERS", default_value_t = limits::ENDED_ORDERS as u32,
          value_parser = clap::value_parser!(u32).range(1..=100_000_000))]
    pub max_ended_orders: u32,
    /// Seconds an ended order is kept.
    #[arg(long, env = "PASTA_FASTA_RETENTION_S", default_value_t = limits::RETENTION_S as u32,
          value_parser = clap::value_parser!(u32).range(1..=31_536_000))]
    pub retention_s: u32,
    /// Seconds running orders get to end after SIGTERM.
    #[arg(long, env = "PASTA_FASTA_GRACE_S", default_value_t = 25,
          value_parser = clap::value_parser!(u32).range(0..=3_600))]
    pub grace_s: u32,
    /// What to log, as `info` or `pasta_fasta=debug`.
    #[arg(long, env = "PASTA_FASTA_LOG", default_value = "info")]
    pub log: String,
}

/// Settings of the door: connections, their time limits, the names and sites it answers to.
#[derive(Clone, Debug, Args)]
pub struct Door {
    /// A name to answer to, besides localhost and the address. May be given several times.
    #[arg(long, env = "PASTA_FASTA_ALLOWED_HOST", value_name = "HOST", value_delimiter = ',')]
    pub allowed_host: Vec<String>,
    /// A site whose pages may place orders, as `https://example.org`. May be given several times.
    #[arg(long, env = "PASTA_FASTA_ALLOWED_ORIGIN", value_name = "ORIGIN", value_delimiter = ',')]
    pub allowed_origin: Vec<String>,
    /// Connections at once; at most 256 fewer than file descriptors.
    #[arg(long, env = "PASTA_FASTA_MAX_CONNECTIONS", default_value_t = 4_096,
          value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub max_connections: u32,
    /// Milliseconds a request's head may take from its first byte.
    #[arg(long, env = "PASTA_FASTA_HEADER_TIMEOUT_MS", default_value_t = 10_000,
          value_parser = clap::value_parser!(u32).range(50..=600_000))]
    pub header_timeout_ms: u32,
    /// Milliseconds a request's body may take, all of it.
    #[arg(long, env = "PASTA_FASTA_BODY_TIMEOUT_MS", default_value_t = 30_000,
          value_parser = clap::value_parser!(u32).range(50..=600_000))]
    pub body_timeout_ms: u32,
    /// Milliseconds a connection may be idle.
    #[arg(long, env = "PASTA_FASTA_IDLE_TIMEOUT_MS", default_value_t = 30_000,
          value_parser = clap::value_parser!(u32).range(50..=600_000))]
    pub idle_timeout_ms: u32,
    /// Milliseconds a client may take nothing of what is sent to it.
    #[arg(long, env = "PASTA_FASTA_WRITE_TIMEOUT_MS", default_value_t = 30_000,
          value_parser = clap::value_parser!(u32).range(50..=600_000))]
    pub write_timeout_ms: u32,
}

/// Milliseconds as told on the command line.
fn millis(ms: u32) -> Duration {
    Duration::from_millis(u64::from(ms))
}

impl Door {
    /// How long a head may take. 10 s: hyper allows 30, go-httpbin 1.
    #[must_use]
    pub fn header_time(&self) -> Duration {
        millis(self.header_timeout_ms)
    }

    /// How long a body may take. 30 s: a limit on the pauses alone would miss whoever sends a byte at a time.
    #[must_use]
    pub fn body_time(&self) -> Duration {
        millis(self.body_timeout_ms)
    }

    /// How long a connection may be idle. 30 s: between uvicorn's 5 and nginx's 75.
    #[must_use]
    pub fn idle_time(&self) -> Duration {
        millis(self.idle_timeout_ms)
    }

    /// How long a client may take nothing. 30 s: two signs of life of an event stream.
    #[must_use]
    pub fn write_time(&self) -> Duration {
        millis(self.write_timeout_ms)
    }
}

impl Serve {
    /// What cannot be served, as a sentence.
    pub fn check(&self) -> Result<(), String> {
        self.access.check()?;
        if !self.bind.ip().is_loopback() && !self.insecure && !self.access.has_keys() {
            let detail = "other machines can reach it and there is no access control; give it API keys \
                          (--api-keys-file), or say --insecure if that is meant";
            return Err(format!("refusing to listen on {}: {detail}", self.bind));
        }
        self.log
            .parse::<tracing_subscriber::EnvFilter>()
            .map(|_| ())
            .map_err(|error| format!("invalid value '{}' for '--log': {error}", self.log))
    }

    /// Whether API keys travel as plain text between machines and nobody said that this is meant.
    #[must_use]
    pub fn shows_keys(&self) -> bool {
        let is_clear = !self.bind.ip().is_loopback() && !self.access.is_tls();
        is_clear && !self.insecure && self.access.has_keys()
    }

    /// How long running orders get to end.
    #[must_use]
    pub fn grace(&self) -> Duration {
        Duration::from_secs(u64::from(self.grace_s))
    }
}

/// An order without a server.
#[derive(Debug, Args)]
pub struct Cook {
    /// The model.
    #[arg(long)]
    pub model: Option<String>,
    /// A named whole order (`GET /presets`).
    #[arg(long)]
    pub preset: Option<String>,
    /// A built-in recipe.
    #[arg(long)]
    pub recipe: Option<String>,
    /// How many dishes.
    #[arg(long)]
    pub dishes: Option<u64>,
    /// Shorthand for a recipe: one wait ...
    #[arg(long)]
    pub io_ms: Option<u64>,
    /// ... then one CPU step.
    #[arg(long)]
    pub cpu_ms: Option<u64>,
    /// Divisor of every wait.
    #[arg(long)]
    pub speed: Option<u64>,
    /// An option of the model, as `assistants=4`. May be given several times.
    #[arg(long = "set", value_name = "OPTION=VALUE")]
    pub setup: Vec<String>,
    /// Where it is cooked: house or kitchen.
    #[arg(long)]
    pub isolation: Option<String>,
    /// Order of the steps: recipe, sequential or concurrent.
    #[arg(long)]
    pub step_order: Option<String>,
    /// A whole order as JSON in a file; the other flags override it.
    #[arg(long)]
    pub order: Option<PathBuf>,
    /// Allow fault steps.
    #[arg(long)]
    pub allow_faults: bool,
    /// Print the ended order as JSON and nothing else.
    #[arg(long)]
    pub json: bool,
}

/// Which service to ask.
#[derive(Debug, Args)]
pub struct Healthcheck {
    /// Its address; an unspecified one (0.0.0.0) is asked on loopback.
    #[arg(long, env = "PASTA_FASTA_BIND", default_value = "127.0.0.1:8080")]
    pub bind: SocketAddr,
    /// It speaks HTTPS; also understood from `PASTA_FASTA_TLS_CERT`. Its certificate is not checked: nothing secret is
    /// sent.
    #[arg(long)]
    pub tls: bool,
    /// The service's own setting, so that a check beside it need not be told.
    #[arg(long, env = "PASTA_FASTA_TLS_CERT", hide = true)]
    pub tls_cert: Option<PathBuf>,
}
