//! A handler that is not dropped in the middle of a write.
//!
//! A connection that ends drops what it was waiting for. Here a write that was being handled then moves to a task of its
//! own and runs on, for a time no single write needs. A task for each write from the start would promise the same and
//! cost every order two turns of the scheduler; only what takes many writes has one ([`RunningOn::run`]). Reads are deliberately dropped: nobody waits for them any more.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::task::JoinHandle;

/// How long a write may run on without its client. Above the time limit of every store; a held `wait` ends with it.
const RUN_ON: Duration = Duration::from_secs(5);

/// Counts the writes that run on, for the end of the service.
#[derive(Clone, Debug, Default)]
pub struct RunningOn(Arc<AtomicUsize>);

impl RunningOn {
    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.load(Ordering::Acquire)
    }

    /// Runs a write to its end, but no longer than this, whatever becomes of its client. The answer is `None` if it took longer.
    pub fn run<T: Send + 'static>(
        &self,
        at_most: Duration,
        write: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<Option<T>> {
        let counted = Counted::new(self.clone());
        tokio::spawn(async move {
            let done = tokio::time::timeout(at_most, write).await;
            drop(counted);
            done.ok()
        })
    }
}

struct Counted(RunningOn);

impl Counted {
    fn new(running_on: RunningOn) -> Self {
        running_on.0.fetch_add(1, Ordering::AcqRel);
        Self(running_on)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// A future that survives its being dropped.
pub(super) struct Unbroken<F: Future<Output: Send> + Send + Unpin + 'static> {
    future: Option<F>,
    /// Still true when it panicked: then it must not be polled again.
    is_polled: bool,
    is_write: bool,
    running_on: RunningOn,
}

impl<F: Future<Output: Send> + Send + Unpin + 'static> Unbroken<F> {
    pub(super) fn new(future: F, is_write: bool, running_on: RunningOn) -> Self {
        Self { future: Some(future), is_polled: false, is_write, running_on }
    }
}

impl<F: Future<Output: Send> + Send + Unpin + 'static> Future for Unbroken<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = &mut *self;
        let Some(future) = &mut this.future else { return Poll::Pending };
        this.is_polled = true;
        let polled = Pin::new(future).poll(cx);
        this.is_polled = false;
        if polled.is_ready() {
            this.future = None;
        }
        polled
    }
}

impl<F: Future<Output: Send> + Send + Unpin + 'static> Drop for Unbroken<F> {
    fn drop(&mut self) {
        let Some(future) = self.future.take().filter(|_| self.is_write && !self.is_polled) else { return };
        // Outside a runtime there is nothing left that could finish it.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let counted = Counted::new(self.running_on.clone());
        runtime.spawn(async move {
            let _ = tokio::time::timeout(RUN_ON, future).await;
            drop(counted);
        });
    }
}
