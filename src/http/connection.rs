//! One connection, from the first byte to the last, over any stream.
//!
//! HTTP/1.1 only, on purpose: HTTP/2's advisories are a class of their own. It deliberately keeps no time itself: a timer
//! per request would cost every order, so it obeys what its [`Pulse`] is told.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

use super::around::Around;
use super::problem::{self, Problem};
use super::pulse::{LINGER, Order, Pulse};
use super::socket::{Socket, raw};
use crate::domain::limits::HEAD_BYTES;

/// Bytes that hyper may buffer of a request's head, or of an answer before it asks for more of it; its own default is about
/// 400 KiB. A head of its largest size and a little: of an answer in parts it is what a client that reads nothing costs, and doubled,
/// since it is copied into a buffer that grows so.
const BUFFER_BYTES: usize = HEAD_BYTES + 1_024;
/// How long the last word to a client that was too slow may take.
const LAST_WORD: Duration = Duration::from_secs(1);

/// Serves the connection until one side ends it.
pub(super) async fn serve<S>(stream: S, door: Around, pulse: Arc<Pulse>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let mut served = http1::Builder::new()
        .header_read_timeout(None)
        .max_header_size(HEAD_BYTES)
        .max_buf_size(BUFFER_BYTES)
        .serve_connection(TokioIo::new(Socket::new(stream, pulse.clone())), door);
    let mut is_leaving = false;
    let ended = poll_fn(|cx| {
        match pulse.order(cx.waker()) {
            Order::Stay => {}
            Order::Leave if is_leaving => {}
            Order::Leave => {
                is_leaving = true;
                // Answers the request in hand, then closes; an idle connection closes at once.
                Pin::new(&mut served).graceful_shutdown();
            }
            end @ (Order::Late | Order::Cut) => return Poll::Ready(Err(end)),
        }
        Pin::new(&mut served).poll(cx).map(Ok)
    })
    .await;
    match ended {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "connection ended badly"),
        // Half a head is all there is, so no answer is being written that this could break into.
        Err(Order::Late) => {
            // In a box, and nothing else kept for it: all others, who are thousands, would keep room for it.
            let last_word = {
                let socket = served.into_parts().io.into_inner();
                Box::pin(too_late(socket, &pulse))
            };
            last_word.await;
        }
        Err(_) => tracing::debug!("connection cut"),
    }
}

/// The last word to a client whose head did not arrive in time.
async fn too_late<S: AsyncRead + AsyncWrite + Unpin>(mut socket: Socket<S>, pulse: &Pulse) {
    pulse.mark(LINGER);
    let words = raw(&Problem::new(&problem::REQUEST_TIMEOUT, "the head did not arrive in time"), None);
    let said = async {
        socket.write_all(&words).await?;
        socket.shutdown().await
    };
    let _ = tokio::time::timeout(LAST_WORD, said).await;
}
