//! H2: event streams nobody reads. They are dropped; those who read miss nothing.
//!
//! The stalled ones come first; they ask for the events of an order that has ended, which come all at once and do not fit
//! the buffers between the two. It deliberately proves the stall by the kernel's send queues, not by the absence of progress.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;

use super::ended;
use crate::Try;
use crate::checker::Baseline;
use crate::figures::{Finding, mib};
use crate::proc;
use crate::service::{Setting, Start};
use crate::sse::{Gapless, Stream};
use crate::wire::{Conn, id, id_text, request};

/// The service's limit for a write without progress, and what a busy machine gets on top.
const LIMIT: Duration = Duration::from_secs(30);
const SLACK: Duration = Duration::from_secs(3);
/// Receive buffer of a client that never reads; the kernel doubles it.
const RECEIVE_BYTES: u32 = 4_096;
/// Bytes of memory a stalled stream may take.
const STREAM_BYTES: u64 = 64 * 1024;

/// An order of 9,000 steps: 18,000 events, some 3 MB as text. Long names make it more than any buffer holds.
fn chatty(wait_ms: u64, in_flight: u64) -> Value {
    let step = |n: usize| {
        let name = format!("{n:03}-{}", "long-name-".repeat(9));
        json!({"name": &name[..90], "work": {"kind": "wait", "ms": wait_ms}})
    };
    let steps: Vec<_> = (0..90).map(step).collect();
    json!({"model": "asyncio", "step_order": "sequential", "dishes": 100, "max_in_flight": in_flight,
        "recipe": {"name": "chatty", "steps": steps}})
}

/// H2.
pub(super) async fn stalled_readers(setting: &Setting) -> Try<Finding> {
    let (stalled, readers) = setting.size((100, 10), (1_000, 100));
    let mut finding = Finding::of(
        "H2 stalled SSE readers",
        format!("{stalled} never read, {readers} do"),
        "stalled closed <= 30 s (+ 3 s), <= 64 KiB each, readers without gap",
    );
    let service = Start::new(setting, "H2")?.open().await?;
    let mut client = service.client();
    let told = client.place(&chatty(0, 100)).await?["id"].as_str().and_then(id).ok_or("no id")?;
    ended(&mut client, told).await?;
    let (before, rss) = (Baseline::of(&service), service.process().rss_bytes());
    let mut deaf = Vec::new();
    let ask = request("GET", &format!("/orders/{}/events", id_text(told)), &[], "");
    for _ in 0..stalled {
        let mut conn = Conn::open_small(service.address(), None, Some(RECEIVE_BYTES)).await?;
        conn.stream.write_all(&ask).await?;
        deaf.push(conn);
    }
    let stuck = all_stuck(service.port, stalled).await;
    let began = Instant::now();
    let grown = service.process().rss_bytes().saturating_sub(rss);
    finding.fault(stuck >= stalled * 9 / 10, format!("{stuck} sockets with unread bytes"));
    // Only now those who read, so that what their order costs is not taken for the price of being deaf.
    // 90 steps of 200 ms, all dishes at once: 18 s of events.
    let live = client.place(&chatty(200, 100)).await?["id"].as_str().and_then(id).ok_or("no id")?;
    let reading: Vec<_> = (0..readers)
        .map(|_| {
            let (to, order) = (service.address(), id_text(live));
            tokio::spawn(async move { read(to, &order).await })
        })
        .collect();
    while service.process().descriptors() > before.descriptors + readers + 2 && began.elapsed() < LIMIT + SLACK * 2 {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    finding.at_most("stalled closed by", began.elapsed(), LIMIT + SLACK);
    let each = grown / stalled as u64;
    finding.figure(format!("RSS + {} while stalled, {each} bytes each", mib(grown)));
    finding.must(each <= STREAM_BYTES, format!("{each} bytes each"));
    let mut events = 0;
    for reader in reading {
        match reader.await? {
            Ok(seen) => events += seen.seen.values().sum::<u64>(),
            Err(error) => finding.must(false, format!("a reader: {error}")),
        }
    }
    finding.figure(format!("{events} events read without gap"));
    drop(deaf);
    Ok(finding)
}

/// Waits until nearly all sockets are stuck, or for ten seconds; answers how many are.
async fn all_stuck(port: u16, stalled: usize) -> usize {
    let began = Instant::now();
    loop {
        let stuck = proc::stalled_sockets(port);
        if stuck >= stalled || began.elapsed() > Duration::from_secs(10) {
            return stuck;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Reads to the end of the order.
async fn read(to: std::net::SocketAddr, order: &str) -> Try<Gapless> {
    let (mut stream, mut gapless) = (Stream::open(to, order).await?, Gapless::default());
    while let Some(event) = stream.next().await? {
        gapless.take(&event)?;
    }
    if gapless.ended { Ok(gapless) } else { Err("the stream ended before the order".into()) }
}
