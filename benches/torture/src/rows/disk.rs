//! E1: the disk below the store is full, and is freed again. The service says so, goes on reading, and resumes by itself.
//!
//! It deliberately fills a small tmpfs of its own, never a disk of the machine.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::crash::{directory, integrity};
use super::nodes::{Nodes, first_accepted, statuses};
use super::waiting;
use crate::Try;
use crate::checker::check_durable;
use crate::figures::{Finding, mib};
use crate::ledger::Ledger;
use crate::postgres::Postgres;
use crate::service::Setting;

const LEASE: Duration = Duration::from_secs(5);
/// Longest time from the disk being free until an order is accepted.
const BACK: Duration = Duration::from_secs(5);
/// Largest log of SQLite afterwards (`journal_size_limit`).
const LOG_BYTES: u64 = 64 * 1024 * 1024;

/// A file system of its own; unmounted at the end.
struct Disk(PathBuf);

impl Disk {
    fn mount(at: &Path, mib: u32) -> Try<Self> {
        let size = format!("size={mib}m");
        let done = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(at).output()?;
        if !done.status.success() {
            return Err(format!("mount: {}", String::from_utf8_lossy(&done.stderr)).into());
        }
        Ok(Self(at.to_owned()))
    }

    /// Takes all that is left.
    fn fill(&self) -> Try<u64> {
        let (mut file, mut bytes, mut piece) = (File::create(self.0.join("ballast"))?, 0, vec![7; 1024 * 1024]);
        while !piece.is_empty() {
            match file.write(&piece) {
                Ok(0) | Err(_) => piece.truncate(if piece.len() > 4_096 { 4_096 } else { 0 }),
                Ok(written) => bytes += written as u64,
            }
        }
        Ok(bytes)
    }

    fn free(&self) -> Try<()> {
        Ok(std::fs::remove_file(self.0.join("ballast"))?)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

/// E1.
pub(super) async fn full(setting: &Setting) -> Try<Vec<Finding>> {
    Ok(vec![file(setting).await?, database(setting).await?])
}

async fn file(setting: &Setting) -> Try<Finding> {
    let hold = setting.size(Duration::from_secs(5), Duration::from_secs(20));
    let mut finding = Finding::of(
        "E1 disk full, SQLite",
        format!("16 MiB, full for {} s", hold.as_secs()),
        "POST 503 storage-full, GET 200, accepted again <= 5 s after, log <= 64 MiB, integrity_check ok, 0 lost",
    );
    let disk = Disk::mount(&directory(setting, "E1")?, 16)?;
    let file = disk.0.join("orders.db");
    let mut nodes = Nodes::start(setting, "E1", &format!("sqlite:{}", file.display()), 1, LEASE).await?;
    let ledger = Arc::new(Ledger::default());
    let feeder = nodes.feed(&ledger, 50);
    tokio::time::sleep(Duration::from_secs(2)).await;
    let before = nodes.all[0].client().json("/orders?limit=1").await?["data"][0]["id"].clone();
    let bytes = disk.fill()?;
    let stored = before.as_str().unwrap_or_default();
    let said = while_full(&nodes, &ledger, hold, stored, &mut finding).await?;
    disk.free()?;
    let freed = ledger.now();
    tokio::time::sleep(BACK + Duration::from_secs(1)).await;
    feeder.end().await?;
    finding.fault(said > 0, format!("{} taken, {said} answers said storage-full", mib(bytes)));
    finding.at_most("first order after", first_accepted(&ledger, freed).unwrap_or(4 * BACK), BACK);
    check_durable(setting, &nodes.refs(), &ledger, &mut finding).await?;
    let log = std::fs::metadata(disk.0.join("orders.db-wal")).map_or(0, |log| log.len());
    finding.must(log <= LOG_BYTES, format!("the log takes {}", mib(log)));
    nodes.kill(0)?;
    let whole = integrity(&file)?;
    finding.must(whole == "ok", format!("integrity_check: {whole}"));
    finding.figure(statuses(&ledger));
    Ok(finding)
}

/// Asks as a client would while nothing can be written; how many answers said why.
async fn while_full(
    nodes: &Nodes<'_>,
    ledger: &Ledger,
    hold: Duration,
    stored: &str,
    finding: &mut Finding,
) -> Try<usize> {
    let (began, mut said, mut client) = (Instant::now(), 0, nodes.all[0].client());
    let settle = Duration::from_secs(1);
    while began.elapsed() < hold {
        let sent = ledger.now();
        let answer = client.post("/orders", &waiting("asyncio", 5)).await?;
        ledger.placed("while full", 0, sent, Some(&answer));
        let body = answer.json()?;
        let full = answer.status == 503 && body["type"].as_str().is_some_and(|kind| kind.ends_with("/storage-full"));
        said += usize::from(full);
        // Pages that were free already take a few more orders.
        finding.must(full || began.elapsed() < settle, format!("while full: {} {}", answer.status, body["type"]));
        let read = client.get(&format!("/orders/{stored}")).await?.status;
        finding.must(read == 200, format!("while full: GET of a stored order: {read}"));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(said)
}

async fn database(setting: &Setting) -> Try<Finding> {
    let hold = setting.size(Duration::from_secs(5), Duration::from_secs(20));
    let mut finding = Finding::of(
        "E1 disk full, Postgres",
        format!("256 MiB, full for {} s", hold.as_secs()),
        "never a 500, accepted again <= 5 s after it is free and Postgres runs, 0 lost",
    );
    let disk = Disk::mount(&directory(setting, "E1-postgres")?, 256)?;
    let place = disk.0.join("cluster");
    let place = place.to_string_lossy();
    // Small segments of its log, so that a new one is wanted soon.
    let mut postgres = Postgres::start(&["--directory", &place, "--setting", "max_wal_size=32MB"])?;
    let nodes = Nodes::start(setting, "E1-postgres", &postgres.url, 2, LEASE).await?;
    let ledger = Arc::new(Ledger::default());
    let feeder = nodes.feed(&ledger, 50);
    tokio::time::sleep(Duration::from_secs(2)).await;
    let bytes = disk.fill()?;
    // Existing segments are written on; a new one is what does not fit.
    let _ = postgres.ask("sql select pg_switch_wal()");
    tokio::time::sleep(hold).await;
    disk.free()?;
    if postgres.ask("sql select 1").is_err() {
        postgres.ask("start")?;
        finding.figure("Postgres had stopped itself and was started again");
    }
    let freed = ledger.now();
    tokio::time::sleep(BACK + Duration::from_secs(1)).await;
    feeder.end().await?;
    let refused = ledger.calls().iter().filter(|call| call.status == 503).count();
    finding.fault(refused > 0, format!("{} taken, {refused} answers said 503", mib(bytes)));
    finding.at_most("first order after", first_accepted(&ledger, freed).unwrap_or(4 * BACK), BACK);
    check_durable(setting, &nodes.refs(), &ledger, &mut finding).await?;
    finding.figure(statuses(&ledger));
    drop(nodes);
    drop(postgres);
    Ok(finding)
}
