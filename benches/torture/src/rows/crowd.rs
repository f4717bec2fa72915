//! I1 and J: a hundred thousand orders in the queue, and all of them canceled at once.
//!
//! The queue is made by leasing: eight threads, an order takes one of them and keeps it. It deliberately fills from
//! several addresses, because one client may not have the whole queue.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};

use super::stores::Store;
use super::{place_all, until, waiting};
use crate::Try;
use crate::checker::{self, Baseline, Listed, count};
use crate::figures::{Finding, Samples, mib, ms};
use crate::ledger::Ledger;
use crate::load::uniform;
use crate::service::{Service, Setting, Start};
use crate::wire::{self, Client, Conn, id_text, request};

const FLAGS: &[&str] = &["--max-threads", "8", "--max-active-orders", "250000", "--grace-s", "2"];
/// Freed buffers get a moment to go before memory is read.
const SETTLE: Duration = Duration::from_millis(500);
/// Bytes a small queued order may take.
const ORDER_BYTES: u64 = 1_024;
/// Below this a p99 is scheduling noise of a shared machine, and twice of it too.
const NOISE: Duration = Duration::from_millis(2);

/// An order that takes one of the eight threads for this long.
fn leasing(ms: u64) -> Value {
    let mut order = waiting("multithreading", ms);
    order["setup"] = json!({"chefs": 1});
    order
}

/// Latency of this many orders, one after the other.
async fn accepting(service: &Service, ledger: &Ledger, from: u8, posts: usize) -> Try<Samples> {
    let mut client = Client::new(service.address(), Some(Ipv4Addr::new(127, 0, 0, from)));
    let (request, mut latency) = (wire::placing(&leasing(3_600_000).to_string()), Samples::default());
    for _ in 0..posts {
        let (sent, at) = (Instant::now(), ledger.now());
        let answer = client.call(&request).await?;
        latency.add(sent.elapsed());
        ledger.placed("post", 0, at, Some(&answer));
        if answer.status != 202 {
            return Err(format!("an order was answered {}", answer.status).into());
        }
    }
    Ok(latency)
}

/// The p99 of the calmest of three such blocks: one that a neighbour disturbed says nothing about the queue.
async fn calmest(service: &Service, ledger: &Ledger, posts: usize) -> Try<Duration> {
    let mut best = Duration::MAX;
    for _ in 0..3 {
        best = best.min(accepting(service, ledger, 9, posts).await?.p99());
    }
    Ok(best)
}

/// I1.
pub(super) async fn a_long_queue(setting: &Setting, store: &'static str) -> Try<Finding> {
    let queue = 100_000;
    let posts = setting.size(2_000, 10_000);
    let mut finding = Finding::of(
        &format!("I1 100,000 queued, {store}"),
        format!("{queue} queued, 3 x {posts} measured"),
        "accept p99 <= 2 x that of an empty house (or <= 2 ms), <= 1 KiB each, end <= grace + 1 s with \
         code 1 if orders were lost (memory), else 0",
    );
    let mut store = Store::new(setting, "I1", store)?;
    let mut service = Start::new(setting, "I1")?.flags(FLAGS).flags(&["--store", &store.url]).open().await?;
    let ledger = Ledger::default();
    accepting(&service, &ledger, 9, 200).await?;
    let empty = calmest(&service, &ledger, posts).await?;
    let mut client = service.client();
    let queued = count(&checker::stats(&mut client).await?, "queued");
    tokio::time::sleep(SETTLE).await;
    let rss = service.process().rss_bytes();
    for part in 0..4 {
        let mut client = Client::new(service.address(), Some(Ipv4Addr::new(127, 0, 0, 2 + part)));
        let orders = vec![(String::new(), leasing(3_600_000)); queue / 4];
        place_all(&mut client, &ledger, &orders).await?;
    }
    let now = count(&checker::stats(&mut client).await?, "queued");
    tokio::time::sleep(SETTLE).await;
    let grown = service.process().rss_bytes().saturating_sub(rss);
    finding.fault(now as usize >= queue, format!("{now} queued"));
    let each = grown / (now - queued).max(1);
    finding.figure(format!("{each} bytes each, RSS {}", mib(service.process().rss_bytes())));
    finding.must(each <= ORDER_BYTES, format!("{each} bytes each"));
    let full = calmest(&service, &ledger, posts).await?;
    finding.figure(format!("accept p99 {} at 0", ms(empty)));
    finding.at_most("at 100,000", full, (empty * 2).max(NOISE));
    finding.must(checker::conserved(&checker::stats(&mut client).await?), "I6: accepted is not the sum of the states");
    service.signal(Signal::TERM)?;
    let (status, took) = service.ended(Duration::from_secs(30)).await?;
    finding.at_most("end after", took, Duration::from_secs(3));
    let code = if store.is_durable() { 0 } else { 1 };
    finding.must(status.code() == Some(code), format!("it ended with {status}"));
    store.at_rest(&mut finding)?;
    Ok(finding)
}

/// J.
pub(super) async fn cancel_storm(setting: &Setting) -> Try<Finding> {
    let how_many = setting.size(2_000, 20_000);
    let mut finding = Finding::of(
        "J cancel storm",
        format!("{how_many} orders x 3 cancels"),
        "one end each, ack p99 <= 100 ms, all has stopped <= 250 ms after the last ack, baseline <= 2 s",
    );
    let service = Start::new(setting, "J")?.flags(FLAGS).open().await?;
    let (before, ledger, mut client) = (Baseline::of(&service), Arc::new(Ledger::default()), service.client());
    let order = |n: usize| match n % 20 {
        0 => json!({"model": "multiprocessing", "recipe": super::recipe(json!({"kind": "wait", "ms": 600_000}))}),
        1..=8 => waiting(["asyncio", "multithreading"][n % 2], 600_000),
        // These end by themselves while they are being canceled.
        9 | 10 => waiting("asyncio", 50 + (n % 700) as u64),
        _ => leasing(600_000),
    };
    let orders: Vec<_> = (0..how_many).map(|n| (format!("j{n}"), order(n))).collect();
    let mut ids = place_all(&mut client, &ledger, &orders).await?;
    let at_start = checker::stats(&mut client).await?;
    let asked: Vec<u128> = shuffled(ids.iter().flat_map(|id| [*id; 3]).collect());
    let (acks, odd) = storm(&service, &ledger, asked).await?;
    let acked = Instant::now();
    // What was refused with 409 had ended; everything else ends now.
    until(&mut client, Duration::from_secs(30), "all has ended", |s| count(s, "queued") + count(s, "running") == 0)
        .await?;
    finding.at_most("all stopped after", acked.elapsed(), Duration::from_millis(250));
    finding.at_most("ack p99", acks.p99(), Duration::from_millis(100));
    finding.must(odd.is_empty(), format!("{} odd answers, first: {:?}", odd.len(), odd.first()));
    finding.fault(
        count(&at_start, "running") > 0 && count(&at_start, "queued") > 0,
        format!("{} running and {} queued", at_start["running"], at_start["queued"]),
    );
    let listed = checker::check(setting, &service, &ledger, before, &mut finding).await?;
    told_the_truth(&ledger, &listed, &mut finding);
    ids.retain(|id| !listed.iter().any(|order| order.id == id_text(*id) && order.done));
    finding.must(ids.is_empty(), format!("{} orders did not end", ids.len()));
    Ok(finding)
}

fn shuffled(mut items: Vec<u128>) -> Vec<u128> {
    let mut dice = 11;
    for last in (1..items.len()).rev() {
        items.swap(last, (uniform(&mut dice) * (last + 1) as f64) as usize);
    }
    items
}

/// Cancels them all from 64 connections.
async fn storm(service: &Service, ledger: &Arc<Ledger>, asked: Vec<u128>) -> Try<(Samples, Vec<String>)> {
    let (asked, next) = (Arc::new(asked), Arc::new(AtomicUsize::new(0)));
    let mut tasks = Vec::new();
    for _ in 0..64 {
        let (asked, next, ledger, to) = (asked.clone(), next.clone(), ledger.clone(), service.address());
        tasks.push(tokio::spawn(async move {
            let (mut acks, mut odd) = (Samples::default(), Vec::new());
            let mut conn = Conn::open(to, None).await?;
            while let Some(id) = asked.get(next.fetch_add(1, Ordering::Relaxed)) {
                let cancel = request("POST", &format!("/orders/{}/cancel", id_text(*id)), &[], "");
                let (sent, at) = (Instant::now(), ledger.now());
                let answer = conn.call(&cancel).await?;
                acks.add(sent.elapsed());
                ledger.called(&id_text(*id), at, answer.status);
                if ![200, 202, 409].contains(&answer.status) {
                    odd.push(format!("{}", answer.status));
                }
            }
            Ok::<_, std::io::Error>((acks, odd))
        }));
    }
    let (mut acks, mut odd) = (Samples::default(), Vec::new());
    for task in tasks {
        let (some, strange) = task.await??;
        acks.join(some);
        odd.extend(strange);
    }
    Ok((acks, odd))
}

/// Told canceled means canceled, and a refused cancel means that it had ended otherwise.
fn told_the_truth(ledger: &Ledger, listed: &[Listed], finding: &mut Finding) {
    let ends: std::collections::HashMap<&str, &str> =
        listed.iter().map(|order| (order.id.as_str(), order.status.as_str())).collect();
    let mut broken = 0;
    for call in ledger.calls().iter().filter(|call| !call.places) {
        let end = ends.get(&*call.key).copied().unwrap_or("absent");
        let truth = match call.status {
            200 => end == "canceled",
            409 => end != "canceled",
            _ => true,
        };
        broken += usize::from(!truth);
    }
    let canceled = ends.values().filter(|end| **end == "canceled").count();
    finding.figure(format!("{canceled} canceled, {} ended otherwise", ends.len() - canceled));
    finding.must(broken == 0, format!("{broken} answers to a cancel were not the truth"));
}
