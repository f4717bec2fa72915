//! `pasta-fasta healthcheck`: for images without a shell or curl.
//!
//! It deliberately uses nothing but a socket: a client library would be larger than the check. It sends no API key, for
//! probes need none.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::ExitCode;
use std::time::Duration;

use super::{EXIT_FAILURE, err};
use crate::config::Healthcheck;

/// How long the service may take to answer.
const PATIENCE: Duration = Duration::from_secs(3);

/// Asks `/readyz`.
pub(super) fn run(check: &Healthcheck) -> ExitCode {
    let mut address = check.bind;
    if address.ip().is_unspecified() {
        address.set_ip(Ipv4Addr::LOCALHOST.into());
    }
    match connect(address, check.tls || check.tls_cert.is_some()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => {
            err(&format!("{address} does not accept orders"));
            ExitCode::from(EXIT_FAILURE)
        }
        Err(error) => {
            err(&format!("{address} does not answer: {error}"));
            ExitCode::from(EXIT_FAILURE)
        }
    }
}

fn connect(address: SocketAddr, is_tls: bool) -> std::io::Result<bool> {
    let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    if is_tls { ask(super::tls_client::shake_hands(stream, address.ip())?, address) } else { ask(stream, address) }
}

fn ask(mut stream: impl Read + Write, address: SocketAddr) -> std::io::Result<bool> {
    write!(stream, "GET /readyz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    stream.flush()?;
    let mut head = [0_u8; 12];
    stream.read_exact(&mut head)?;
    Ok(&head == b"HTTP/1.1 200")
}
