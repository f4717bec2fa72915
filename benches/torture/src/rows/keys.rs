//! M: idempotency keys without end. A key is remembered as long as its order is kept, and costs nothing beyond.
//!
//! The keys are as long as keys may be, and no order is work. It deliberately keeps few orders, so that most keys must
//! have been forgotten by the end; what a kept key costs is a matter of what is kept.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::waiting;
use crate::Try;
use crate::checker::{count, quiet, stats};
use crate::figures::{Finding, mib};
use crate::service::{Setting, Start};
use crate::wire::{Conn, request};

/// The longest key there may be.
const KEY_CHARACTERS: usize = 255;
/// Orders that are kept, for each thousand that are sent.
const KEPT_OF_A_THOUSAND: usize = 10;
/// What the service may grow by once the first tenth has gone through: the allocator's own coming and going.
const GROWTH_BYTES: u64 = 16 * 1024 * 1024;
const CONNECTIONS: usize = 32;

fn keyed(n: usize) -> Vec<u8> {
    let key = format!("{n:0>KEY_CHARACTERS$}");
    request("POST", "/orders", &[("idempotency-key", &key)], &waiting("asyncio", 0).to_string())
}

/// Sends these keys, each once; answers how many were refused and had to be sent again.
async fn send(to: std::net::SocketAddr, keys: std::ops::Range<usize>) -> Try<usize> {
    let next = Arc::new(AtomicUsize::new(keys.start));
    let mut tasks = Vec::new();
    for _ in 0..CONNECTIONS {
        let (next, end) = (next.clone(), keys.end);
        tasks.push(tokio::spawn(async move {
            let (mut conn, mut refused) = (Conn::open(to, None).await?, 0);
            loop {
                let n = next.fetch_add(1, Ordering::Relaxed);
                if n >= end {
                    return Ok::<_, std::io::Error>(refused);
                }
                let request = keyed(n);
                while !matches!(conn.call(&request).await?.status, 200 | 202) {
                    refused += 1;
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            }
        }));
    }
    let mut refused = 0;
    for task in tasks {
        refused += task.await??;
    }
    Ok(refused)
}

/// M, with keys.
pub(super) async fn without_end(setting: &Setting) -> Try<Finding> {
    let keys = setting.size(20_000, 1_000_000);
    let kept = keys * KEPT_OF_A_THOUSAND / 1_000;
    let mut finding = Finding::of(
        "M idempotency keys",
        format!("{keys} keys of {KEY_CHARACTERS} characters, {kept} orders kept"),
        "RSS + <= 16 MiB from the first tenth on, the youngest key is replayed, the oldest is free again",
    );
    let kept = kept.to_string();
    let service = Start::new(setting, "M-keys")?.flags(&["--max-ended-orders", &kept]).open().await?;
    let mut client = service.client();
    let began = Instant::now();
    let mut refused = send(service.address(), 0..keys / 10).await?;
    quiet(&mut client).await?;
    let rss = service.process().rss_bytes();
    refused += send(service.address(), keys / 10..keys).await?;
    let rate = keys as f64 / began.elapsed().as_secs_f64();
    quiet(&mut client).await?;
    let grown = service.process().rss_bytes().saturating_sub(rss);
    let now = stats(&mut client).await?;
    let accepted = count(&now, "accepted") as usize;
    finding.fault(accepted == keys, format!("{accepted} orders, one of each key"));
    finding.figure(format!("RSS {} + {}, {rate:.0} keys/s, {refused} sent again", mib(rss), mib(grown)));
    finding.must(grown <= GROWTH_BYTES, format!("RSS grew by {}", mib(grown)));
    for (what, key, replayed) in [("youngest", keys - 1, true), ("oldest", 0, false)] {
        let answer = client.call(&keyed(key)).await?;
        let is_replay = answer.header("idempotency-replayed") == Some("true");
        finding.must(is_replay == replayed, format!("the {what} key: {}, replayed {is_replay}", answer.status));
    }
    Ok(finding)
}
