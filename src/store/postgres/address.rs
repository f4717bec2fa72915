//! An address as it is written, with the words of libpq that tokio-postgres does not know: `sslmode=verify-ca`,
//! `sslmode=verify-full`, `sslrootcert=FILE`.
//!
//! It deliberately knows no `~/.postgresql`, and no certificate of a client.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::time::Duration;

use tokio_postgres::Config;
use tokio_postgres::config::{SslMode, TargetSessionAttrs};

use super::hosts::{Hosts, Tls};
use super::open::{OpenError, told};
#[cfg(feature = "tls")]
use super::tls::Check;

/// A connection on which nothing was said for so long is asked whether it is there.
const KEEPALIVE: Duration = Duration::from_secs(15);
/// Sent data that nobody confirmed for so long: the connection is dead.
const USER_TIMEOUT: Duration = Duration::from_secs(10);

/// Reads an address, as `postgres://USER@HOST/DATABASE`; several hosts are tried in turn for the one that can be written to.
pub(super) fn hosts(url: &str) -> Result<Hosts, OpenError> {
    let (url, words) = Words::taken_out_of(url);
    let config: Config = url.parse().map_err(|error| OpenError::Address(told(&error)))?;
    let tls = words.tls(config.get_ssl_mode()).map_err(OpenError::Tls)?;
    let hosts = Hosts::of(&config, tls);
    let hosts = hosts.ok_or_else(|| OpenError::Address("its hosts, ports and addresses do not match".to_owned()))?;
    Ok(hosts.with(|host| {
        host.keepalives(true)
            .keepalives_idle(KEEPALIVE)
            .tcp_user_timeout(USER_TIMEOUT)
            .target_session_attrs(TargetSessionAttrs::ReadWrite);
    }))
}

/// What tokio-postgres is not told.
#[derive(Debug, Default, PartialEq, Eq)]
struct Words {
    /// `verify-ca` or `verify-full`.
    verify: Option<String>,
    roots: Option<PathBuf>,
}

impl Words {
    /// These words, and the address without them.
    fn taken_out_of(url: &str) -> (String, Self) {
        let Some((place, query)) = url.split_once('?') else { return (url.to_owned(), Self::default()) };
        let (mut words, mut left) = (Self::default(), Vec::new());
        for pair in query.split('&') {
            match pair.split_once('=') {
                Some(("sslrootcert", path)) => words.roots = Some(OsString::from_vec(unescaped(path)).into()),
                Some(("sslmode", mode @ ("verify-ca" | "verify-full"))) => {
                    words.verify = Some(mode.to_owned());
                    left.push("sslmode=require");
                }
                Some(("sslmode", _)) => {
                    words.verify = None;
                    left.push(pair);
                }
                _ => left.push(pair),
            }
        }
        // What libpq has for "whom this machine trusts".
        words.roots = words.roots.filter(|path| path.as_os_str() != "system");
        let query = if left.is_empty() { String::new() } else { format!("?{}", left.join("&")) };
        (format!("{place}{query}"), words)
    }

    /// TLS as it is asked for. With a file of authorities a certificate is checked against them in every mode, as by libpq.
    #[cfg(feature = "tls")]
    fn tls(&self, mode: SslMode) -> Result<Tls, String> {
        let check = match self.verify.as_deref() {
            _ if mode == SslMode::Disable => Check::Nothing,
            Some("verify-full") => Check::AuthorityAndName,
            None if self.roots.is_none() => Check::Nothing,
            _ => Check::Authority,
        };
        Tls::new(check, self.roots.as_deref())
    }

    #[cfg(not(feature = "tls"))]
    fn tls(&self, mode: SslMode) -> Result<Tls, String> {
        if mode == SslMode::Require || self.roots.is_some() {
            return Err("this binary was built without TLS".to_owned());
        }
        Ok(Tls)
    }
}

/// Text of an address with its %20 as bytes.
fn unescaped(text: &str) -> Vec<u8> {
    let (mut bytes, mut out) = (text.as_bytes(), Vec::with_capacity(text.len()));
    while let Some((first, rest)) = bytes.split_first() {
        let digits = (*first == b'%').then(|| rest.split_at_checked(2)).flatten();
        let byte = digits.and_then(|(digits, rest)| {
            let byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
            Some((byte, rest))
        });
        let (byte, rest) = byte.unwrap_or((*first, rest));
        out.push(byte);
        bytes = rest;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_libpq_are_taken_out_and_the_rest_stays_as_it_is() {
        let words = |verify: Option<&str>, roots: Option<&str>| Words {
            verify: verify.map(str::to_owned),
            roots: roots.map(PathBuf::from),
        };
        for (url, left, expected) in [
            ("postgres://me@h/d", "postgres://me@h/d", words(None, None)),
            ("postgres://h/d?a=1&sslmode=require", "postgres://h/d?a=1&sslmode=require", words(None, None)),
            ("postgres://h/d?sslrootcert=%2Fa%20b%.pem", "postgres://h/d", words(None, Some("/a b%.pem"))),
            (
                "postgres://h/d?sslmode=verify-full&sslrootcert=/ca&x=y",
                "postgres://h/d?sslmode=require&x=y",
                words(Some("verify-full"), Some("/ca")),
            ),
            (
                "postgres://h/d?sslmode=verify-ca&sslrootcert=system",
                "postgres://h/d?sslmode=require",
                words(Some("verify-ca"), None),
            ),
            (
                "postgres://h/d?sslmode=verify-ca&sslmode=disable",
                "postgres://h/d?sslmode=require&sslmode=disable",
                words(None, None),
            ),
        ] {
            assert_eq!(Words::taken_out_of(url), (left.to_owned(), expected), "{url}");
        }
    }
}
