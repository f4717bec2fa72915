//! A bare connection, for what no HTTP client would send and for what it would hide.
//!
//! Answers are taken apart by hand. It deliberately knows only the framing this service uses: a length, or none.

use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::House;

/// Silence for so long is a fault.
const PATIENCE: Duration = Duration::from_secs(30);

/// A connection.
pub(crate) struct Raw {
    stream: TcpStream,
    seen: Vec<u8>,
}

/// One answer.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Said {
    /// The value of a header; empty if it is not there.
    pub(crate) fn header(&self, name: &str) -> &str {
        let fields = self.head.lines().filter_map(|line| line.split_once(": "));
        fields.filter(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value).next().unwrap_or_default()
    }

    /// Checks that this is a problem of this kind, and closes the connection if it says so.
    pub(crate) fn is_problem(&self, status: u16, slug: &str, what: &str) {
        assert_eq!(self.status, status, "{what}: {self:?}");
        assert_eq!(self.header("content-type"), "application/problem+json", "{what}: {self:?}");
        assert_eq!(self.header("x-content-type-options"), "nosniff", "{what}: {self:?}");
        assert!(!self.header("x-request-id").is_empty() && !self.header("date").is_empty(), "{what}: {self:?}");
        let problem: Value = serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("{what}: {self:?}"));
        assert_eq!(problem["type"], format!("/problems/{slug}"), "{what}: {self:?}");
        assert_eq!(problem["status"], status, "{what}: {self:?}");
    }
}

impl Raw {
    pub(crate) async fn connect(house: &House) -> Self {
        let address = house.base.trim_start_matches("http://");
        Self { stream: TcpStream::connect(address).await.expect("it listens"), seen: Vec::new() }
    }

    /// Sends; false if the other side has gone.
    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.stream.write_all(bytes.as_ref()).await.is_ok()
    }

    /// Waits for more bytes; false at the end.
    async fn more(&mut self) -> bool {
        let read = tokio::time::timeout(PATIENCE, self.stream.read_buf(&mut self.seen)).await;
        matches!(read.expect("an answer or the end"), Ok(1..))
    }

    /// The next answer; `None` if the connection ends before it.
    pub(crate) async fn answer(&mut self) -> Option<Said> {
        loop {
            if let Some(end) = self.seen.windows(4).position(|four| four == b"\r\n\r\n") {
                let head = String::from_utf8(self.seen[..end].to_vec()).expect("text");
                let mut said = Said { status: head[9..12].parse().expect("a status"), head, body: String::new() };
                let length = said.header("content-length").parse().unwrap_or(0);
                while self.seen.len() < end + 4 + length {
                    assert!(self.more().await, "an answer ends in the middle: {said:?}");
                }
                said.body = String::from_utf8(self.seen[end + 4..end + 4 + length].to_vec()).expect("text");
                self.seen.drain(..end + 4 + length);
                return Some(said);
            }
            if !self.more().await {
                assert!(self.seen.is_empty(), "half an answer: {:?}", String::from_utf8_lossy(&self.seen));
                return None;
            }
        }
    }

    /// Whether nothing at all comes for so long, not even the end.
    pub(crate) async fn is_quiet_for(&mut self, time: Duration) -> bool {
        self.seen.is_empty() && tokio::time::timeout(time, self.stream.read_buf(&mut self.seen)).await.is_err()
    }

    /// The socket, for its options.
    pub(crate) fn stream(&self) -> &TcpStream {
        &self.stream
    }
}

/// Sends this on a connection of its own; the first answer, and whether the service then ends the connection.
pub(crate) async fn ask(house: &House, bytes: impl AsRef<[u8]>) -> Option<Said> {
    let mut raw = Raw::connect(house).await;
    raw.send(bytes).await;
    raw.answer().await
}
