//! Q and R: clients that repeat themselves, and clients that vanish.
//!
//! It deliberately does both at once in Q: the reason to repeat a request is that nobody knows what became of the first.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::AsyncWriteExt;

use super::nodes::Nodes;
use super::stores::Store;
use super::{marked, waiting};
use crate::Try;
use crate::checker;
use crate::figures::Finding;
use crate::ledger::{Ledger, hash};
use crate::load::uniform;
use crate::proxy::{Fault, Proxy, cuts};
use crate::service::Setting;
use crate::wire::{Conn, placing, request};

/// Keys whose requests fly at the same time.
const KEYS_AT_ONCE: usize = 4;
/// How often a node is killed meanwhile.
const KILLS: usize = 4;
const LEASE: Duration = Duration::from_secs(2);
/// How often a client asks again, and after what pause: longer than a node takes to come back.
const TRIES: usize = 100;
const AGAIN: Duration = Duration::from_millis(100);

/// Q. Over a durable store nodes are killed in the middle of it.
pub(super) async fn idempotent(setting: &Setting, store: &'static str) -> Try<Finding> {
    let (keys, times) = setting.size((100, 10), (1_000, 50));
    let mut finding = Finding::of(
        &format!("Q idempotent retries, {store}"),
        format!("{keys} keys x {times}, a third disconnect"),
        "one order per key, replays say so, another body under the same key 422",
    );
    let store = Store::new(setting, "Q", store)?;
    let mut nodes = Nodes::start(setting, "Q", &store.url, store.nodes(), LEASE).await?;
    let ledger = Arc::new(Ledger::default());
    let (mut vanished, mut kills) = (0, 0);
    for first in (0..keys).step_by(KEYS_AT_ONCE) {
        let mut tasks = Vec::new();
        for key in first..(first + KEYS_AT_ONCE).min(keys) {
            for n in 0..times {
                let (ledger, to) = (ledger.clone(), nodes.addresses());
                tasks.push(tokio::spawn(async move { repeat(&to, &ledger, key, n).await }));
            }
        }
        if store.is_durable() && (first + KEYS_AT_ONCE) % (keys / KILLS) < KEYS_AT_ONCE {
            let node = kills % store.nodes();
            nodes.kill(node)?;
            nodes.again(node).await?;
            kills += 1;
        }
        for task in tasks {
            vanished += usize::from(!task.await??);
        }
    }
    finding.fault(vanished > 0, format!("{vanished} of {} disconnected", keys * times));
    if store.is_durable() {
        let unanswered = ledger.calls().iter().filter(|call| call.status == 0).count();
        finding.fault(kills > 0 && unanswered > vanished, format!("{kills} x kill -9, {unanswered} without answer"));
    }
    one_order_per_key(&ledger, &mut finding);
    another_body(&nodes, keys, &mut finding).await?;
    let listed = checker::check_durable(setting, &nodes.refs(), &ledger, &mut finding).await?;
    let made: HashSet<_> = listed.iter().filter_map(|order| order.labels.get("torture")).collect();
    finding.figure(format!("{} orders of {} keys", listed.len(), made.len()));
    finding.must(listed.len() == keys && made.len() == keys, format!("{} orders of {keys} keys", listed.len()));
    Ok(finding)
}

fn keyed(key: usize, ms: u64) -> Vec<u8> {
    let name = format!("key-{key}");
    let body = marked(waiting("asyncio", ms), &name).to_string();
    request("POST", "/orders", &[("idempotency-key", &name)], &body)
}

/// Sends the request of a key once more; answers whether it waited for the answer. Who waits does not give up: what got
/// no answer is sent again, to the next node.
async fn repeat(to: &[SocketAddr], ledger: &Ledger, key: usize, n: usize) -> Try<bool> {
    let request = keyed(key, 20);
    let name = format!("key-{key}");
    if n % 3 == 1 {
        let sent = ledger.now();
        // To a node that was just killed there is nothing to send.
        if let Ok(conn) = Conn::open(to[n % to.len()], None).await {
            vanish(conn, &request, (key * 1_000 + n) as u64).await;
        }
        ledger.placed(&name, hash(&request), sent, None);
        return Ok(false);
    }
    for again in 0..TRIES {
        let sent = ledger.now();
        let call = async { Conn::open(to[(n + again) % to.len()], None).await?.call(&request).await };
        let answer = call.await.ok();
        // One that is still in flight is a 409 with Retry-After, and is repeated.
        let is_later = answer
            .as_ref()
            .is_none_or(|answer| matches!(answer.status, 409 | 503) && answer.header("retry-after").is_some());
        if !answer.as_ref().is_some_and(|_| is_later) {
            ledger.placed(&name, hash(&request), sent, answer.as_ref());
        }
        if !is_later {
            return Ok(true);
        }
        tokio::time::sleep(AGAIN).await;
    }
    Err(format!("{name} had no answer after {TRIES} tries").into())
}

/// Writes a part of a request, and resets the connection.
async fn vanish(mut conn: Conn, request: &[u8], mut dice: u64) {
    let bytes = (uniform(&mut dice) * (request.len() + 1) as f64) as usize;
    let _ = conn.stream.set_zero_linger();
    let _ = conn.stream.write_all(&request[..bytes]).await;
    tokio::task::yield_now().await;
}

fn one_order_per_key(ledger: &Ledger, finding: &mut Finding) {
    let mut of_key: HashMap<Box<str>, (HashSet<u128>, usize, usize)> = HashMap::new();
    for call in ledger.calls().into_iter().filter(|call| call.received.is_some()) {
        let accepted = call.status == 202 || call.status == 200;
        finding.must(accepted, format!("{} was answered {}", call.key, call.status));
        let seen = of_key.entry(call.key).or_default();
        seen.0.extend(call.order);
        seen.1 += usize::from(accepted && !call.replayed);
        seen.2 += usize::from(call.replayed);
    }
    let several = of_key.values().filter(|seen| seen.0.len() != 1).count();
    let unmarked = of_key.values().filter(|seen| seen.1 > 1).count();
    let replays: usize = of_key.values().map(|seen| seen.2).sum();
    finding.figure(format!("{replays} replays"));
    finding.must(several == 0, format!("I2: {several} keys were answered with more than one order, or none"));
    finding.must(unmarked == 0, format!("{unmarked} keys have more than one answer that is not marked as a replay"));
}

async fn another_body(nodes: &Nodes<'_>, keys: usize, finding: &mut Finding) -> Try<()> {
    for key in 0..keys.min(20) {
        let answer = nodes.all[key % nodes.all.len()].client().call(&keyed(key, 21)).await?;
        finding.must(answer.status == 422, format!("key-{key} with another body: {}", answer.status));
    }
    Ok(())
}

/// R.
pub(super) async fn vanishing(setting: &Setting, store: &'static str) -> Try<Finding> {
    let posts = setting.size(1_000, 10_000);
    let mut finding = Finding::of(
        &format!("R vanishing POSTs, {store}"),
        format!("{posts}, reset at random bytes, swallowed answers, slices, stalls"),
        "each order is absent or runs to its end, none twice, 0 left behind, no session of a database in the middle",
    );
    let mut store = Store::new(setting, "R", store)?;
    let nodes = Nodes::start(setting, "R", &store.url, 1, LEASE).await?;
    let ledger = Arc::new(Ledger::default());
    let proxy = Proxy::start(nodes.all[0].address(), faults()).await?;
    vanish_all(&proxy, posts, &ledger).await?;
    let listed = checker::check_durable(setting, &nodes.refs(), &ledger, &mut finding).await?;
    let answered = ledger.calls().iter().filter(|call| call.received.is_some()).count();
    let broken = (proxy.resets() + proxy.dropped()) as usize;
    finding.fault(
        broken >= posts * 8 / 10 && listed.len() < posts && listed.len() > answered,
        format!("{} resets, {} answers swallowed", proxy.resets(), proxy.dropped()),
    );
    finding.figure(format!("{} orders exist, {answered} of them answered", listed.len()));
    let failed = listed.iter().filter(|order| order.status != "succeeded").count();
    finding.must(failed == 0, format!("{failed} did not succeed"));
    store.at_rest(&mut finding)?;
    Ok(finding)
}

/// Mostly resets, at every byte of the request.
fn faults() -> Vec<Fault> {
    let bytes = vanisher(0).1.len();
    let mut faults = cuts(bytes, 1_000);
    for (n, fault) in faults.iter_mut().enumerate() {
        match n % 50 {
            11 => *fault = Fault::Pass,
            22 => *fault = Fault::Slice(16),
            33 => *fault = Fault::Latency(Duration::from_millis(5)),
            44 => *fault = Fault::Rate { bytes_per_s: 2_000 },
            47 if n % 200 == 47 => *fault = Fault::StallAfter(bytes / 2),
            _ => {}
        }
    }
    faults
}

/// Sends them all from 64 connections at a time.
async fn vanish_all(proxy: &Proxy, posts: usize, ledger: &Arc<Ledger>) -> Try<()> {
    let next = Arc::new(AtomicUsize::new(0));
    let mut tasks = Vec::new();
    for _ in 0..64 {
        let (ledger, next, to) = (ledger.clone(), next.clone(), proxy.address);
        tasks.push(tokio::spawn(async move {
            loop {
                let n = next.fetch_add(1, Ordering::Relaxed);
                if n >= posts {
                    return;
                }
                let (key, request) = vanisher(n);
                let sent = ledger.now();
                let call = async { Conn::open(to, None).await?.call(&request).await };
                let answer = tokio::time::timeout(Duration::from_secs(2), call).await;
                ledger.placed(&key, hash(&request), sent, answer.ok().and_then(Result::ok).as_ref());
            }
        }));
    }
    for task in tasks {
        task.await?;
    }
    Ok(())
}

/// The n-th request; all have the same length.
fn vanisher(n: usize) -> (String, Vec<u8>) {
    let key = format!("r{n:06}");
    let request = placing(&marked(waiting("asyncio", 10), &key).to_string());
    (key, request)
}
