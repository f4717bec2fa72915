//! The log: one line per event on stderr, written by a thread of its own.
//!
//! Whoever logs never waits: behind a stderr that is slow, full or gone lines are dropped, counted, and the count told
//! when it takes lines again. One event is one line, whatever a client wrote into it. It deliberately keeps no file and
//! no colours, which are control characters like any others.

use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

/// Lines that may wait for stderr; at most 32 MiB with [`LINE_BYTES`].
const LINES: usize = 8_192;
/// Bytes of a line; the rest of a longer one is cut off. Chosen: far above any line of ours.
const LINE_BYTES: usize = 4 * 1024;

/// Lines dropped since the start. One for the process, like the subscriber that writes them.
static DROPPED: AtomicU64 = AtomicU64::new(0);

/// Log lines dropped since the start.
#[must_use]
pub fn dropped() -> u64 {
    DROPPED.load(Ordering::Relaxed)
}

enum Entry {
    Line(Vec<u8>),
    /// Everything before this has been written when the other end hears of it.
    Mark(SyncSender<()>),
}

/// The log of this process.
#[derive(Clone)]
pub struct Log {
    entries: SyncSender<Entry>,
}

/// Starts logging with this filter, which has been checked. Panics are logged too.
pub fn start(filter: &str) -> std::io::Result<Log> {
    let filter = EnvFilter::try_new(filter).unwrap_or_else(|_| EnvFilter::new("info"));
    let (entries, waiting) = sync_channel(LINES);
    let log = Log { entries };
    std::thread::Builder::new().name("log".to_owned()).spawn(move || write_all(&waiting))?;
    // A second start (tests) keeps the first.
    let _ = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(false).with_writer(log.clone()).try_init();
    // The hook that is there by default waits for stderr.
    std::panic::set_hook(Box::new(|panic| tracing::error!("{panic}")));
    Ok(log)
}

impl Log {
    /// Waits until what has been logged is written, at most so long.
    pub fn flush(&self, at_most: Duration) {
        let (mark, written) = sync_channel(1);
        if self.entries.try_send(Entry::Mark(mark)).is_ok() {
            let _ = written.recv_timeout(at_most);
        }
    }
}

/// Writes until nobody can log any more. That stderr fails is nobody's business: there is no other place to say so.
fn write_all(waiting: &Receiver<Entry>) {
    let mut told = dropped();
    while let Ok(entry) = waiting.recv() {
        match entry {
            Entry::Line(line) => {
                let _ = std::io::stderr().lock().write_all(&line);
                let lost = dropped() - told;
                if lost > 0 {
                    told += lost;
                    let _ = writeln!(std::io::stderr().lock(), "{lost} log lines dropped: stderr took them too slowly");
                }
            }
            Entry::Mark(mark) => drop(mark.try_send(())),
        }
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = &'a Self;

    fn make_writer(&'a self) -> &'a Self {
        self
    }
}

impl Write for &Log {
    /// Takes a whole event; never fails, because the subscriber would complain on stderr, and panic if that failed too.
    fn write(&mut self, event: &[u8]) -> std::io::Result<usize> {
        if let Err(TrySendError::Full(_)) = self.entries.try_send(Entry::Line(one_line(event))) {
            DROPPED.fetch_add(1, Ordering::Relaxed);
        }
        Ok(event.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// An event as one line: control characters, and what Unicode takes for the end of a line, are spelled out.
fn one_line(event: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(event.strip_suffix(b"\n").unwrap_or(event));
    let mut line = String::with_capacity(text.len() + 1);
    for character in text.chars() {
        if line.len() >= LINE_BYTES {
            line.push('…');
            break;
        }
        if character.is_control() || matches!(character, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}') {
            line.extend(character.escape_default());
        } else {
            line.push(character);
        }
    }
    line.push('\n');
    line.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::{LINE_BYTES, one_line};

    #[test]
    fn an_event_is_one_line_whatever_it_says() {
        assert_eq!(one_line(b"a b\n"), b"a b\n");
        assert_eq!(
            one_line("a\nERROR b\r\x1b[31m\u{85}\u{2028}c\n".as_bytes()),
            b"a\\nERROR b\\r\\u{1b}[31m\\u{85}\\u{2028}c\n"
        );
        assert!(one_line(&b"x".repeat(1_000_000)).len() <= LINE_BYTES + 4);
    }
}
