//! The fault proxy: a TCP relay that breaks connections in the ways networks do.
//!
//! It counts what it broke, so that a row can prove that its fault happened. It deliberately knows no HTTP: it cuts
//! where the dice say, also in the middle of a number.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::load::uniform;

/// What happens to a connection.
#[derive(Clone, Copy, Debug)]
pub enum Fault {
    /// Nothing.
    Pass,
    /// Each piece is held back this long.
    Latency(Duration),
    /// The client's bytes are passed on at this rate.
    Rate { bytes_per_s: u64 },
    /// Both sides are reset after this many bytes of the client, or before, when it has no more for a moment.
    ResetAfter(usize),
    /// After this many bytes of the client nothing is passed on any more, and nothing is closed.
    StallAfter(usize),
    /// The request arrives; the answer does not, and the client is reset.
    DropReply,
    /// The client's bytes arrive in pieces of this size.
    Slice(usize),
}

/// A connection that is to be cut at a byte which never comes is cut after this long without any.
const NO_MORE: Duration = Duration::from_millis(50);

/// A running proxy; ends when it is dropped.
pub struct Proxy {
    pub address: SocketAddr,
    state: Arc<State>,
    accepting: JoinHandle<()>,
}

struct State {
    to: SocketAddr,
    faults: Vec<Fault>,
    next: AtomicUsize,
    resets: AtomicU64,
    dropped: AtomicU64,
}

impl Proxy {
    /// Relays to this address; each connection meets the next fault of the list, round and round.
    pub async fn start(to: SocketAddr, faults: Vec<Fault>) -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let state = Arc::new(State {
            to,
            faults,
            next: AtomicUsize::new(0),
            resets: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
        });
        let shared = state.clone();
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let state = shared.clone();
                tokio::spawn(async move {
                    let _ = relay(client, &state).await;
                });
            }
        });
        Ok(Self { address, state, accepting })
    }

    /// Connections it reset after some of their bytes had been passed on.
    pub fn resets(&self) -> u64 {
        self.state.resets.load(Ordering::Relaxed)
    }

    /// Answers it swallowed.
    pub fn dropped(&self) -> u64 {
        self.state.dropped.load(Ordering::Relaxed)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Faults that cut at random bytes of a request of this length, with some swallowed answers among them.
pub fn cuts(request_bytes: usize, how_many: usize) -> Vec<Fault> {
    let mut dice = 1;
    let cut = |n| match n % 10 {
        0 => Fault::DropReply,
        1 => Fault::ResetAfter(request_bytes),
        _ => Fault::ResetAfter((uniform(&mut dice) * request_bytes as f64) as usize),
    };
    (0..how_many).map(cut).collect()
}

async fn relay(client: TcpStream, state: &State) -> std::io::Result<()> {
    let fault = state.faults[state.next.fetch_add(1, Ordering::Relaxed) % state.faults.len()];
    let server = TcpStream::connect(state.to).await?;
    for stream in [&client, &server] {
        stream.set_nodelay(true)?;
        if matches!(fault, Fault::ResetAfter(_) | Fault::DropReply) {
            // A close with a linger of zero is a reset, which is what a vanished peer looks like.
            stream.set_zero_linger()?;
        }
    }
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    match fault {
        Fault::ResetAfter(bytes) => {
            reset_after(from_client, to_server, bytes).await?;
            state.resets.fetch_add(1, Ordering::Relaxed);
            // Both halves of both are dropped here.
            drop((to_client, from_server));
            Ok(())
        }
        Fault::DropReply => drop_reply(from_client, to_server, from_server, to_client, state).await,
        Fault::StallAfter(bytes) => {
            let mut from_client = from_client;
            let mut to_server = to_server;
            pass_bytes(&mut from_client, &mut to_server, bytes).await?;
            let mut rest = [0; 1024];
            // Reads until the client gives up, passes nothing on.
            while from_client.read(&mut rest).await? > 0 {}
            drop((to_client, from_server));
            Ok(())
        }
        Fault::Pass | Fault::Latency(_) | Fault::Rate { .. } | Fault::Slice(_) => {
            let back = tokio::spawn(shape(from_server, to_client, fault));
            shape(from_client, to_server, fault).await?;
            back.await.unwrap_or(Ok(()))
        }
    }
}

async fn pass_bytes(from: &mut OwnedReadHalf, to: &mut OwnedWriteHalf, bytes: usize) -> std::io::Result<usize> {
    let mut passed = 0;
    let mut piece = vec![0; 16 * 1024];
    while passed < bytes {
        let room = piece.len().min(bytes - passed);
        match tokio::time::timeout(NO_MORE, from.read(&mut piece[..room])).await {
            Ok(Ok(0)) | Err(_) => break,
            Ok(Ok(read)) => {
                to.write_all(&piece[..read]).await?;
                passed += read;
            }
            Ok(Err(error)) => return Err(error),
        }
    }
    Ok(passed)
}

async fn reset_after(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, bytes: usize) -> std::io::Result<()> {
    pass_bytes(&mut from, &mut to, bytes).await?;
    Ok(())
}

/// Waits for the first byte of the answer, so that the request has certainly been carried out, and cuts.
async fn drop_reply(
    mut from_client: OwnedReadHalf,
    mut to_server: OwnedWriteHalf,
    mut from_server: OwnedReadHalf,
    to_client: OwnedWriteHalf,
    state: &State,
) -> std::io::Result<()> {
    let mut answer = [0; 1];
    let mut piece = vec![0; 16 * 1024];
    loop {
        tokio::select! {
            read = from_client.read(&mut piece) => match read? {
                0 => break,
                bytes => to_server.write_all(&piece[..bytes]).await?,
            },
            read = from_server.read(&mut answer) => {
                if read? > 0 {
                    state.dropped.fetch_add(1, Ordering::Relaxed);
                }
                break;
            }
        }
    }
    drop(to_client);
    Ok(())
}

/// Passes everything on, in its shape.
async fn shape(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, fault: Fault) -> std::io::Result<()> {
    let piece_bytes = match fault {
        Fault::Slice(bytes) => bytes.max(1),
        Fault::Rate { bytes_per_s } => (bytes_per_s / 10).max(1) as usize,
        _ => 16 * 1024,
    };
    let mut piece = vec![0; piece_bytes];
    loop {
        let read = from.read(&mut piece).await?;
        if read == 0 {
            return to.shutdown().await;
        }
        match fault {
            Fault::Latency(delay) => tokio::time::sleep(delay).await,
            Fault::Rate { bytes_per_s } => {
                tokio::time::sleep(Duration::from_secs_f64(read as f64 / bytes_per_s.max(1) as f64)).await;
            }
            // So that each slice is a segment of its own.
            Fault::Slice(_) => tokio::time::sleep(Duration::from_millis(1)).await,
            _ => {}
        }
        to.write_all(&piece[..read]).await?;
    }
}
