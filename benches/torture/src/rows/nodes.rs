//! What the rows of durable stores share: nodes that come back on their port, and loads that leave no order behind.
//!
//! It deliberately decides nothing; what must hold is each row's own.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::waiting;
use crate::Try;
use crate::checker::Baseline;
use crate::feeder::{Feed, Feeder};
use crate::figures::Samples;
use crate::follow::Readers;
use crate::ledger::Ledger;
use crate::service::{Service, Setting, Start};

/// Nodes over one store.
pub(super) struct Nodes<'a> {
    setting: &'a Setting,
    row: &'a str,
    store: String,
    lease_ms: u64,
    wrapped: Vec<Vec<String>>,
    /// What each had at its start.
    before: Vec<Baseline>,
    pub all: Vec<Service>,
}

impl<'a> Nodes<'a> {
    pub(super) async fn start(
        setting: &'a Setting,
        row: &'a str,
        store: &str,
        how_many: usize,
        lease: Duration,
    ) -> Try<Self> {
        Self::start_under(setting, row, store, lease, vec![Vec::new(); how_many]).await
    }

    /// Each under a program of its own; none if that is empty.
    pub(super) async fn start_under(
        setting: &'a Setting,
        row: &'a str,
        store: &str,
        lease: Duration,
        wrapped: Vec<Vec<String>>,
    ) -> Try<Self> {
        let lease_ms = lease.as_millis() as u64;
        let how_many = wrapped.len();
        let (store, before) = (store.to_owned(), Vec::new());
        let mut nodes = Self { setting, row, store, lease_ms, wrapped, before, all: Vec::new() };
        for at in 0..how_many {
            let node = nodes.begin(at, crate::service::free_port()?).await?;
            nodes.before.push(Baseline::of(&node));
            nodes.all.push(node);
        }
        Ok(nodes)
    }

    async fn begin(&self, at: usize, port: u16) -> Try<Service> {
        let (name, lease) = (format!("{}-kitchen-{}", self.row, at + 1), self.lease_ms.to_string());
        let flags = ["--store", &self.store, "--node", &name, "--lease-ms", &lease];
        let under: Vec<&str> = self.wrapped[at].iter().map(String::as_str).collect();
        Start::new(self.setting, &name)?.port(port).flags(&flags).under(&under).open().await
    }

    /// Kills one as the kernel would; it stays away.
    pub(super) fn kill(&mut self, at: usize) -> Try<()> {
        self.all[at].kill()
    }

    /// Starts one again where it was, under its old name.
    pub(super) async fn again(&mut self, at: usize) -> Try<()> {
        self.all[at] = self.begin(at, self.all[at].port).await?;
        self.before[at] = Baseline::of(&self.all[at]);
        Ok(())
    }

    pub(super) fn addresses(&self) -> Vec<SocketAddr> {
        self.all.iter().map(Service::address).collect()
    }

    /// As the checker wants them.
    pub(super) fn refs(&self) -> Vec<(&Service, Baseline)> {
        self.all.iter().zip(self.before.iter().copied()).collect()
    }

    /// Orders at this rate to all of them, most short, some long enough to be met by a fault.
    pub(super) fn feed(&self, ledger: &Arc<Ledger>, per_s: u32) -> Feeder {
        let clients = 16;
        let pace = Duration::from_secs(1) * clients / per_s;
        let feed =
            Feed { to: self.addresses(), clients: clients as usize, pace, order: short_or_long, at_most: usize::MAX };
        Feeder::start(&feed, ledger)
    }

    /// Readers that follow long orders of that load, at all of them.
    pub(super) fn read(&self, ledger: &Arc<Ledger>) -> Readers {
        Readers::start(&self.addresses(), ledger, 16, is_long)
    }

    /// A counter of all of them, from their metrics.
    pub(super) async fn counted(&self, name: &str) -> Try<u64> {
        let mut sum = 0;
        for node in &self.all {
            let answer = node.client().get("/metrics").await?;
            let text = String::from_utf8_lossy(&answer.body).into_owned();
            let of_name =
                text.lines().filter(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', '{'])));
            sum += of_name.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum::<u64>();
        }
        Ok(sum)
    }
}

/// One of them is long.
const LONG: usize = 5;

fn short_or_long(n: usize) -> Value {
    if !n.is_multiple_of(LONG) {
        return waiting("asyncio", 20);
    }
    // 0.4 s in steps, so that a stream of it has something to tell when it is cut off.
    // A few with children, who are not paused with their node.
    let model = if n % 200 == LONG { "multiprocessing" } else { "asyncio" };
    let mut order = waiting(model, 50);
    (order["dishes"], order["max_in_flight"]) = (8.into(), 1.into());
    order
}

/// Whether the order of this key is a long one.
fn is_long(key: &str) -> bool {
    key.strip_prefix('f').and_then(|n| n.parse::<usize>().ok()).is_some_and(|n| n.is_multiple_of(LONG))
}

/// When the first order was accepted that was sent after this moment.
pub(super) fn first_accepted(ledger: &Ledger, after: Duration) -> Option<Duration> {
    let calls = ledger.calls();
    let later = calls.iter().filter(|call| call.places && call.sent >= after && matches!(call.status, 200 | 202));
    later.filter_map(|call| call.received).min().map(|at| at.saturating_sub(after))
}

/// How long clients waited for their answers, those within this time only.
pub(super) fn answered(ledger: &Ledger, from: Duration, to: Duration) -> (Samples, usize) {
    let (mut took, mut unanswered) = (Samples::default(), 0);
    for call in ledger.calls().iter().filter(|call| call.places && call.sent >= from && call.sent <= to) {
        match call.received {
            Some(at) => took.add(at - call.sent),
            None => unanswered += 1,
        }
    }
    (took, unanswered)
}

/// Answers by status.
pub(super) fn statuses(ledger: &Ledger) -> String {
    let mut seen = std::collections::BTreeMap::new();
    for call in ledger.calls() {
        *seen.entry(call.status).or_insert(0_usize) += 1;
    }
    let each: Vec<_> = seen.iter().map(|(status, count)| format!("{count} x {status}")).collect();
    format!("answers {}", each.join(" "))
}
