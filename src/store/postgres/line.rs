//! A connection that comes back by itself, and says at once when it is not there.
//!
//! Each kind of work has one of its own, so that a long look never stands before the next 202. Statements that did not
//! answer in time close it: an answer that comes late must not be taken for that of the next question. It deliberately
//! repeats nothing that may have been done, but what the database says it has taken back.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::AbortHandle;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;
use tokio_postgres::{AsyncMessage, Client, Connection, Row, Statement};

use super::hosts::Hosts;
use super::{open, sql};
use crate::store::backend::Down;

/// First wait after a connection broke, and the longest. Not longer than a second: the first order after an outage shall be
/// accepted within two, connecting included.
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(1);
/// What the first statements of a session may take.
const SETUP: Duration = Duration::from_secs(3);

/// A parameter of a statement.
pub(super) type Param<'a> = &'a (dyn ToSql + Sync);
/// What is heard on a connection that listens; `None` after it was away: anything may have been missed.
pub(super) type Heard = Option<String>;

#[derive(Clone)]
enum State {
    Connecting,
    Up(Arc<Session>),
    Down,
}

struct Session {
    client: Client,
    statements: Mutex<HashMap<&'static str, Statement>>,
    /// Closes it.
    hang_up: Notify,
}

/// The connection.
pub(super) struct Line {
    state: watch::Receiver<State>,
    answers_in: Duration,
    task: AbortHandle,
}

impl Line {
    /// Connects, on the runtime of the caller. An answer has to be there in that time.
    pub(super) fn new(hosts: Hosts, answers_in: Duration) -> Self {
        Self::start(hosts, answers_in, None)
    }

    /// Connects for nothing but listening.
    pub(super) fn listening(hosts: Hosts) -> (Self, mpsc::UnboundedReceiver<Heard>) {
        let (heard, hears) = mpsc::unbounded_channel();
        (Self::start(hosts, SETUP, Some(heard)), hears)
    }

    fn start(hosts: Hosts, answers_in: Duration, heard: Option<mpsc::UnboundedSender<Heard>>) -> Self {
        let (say, state) = watch::channel(State::Connecting);
        let task = tokio::spawn(keep(hosts, say, heard)).abort_handle();
        Self { state, answers_in, task }
    }

    /// Asks one statement.
    pub(super) async fn ask(&self, text: &'static str, params: &[Param<'_>]) -> Result<Vec<Row>, Down> {
        let mut asked = None;
        let answer = async {
            let session = self.session().await?;
            asked = Some(session.clone());
            match session.query(text, params).await {
                // Taken back by the database, to let another pass: nothing was done.
                Err(error) if is_taken_back(&error) => session.query(text, params).await,
                said => said,
            }
            .map_err(|error| session.down(&error))
        };
        if let Ok(said) = tokio::time::timeout(self.answers_in, answer).await {
            return said;
        }
        tracing::warn!("the order store did not answer in time");
        if let Some(session) = asked {
            session.hang_up.notify_one();
        }
        Err(Down::Away)
    }

    async fn session(&self) -> Result<Arc<Session>, Down> {
        let mut state = self.state.clone();
        // Waits for a connection attempt that is under way, not for the next one.
        let known = state.wait_for(|state| !matches!(state, State::Connecting)).await.map_err(|_| Down::Away)?;
        match &*known {
            State::Up(session) if !session.client.is_closed() => Ok(session.clone()),
            _ => Err(Down::Away),
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Session {
    async fn query(&self, text: &'static str, params: &[Param<'_>]) -> Result<Vec<Row>, tokio_postgres::Error> {
        let known = self.statements().get(text).cloned();
        let statement = match known {
            Some(statement) => statement,
            None => {
                let statement = self.client.prepare(text).await?;
                self.statements().insert(text, statement.clone());
                statement
            }
        };
        self.client.query(&statement, params).await
    }

    fn statements(&self) -> std::sync::MutexGuard<'_, HashMap<&'static str, Statement>> {
        self.statements.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a failure means for callers; the log has its words.
    fn down(&self, error: &tokio_postgres::Error) -> Down {
        tracing::warn!(error = open::told(error), "the order store failed");
        match error.code() {
            Some(&SqlState::DISK_FULL) => return Down::StorageFull,
            // It has become a standby: another host of the address may be the primary now.
            Some(&SqlState::READ_ONLY_SQL_TRANSACTION) => self.hang_up.notify_one(),
            _ => {}
        }
        Down::Away
    }
}

fn is_taken_back(error: &tokio_postgres::Error) -> bool {
    matches!(error.code(), Some(&SqlState::T_R_DEADLOCK_DETECTED | &SqlState::T_R_SERIALIZATION_FAILURE))
}

/// Connects again and again, until nobody needs it any more.
async fn keep(hosts: Hosts, say: watch::Sender<State>, heard: Option<mpsc::UnboundedSender<Heard>>) {
    let mut wait = FIRST_WAIT;
    loop {
        say.send_replace(State::Connecting);
        match hosts.connect().await {
            Ok((client, connection)) => {
                let is_good = serve(client, connection, &say, heard.as_ref()).await;
                wait = if is_good { FIRST_WAIT } else { wait };
            }
            Err(error) => tracing::warn!(error, "cannot connect to the order store"),
        }
        say.send_replace(State::Down);
        tokio::time::sleep(jittered(wait)).await;
        wait = (wait * 2).min(LONGEST_WAIT);
    }
}

/// Serves one connection until it ends; says whether it was any good.
async fn serve<S, T>(
    client: Client,
    mut connection: Connection<S, T>,
    say: &watch::Sender<State>,
    heard: Option<&mpsc::UnboundedSender<Heard>>,
) -> bool
where
    S: AsyncRead + AsyncWrite + Unpin,
    T: AsyncRead + AsyncWrite + Unpin,
{
    let mut is_good = false;
    let driven = async {
        while let Some(Ok(message)) = std::future::poll_fn(|cx| connection.poll_message(cx)).await {
            if let (AsyncMessage::Notification(note), Some(heard)) = (message, heard) {
                // Nobody listens at the end of the service.
                let _ = heard.send(Some(note.payload().to_owned()));
            }
        }
    };
    let used = async {
        let setup = async {
            client.batch_execute(sql::SESSION).await?;
            if heard.is_some() { client.batch_execute(sql::LISTEN).await } else { Ok(()) }
        };
        if !matches!(tokio::time::timeout(SETUP, setup).await, Ok(Ok(()))) {
            return;
        }
        is_good = true;
        if let Some(heard) = heard {
            let _ = heard.send(None);
        }
        let session = Arc::new(Session { client, statements: Mutex::default(), hang_up: Notify::new() });
        say.send_replace(State::Up(session.clone()));
        session.hang_up.notified().await;
    };
    tokio::select! { () = driven => {}, () = used => {} }
    is_good
}

/// Half of it to all of it, so that nodes do not come back in step.
fn jittered(wait: Duration) -> Duration {
    let drawn = RandomState::new().build_hasher().finish() as u32;
    wait / 2 + wait.mul_f64(f64::from(drawn) / f64::from(u32::MAX) / 2.0)
}
