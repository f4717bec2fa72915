//! Settings of who may come in: API keys, the rate limit, TLS.
//!
//! It deliberately opens no file and keeps no secret: keys are read by the door, and no flag takes one, since every user
//! of a machine can read the command lines of its processes.

use std::path::PathBuf;

use clap::Args;

/// The variable that holds API keys, in the format of the file.
pub const KEYS_VARIABLE: &str = "PASTA_FASTA_API_KEYS";
/// Writes a client may send at once, at least; chosen so that a small script is not refused by a limit of 1 per second.
const SMALLEST_BURST: u32 = 10;

/// Who may come in, and how often.
#[derive(Clone, Debug, Args)]
pub struct AccessSettings {
    /// File of API keys, one a line: name, scopes, secret (docs/access.md). More may stand in `PASTA_FASTA_API_KEYS`. Without
    /// any key everybody may do everything. SIGHUP reads the file again.
    #[arg(long, env = "PASTA_FASTA_API_KEYS_FILE", value_name = "PATH")]
    pub api_keys_file: Option<PathBuf>,
    /// Orders, comparisons, forecasts and calibrations that one client may place or delete per second; no limit if absent. A client
    /// is an API key, or an address where there are no keys.
    #[arg(long, env = "PASTA_FASTA_RATE_LIMIT_PER_S", value_name = "N",
          value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub rate_limit_per_s: Option<u32>,
    /// How many of them it may send at once; as many as per second, at least 10, if absent.
    #[arg(long, env = "PASTA_FASTA_RATE_LIMIT_BURST", value_name = "N",
          value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub rate_limit_burst: Option<u32>,
    /// Speak HTTPS with this certificate chain (PEM); needs `--tls-key`.
    #[arg(long, env = "PASTA_FASTA_TLS_CERT", value_name = "PEM")]
    pub tls_cert: Option<PathBuf>,
    /// The certificate's private key (PEM).
    #[arg(long, env = "PASTA_FASTA_TLS_KEY", value_name = "PEM")]
    pub tls_key: Option<PathBuf>,
}

/// Writes per second and at once.
#[derive(Clone, Copy, Debug)]
pub struct RateLimit {
    /// Writes that come back per second.
    pub per_s: u32,
    /// Writes at once.
    pub burst: u32,
}

impl AccessSettings {
    /// What contradicts itself, as a sentence.
    pub fn check(&self) -> Result<(), String> {
        if self.tls_cert.is_some() != self.tls_key.is_some() {
            return Err("--tls-cert and --tls-key need each other".to_owned());
        }
        if self.rate_limit_burst.is_some() && self.rate_limit_per_s.is_none() {
            return Err("--rate-limit-burst needs --rate-limit-per-s".to_owned());
        }
        Ok(())
    }

    /// Whether keys were given; what they are worth is seen when they are read.
    #[must_use]
    pub fn has_keys(&self) -> bool {
        self.api_keys_file.is_some() || !matches!(keys_variable(), Ok(None))
    }

    /// Whether it speaks HTTPS.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        self.tls_cert.is_some()
    }

    /// The rate limit, if there is one.
    #[must_use]
    pub fn rate_limit(&self) -> Option<RateLimit> {
        let per_s = self.rate_limit_per_s?;
        Some(RateLimit { per_s, burst: self.rate_limit_burst.unwrap_or(per_s.max(SMALLEST_BURST)) })
    }
}

/// The text of `PASTA_FASTA_API_KEYS`.
#[expect(clippy::disallowed_methods, reason = "a setting like the others, but the parser's help would print its value")]
pub fn keys_variable() -> Result<Option<String>, String> {
    match std::env::var(KEYS_VARIABLE) {
        Ok(text) => Ok(Some(text)),
        Err(std::env::VarError::NotPresent) => Ok(None),
        Err(std::env::VarError::NotUnicode(_)) => Err(format!("{KEYS_VARIABLE} is not text")),
    }
}
