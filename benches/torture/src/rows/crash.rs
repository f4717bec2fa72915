//! A2 and A4: the service is killed over a store that remembers. Nothing it answered for is lost, nothing is doubled.
//!
//! It deliberately says nothing about power cuts; `synced` does.

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use super::nodes::{Nodes, statuses};
use crate::Try;
use crate::checker::check_durable;
use crate::figures::Finding;
use crate::ledger::Ledger;
use crate::load::uniform;
use crate::postgres::Postgres;
use crate::service::Setting;

const LEASE: Duration = Duration::from_secs(2);
/// What comes on top of the lease until another node has an order running.
const TAKEOVER: Duration = Duration::from_secs(2);

/// A new, empty directory of a row.
pub(super) fn directory(setting: &Setting, row: &str) -> Try<std::path::PathBuf> {
    let directory = std::path::absolute(setting.out.join(format!("{row}-store")))?;
    let _ = std::fs::remove_dir_all(&directory);
    std::fs::create_dir_all(&directory)?;
    Ok(directory)
}

/// What SQLite itself says of a file. The file is closed, or its server is at rest.
pub(super) fn integrity(file: &std::path::Path) -> Try<String> {
    let program =
        "import sqlite3,sys; print(sqlite3.connect(sys.argv[1]).execute('pragma integrity_check').fetchone()[0])";
    let told = Command::new("python3").args(["-c", program]).arg(file).output()?;
    Ok(String::from_utf8_lossy(if told.status.success() { &told.stdout } else { &told.stderr }).trim().to_owned())
}

/// A2.
pub(super) async fn file(setting: &Setting) -> Try<Finding> {
    let kills = setting.size(6, 60);
    let mut finding = Finding::of(
        "A2 kill -9, SQLite",
        format!("{kills} kills under 500 orders/s"),
        "0 accepted lost, 0 doubled, streams without gap, ready <= 1 s, integrity_check ok",
    );
    let file = directory(setting, "A2")?.join("orders.db");
    let mut nodes = Nodes::start(setting, "A2", &format!("sqlite:{}", file.display()), 1, LEASE).await?;
    let ledger = Arc::new(Ledger::default());
    let feeder = nodes.feed(&ledger, 500);
    let readers = nodes.read(&ledger);
    let (mut dice, mut ready) = (2, Duration::ZERO);
    for _ in 0..kills {
        tokio::time::sleep(Duration::from_secs_f64(1.0 + 2.0 * uniform(&mut dice))).await;
        nodes.kill(0)?;
        nodes.again(0).await?;
        ready = ready.max(nodes.all[0].ready);
    }
    feeder.end().await?;
    readers.end(&mut finding).await?;
    let orders = check_durable(setting, &nodes.refs(), &ledger, &mut finding).await?;
    let hit = orders.iter().filter(|order| !order.attempts.is_empty()).count();
    let unanswered = ledger.calls().iter().filter(|call| call.status == 0).count();
    finding.fault(hit >= kills && unanswered > 0, format!("{hit} runs were broken, {unanswered} calls had no answer"));
    finding.at_most("ready", ready, Duration::from_secs(1));
    nodes.kill(0)?;
    let said = integrity(&file)?;
    finding.must(said == "ok", format!("integrity_check: {said}"));
    finding.figure(statuses(&ledger));
    Ok(finding)
}

/// A4.
pub(super) async fn nodes(setting: &Setting) -> Try<Finding> {
    let kills = setting.size(4, 60);
    let mut finding = Finding::of(
        "A4 kill -9, Postgres, two nodes",
        format!("{kills} kills, one node at random"),
        "0 accepted lost, 0 doubled, streams without gap, taken over <= lease (2 s) + 2 s",
    );
    let postgres = Postgres::start(&[])?;
    let mut nodes = Nodes::start(setting, "A4", &postgres.url, 2, LEASE).await?;
    let ledger = Arc::new(Ledger::default());
    let feeder = nodes.feed(&ledger, 200);
    let readers = nodes.read(&ledger);
    let (mut dice, mut worst, mut taken) = (4, Duration::ZERO, 0);
    for kill in 0..kills {
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        let at = usize::from(uniform(&mut dice) < 0.5);
        let held = held_by(&nodes, at, 1 - at).await?;
        nodes.kill(at)?;
        if kill % 2 == 0 {
            // It comes back at once under its old name, which must give it nothing.
            nodes.again(at).await?;
        }
        let (took, all) = ended_elsewhere(&nodes, 1 - at, &held).await?;
        (worst, taken) = (worst.max(took), taken + held.len());
        finding.must(all, format!("kill {kill}: orders it held had not ended after {took:?}"));
        if kill % 2 == 1 {
            nodes.again(at).await?;
        }
    }
    feeder.end().await?;
    readers.end(&mut finding).await?;
    let orders = check_durable(setting, &nodes.refs(), &ledger, &mut finding).await?;
    let hit = orders.iter().filter(|order| order.attempts.iter().any(|run| run.why == "node_lost")).count();
    finding.fault(hit >= kills, format!("{hit} runs were lost with their node; {taken} orders it held were watched"));
    // The longest order takes 0.4 s of it.
    finding.at_most("all a dead node held had ended", worst, LEASE + TAKEOVER + Duration::from_millis(400));
    finding.figure(statuses(&ledger));
    Ok(finding)
}

/// Orders a node has running, as another tells it.
async fn held_by(nodes: &Nodes<'_>, at: usize, ask: usize) -> Try<Vec<String>> {
    let page = nodes.all[ask].client().json("/orders?status=running&limit=200").await?;
    let name = format!("A4-kitchen-{}", at + 1);
    let orders = page["data"].as_array().cloned().unwrap_or_default();
    let its = orders.iter().filter(|order| order["node"] == name.as_str());
    Ok(its.filter_map(|order| Some(order["id"].as_str()?.to_owned())).collect())
}

/// How long it took until all of them had ended.
async fn ended_elsewhere(nodes: &Nodes<'_>, ask: usize, held: &[String]) -> Try<(Duration, bool)> {
    let began = std::time::Instant::now();
    let mut client = nodes.all[ask].client();
    let mut all = true;
    for id in held {
        while client.json(&format!("/orders/{id}")).await?["done"] != true {
            if began.elapsed() > 4 * LEASE {
                all = false;
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    Ok((began.elapsed(), all))
}
