//! Clients as they should be: each order has an idempotency key and is sent again, to another node, until it is accepted.
//!
//! What happened is in the ledger only. It deliberately never gives an order up before the row does: so at the end every
//! key that was begun has exactly one order, or a promise was broken.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::task::JoinHandle;

use crate::Try;
use crate::ledger::{Ledger, hash};
use crate::wire::{Answer, Conn, request};

/// Longest time without an answer before a client gives up and asks again.
const PATIENCE: Duration = Duration::from_secs(5);
/// Time before it does: short, so that recovery is seen as it happens.
const AGAIN: Duration = Duration::from_millis(50);
/// Longest time to get one order accepted once the load is over.
const LAST: Duration = Duration::from_secs(60);

/// What to send.
#[derive(Clone)]
pub struct Feed {
    /// Nodes, asked in turn.
    pub to: Vec<SocketAddr>,
    pub clients: usize,
    /// From one order of a client to its next.
    pub pace: Duration,
    /// The n-th order.
    pub order: fn(usize) -> Value,
    /// No more than these.
    pub at_most: usize,
}

/// A running load.
pub struct Feeder {
    stop: Arc<AtomicBool>,
    clients: Vec<JoinHandle<Try<()>>>,
}

impl Feeder {
    pub fn start(feed: &Feed, ledger: &Arc<Ledger>) -> Self {
        let (stop, next) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let client = |_| {
            let (feed, ledger, stop, next) = (feed.clone(), ledger.clone(), stop.clone(), next.clone());
            tokio::spawn(async move {
                let mut conns = feed.to.iter().map(|_| None).collect::<Vec<Option<Conn>>>();
                while !stop.load(Ordering::Relaxed) {
                    let began = Instant::now();
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    if n >= feed.at_most {
                        break;
                    }
                    until_accepted(&feed, &ledger, &mut conns, n, &stop).await?;
                    tokio::time::sleep(feed.pace.saturating_sub(began.elapsed())).await;
                }
                Ok(())
            })
        };
        Self { clients: (0..feed.clients).map(client).collect(), stop }
    }

    /// No new orders; those that were begun are brought to their end.
    pub async fn end(self) -> Try<()> {
        self.stop.store(true, Ordering::Relaxed);
        self.wait().await
    }

    /// Until all orders were sent.
    pub async fn wait(self) -> Try<()> {
        for client in self.clients {
            client.await??;
        }
        Ok(())
    }
}

/// The key of the n-th order.
pub fn key(n: usize) -> String {
    format!("f{n:06}")
}

async fn until_accepted(
    feed: &Feed,
    ledger: &Ledger,
    conns: &mut [Option<Conn>],
    n: usize,
    stop: &AtomicBool,
) -> Try<()> {
    let key = key(n);
    let mut order = (feed.order)(n);
    order["labels"] = serde_json::json!({"torture": &key});
    let request = request("POST", "/orders", &[("idempotency-key", &key)], &order.to_string());
    let (body_hash, mut over): (u64, Option<Instant>) = (hash(&request), None);
    for again in 0.. {
        let at = (n + again) % feed.to.len();
        let sent = ledger.now();
        let answer = call(&mut conns[at], feed.to[at], &request).await;
        ledger.placed(&key, body_hash, sent, answer.as_ref());
        match answer.map(|answer| answer.status) {
            Some(200 | 202) => return Ok(()),
            None | Some(409 | 429 | 500 | 503) => {}
            Some(status) => return Err(format!("{key} was answered {status}").into()),
        }
        if stop.load(Ordering::Relaxed) && over.get_or_insert_with(Instant::now).elapsed() > LAST {
            return Err(format!("{key} was not accepted within {LAST:?} after the load").into());
        }
        tokio::time::sleep(AGAIN).await;
    }
    Ok(())
}

async fn call(kept: &mut Option<Conn>, to: SocketAddr, request: &[u8]) -> Option<Answer> {
    let talk = async {
        let mut conn = match kept.take() {
            Some(conn) => conn,
            None => Conn::open(to, None).await?,
        };
        let answer = conn.call(request).await?;
        if answer.header("connection") != Some("close") {
            *kept = Some(conn);
        }
        Ok::<_, std::io::Error>(answer)
    };
    tokio::time::timeout(PATIENCE, talk).await.ok()?.ok()
}
