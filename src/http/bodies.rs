//! The two bodies of a request, the one received and the one sent, as far as the connection's pulse is concerned.
//!
//! Neither copies or buffers anything. The size of a body is deliberately checked where it is read, in
//! [`super::request`].

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::BoxError;
use axum::body::{Body, Bytes};
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use tokio::time::Sleep;

use super::pulse::{LINGER, Phase, Pulse};

/// The body did not arrive in time.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the body did not arrive in time")]
pub struct Slow;

/// The body of a request; fails with [`Slow`] when it takes longer than its time, all of it together.
pub(super) struct Received {
    body: Incoming,
    pulse: Arc<Pulse>,
    limit: Duration,
    /// There is one only for a body that was not complete at once.
    deadline: Option<Pin<Box<Sleep>>>,
}

impl Received {
    /// A body that is not empty.
    pub(super) fn new(body: Incoming, pulse: Arc<Pulse>, limit: Duration) -> Self {
        Self { body, pulse, limit, deadline: None }
    }
}

impl HttpBody for Received {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        if let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(cx) {
            if this.body.is_end_stream() {
                this.pulse.enter(Phase::Busy);
            }
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        let deadline = this.deadline.get_or_insert_with(|| Box::pin(tokio::time::sleep(this.limit)));
        deadline.as_mut().poll(cx).map(|()| Some(Err(Slow.into())))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Received {
    fn drop(&mut self) {
        if !self.body.is_end_stream() {
            // Nobody will read the rest.
            self.pulse.mark(LINGER);
            self.pulse.enter(Phase::Busy);
        }
    }
}

/// The body of an answer; its end is the end of the request.
pub struct Answer {
    body: Body,
    pulse: Arc<Pulse>,
}

impl Answer {
    pub(super) fn new(body: Body, pulse: Arc<Pulse>) -> Self {
        Self { body, pulse }
    }
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.pulse.enter(Phase::Idle);
    }
}
