//! The hosts of an address, and a connection to the first of them that can be written to.
//!
//! One by one, each within a deadline: a host that lets somebody in and then says nothing must not keep the next from being
//! tried. tokio-postgres bounds the TCP connection only, so it is handed one host at a time. It deliberately does not try
//! again: whoever needs a connection does.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio_postgres::config::{Host, LoadBalanceHosts, SslMode};
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::{Client, Config, Connection, Socket};

#[cfg(not(feature = "tls"))]
pub(super) use tokio_postgres::NoTls as Tls;

use super::open::told;
#[cfg(feature = "tls")]
pub(super) use super::tls::Tls;

/// All of a connection to one host: the network, TLS, who we are, and whether it can be written to. Longer than a TCP
/// retransmission (1 s), no longer than anybody waits for a 202.
const CONNECT: Duration = Duration::from_secs(3);
/// Where a server listens unless the address says otherwise.
const PORT: u16 = 5432;

/// What a connection is made of.
type Connected = (Client, Connection<Socket, <Tls as MakeTlsConnect<Socket>>::Stream>);

/// Where the database is.
#[derive(Clone)]
pub(super) struct Hosts {
    /// A host each.
    hosts: Vec<Config>,
    tls: Tls,
    /// Which is asked first: the one that was good last, for all connections of a node.
    first: Arc<AtomicUsize>,
    is_random: bool,
}

impl Hosts {
    /// Those of this address; `None` if its hosts, ports and host addresses do not match.
    pub(super) fn of(all: &Config, tls: Tls) -> Option<Self> {
        let count = all.get_hosts().len().max(all.get_hostaddrs().len());
        let fits = |given: usize| given == 0 || given == count;
        let is_good = count > 0 && fits(all.get_hosts().len()) && fits(all.get_hostaddrs().len());
        let ports = all.get_ports();
        if !is_good || ports.len() > 1 && ports.len() != count {
            return None;
        }
        let hosts = (0..count).map(|nth| alone(all, nth)).collect();
        let is_random = all.get_load_balance_hosts() == LoadBalanceHosts::Random;
        Some(Self { hosts, tls, first: Arc::default(), is_random })
    }

    /// The same with other settings.
    pub(super) fn with(&self, set: impl Fn(&mut Config)) -> Self {
        let mut other = self.clone();
        other.hosts.iter_mut().for_each(set);
        other
    }

    /// Connects to the first that can be written to; else says of each why not.
    pub(super) async fn connect(&self) -> Result<Connected, String> {
        let count = self.hosts.len();
        // Relaxed: only where to begin.
        let first = if self.is_random { drawn() } else { self.first.load(Ordering::Relaxed) };
        let mut refused = Vec::new();
        for nth in (0..count).map(|nth| first.wrapping_add(nth) % count) {
            match self.connect_to(&self.hosts[nth]).await {
                Ok(connected) => {
                    self.first.store(nth, Ordering::Relaxed);
                    return Ok(connected);
                }
                Err(why) if count == 1 => refused.push(why),
                Err(why) => refused.push(format!("{}: {why}", name(&self.hosts[nth]))),
            }
        }
        Err(refused.join("; "))
    }

    /// Connects to one host: to each of its addresses if its name has several.
    async fn connect_to(&self, host: &Config) -> Result<Connected, String> {
        let mut addresses = vec![host.clone()];
        if let ([Host::Tcp(name)], []) = (host.get_hosts(), host.get_hostaddrs()) {
            let port = host.get_ports().first().copied().unwrap_or(PORT);
            let found = in_time(tokio::net::lookup_host((name.as_str(), port))).await?.map_err(|error| told(&error))?;
            let at = |ip| host.clone().hostaddr(ip).clone();
            addresses = found.map(|address| at(address.ip())).collect();
        }
        let mut refused = "its name has no address".to_owned();
        for address in addresses {
            refused = match in_time(address.connect(self.tls.clone())).await {
                Ok(Ok(connected)) => return Ok(connected),
                Ok(Err(error)) => told(&error),
                Err(late) => late,
            };
        }
        Err(refused)
    }
}

async fn in_time<T>(what: impl Future<Output = T>) -> Result<T, String> {
    tokio::time::timeout(CONNECT, what).await.map_err(|_| format!("no answer within {} s", CONNECT.as_secs()))
}

/// What the address says, of one of its hosts.
fn alone(all: &Config, nth: usize) -> Config {
    let mut one = Config::new();
    match all.get_hosts().get(nth) {
        // As libpq has it: a socket of this machine is never encrypted, whatever is asked for.
        Some(Host::Unix(path)) => one.host_path(path).ssl_mode(SslMode::Disable),
        Some(Host::Tcp(name)) => one.host(name).ssl_mode(all.get_ssl_mode()),
        None => one.ssl_mode(all.get_ssl_mode()),
    };
    if let Some(ip) = all.get_hostaddrs().get(nth) {
        one.hostaddr(*ip);
    }
    let ports = all.get_ports();
    one.port(ports.get(nth).or_else(|| ports.first()).copied().unwrap_or(PORT));
    if let Some(user) = all.get_user() {
        one.user(user);
    }
    if let Some(password) = all.get_password() {
        one.password(password);
    }
    if let Some(name) = all.get_dbname() {
        one.dbname(name);
    }
    if let Some(options) = all.get_options() {
        one.options(options);
    }
    one.application_name(all.get_application_name().unwrap_or("pasta-fasta"));
    one.ssl_negotiation(all.get_ssl_negotiation()).channel_binding(all.get_channel_binding());
    one
}

/// A host as a log line names it.
fn name(host: &Config) -> String {
    match (host.get_hosts(), host.get_hostaddrs()) {
        ([Host::Tcp(name)], _) => name.clone(),
        ([Host::Unix(path)], _) => path.display().to_string(),
        (_, [ip, ..]) => ip.to_string(),
        _ => String::new(),
    }
}

/// Some number.
fn drawn() -> usize {
    RandomState::new().build_hasher().finish() as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(url: &str) -> Option<Hosts> {
        #[cfg(feature = "tls")]
        let tls = Tls::new(super::super::tls::Check::Nothing, None).unwrap();
        #[cfg(not(feature = "tls"))]
        let tls = Tls;
        Hosts::of(&url.parse().unwrap(), tls)
    }

    #[test]
    fn each_host_of_an_address_has_its_port_and_all_else_of_it() {
        let all = hosts("postgres://me:secret@a:1,%2Fsockets:2,c/kitchen?sslmode=require&options=-cx%3D1").unwrap();
        let port = |one: &Config| one.get_ports().first().copied();
        let seen: Vec<_> = all.hosts.iter().map(|one| (name(one), port(one), one.get_ssl_mode())).collect();
        let expected = [("a", 1, SslMode::Require), ("/sockets", 2, SslMode::Disable), ("c", PORT, SslMode::Require)];
        assert_eq!(seen, expected.map(|(name, port, mode)| (name.to_owned(), Some(port), mode)));
        for one in &all.hosts {
            assert_eq!((one.get_user(), one.get_password()), (Some("me"), Some(&b"secret"[..])));
            assert_eq!((one.get_dbname(), one.get_options()), (Some("kitchen"), Some("-cx=1")));
        }
        assert!(hosts("postgres://a,b/kitchen?hostaddr=127.0.0.1").is_none());
        assert!(hosts("postgres:///kitchen").is_none());
    }
}
