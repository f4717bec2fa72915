//! C1 and C2: a node that was away too long, and answers that never came. What is too late is refused, what is sent again
//! happens once.
//!
//! It deliberately believes the service's own count of refused writes only as proof that the fault happened.

use std::sync::Arc;
use std::time::Duration;

use rustix::process::Signal;

use super::nodes::{Nodes, statuses};
use super::waiting;
use crate::Try;
use crate::checker::check_durable;
use crate::feeder::{Feed, Feeder};
use crate::figures::Finding;
use crate::ledger::Ledger;
use crate::line::{Line, Mode};
use crate::load::uniform;
use crate::postgres::Postgres;
use crate::service::Setting;

/// The shortest there is, so that two hundred pauses beyond it are minutes.
const LEASE: Duration = Duration::from_secs(1);

/// C1.
pub(super) async fn paused(setting: &Setting) -> Try<Finding> {
    let (cycles, refusals) = setting.size((12, 3), (200, 50));
    let mut finding = Finding::of(
        "C1 a node paused beyond its lease",
        format!("{cycles} x SIGSTOP beyond the lease of 1 s, of pauses of 0.5 to 3 leases, two nodes"),
        "each order has one end, which never changes; late writes are refused; streams without gap",
    );
    let postgres = Postgres::start(&[])?;
    let nodes = Nodes::start(setting, "C1", &postgres.url, 2, LEASE).await?;
    let ledger = Arc::new(Ledger::default());
    let feeder = nodes.feed(&ledger, 100);
    let readers = nodes.read(&ledger);
    let (mut dice, mut beyond, mut paused) = (11, 0, 0);
    while beyond < cycles {
        tokio::time::sleep(Duration::from_millis(400)).await;
        let node = &nodes.all[usize::from(uniform(&mut dice) < 0.5)];
        let pause = LEASE.mul_f64(0.5 + 2.5 * uniform(&mut dice));
        (beyond, paused) = (beyond + usize::from(pause > LEASE), paused + 1);
        node.signal(Signal::STOP)?;
        tokio::time::sleep(pause).await;
        node.signal(Signal::CONT)?;
    }
    feeder.end().await?;
    readers.end(&mut finding).await?;
    let refused = nodes.counted("pasta_fasta_stale_writes_total").await?;
    check_durable(setting, &nodes.refs(), &ledger, &mut finding).await?;
    finding.fault(
        refused >= refusals,
        format!("{beyond} of {paused} pauses beyond the lease, {refused} late writes refused"),
    );
    finding.figure(statuses(&ledger));
    Ok(finding)
}

/// C2.
pub(super) async fn ambiguous(setting: &Setting) -> Try<Finding> {
    let orders = setting.size(1_000, 5_000);
    let mut finding = Finding::of(
        "C2 answers of Postgres lost",
        format!("{orders} orders, 5 % of round trips, two nodes"),
        "sent again by its key each order is there once, 0 lost",
    );
    let postgres = Postgres::start(&[])?;
    let line = Line::start(postgres.port()?).await?;
    let nodes = Nodes::start(setting, "C2", &postgres.through(line.port)?, 2, 2 * LEASE).await?;
    let ledger = Arc::new(Ledger::default());
    line.set(Mode::DropReply(0.05));
    let feed = Feed {
        to: nodes.addresses(),
        clients: 32,
        pace: Duration::from_millis(30),
        order: |_| waiting("asyncio", 10),
        at_most: orders,
    };
    let feeder = Feeder::start(&feed, &ledger);
    feeder.wait().await?;
    line.set(Mode::Pass);
    let listed = check_durable(setting, &nodes.refs(), &ledger, &mut finding).await?;
    finding.must(listed.len() == orders, format!("{} orders of {orders} keys", listed.len()));
    let again = ledger.calls().iter().filter(|call| !matches!(call.status, 200 | 202)).count();
    let part = 100.0 * line.dropped() as f64 / line.round_trips().max(1) as f64;
    let seen =
        format!("{} of {} round trips ({part:.1} %), {again} calls repeated", line.dropped(), line.round_trips());
    finding.fault(line.dropped() >= 20 && again > 0, seen);
    finding.figure(statuses(&ledger));
    Ok(finding)
}
