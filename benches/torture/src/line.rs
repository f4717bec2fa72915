//! A line to a database that can be broken while it is in use: passing, silent, reset, or losing answers.
//!
//! [`crate::proxy`] breaks whole connections of clients; a database is spoken to over few that live long, so here what
//! happens is switched while they run. It deliberately knows no protocol: a round trip is bytes to the server and the
//! first bytes back.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::load::uniform;

/// What happens on the line now.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Mode {
    /// Nothing.
    Pass,
    /// Nothing arrives and nothing is closed, as when packets vanish; new connections are taken and never answered.
    Stall,
    /// All connections are reset, and every new one.
    Reset,
    /// Of this part of all round trips the request arrives and is carried out; instead of the answer comes a reset.
    DropReply(f64),
}

/// A running line; ends when it is dropped.
pub struct Line {
    pub port: u16,
    mode: watch::Sender<Mode>,
    counts: Arc<Counts>,
    accepting: JoinHandle<()>,
}

#[derive(Default)]
struct Counts {
    round_trips: AtomicU64,
    dropped: AtomicU64,
    held: AtomicU64,
    dice: AtomicU64,
}

impl Line {
    /// A line to this port of loopback.
    pub async fn start(to: u16) -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        let (mode, seen) = watch::channel(Mode::Pass);
        let counts = Arc::new(Counts::default());
        let shared = counts.clone();
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (seen, counts) = (seen.clone(), shared.clone());
                tokio::spawn(async move {
                    let _ = relay(client, SocketAddr::from(([127, 0, 0, 1], to)), seen, &counts).await;
                });
            }
        });
        Ok(Self { port, mode, counts, accepting })
    }

    /// Changes what happens, on connections that are open too.
    pub fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }

    /// Answers that were cut off.
    pub fn dropped(&self) -> u64 {
        self.counts.dropped.load(Ordering::Relaxed)
    }

    /// Round trips that were begun.
    pub fn round_trips(&self) -> u64 {
        self.counts.round_trips.load(Ordering::Relaxed)
    }

    /// Pieces that waited because the line was silent.
    pub fn held(&self) -> u64 {
        self.counts.held.load(Ordering::Relaxed)
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn relay(client: TcpStream, to: SocketAddr, mode: watch::Receiver<Mode>, counts: &Counts) -> std::io::Result<()> {
    // A close with a linger of zero is a reset.
    client.set_zero_linger()?;
    let pumps = async {
        audible(&mut mode.clone(), counts).await;
        let server = TcpStream::connect(to).await?;
        for stream in [&client, &server] {
            stream.set_nodelay(true)?;
        }
        let (from_client, to_client) = client.into_split();
        let (from_server, to_server) = server.into_split();
        let asked = AtomicU64::new(0);
        let asks = |_| {
            asked.store(1, Ordering::Relaxed);
            true
        };
        tokio::select! {
            over = pump(from_client, to_server, mode.clone(), counts, asks) => over,
            over = pump(from_server, to_client, mode.clone(), counts, |mode| is_answered(mode, counts, &asked)) => over,
        }
    };
    let mut watched = mode.clone();
    tokio::select! {
        over = pumps => over,
        _ = watched.wait_for(|mode| *mode == Mode::Reset) => Ok(()),
    }
}

/// Waits until the line is not silent.
async fn audible(mode: &mut watch::Receiver<Mode>, counts: &Counts) {
    if *mode.borrow() == Mode::Stall {
        counts.held.fetch_add(1, Ordering::Relaxed);
        let _ = mode.wait_for(|mode| *mode != Mode::Stall).await;
    }
}

/// Passes pieces on as long as `passes` says so, and none while the line is silent.
async fn pump(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut mode: watch::Receiver<Mode>,
    counts: &Counts,
    passes: impl Fn(Mode) -> bool,
) -> std::io::Result<()> {
    let mut piece = vec![0; 64 * 1024];
    loop {
        let read = from.read(&mut piece).await?;
        if read == 0 {
            return Ok(());
        }
        audible(&mut mode, counts).await;
        let now = *mode.borrow();
        if !passes(now) {
            return Ok(());
        }
        to.write_all(&piece[..read]).await?;
    }
}

/// Whether a piece of an answer gets through: the first after a question may be cut off.
fn is_answered(mode: Mode, counts: &Counts, asked: &AtomicU64) -> bool {
    if asked.swap(0, Ordering::Relaxed) == 0 {
        return true;
    }
    counts.round_trips.fetch_add(1, Ordering::Relaxed);
    let Mode::DropReply(part) = mode else { return true };
    let mut dice = counts.dice.fetch_add(0x1234_5678_9abc_def1, Ordering::Relaxed);
    let is_dropped = uniform(&mut dice) < part;
    counts.dropped.fetch_add(u64::from(is_dropped), Ordering::Relaxed);
    !is_dropped
}
