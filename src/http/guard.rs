//! What is refused before any handler sees it: sizes, ambiguous heads, foreign hosts, other sites.
//!
//! A page of another site can send requests to a service on this machine, and can read the answers once its own name
//! resolves to this machine (DNS rebinding); Host and Origin are what gives it away. It deliberately knows no key and
//! no order.

use std::net::{IpAddr, SocketAddr};

use axum::http::header::{HOST, ORIGIN, TRANSFER_ENCODING};
use axum::http::{HeaderMap, HeaderValue, Method, Request, Version};

use super::problem::{self, Problem};
use super::pulse::{AMBIGUOUS, Pulse};
use crate::config::Door;
use crate::domain::limits::{HEADERS, URI_BYTES};

/// What may pass.
#[derive(Debug)]
pub struct Guard {
    /// Names this service answers to; `None` for all of them.
    hosts: Option<Vec<String>>,
    origins: Vec<String>,
    /// As most clients of a loopback address spell it.
    bound: String,
}

/// Paths that probes ask: by any name, and of a full house too.
pub(super) fn is_probe(path: &str) -> bool {
    matches!(path, "/livez" | "/readyz" | "/healthz" | "/metrics" | "/version")
}

impl Guard {
    /// For a service at this address.
    #[must_use]
    pub fn new(door: &Door, bound: SocketAddr) -> Self {
        let names = || {
            let fixed = ["localhost".to_owned(), bound.ip().to_string()];
            fixed.into_iter().chain(door.allowed_host.iter().map(|host| host.to_ascii_lowercase())).collect()
        };
        // On an address that other machines reach, nobody knows by what names they do; unless somebody says so.
        let is_closed = bound.ip().is_loopback() || !door.allowed_host.is_empty();
        let origins = door.allowed_origin.iter().map(|origin| origin.trim_end_matches('/').to_ascii_lowercase());
        Self { hosts: is_closed.then(names), origins: origins.collect(), bound: bound.to_string() }
    }

    /// Why a request is refused, if it is. A `guest` is a connection above the limit, which may only ask how it is.
    pub(super) fn refusal<B>(&self, request: &Request<B>, pulse: &Pulse, guest: bool) -> Option<Problem> {
        let (uri, headers) = (request.uri(), request.headers());
        let bad = |detail: &str| Some(Problem::new(&problem::BAD_REQUEST, detail));
        if pulse.has(AMBIGUOUS) {
            return bad("its length is given twice, or a line does not end with CR LF");
        }
        let target_bytes = uri.path_and_query().map_or(0, |target| target.as_str().len());
        if target_bytes > URI_BYTES {
            let detail = format!("a URI has at most {URI_BYTES} bytes");
            return Some(Problem::new(&problem::URI_TOO_LONG, detail));
        }
        if headers.len() > HEADERS {
            let detail = format!("a request has at most {HEADERS} header fields");
            return Some(Problem::new(&problem::HEAD_TOO_LARGE, detail));
        }
        if request.method() == Method::CONNECT {
            return bad("this is no proxy");
        }
        if headers.get(TRANSFER_ENCODING).is_some_and(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"chunked")) {
            return bad("of the transfer codings only chunked is read");
        }
        let is_probe = is_probe(uri.path());
        if guest && !is_probe {
            let detail = "as many connections are busy as this service may have";
            return Some(Problem::new(&problem::FULL, detail));
        }
        let mut hosts = headers.get_all(HOST).iter();
        let host = match (hosts.next(), hosts.next()) {
            (Some(host), None) => host,
            (None, _) if is_probe && request.version() == Version::HTTP_10 => return None,
            _ => return bad("a request names its host, once"),
        };
        // The host of an absolute target is the one that counts (RFC 9112, 3.2.2).
        let host = uri.authority().map_or(host.as_bytes(), |authority| authority.as_str().as_bytes());
        if !is_probe && !self.knows(host) {
            let detail = "this service does not go by that name; start it with --allowed-host if it should";
            return Some(Problem::new(&problem::MISDIRECTED, detail));
        }
        self.cross_site(request.method(), headers, host)
    }

    fn knows(&self, host: &[u8]) -> bool {
        let Some(hosts) = &self.hosts else { return true };
        if host == self.bound.as_bytes() {
            return true;
        }
        let Ok(host) = std::str::from_utf8(host) else { return false };
        let name = without_port(host);
        // A loopback address as such cannot be rebound, whatever port a tunnel gave it.
        let ip = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        ip.is_ok_and(|ip| ip.is_loopback()) || hosts.iter().any(|known| name.eq_ignore_ascii_case(known))
    }

    fn cross_site(&self, method: &Method, headers: &HeaderMap, host: &[u8]) -> Option<Problem> {
        if matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS) {
            return None;
        }
        let allowed = |origin: &HeaderValue| {
            let origin = origin.as_bytes();
            let site = origin.strip_prefix(b"http://").or_else(|| origin.strip_prefix(b"https://"));
            site.is_some_and(|site| site.eq_ignore_ascii_case(host))
                || self.origins.iter().any(|known| origin.eq_ignore_ascii_case(known.as_bytes()))
        };
        if headers.get_all(ORIGIN).iter().all(allowed) {
            return None;
        }
        let detail = "a page of another site may not do this; start the service with --allowed-origin if it may";
        Some(Problem::new(&problem::CROSS_SITE, detail))
    }
}

/// `localhost:8080`, `[::1]:8080` without their ports.
fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, _)) if name.ends_with(']') || !name.contains([':', '[']) => name,
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use super::without_port;

    #[test]
    fn a_port_is_taken_off_and_an_address_of_colons_is_not() {
        for (host, name) in [
            ("localhost:80", "localhost"),
            ("localhost", "localhost"),
            ("[::1]:80", "[::1]"),
            ("[::1]", "[::1]"),
            ("::1", "::1"),
            ("", ""),
        ] {
            assert_eq!(without_port(host), name);
        }
    }
}
