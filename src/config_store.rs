//! Settings of what keeps the orders: memory, a file, or a database that several nodes share.
//!
//! It deliberately opens nothing, and never prints an address with its password.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;

/// What keeps the orders.
#[derive(Clone, PartialEq, Eq)]
pub enum StoreUrl {
    /// The process: a restart forgets them.
    Memory,
    /// A file of `SQLite`, of this service alone.
    Sqlite(PathBuf),
    /// A Postgres database that several nodes may share.
    Postgres(String),
}

impl FromStr for StoreUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "memory" {
            return Ok(Self::Memory);
        }
        if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            return Ok(Self::Postgres(text.to_owned()));
        }
        match text.strip_prefix("sqlite:") {
            Some(path) if !path.is_empty() => Ok(Self::Sqlite(path.into())),
            _ => Err("must be memory, sqlite:PATH or postgres://USER@HOST/DATABASE".to_owned()),
        }
    }
}

impl StoreUrl {
    /// Whether several nodes can share it.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        matches!(self, Self::Postgres(_))
    }
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory => f.write_str("memory"),
            Self::Sqlite(path) => write!(f, "sqlite:{}", path.display()),
            Self::Postgres(url) => {
                // From the last @ of the authority on: what is before it may be a password.
                let rest = url.split_once("://").map_or(url.as_str(), |(_, rest)| rest);
                let authority = rest.split(['/', '?']).next().unwrap_or_default();
                let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
                let database = rest[authority.len()..].split('?').next().unwrap_or_default();
                write!(f, "postgres://{host}{database}")
            }
        }
    }
}

impl fmt::Debug for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Where orders are kept.
#[derive(Clone, Debug, Args)]
pub struct Storage {
    /// What keeps orders: `memory` (a restart forgets them), `sqlite:PATH` (a file), `postgres://USER@HOST/DATABASE` (a
    /// database that several nodes may share).
    #[arg(long, env = "PASTA_FASTA_STORE", default_value = "memory", value_name = "STORE", hide_env_values = true)]
    pub store: StoreUrl,
    /// Folder for what was measured of this machine: its last calibration. `none` keeps nothing; by default it is
    /// `pasta-fasta` in `XDG_CACHE_HOME` or `HOME/.cache`.
    #[arg(long, env = "PASTA_FASTA_CACHE_DIR", value_name = "DIR")]
    pub cache_dir: Option<PathBuf>,
    /// Name of this node among those that share a store; made of the host's name and a number drawn at the start if
    /// nothing is said. Two that run must not have the same.
    #[arg(long, env = "PASTA_FASTA_NODE", value_name = "NAME", value_parser = node_name)]
    pub node: Option<String>,
    /// Milliseconds without a sign of life after which another node takes over the orders of this one.
    #[arg(long, env = "PASTA_FASTA_LEASE_MS", default_value_t = 15_000,
          value_parser = clap::value_parser!(u32).range(1_000..=3_600_000))]
    pub lease_ms: u32,
    /// Models whose orders this node takes up, as `asyncio,multithreading`; all if nothing is said. Other orders are
    /// accepted and wait for another node, so this needs a store that nodes share.
    #[arg(long, env = "PASTA_FASTA_MODELS", value_name = "MODELS", value_delimiter = ',')]
    pub models: Vec<String>,
}

/// Characters of a node's name.
const NODE_CHARS: usize = 63;

fn node_name(text: &str) -> Result<String, String> {
    let is_good = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if text.is_empty() || text.len() > NODE_CHARS || !text.chars().all(is_good) {
        return Err(format!("must be 1 to {NODE_CHARS} letters, digits, '-', '_' or '.'"));
    }
    Ok(text.to_owned())
}

impl Storage {
    /// The folder of what was measured of this machine; `None` if nothing is kept.
    #[must_use]
    pub fn cache_dir(&self) -> Option<PathBuf> {
        let of = |name: &str, below: &str| {
            let home = std::env::var_os(name).filter(|home| !home.is_empty())?;
            Some(PathBuf::from(home).join(below))
        };
        match &self.cache_dir {
            Some(folder) => (folder.as_os_str() != "none").then(|| folder.clone()),
            None => of("XDG_CACHE_HOME", "pasta-fasta").or_else(|| of("HOME", ".cache/pasta-fasta")),
        }
    }

    /// How long a grant lasts without renewal. 15 s: the next longest found in use is 30 s, most are minutes to hours.
    #[must_use]
    pub fn lease(&self) -> Duration {
        Duration::from_millis(u64::from(self.lease_ms))
    }

    /// This node's name; `random` makes it one of its own if none was given.
    #[must_use]
    pub fn node(&self, random: u64) -> Arc<str> {
        if let Some(node) = &self.node {
            return node.as_str().into();
        }
        let name = rustix::system::uname();
        let host: String = name.nodename().to_string_lossy().chars().filter(char::is_ascii_graphic).take(40).collect();
        format!("{host}-{:04x}", random & 0xffff).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_is_named_by_its_address_and_its_password_is_not_shown() {
        let shown = |text: &str| text.parse::<StoreUrl>().map(|url| format!("{url} {url:?}"));
        assert_eq!(shown("memory").unwrap(), "memory memory");
        assert_eq!(shown("sqlite:/a b.db").unwrap(), "sqlite:/a b.db sqlite:/a b.db");
        let postgres = "postgres://me:p@ss@db:5433/kitchen?sslmode=disable&password=x";
        assert_eq!(shown(postgres).unwrap(), "postgres://db:5433/kitchen postgres://db:5433/kitchen");
        for bad in ["", "mysql://x", "sqlite:", "postgres"] {
            assert!(shown(bad).is_err(), "{bad}");
        }
    }
}
