//! A witness: asks one path every few milliseconds on a connection and a thread of its own, whatever else happens.
//!
//! On a thread, so that the load generator's own delays are not taken for the service's. It deliberately knows only
//! paths whose answer is a 200.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::figures::Samples;
use crate::wire::request;

/// Longest answer that still counts as one; a liveness probe would have given up.
const GIVE_UP: Duration = Duration::from_secs(5);

/// What a witness saw.
#[derive(Debug, Default)]
pub struct Seen {
    pub latency: Samples,
    /// Calls that were not answered with a 200.
    pub failures: usize,
}

/// A running witness.
pub struct Probe {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Seen>,
}

impl Probe {
    /// Asks `path` at this pace; with `fresh` on a new connection each time.
    pub fn start(to: SocketAddr, path: &str, pace: Duration, fresh: bool) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let request = request("GET", path, &[], "");
        let thread = std::thread::spawn(move || watch(to, &request, pace, fresh, &stopped));
        Self { stop, thread }
    }

    /// Ends it.
    pub fn end(self) -> Seen {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap_or_default()
    }
}

fn watch(to: SocketAddr, request: &[u8], pace: Duration, fresh: bool, stop: &AtomicBool) -> Seen {
    let mut seen = Seen::default();
    let mut conn: Option<TcpStream> = None;
    let mut due = Instant::now();
    while !stop.load(Ordering::Relaxed) {
        if fresh {
            conn = None;
        }
        let began = Instant::now();
        match ask(&mut conn, to, request) {
            Ok(200) => seen.latency.add(began.elapsed()),
            _ => {
                seen.failures += 1;
                conn = None;
            }
        }
        due = (due + pace).max(Instant::now());
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
    }
    seen
}

fn ask(conn: &mut Option<TcpStream>, to: SocketAddr, request: &[u8]) -> std::io::Result<u16> {
    let stream = match conn {
        Some(stream) => stream,
        None => {
            let stream = TcpStream::connect_timeout(&to, GIVE_UP)?;
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(GIVE_UP))?;
            conn.insert(stream)
        }
    };
    stream.write_all(request)?;
    let mut answer = Vec::new();
    let mut part = [0; 16 * 1024];
    loop {
        let read = stream.read(&mut part)?;
        if read == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        answer.extend_from_slice(&part[..read]);
        let text = String::from_utf8_lossy(&answer);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok()).flatten()
        });
        if body.len() >= length.unwrap_or(0) {
            return Ok(head.get(9..12).and_then(|code| code.parse().ok()).unwrap_or(0));
        }
    }
}
