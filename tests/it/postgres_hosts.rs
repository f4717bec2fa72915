//! Whom a node connects to: hosts that let somebody in and say nothing, and TLS to those that have it.
//!
//! It deliberately tries no cipher and no protocol: those are rustls's.

use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

use pasta_fasta::store::postgres::{OpenError, Postgres};
use pasta_fasta::store::{Backend, Down};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

use crate::access_keys::file;
use crate::harness::eventually;
use crate::pg_server::{Kitchen, Server, node_row};

const LEASE: Duration = Duration::from_secs(15);
/// Far more than it may take, far less than a test may hang.
const PATIENCE: Duration = Duration::from_secs(60);

async fn connect(url: &str) -> Result<Postgres, OpenError> {
    let connected = Postgres::connect(url, node_row("a"), LEASE, &[]);
    tokio::time::timeout(PATIENCE, connected).await.expect("it does not hang")
}

async fn refused(url: &str) -> String {
    connect(url).await.err().expect("it is refused").to_string()
}

/// Whoever connects is let in by the kernel, and nobody says anything.
fn mute() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    (listener, address)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_accepts_and_stays_mute_keeps_nobody_from_the_next() {
    let kitchen = Kitchen::opened().await;
    let (_listens, address) = mute();
    let both = kitchen.url().replace('@', &format!("@{address},"));
    let node = connect(&both).await.unwrap();
    assert_eq!(node.counts().await.unwrap().accepted, 0);
    // Every connection finds the way again.
    Server::shared().down();
    assert_eq!(node.counts().await, Err(Down::Away));
    Server::shared().up();
    eventually(PATIENCE, "it is found again", async || node.counts().await.is_ok() && node.renew(vec![]).await.is_ok())
        .await;
    let alone = refused(&format!("postgres://pasta@{address}/kitchen")).await;
    assert!(alone.contains("no answer within"), "{alone}");
}

/// An authority, and a certificate of its for localhost.
struct Authority {
    root: String,
    certificate: String,
    key: String,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let root = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &root).unwrap();
        Self { root: root.pem(), certificate: certificate.pem(), key: key.serialize_pem() }
    }

    /// Has the server show its certificate. Who connects as guest needs a password, and TLS.
    fn serve(&self) -> u16 {
        let server = Server::shared();
        let (cert, key) = (server.secret("cert.pem", &self.certificate), server.secret("key.pem", &self.key));
        let settings = format!("ssl = on\nssl_cert_file = '{}'\nssl_key_file = '{}'", cert.display(), key.display());
        server.listening(&settings, "hostssl all guest 127.0.0.1/32 scram-sha-256\nhost all guest 127.0.0.1/32 reject")
    }
}

fn trusting(path: &Path) -> String {
    format!("sslrootcert={}", path.display())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_to_the_database_is_had_as_asked_for_and_refused_with_a_sentence() {
    let kitchen = Kitchen::opened().await;
    let (authority, other) = (Authority::new(), Authority::new());
    let port = authority.serve();
    let visitor = kitchen.visitor().await;
    let encrypted = async || {
        let of_nodes = "SELECT bool_and(s.ssl), count(*) FROM pg_stat_ssl s JOIN pg_stat_activity a USING (pid) \
                        WHERE a.application_name = 'pasta-fasta' AND a.datname = current_database()";
        let row = visitor.query_one(of_nodes, &[]).await.unwrap();
        (row.get::<_, Option<bool>>(0), row.get::<_, i64>(1))
    };
    let url = |host: &str, words: &str| format!("postgres://pasta@{host}:{port}/{}?{words}", kitchen.name);
    let (right, wrong) = (trusting(&file("right", &authority.root)), trusting(&file("wrong", &other.root)));
    let itself = trusting(&file("itself", &authority.certificate));
    for (words, is_encrypted) in [
        ("sslmode=disable".to_owned(), false),
        ("application_name=pasta-fasta".to_owned(), true),
        ("sslmode=require".to_owned(), true),
        ("sslmode=require&sslnegotiation=postgres".to_owned(), true),
        (format!("sslmode=verify-ca&{right}"), true),
        (format!("sslmode=verify-full&{right}"), true),
        (format!("{itself}&sslmode=verify-full"), true),
    ] {
        let node = connect(&url("localhost", &words)).await.unwrap_or_else(|error| panic!("{words}: {error}"));
        assert_eq!(node.counts().await.unwrap().accepted, 0);
        let (all, connections) = encrypted().await;
        assert!(all == Some(is_encrypted) && connections > 0, "{words}: {all:?}");
        drop(node);
        eventually(PATIENCE, "it has hung up", async || encrypted().await.1 == 0).await;
    }
    // By a name that is not in it.
    connect(&url("127.0.0.1", &format!("sslmode=verify-ca&{right}"))).await.unwrap();
    let name = refused(&url("127.0.0.1", &format!("sslmode=verify-full&{right}"))).await;
    assert!(name.contains("it is not for the name 127.0.0.1"), "{name}");
    for words in ["sslmode=require", "sslmode=verify-ca", "sslmode=verify-full"] {
        let stranger = refused(&url("localhost", &format!("{words}&{wrong}"))).await;
        assert!(stranger.contains("no authority that is trusted signed it"), "{stranger}");
    }
    // A socket of this machine is never encrypted, and needs not be.
    connect(&format!("{}?sslmode=require", kitchen.url())).await.unwrap();

    visitor.batch_execute("CREATE ROLE guest LOGIN SUPERUSER PASSWORD 'let me in'").await.unwrap();
    let guest = |words: &str| url("localhost", words).replace("pasta@", "guest:let%20me%20in@");
    connect(&guest("sslmode=require&channel_binding=require")).await.expect("bound to the certificate");
    assert!(refused(&guest("sslmode=disable")).await.contains("pg_hba.conf"));
}
