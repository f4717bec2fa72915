//! D1 to D3: the database crashes, goes silent, or is replaced by its standby. The service says so and comes back by itself.
//!
//! It deliberately never restarts a node: recovery that needs an operator is none.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::nodes::{Nodes, answered, first_accepted, statuses};
use super::waiting;
use crate::Try;
use crate::checker::check_durable;
use crate::figures::Finding;
use crate::ledger::Ledger;
use crate::line::{Line, Mode};
use crate::postgres::Postgres;
use crate::probe::Probe;
use crate::proc::{Process, alive};
use crate::service::{Service, Setting};
use crate::wire::id_text;

const LEASE: Duration = Duration::from_secs(5);
/// Between two questions of the witness of `/livez`.
const PACE: Duration = Duration::from_millis(5);
/// Longest time from the database being there until an order is accepted.
const BACK: Duration = Duration::from_secs(2);

/// Until `/readyz` says this; how long that took.
async fn readiness(nodes: &Nodes<'_>, status: u16, within: Duration) -> Try<Duration> {
    let (began, mut client) = (Instant::now(), nodes.all[0].client());
    loop {
        if client.get("/readyz").await?.status == status {
            return Ok(began.elapsed());
        }
        if began.elapsed() > within {
            return Err(format!("/readyz did not say {status} within {within:?}").into());
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// D1.
pub(super) async fn restarted(setting: &Setting) -> Try<Finding> {
    let crashes = setting.size(4, 10);
    let mut finding = Finding::of(
        "D1 Postgres crashes",
        format!("{crashes} x immediate restart, every other one away until the service has noticed"),
        "/livez always 200, /readyz 503 within 2 s, first order <= 2 s after it is back, 0 lost, never a 500",
    );
    let mut postgres = Postgres::start(&[])?;
    let nodes = Nodes::start(setting, "D1", &postgres.url, 2, LEASE).await?;
    let ledger = Arc::new(Ledger::default());
    let feeder = nodes.feed(&ledger, 100);
    let probe = Probe::start(nodes.all[0].address(), "/livez", PACE, false);
    let (mut back, mut noticed) = (Duration::ZERO, Duration::ZERO);
    for crash in 0..crashes {
        tokio::time::sleep(Duration::from_secs(3)).await;
        if crash % 2 == 0 {
            postgres.ask("restart immediate")?;
        } else {
            postgres.ask("stop immediate")?;
            noticed = noticed.max(readiness(&nodes, 503, Duration::from_secs(10)).await?);
            postgres.ask("start")?;
        }
        let up = ledger.now();
        tokio::time::sleep(BACK).await;
        back = back.max(first_accepted(&ledger, up).unwrap_or(2 * BACK));
    }
    feeder.end().await?;
    let seen = probe.end();
    let away = ledger.calls().iter().filter(|call| call.status == 503).count();
    finding.fault(away > 0, format!("{away} answers said 503"));
    finding.must(seen.failures == 0, format!("/livez failed {} times", seen.failures));
    finding.at_most("/readyz says so after", noticed, Duration::from_secs(2));
    finding.at_most("first order after", back, BACK);
    finding.at_most("/livez p99", seen.latency.p99(), Duration::from_millis(50));
    check_durable(setting, &nodes.refs(), &ledger, &mut finding).await?;
    finding.figure(statuses(&ledger));
    Ok(finding)
}

/// A long order with children of its own at this node, which is to be canceled.
struct WithChildren {
    order: String,
    children: Vec<(Process, u64)>,
}

async fn with_children(node: &Service, ledger: &Ledger) -> Try<WithChildren> {
    let mut order = waiting("multiprocessing", 600_000);
    (order["setup"], order["dishes"]) = (json!({"kitchens": 2}), 2.into());
    let sent = ledger.now();
    let answer = node.client().post("/orders", &order).await?;
    ledger.placed("canceled", 0, sent, Some(&answer));
    let order = answer.id().map(id_text).ok_or("it was not accepted")?;
    let began = Instant::now();
    while node.process().descendants().len() < 2 {
        if began.elapsed() > Duration::from_secs(10) {
            return Err(format!("{order} has no children").into());
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(WithChildren { order, children: node.process().descendants() })
}

impl WithChildren {
    /// Cancels it without waiting for an answer; how long its children lived on.
    async fn canceled(&self, node: &Service) -> Try<Duration> {
        let (mut client, path, began) = (node.client(), format!("/orders/{}/cancel", self.order), Instant::now());
        let asked = tokio::spawn(async move { client.post(&path, &Value::Null).await.map(|answer| answer.status) });
        while alive(&self.children) > 0 && began.elapsed() < Duration::from_secs(5) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let stopped = began.elapsed();
        match asked.await?? {
            202 | 503 => Ok(stopped),
            status => Err(format!("the cancel was answered {status}").into()),
        }
    }

    /// Asks again, as a client does who was told 503.
    async fn until_canceled(&self, node: &Service) -> Try<()> {
        let mut client = node.client();
        let status = client.post(&format!("/orders/{}/cancel", self.order), &Value::Null).await?.status;
        let ended = client.json(&format!("/orders/{}?wait=10", self.order)).await?;
        match ended["status"].as_str() {
            Some("canceled") => Ok(()),
            _ => Err(format!("canceled again ({status}), and it is {ended}").into()),
        }
    }
}

/// D2.
pub(super) async fn silent(setting: &Setting) -> Try<Finding> {
    let silence = setting.size(Duration::from_secs(8), Duration::from_secs(20));
    let mut finding = Finding::of(
        "D2 Postgres black-holed",
        format!("{} s, two nodes", silence.as_secs()),
        "every POST answered <= 3 s, canceled work stops <= 250 ms, /livez p99 <= 50 ms, first order <= 2 s after it \
         speaks again, then 0 sessions idle in transaction, 0 lost",
    );
    let mut postgres = Postgres::start(&[])?;
    let line = Line::start(postgres.port()?).await?;
    let nodes = Nodes::start(setting, "D2", &postgres.through(line.port)?, 2, LEASE).await?;
    let ledger = Arc::new(Ledger::default());
    let feeder = nodes.feed(&ledger, 100);
    let probe = Probe::start(nodes.all[0].address(), "/livez", PACE, false);
    let children = with_children(&nodes.all[0], &ledger).await?;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let from = ledger.now();
    line.set(Mode::Stall);
    let stopped = children.canceled(&nodes.all[0]).await?;
    tokio::time::sleep(silence.saturating_sub(ledger.now() - from)).await;
    let to = ledger.now();
    line.set(Mode::Pass);
    tokio::time::sleep(2 * BACK).await;
    children.until_canceled(&nodes.all[0]).await?;
    feeder.end().await?;
    let seen = probe.end();
    let (took, unanswered) = answered(&ledger, from, to);
    let held = line.held();
    finding.fault(held > 0 && took.len() > 0, format!("{held} pieces vanished, {} calls during it", took.len()));
    finding.must(unanswered == 0, format!("{unanswered} calls had no answer within 5 s"));
    finding.at_most("canceled work stopped after", stopped, Duration::from_millis(250));
    finding.at_most("slowest POST", took.max(), Duration::from_secs(3));
    finding.at_most("/livez p99", seen.latency.p99(), Duration::from_millis(50));
    finding.must(seen.failures == 0, format!("/livez failed {} times", seen.failures));
    finding.at_most("first order after", first_accepted(&ledger, to).unwrap_or(2 * BACK), BACK);
    check_durable(setting, &nodes.refs(), &ledger, &mut finding).await?;
    let open = postgres.ask("sql select count(*) from pg_stat_activity where state like 'idle in transaction%'")?;
    finding.must(open == "0", format!("{open} sessions idle in transaction"));
    finding.figure(statuses(&ledger));
    Ok(finding)
}

/// D3.
pub(super) async fn promoted(setting: &Setting) -> Try<Finding> {
    let promotions = setting.size(3, 20);
    let mut finding = Finding::of(
        "D3 the synchronous standby takes over",
        format!("{promotions} promotions under load"),
        "0 acknowledged orders lost, 0 doubled, no node restarted",
    );
    let mut postgres = Postgres::start(&["--standby", "sync"])?;
    let nodes = Nodes::start(setting, "D3", &postgres.url, 2, LEASE).await?;
    let ledger = Arc::new(Ledger::default());
    let feeder = nodes.feed(&ledger, 100);
    let (mut back, mut through) = (Duration::ZERO, 0);
    for _ in 0..promotions {
        tokio::time::sleep(Duration::from_secs(2)).await;
        postgres.ask("promote")?;
        let up = ledger.now();
        tokio::time::sleep(BACK).await;
        let first = first_accepted(&ledger, up);
        through += usize::from(first.is_some());
        back = back.max(first.unwrap_or(2 * BACK));
    }
    feeder.end().await?;
    let lost = ledger.calls().iter().filter(|call| !matches!(call.status, 200 | 202)).count();
    finding.fault(lost >= promotions, format!("{lost} calls were refused or unanswered, {through} times it went on"));
    finding.at_most("first order after the new standby is there", back, BACK);
    check_durable(setting, &nodes.refs(), &ledger, &mut finding).await?;
    finding.figure(statuses(&ledger));
    Ok(finding)
}
