//! What a store answers: at once, or when a disk or a network has.
//!
//! A future in a box for every look at memory would cost more than the look, and the end of a run in memory must not leave
//! the thread it ended on. It deliberately is no runtime: whoever gets a later answer awaits it where he likes.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

/// An answer that is not there yet.
pub type Later<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// An answer.
pub struct Reply<T>(Inner<T>);

enum Inner<T> {
    /// `None` once it has been taken.
    Now(Option<T>),
    Later(Later<T>),
}

impl<T> Reply<T> {
    /// It is here.
    pub fn now(value: T) -> Self {
        Self(Inner::Now(Some(value)))
    }

    /// It will be here.
    pub fn later(future: impl Future<Output = T> + Send + 'static) -> Self {
        Self(Inner::Later(Box::pin(future)))
    }

    /// The answer, or what to wait for.
    pub fn at_once(self) -> Result<T, Later<T>> {
        match self.0 {
            Inner::Now(value) => Ok(value.expect("an answer is taken once")),
            Inner::Later(future) => Err(future),
        }
    }
}

impl<T: Send + 'static> Reply<T> {
    /// The same answer, seen differently.
    pub fn map<U>(self, see: impl FnOnce(T) -> U + Send + 'static) -> Reply<U> {
        match self.at_once() {
            Ok(value) => Reply::now(see(value)),
            Err(later) => Reply::later(async move { see(later.await) }),
        }
    }
}

impl<T: Unpin> Future for Reply<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        match &mut self.0 {
            Inner::Now(value) => Poll::Ready(value.take().expect("an answer is taken once")),
            Inner::Later(future) => future.as_mut().poll(cx),
        }
    }
}
