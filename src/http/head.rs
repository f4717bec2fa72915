//! Looks at the bytes of a head as they arrive, for what hyper forgives and what it does not tell.
//!
//! hyper obeys RFC 9112 where that allows a choice: of a length and a chunked body it takes the chunks, equal lengths count
//! once, a line may end with a bare line feed. A proxy before it may choose otherwise, and then the two disagree where a
//! request ends. Here every such head is ambiguous. It deliberately parses nothing else, and gives up on a connection
//! whose client pipelines: where the next head begins is then known to hyper alone, whose own choice is the safe one.

use super::pulse::{AMBIGUOUS, LONG_LINE};
use crate::domain::limits::URI_BYTES;

/// Bytes of a line that are kept: the longer of the two names looked for, and a length of twenty digits.
const KEPT: usize = 40;

/// Where in a request the bytes are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Head,
    /// This many bytes behind the head so far.
    Behind(u64),
    /// Not known any more.
    Lost,
}

/// The state of one connection.
pub(super) struct Scanner {
    place: Place,
    lines: u32,
    /// Bytes of the line so far.
    line_bytes: usize,
    kept: [u8; KEPT],
    before: u8,
    lengths: u32,
    encodings: u32,
    /// Bytes of the body, as the head says.
    length: u64,
}

impl Scanner {
    pub(super) fn new() -> Self {
        Self {
            place: Place::Head,
            lines: 0,
            line_bytes: 0,
            kept: [0; KEPT],
            before: 0,
            lengths: 0,
            encodings: 0,
            length: 0,
        }
    }

    /// A new head begins, unless part of it came with the request before.
    pub(super) fn begin(&mut self) {
        match self.place {
            Place::Behind(bytes) if bytes == self.length && self.encodings == 0 => *self = Self::new(),
            Place::Head if self.lines == 0 && self.line_bytes == 0 => {}
            _ => self.place = Place::Lost,
        }
    }

    /// Looks at what arrived next; answers the marks to set.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> u8 {
        match &mut self.place {
            Place::Head => self.head(bytes),
            Place::Behind(count) => {
                *count += bytes.len() as u64;
                0
            }
            Place::Lost => 0,
        }
    }

    fn head(&mut self, mut bytes: &[u8]) -> u8 {
        let mut marks = 0;
        while self.place == Place::Head {
            let end = memchr::memchr(b'\n', bytes);
            let part = &bytes[..end.unwrap_or(bytes.len())];
            self.keep(part);
            if self.lines == 0 && self.line_bytes > URI_BYTES {
                marks |= LONG_LINE;
            }
            let Some(end) = end else { break };
            if self.before != b'\r' {
                marks |= AMBIGUOUS;
            }
            bytes = &bytes[end + 1..];
            self.line_over(bytes.len() as u64);
        }
        if self.lengths > 1 || self.encodings > 1 || (self.lengths == 1 && self.encodings == 1) {
            marks |= AMBIGUOUS;
        }
        marks
    }

    fn keep(&mut self, part: &[u8]) {
        let from = self.line_bytes.min(KEPT);
        let count = part.len().min(KEPT - from);
        self.kept[from..from + count].copy_from_slice(&part[..count]);
        self.line_bytes += part.len();
        self.before = part.last().copied().unwrap_or(self.before);
    }

    fn line_over(&mut self, behind: u64) {
        let text = &self.kept[..self.line_bytes.min(KEPT)];
        if text.is_empty() || text == b"\r" {
            // Empty lines before a request line are ignored (RFC 9112, 2.2).
            if self.lines > 0 {
                self.place = Place::Behind(behind);
            }
        } else {
            self.lines += 1;
            if let Some(value) = field(text, b"content-length:") {
                self.lengths += 1;
                self.length = std::str::from_utf8(value).ok().and_then(|v| v.trim().parse().ok()).unwrap_or(u64::MAX);
            } else if field(text, b"transfer-encoding:").is_some() {
                self.encodings += 1;
            }
        }
        self.line_bytes = 0;
        self.before = 0;
    }
}

/// The value of a field of this name, as far as it was kept.
fn field<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let (start, value) = line.split_at_checked(name.len())?;
    start.eq_ignore_ascii_case(name).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The marks of a head, fed in pieces of every size.
    fn marks(head: &str) -> u8 {
        let of = |size: usize| {
            let mut scanner = Scanner::new();
            head.as_bytes().chunks(size).fold(0, |marks, piece| marks | scanner.feed(piece))
        };
        let all: Vec<_> = (1..=head.len()).map(of).collect();
        assert!(all.iter().all(|marks| *marks == all[0]), "{head:?} depends on how it is cut: {all:?}");
        all[0]
    }

    #[test]
    fn what_can_be_read_in_two_ways_is_ambiguous() {
        let head = |fields: &str| format!("POST /orders HTTP/1.1\r\nHost: x\r\n{fields}\r\n");
        for fields in [
            "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n",
            "transfer-encoding: chunked\r\ncontent-length: 3\r\n",
            "Content-Length: 3\r\nContent-Length: 3\r\n",
            "Transfer-Encoding: chunked\r\nX: y\r\nTRANSFER-ENCODING: chunked\r\n",
            "X: y\n",
        ] {
            assert_eq!(marks(&head(fields)), AMBIGUOUS, "{fields:?}");
        }
        for fields in ["", "Content-Length: 3\r\n", "X-Content-Length: 3\r\nContent-Length: 3\r\n", "A: b\rc\r\n"] {
            assert_eq!(marks(&head(fields)), 0, "{fields:?}");
        }
        assert_eq!(marks("\r\n\r\nGET / HTTP/1.1\r\n\r\nX\n"), 0, "lines behind the head are no business of ours");
        assert_eq!(marks(&"x".repeat(URI_BYTES + 1)), LONG_LINE);
    }

    #[test]
    fn the_next_head_is_found_behind_a_body_and_lost_behind_anything_else() {
        let two = "Content-Length: 1\r\nContent-Length: 1\r\n\r\n";
        for (first, expected) in [
            ("GET / HTTP/1.1\r\n\r\n", AMBIGUOUS),
            ("POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}", AMBIGUOUS),
            ("POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}G", 0),
            ("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 0),
        ] {
            let mut scanner = Scanner::new();
            scanner.begin();
            assert_eq!(scanner.feed(first.as_bytes()), 0);
            scanner.begin();
            assert_eq!(scanner.feed(format!("GET / HTTP/1.1\r\n{two}").as_bytes()), expected, "{first:?}");
        }
    }
}
