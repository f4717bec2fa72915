//! Readers that follow orders while the service is being broken, and come back as an event source does: with the last id
//! they have seen, to the next node.
//!
//! What they are told live must be as gapless as what is told afterwards. They deliberately place nothing: they follow what
//! the load of the row has placed.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;

use crate::Try;
use crate::figures::Finding;
use crate::ledger::Ledger;
use crate::sse::{Gapless, Stream};
use crate::wire::id_text;

/// Longest time without an event before a reader looks for another node.
const PATIENCE: Duration = Duration::from_secs(5);
/// Between two tries to connect.
const AGAIN: Duration = Duration::from_millis(50);
/// Longest time to the end of an order.
const END_WITHIN: Duration = Duration::from_secs(120);

/// What the readers were told.
#[derive(Default)]
struct Told {
    orders: usize,
    /// Orders followed through more than one attempt.
    attempts: usize,
    reconnects: usize,
    /// Times that they were told to begin anew.
    gaps: usize,
    broken: Vec<String>,
}

/// Running readers.
pub struct Readers {
    stop: Arc<AtomicBool>,
    readers: Vec<JoinHandle<Told>>,
}

impl Readers {
    /// So many, each following one order after another, of those with such a key the latest.
    pub fn start(to: &[SocketAddr], ledger: &Arc<Ledger>, how_many: usize, wanted: fn(&str) -> bool) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let reader = |n| {
            let (to, ledger, stop) = (to.to_vec(), ledger.clone(), stop.clone());
            tokio::spawn(async move {
                let (mut told, mut before) = (Told::default(), None);
                while !stop.load(Ordering::Relaxed) {
                    let next = ledger.latest(wanted).filter(|next| Some(*next) != before);
                    if let Some(order) = next {
                        before = next;
                        told.order(&to, n, &id_text(order)).await;
                    } else {
                        tokio::time::sleep(AGAIN).await;
                    }
                }
                told
            })
        };
        Self { readers: (0..how_many).map(reader).collect(), stop }
    }

    /// Follows what is being followed to its end, and says what was told.
    pub async fn end(self, finding: &mut Finding) -> Try<()> {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Told::default();
        for reader in self.readers {
            let told = reader.await?;
            all.orders += told.orders;
            all.attempts += told.attempts;
            all.reconnects += told.reconnects;
            all.gaps += told.gaps;
            all.broken.extend(told.broken);
        }
        all.broken.into_iter().for_each(|broken| finding.must(false, format!("I4/I5, live: {broken}")));
        finding.must(all.attempts > 0, "no order was followed through a broken run");
        finding.figure(format!(
            "{} orders followed live, {} through a broken run, {} reconnects, {} begun anew",
            all.orders, all.attempts, all.reconnects, all.gaps
        ));
        Ok(())
    }
}

impl Told {
    async fn order(&mut self, to: &[SocketAddr], first: usize, order: &str) {
        let (began, mut seen, mut attempts) = (Instant::now(), Gapless::default(), Vec::new());
        for at in first.. {
            let over = self.part(to[at % to.len()], order, &mut seen, &mut attempts).await;
            match over {
                Ok(true) => break,
                Ok(false) if began.elapsed() < END_WITHIN => self.reconnects += 1,
                Ok(false) => return self.broken.push(format!("{order} had no end within {END_WITHIN:?}")),
                Err(error) => return self.broken.push(format!("{order}: {error}")),
            }
            tokio::time::sleep(AGAIN).await;
        }
        self.orders += 1;
        self.attempts += usize::from(attempts.len() > 1);
    }

    /// One connection; whether all has been told by now.
    async fn part(&mut self, to: SocketAddr, order: &str, seen: &mut Gapless, attempts: &mut Vec<u64>) -> Try<bool> {
        let opened = tokio::time::timeout(PATIENCE, Stream::after(to, order, seen.last)).await;
        let mut stream = match opened {
            Ok(Ok(Some(stream))) => stream,
            Ok(Ok(None)) => return Ok(true),
            // Nobody there, or not now.
            Ok(Err(_)) | Err(_) => return Ok(false),
        };
        while let Ok(Ok(Some(event))) = tokio::time::timeout(PATIENCE, stream.next()).await {
            if event.name == "gap" {
                self.gaps += 1;
                seen.anew();
                continue;
            }
            seen.take(&event)?;
            attempts.extend(event.id.map(|(attempt, _)| attempt).filter(|attempt| attempts.last() != Some(attempt)));
        }
        Ok(seen.ended)
    }
}
