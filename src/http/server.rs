//! The accept loop: axum's own has no header timeout, no connection cap and no drain deadline.
//!
//! HTTP/1.1 only, on purpose: HTTP/2's advisories are a class of their own. It deliberately knows no path.

use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use super::around::Around;
use super::tls::{self, Tls};

/// Time a client has for the handshake of TLS, and to send a request's head (hyper's own default of 30 s is inert without
/// a timer).
const HEADER: Duration = Duration::from_secs(10);
/// Connections at once.
pub const CONNECTIONS: usize = 4_096;
/// Bytes hyper may buffer for a connection's head; its own limit is about 400 KiB.
const BUFFER_BYTES: usize = 32 * 1024;
/// Pause after a failed accept (out of descriptors), so that the loop does not spin.
const BREATH: Duration = Duration::from_millis(50);

/// Serves until `closing` turns true, then answers what has begun, at most for `grace`.
pub async fn serve(
    listener: TcpListener,
    tls: Option<Tls>,
    door: Around,
    mut closing: watch::Receiver<bool>,
    grace: Duration,
) {
    let seats = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        let seat = seats.clone().acquire_owned();
        let accepted = tokio::select! {
            () = closed(&mut closing) => break,
            accepted = async { (seat.await, listener.accept().await) } => accepted,
        };
        // A JoinSet keeps what is finished until it is asked.
        while connections.try_join_next().is_some() {}
        match accepted {
            (Ok(seat), Ok((stream, peer))) => {
                let _ = stream.set_nodelay(true);
                let connection = connection(stream, tls.clone(), door.at(peer.ip()), closing.clone());
                connections.spawn(async move {
                    connection.await;
                    drop(seat);
                });
            }
            (_, Err(error)) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(BREATH).await;
            }
            (Err(_), _) => break,
        }
    }
    drop(listener);
    let done = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(grace, done).await.is_err() {
        tracing::warn!(grace_s = grace.as_secs(), "connections cut off at the end of the grace period");
    }
}

/// Resolves when the service is about to end.
async fn closed(closing: &mut watch::Receiver<bool>) {
    let _ = closing.wait_for(|closing| *closing).await;
}

async fn connection(stream: TcpStream, tls: Option<Tls>, door: Around, mut closing: watch::Receiver<bool>) {
    let opened = tokio::select! {
        // First: without TLS it is ready at once, and its request is answered even if the house is closing.
        biased;
        opened = tokio::time::timeout(HEADER, tls::open(stream, tls)) => opened,
        () = closed(&mut closing) => return,
    };
    let stream = match opened {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return tracing::debug!(%error, "no TLS"),
        Err(_) => return tracing::debug!("no TLS in time"),
    };
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER)
        .max_buf_size(BUFFER_BYTES)
        .pipeline_flush(true)
        .serve_connection(TokioIo::new(stream), door);
    let mut served = std::pin::pin!(served);
    let ended = tokio::select! {
        ended = served.as_mut() => ended,
        () = closed(&mut closing) => {
            // Answers the request in hand, then closes; an idle connection closes at once.
            served.as_mut().graceful_shutdown();
            served.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "connection ended badly");
    }
}
