//! TLS on real sockets: who gets through the handshake, what happens to who does not, and what is refused at start.
//!
//! Certificates are made per test and checked by the client. It deliberately tests no ciphers: those are rustls's.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rcgen::{CertifiedKey, KeyPair, generate_simple_self_signed};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, ProtocolVersion, RootCertStore, SupportedProtocolVersion, version};

use crate::access_keys::{file, refused};
use crate::access_routes::{READER, locked};
use crate::harness::{self, BINARY, House, eventually};

/// Far more than a handshake or an answer takes, far less than a test may hang.
const PATIENCE: Duration = Duration::from_secs(60);
const BOTH: &[&SupportedProtocolVersion] = &[&version::TLS12, &version::TLS13];

/// Files of a certificate for localhost and of its key, and the certificate itself.
struct Certificate {
    cert: PathBuf,
    key: PathBuf,
    der: CertificateDer<'static>,
}

impl Certificate {
    fn new(name: &str) -> Self {
        let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        Self {
            cert: file(&format!("{name}-cert"), &cert.pem()),
            key: file(&format!("{name}-key"), &signing_key.serialize_pem()),
            der: cert.der().clone(),
        }
    }

    fn flags(&self) -> [&str; 4] {
        ["--tls-cert", self.cert.to_str().unwrap(), "--tls-key", self.key.to_str().unwrap()]
    }

    /// A connection whose server has shown this very certificate.
    async fn connect(
        &self,
        house: &House,
        versions: &[&'static SupportedProtocolVersion],
        protocols: &[&[u8]],
    ) -> std::io::Result<TlsStream<TcpStream>> {
        let mut trusted = RootCertStore::empty();
        trusted.add(self.der.clone()).unwrap();
        let mut config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(trusted)
            .with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        let stream = TcpStream::connect(address(house)).await?;
        TlsConnector::from(Arc::new(config)).connect(ServerName::try_from("localhost").unwrap(), stream).await
    }
}

fn address(house: &House) -> SocketAddr {
    house.base.strip_prefix("https://").expect("it says https").parse().unwrap()
}

async fn ask(stream: &mut TlsStream<TcpStream>, request: &str) -> String {
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    // An end without close_notify would be an error here.
    tokio::time::timeout(PATIENCE, stream.read_to_string(&mut answer)).await.expect("an answer").unwrap();
    answer
}

fn get(path: &str, more: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{more}\r\n")
}

#[tokio::test]
async fn it_speaks_http_1_1_inside_tls_1_2_and_1_3() {
    let certificate = Certificate::new("speaks");
    let house = locked(&certificate.flags());
    let versions = [(&version::TLS12, ProtocolVersion::TLSv1_2), (&version::TLS13, ProtocolVersion::TLSv1_3)];
    for (wanted, expected) in versions {
        for protocols in [&[][..], &[&b"h2"[..], b"http/1.1"], &[b"http/1.1"]] {
            let mut stream = certificate.connect(&house, &[wanted], protocols).await.unwrap();
            assert_eq!(stream.get_ref().1.protocol_version(), Some(expected));
            let chosen = stream.get_ref().1.alpn_protocol().map(<[u8]>::to_vec);
            assert_eq!(chosen, (!protocols.is_empty()).then(|| b"http/1.1".to_vec()));
            assert!(ask(&mut stream, &get("/livez", "")).await.starts_with("HTTP/1.1 200 "));
        }
    }
    let mut stream = certificate.connect(&house, BOTH, &[]).await.unwrap();
    assert!(
        ask(&mut stream, &get("/orders", "")).await.starts_with("HTTP/1.1 401 "),
        "keys are asked for inside TLS too"
    );
    let mut stream = certificate.connect(&house, BOTH, &[]).await.unwrap();
    let answer = ask(&mut stream, &get("/orders", &format!("Authorization: Bearer {READER}\r\n"))).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    let error = certificate.connect(&house, BOTH, &[b"h2"]).await.expect_err("HTTP/2 is not spoken");
    assert!(error.to_string().contains("NoApplicationProtocol"), "{error}");
}

#[tokio::test]
async fn a_large_answer_arrives_whole_and_two_requests_share_a_connection() {
    let certificate = Certificate::new("large");
    let house = harness::open_with(&certificate.flags());
    let mut stream = certificate.connect(&house, BOTH, &[]).await.unwrap();
    let first = "GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let answer = ask(&mut stream, &format!("{first}{}", get("/openapi.json", ""))).await;
    let bodies: Vec<_> =
        answer.split("HTTP/1.1 200 OK").skip(1).map(|part| part.split_once("\r\n\r\n").unwrap().1).collect();
    assert!(bodies.len() == 2 && bodies[0] == bodies[1] && bodies[0].len() > 50_000, "{}", answer.len());
    serde_json::from_str::<serde_json::Value>(bodies[0]).expect("the whole document");
}

#[tokio::test]
async fn plain_http_to_the_tls_port_is_closed_without_answer_or_reset() {
    let certificate = Certificate::new("plain");
    let house = harness::open_with(&certificate.flags());
    for request in [get("/livez", ""), format!("POST /orders HTTP/1.1\r\n\r\n{}", "x".repeat(10_000)), "\0".to_owned()]
    {
        let mut stream = TcpStream::connect(address(&house)).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("it closes");
        assert_eq!(read.expect("an end, no reset"), 0, "{answer:?}");
    }
    // A handshake that begins and is none.
    let mut stream = TcpStream::connect(address(&house)).await.unwrap();
    stream.write_all(&[22, 3, 1, 0, 5, 1, 2, 3, 4, 5]).await.unwrap();
    let mut answer = Vec::new();
    let _ = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("it closes");
    assert_ne!(answer.first(), Some(&b'H'));
    let mut stream = certificate.connect(&house, BOTH, &[]).await.unwrap();
    assert!(ask(&mut stream, &get("/livez", "")).await.starts_with("HTTP/1.1 200 "), "others are not affected");
}

#[tokio::test]
async fn who_shakes_no_hands_is_closed_and_keeps_nobody_waiting() {
    let certificate = Certificate::new("silent");
    let mut house = harness::open_with(&certificate.flags());
    let mut silent = TcpStream::connect(address(&house)).await.unwrap();
    let mut half = TcpStream::connect(address(&house)).await.unwrap();
    half.write_all(&[22, 3, 1, 1, 0]).await.unwrap();
    for stream in [&mut silent, &mut half] {
        // 10 s, and what a busy machine adds.
        let read = tokio::time::timeout(PATIENCE, stream.read(&mut [0_u8; 1])).await.expect("it closes");
        assert!(matches!(read, Ok(0) | Err(_)), "{read:?}");
    }
    // In the middle of a handshake and in the middle of a connection: neither holds up the end.
    let half = TcpStream::connect(address(&house)).await.unwrap();
    let idle = certificate.connect(&house, BOTH, &[]).await.unwrap();
    assert!(house.end_with("TERM").success());
    drop((half, idle));
}

#[tokio::test]
async fn a_hangup_reads_the_certificate_again_and_a_bad_one_changes_nothing() {
    let (old, new) = (Certificate::new("renewed-old"), Certificate::new("renewed-new"));
    let house = harness::open_with(&old.flags());
    let hang_up = || {
        let sent = Command::new("kill").args(["-HUP", &house.pid().to_string()]).status();
        assert!(sent.unwrap().success());
    };
    let mut before = old.connect(&house, BOTH, &[]).await.expect("the first certificate");
    assert!(new.connect(&house, BOTH, &[]).await.is_err());
    fs::copy(&new.cert, &old.cert).unwrap();
    fs::copy(&new.key, &old.key).unwrap();
    hang_up();
    eventually(PATIENCE, "the new one is shown", async || new.connect(&house, BOTH, &[]).await.is_ok()).await;
    assert!(old.connect(&house, BOTH, &[]).await.is_err(), "and the old one no more");
    assert!(ask(&mut before, &get("/livez", "")).await.starts_with("HTTP/1.1 200 "), "connections in use stay");
    // Half a renewal: a key that is not the certificate's. A second signal is looked at after the first.
    fs::write(&old.key, KeyPair::generate().unwrap().serialize_pem()).unwrap();
    hang_up();
    fs::write(&old.cert, "nothing").unwrap();
    hang_up();
    for _ in 0..20 {
        assert!(new.connect(&house, BOTH, &[]).await.is_ok(), "what worked goes on working");
    }
}

#[tokio::test]
async fn a_healthcheck_asks_inside_tls_when_told_to() {
    let certificate = Certificate::new("healthcheck");
    let house = harness::open_with(&certificate.flags());
    let check = |flags: &[&str], variable: Option<&str>| {
        let mut command = Command::new(BINARY);
        command.args(["healthcheck", "--bind", &address(&house).to_string()]).args(flags).stderr(Stdio::null());
        variable.into_iter().for_each(|path| _ = command.env("PASTA_FASTA_TLS_CERT", path));
        command.status().unwrap().code()
    };
    assert_eq!(check(&["--tls"], None), Some(0));
    assert_eq!(check(&[], Some(certificate.cert.to_str().unwrap())), Some(0));
    assert_eq!(check(&[], None), Some(1), "plain HTTP is not answered");
    let plain = harness::open();
    let bind = plain.base.trim_start_matches("http://");
    let status = Command::new(BINARY).args(["healthcheck", "--tls", "--bind", bind]).stderr(Stdio::null()).status();
    assert_eq!(status.unwrap().code(), Some(1), "a plain service speaks no TLS");
}

#[test]
fn files_that_are_of_no_use_are_refused_before_anything_listens() {
    let (one, other) = (Certificate::new("one"), Certificate::new("other"));
    let (cert, key) = (one.cert.to_str().unwrap(), one.key.to_str().unwrap());
    let secret = KeyPair::generate().unwrap().serialize_pem().replace("-----BEGIN PRIVATE KEY-----", "");
    let broken = file("broken-key", &secret);
    let empty = file("empty-pem", "");
    let table: &[(&[&str], &str)] = &[
        (&["--tls-cert", cert], "need each other"),
        (&["--tls-key", key], "need each other"),
        (&["--tls-cert", "/nowhere/cert", "--tls-key", key], "/nowhere/cert"),
        (&["--tls-cert", cert, "--tls-key", "/nowhere/key"], "/nowhere/key"),
        (&["--tls-cert", key, "--tls-key", key], "no certificate"),
        (&["--tls-cert", cert, "--tls-key", cert], "no private key"),
        (&["--tls-cert", empty.to_str().unwrap(), "--tls-key", key], "no certificate"),
        (&["--tls-cert", cert, "--tls-key", broken.to_str().unwrap()], "no private key"),
        (&["--tls-cert", cert, "--tls-key", other.key.to_str().unwrap()], "of no use with"),
    ];
    for (flags, part) in table {
        let said = refused(flags, None);
        assert!(said.contains(part) && said.lines().count() == 1, "{flags:?}: {said}");
        assert!(!secret.lines().any(|line| line.len() > 20 && said.contains(line)), "a private key is not repeated");
    }
}
