//! A3: each 202 of the SQLite store is on disk before it is sent, as the kernel sees it; and without a disk there is none.
//!
//! A kill cannot find this, since what was written survives in the kernel. It deliberately reads system calls (strace), not
//! settings.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::crash::directory;
use super::nodes::Nodes;
use super::waiting;
use crate::Try;
use crate::figures::Finding;
use crate::ledger::Ledger;
use crate::service::Setting;

const SYNCS: &str = "fsync,fdatasync";
const LEASE: Duration = Duration::from_secs(15);
/// More than the house runs of `sequential` at once: what comes after them is written when it is accepted, and not again.
const FILLERS: usize = 200;
/// Syncs that still work before the disk fails.
const GOOD: usize = 60;

/// A3.
pub(super) async fn before_each_answer(setting: &Setting) -> Try<Vec<Finding>> {
    Ok(vec![synced(setting).await?, super::power::cuts(setting).await?, failing(setting).await?])
}

/// One sync: when it was over (seconds since 1970), and whether it worked.
struct Sync {
    ended: f64,
    good: bool,
}

/// Reads `PID TIME fdatasync(..) = 0 <TOOK>`, also where strace had to tell it in two lines.
fn syncs(trace: &Path) -> Try<Vec<Sync>> {
    let text = String::from_utf8_lossy(&std::fs::read(trace)?).into_owned();
    let sync = |line: &str| {
        let mut words = line.split_ascii_whitespace().skip(1);
        let began: f64 = words.next()?.parse().ok()?;
        let resumed = line.contains("resumed>");
        let (_, result) = line.rsplit_once(" = ")?;
        let took = result.rsplit_once('<').and_then(|(_, took)| took.trim_end_matches('>').parse::<f64>().ok());
        // A resumed line is told when the call was over; a whole one when it began.
        let ended = if resumed { began } else { began + took.unwrap_or(0.0) };
        Some(Sync { ended, good: result.starts_with('0') })
    };
    Ok(text.lines().filter(|line| line.contains("sync")).filter_map(sync).collect())
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

/// One node over a file, traced: these calls, with these options.
pub(super) async fn under_strace<'a>(
    setting: &'a Setting,
    row: &'a str,
    calls: &str,
    more: &[&str],
) -> Try<(Nodes<'a>, std::path::PathBuf)> {
    let directory = directory(setting, row)?;
    let trace = directory.join("trace");
    let calls = format!("trace={calls}");
    let mut words = vec!["strace", "-f", "--seccomp-bpf", "-ttt", "-T", "-e", &calls];
    words.extend(more);
    let place = trace.to_string_lossy().into_owned();
    // A tracer that is killed lets go of what it traced; that has to end with it.
    words.extend(["-o", &place, "setpriv", "--pdeathsig", "KILL", "--"]);
    let wrapped = vec![words.into_iter().map(str::to_owned).collect()];
    let store = format!("sqlite:{}", directory.join("orders.db").display());
    Ok((Nodes::start_under(setting, row, &store, LEASE, wrapped).await?, trace))
}

async fn synced(setting: &Setting) -> Try<Finding> {
    let orders = setting.size(500, 5_000);
    let mut finding = Finding::of(
        "A3 a 202 means synced, SQLite",
        format!("{orders} orders one after another, strace"),
        "an fdatasync that worked between each request and its 202",
    );
    let (nodes, trace) = under_strace(setting, "A3", SYNCS, &[]).await?;
    let mut client = nodes.all[0].client();
    for _ in 0..FILLERS {
        client.place(&waiting("sequential", 3_600_000)).await?;
    }
    // What the fillers made happen has been written by now.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let mut calls = Vec::with_capacity(orders);
    for _ in 0..orders {
        let sent = now();
        client.place(&waiting("sequential", 3_600_000)).await?;
        calls.push((sent, now()));
    }
    drop(nodes);
    let syncs = syncs(&trace)?;
    let covered = |(sent, received): &&(f64, f64)| {
        !syncs.iter().any(|sync| sync.good && sync.ended >= *sent && sync.ended <= *received)
    };
    let bare = calls.iter().filter(covered).count();
    finding.fault(syncs.len() >= orders, format!("{} syncs were seen", syncs.len()));
    finding.must(bare == 0, format!("{bare} answers came without a sync of their own"));
    finding.figure(format!("{} of {orders} with a sync between request and 202", orders - bare));
    Ok(finding)
}

async fn failing(setting: &Setting) -> Try<Finding> {
    let mut finding = Finding::of(
        "A3 syncs fail, SQLite",
        format!("EIO from sync {} on, strace --inject", GOOD + 1),
        "no 202 after the first that failed, 503 and /readyz say so, reads go on",
    );
    let inject = [
        format!("inject=fdatasync:error=EIO:when={}+", GOOD + 1),
        format!("inject=fsync:error=EIO:when={}+", GOOD + 1),
    ];
    let more = ["-e", inject[0].as_str(), "-e", inject[1].as_str()];
    let (nodes, trace) = under_strace(setting, "A3-EIO", SYNCS, &more).await?;
    let (ledger, mut client) = (Arc::new(Ledger::default()), nodes.all[0].client());
    let (mut accepted, mut refused, mut first) = (Vec::new(), 0, None);
    for n in 0..6 * GOOD {
        let sent = ledger.now();
        let answer = client.post("/orders", &waiting("sequential", 3_600_000)).await?;
        ledger.placed(&format!("e{n}"), 0, sent, Some(&answer));
        if answer.status == 202 {
            accepted.push(now());
            first = first.or(answer.id());
        } else {
            refused += 1;
            finding.must(answer.status == 503, format!("a {} after the disk failed", answer.status));
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    let ready = client.get("/readyz").await?.status;
    finding.must(ready == 503, format!("/readyz says {ready}"));
    let stored = first.map(crate::wire::id_text).ok_or("no order was accepted before")?;
    let read = client.get(&format!("/orders/{stored}")).await?.status;
    finding.must(read == 200, format!("GET of a stored order: {read}"));
    drop(nodes);
    let failed: Vec<f64> = syncs(&trace)?.iter().filter(|sync| !sync.good).map(|sync| sync.ended).collect();
    let began = failed.first().copied().unwrap_or(f64::MAX);
    let late = accepted.iter().filter(|at| **at > began + 0.001).count();
    finding.fault(!failed.is_empty(), format!("{} syncs failed", failed.len()));
    finding.must(late == 0, format!("{late} orders were accepted after the first sync had failed"));
    finding.figure(format!("{} accepted before, {refused} refused after", accepted.len()));
    Ok(finding)
}
