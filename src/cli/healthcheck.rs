//! `pasta-fasta healthcheck`: for images without a shell or curl.
//!
//! It deliberately uses nothing but a socket: a client library would be larger than the check.

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
    match ask(address) {
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

fn ask(address: SocketAddr) -> std::io::Result<bool> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(stream, "GET /readyz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut head = [0_u8; 12];
    stream.read_exact(&mut head)?;
    Ok(&head == b"HTTP/1.1 200")
}
