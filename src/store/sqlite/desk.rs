//! A thread with a connection of its own: it is told what to do, one thing after the other, and answers in time.
//!
//! It deliberately knows no order. What fails is said and forgotten: the next call tries again, nothing is latched.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use rusqlite::{Connection, ErrorCode, Transaction, TransactionBehavior};
use tokio::sync::{mpsc, oneshot};

use crate::store::backend::{Down, Said};

type Errand = Box<dyn FnOnce(&mut Connection) + Send>;

/// Errands that may wait; whoever brings one more waits himself. Callers batch, so a few are under way at a time.
const WAITING: usize = 1_024;

/// The thread. Dropping it waits until it has closed its connection.
pub(super) struct Desk {
    errands: Option<mpsc::Sender<Errand>>,
    closes: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Desk {
    /// A thread of this name with this connection. `keeps` is dropped after the connection.
    pub(super) fn new<K: Send + 'static>(name: &str, mut connection: Connection, keeps: K) -> std::io::Result<Self> {
        let (errands, mut inbox) = mpsc::channel::<Errand>(WAITING);
        let closes = Arc::new(AtomicBool::new(false));
        let is_closed = closes.clone();
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(move || {
            while let Some(errand) = inbox.blocking_recv() {
                if is_closed.load(Ordering::Acquire) {
                    break;
                }
                errand(&mut connection);
            }
            drop(connection);
            drop(keeps);
        })?;
        Ok(Self { errands: Some(errands), closes, thread: Some(thread) })
    }

    /// Writes in one transaction; if it fails anywhere, the commit included, nothing of it is there.
    pub(super) fn write<T: Send + 'static>(
        &self,
        act: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T> + Send + 'static,
    ) -> Said<T> {
        self.run(|connection| {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let answer = act(&transaction)?;
            transaction.commit()?;
            Ok(answer)
        })
    }

    /// Reads what is there at one moment.
    pub(super) fn read<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Said<T> {
        self.run(|connection| {
            let moment = connection.transaction()?;
            look(&moment)
        })
    }

    fn run<T: Send + 'static>(
        &self,
        act: impl FnOnce(&mut Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Said<T> {
        // Weak: an answer that nobody waits for does not keep the thread.
        let errands = self.errands.as_ref().map(mpsc::Sender::downgrade);
        Box::pin(async move {
            let (answer, answered) = oneshot::channel();
            let errand: Errand = Box::new(move |connection| {
                // Whoever asked may have left.
                let _ = answer.send(act(connection).map_err(|error| down(&error)));
            });
            let errands = errands.and_then(|errands| errands.upgrade()).ok_or(Down::Away)?;
            errands.send(errand).await.map_err(|_| Down::Away)?;
            drop(errands);
            answered.await.map_err(|_| Down::Away)?
        })
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        self.closes.store(true, Ordering::Release);
        if let Some(errands) = self.errands.take() {
            // Wakes it. If there is no room, there is something to wake it by.
            let _ = errands.try_send(Box::new(|_| ()));
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// What a failure means for callers; the log has its words.
fn down(error: &rusqlite::Error) -> Down {
    tracing::error!(%error, "the file of orders could not be read or written");
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => Down::StorageFull,
        _ => Down::Away,
    }
}
