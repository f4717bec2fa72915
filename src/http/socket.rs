//! The socket below hyper: watches progress, gives hyper's bare refusals our shape, and closes without losing the answer.
//!
//! A body is polled only while the socket takes bytes, so a client that stops reading has to be noticed here. It
//! deliberately knows no request; what it notices goes to the connection's [`Pulse`].

use std::io::{self, Write};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::head::Scanner;
use super::problem::{self, Problem};
use super::pulse::{LINGER, LONG_LINE, Phase, Pulse};
use super::request_id;
use crate::clock;

/// Bytes that are read and thrown away behind an answer, so that the answer does not drown in a reset: what a batch may
/// have, so refusing one costs no more reading than taking it.
const LINGER_BYTES: usize = crate::domain::limits::BATCH_BYTES;
/// Bytes thrown away at a time.
const PIECE_BYTES: usize = 8 * 1024;

/// A connection's socket, plain or encrypted.
pub(super) struct Socket<S> {
    stream: S,
    pulse: Arc<Pulse>,
    scanner: Scanner,
    is_stalled: bool,
    /// Our words in place of a bare refusal, and how many of their bytes have been written.
    instead: Option<(Vec<u8>, usize)>,
    is_shut: bool,
    left_bytes: usize,
}

impl<S> Socket<S> {
    pub(super) fn new(stream: S, pulse: Arc<Pulse>) -> Self {
        let scanner = Scanner::new();
        Self { stream, pulse, scanner, is_stalled: false, instead: None, is_shut: false, left_bytes: LINGER_BYTES }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Socket<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        let arrived = &buf.filled()[before..];
        if !arrived.is_empty() {
            if self.pulse.phase().0 == Phase::Idle {
                self.pulse.enter(Phase::Head);
                self.scanner.begin();
            }
            let marks = self.scanner.feed(arrived);
            if marks != 0 {
                self.pulse.mark(marks);
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> Socket<S> {
    fn write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        // Since the first write that did not go through: the others are polls by somebody else's wake.
        if written.is_pending() != self.is_stalled {
            self.is_stalled = written.is_pending();
            self.pulse.stall(self.is_stalled);
        }
        written
    }

    fn write_instead(&mut self, cx: &mut Context<'_>, bare: &[u8]) -> Poll<io::Result<usize>> {
        let is_long_line = self.pulse.has(LONG_LINE);
        let (words, mut done) = self.instead.take().unwrap_or_else(|| (spoken(bare, is_long_line), 0));
        self.pulse.mark(LINGER);
        while done < words.len() {
            match self.write(cx, &words[done..]) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(n)) => done += n,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {
                    self.instead = Some((words, done));
                    return Poll::Pending;
                }
            }
        }
        Poll::Ready(Ok(bare.len()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Socket<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match bare_refusal(buf) {
            None => self.write(cx, buf),
            // The answers before it first; what follows is offered again.
            Some(start @ 1..) => self.write(cx, &buf[..start]),
            Some(0) => self.write_instead(cx, buf),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.is_shut {
            ready!(Pin::new(&mut self.stream).poll_shutdown(cx))?;
            self.is_shut = true;
            self.pulse.enter(Phase::Leaving);
        }
        if !self.pulse.has(LINGER) {
            return Poll::Ready(Ok(()));
        }
        // Closing with unread bytes is a reset, and a reset takes back what the client has not read yet. How long this may
        // take is in the hands of who watches the pulse.
        let mut piece = [0; PIECE_BYTES];
        while self.left_bytes > 0 {
            let mut buf = ReadBuf::new(&mut piece);
            match ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buf)) {
                Ok(()) if !buf.filled().is_empty() => {
                    self.left_bytes = self.left_bytes.saturating_sub(buf.filled().len());
                }
                _ => break,
            }
        }
        Poll::Ready(Ok(()))
    }
}

/// The refusals hyper writes by itself, word for word. Every answer of ours has more fields than these.
const BARE: [(&str, &problem::Kind); 3] = [
    ("HTTP/1.1 400 Bad Request\r\n", &problem::BAD_REQUEST),
    ("HTTP/1.1 414 URI Too Long\r\n", &problem::URI_TOO_LONG),
    ("HTTP/1.1 431 Request Header Fields Too Large\r\n", &problem::HEAD_TOO_LARGE),
];
const BARE_FIELDS: &str = "connection: close\r\ncontent-length: 0\r\ndate: ";
/// Bytes of a date (RFC 9110, 5.6.7) and the two line ends behind it.
const BARE_END_BYTES: usize = "Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n".len();

/// Where a bare refusal begins, if that is what the bytes end with. It is always the last thing hyper writes.
fn bare_refusal(bytes: &[u8]) -> Option<usize> {
    if !bytes.ends_with(b"GMT\r\n\r\n") {
        return None;
    }
    BARE.iter().find_map(|(line, _)| {
        let start = bytes.len().checked_sub(line.len() + BARE_FIELDS.len() + BARE_END_BYTES)?;
        let fields = bytes[start..].strip_prefix(line.as_bytes())?;
        fields.starts_with(BARE_FIELDS.as_bytes()).then_some(start)
    })
}

/// A bare refusal as a problem document.
fn spoken(bare: &[u8], is_long_line: bool) -> Vec<u8> {
    let said = BARE.iter().find(|(line, _)| bare.starts_with(line.as_bytes())).map_or(&problem::BAD_REQUEST, |b| b.1);
    // hyper counts the request line among the fields.
    let kind = if said.status == 431 && is_long_line { &problem::URI_TOO_LONG } else { said };
    let date = &bare[bare.len().saturating_sub(BARE_END_BYTES)..];
    let date = std::str::from_utf8(date).unwrap_or_default().trim_end();
    raw(&Problem::new(kind, kind.page), Some(date))
}

/// An answer outside hyper, which closes the connection.
pub(super) fn raw(problem: &Problem, date: Option<&str>) -> Vec<u8> {
    let body = serde_json::to_vec(problem).unwrap_or_default();
    let id = request_id::new();
    let reason = axum::http::StatusCode::from_u16(problem.status).ok().and_then(|s| s.canonical_reason());
    let mut out = Vec::with_capacity(body.len() + 300);
    // Writing to memory cannot fail.
    let _ = write!(
        out,
        "HTTP/1.1 {} {}\r\ncontent-type: application/problem+json\r\nx-content-type-options: nosniff\r\nx-request-id: \
         {}\r\nconnection: close\r\ncontent-length: {}\r\n",
        problem.status,
        reason.unwrap_or_default(),
        id.to_str().unwrap_or_default(),
        body.len(),
    );
    let _ = match date {
        Some(date) => write!(out, "date: {date}\r\n\r\n"),
        None => write!(out, "date: {}\r\n\r\n", now()),
    };
    out.extend_from_slice(&body);
    out
}

/// Now, as HTTP spells it (RFC 9110, 5.6.7).
fn now() -> String {
    let now = jiff::Timestamp::from_microsecond(clock::wall_us()).unwrap_or_default();
    now.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}
