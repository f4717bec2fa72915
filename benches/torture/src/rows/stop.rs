//! B2 and B3: kitchens that run out of memory, stop, or are only very busy.
//!
//! The memory cgroup is version 1, as CI has it; where there is none the row fails rather than passes unseen. It
//! deliberately puts the whole service into the group, as a container does: the kernel must choose the child.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};

use super::{ended, place_all, recipe, until};
use crate::Try;
use crate::checker::{self, Baseline, count};
use crate::figures::{Finding, Samples, mib};
use crate::ledger::Ledger;
use crate::proc;
use crate::service::{Service, Setting, Start};
use crate::wire::id;

/// Memory of the cgroup: one child's hoard of 64 MiB does not fit. What the service had before it was moved there is
/// not charged (cgroup-v1/memory.rst).
const GROUP_BYTES: u64 = 48 * 1024 * 1024;
/// Where version 1 of the memory controller is mounted.
const GROUPS: &str = "/sys/fs/cgroup/memory";

fn hoarding(isolation: &str, model: &str) -> Value {
    json!({"model": model, "isolation": isolation, "recipe": {"name": "hoard", "steps": [
        {"name": "calm", "work": {"kind": "wait", "ms": 50}},
        {"name": "hoard", "work": {"kind": "fault", "what": "oom"}, "after": ["calm"]}]}})
}

/// B2.
pub(super) async fn out_of_memory(setting: &Setting) -> Try<Vec<Finding>> {
    let line = "kind oom, the service lives, its RSS + <= 8 MiB, the next order succeeds";
    let mut refused = Finding::of("B2 child out of memory: refused (rlimit)", "6 orders", line);
    let service = Start::new(setting, "B2")?.flags(&["--allow-faults"]).open().await?;
    hoard(service, &mut refused).await?;
    refused.fault(refused.broken.is_empty(), "six kitchens asked for memory until it was refused");
    let mut killed = Finding::of("B2 child out of memory: killed (cgroup v1)", "6 orders", line);
    match Group::new() {
        Err(error) => killed.fault(false, format!("no memory cgroup: {error}")),
        Ok(group) => {
            let service = Start::new(setting, "B2")?.flags(&["--allow-faults"]).open().await?;
            std::fs::write(group.0.join("cgroup.procs"), service.process().0.to_string())?;
            hoard(service, &mut killed).await?;
            let kills = group.kills();
            killed.fault(kills > 0, format!("the kernel's oom_kill counts {kills}"));
        }
    }
    Ok(vec![refused, killed])
}

/// Six orders that take all memory there is, one after the other, an honest one after each.
async fn hoard(mut service: Service, finding: &mut Finding) -> Try<()> {
    let mut client = service.client();
    let honest = json!({"model": "multiprocessing", "recipe": recipe(json!({"kind": "wait", "ms": 5}))});
    client.place(&honest).await?;
    let rss = service.process().rss_bytes();
    for n in 0..6 {
        let order = if n % 2 == 0 { hoarding("house", "multiprocessing") } else { hoarding("kitchen", "asyncio") };
        let placed = client.place(&order).await?;
        let over = ended(&mut client, placed["id"].as_str().and_then(id).ok_or("no id")?).await?;
        let kind = &over["error"]["kind"];
        finding.must(*kind == "oom", format!("{} said {kind}: {}", over["isolation"], over["error"]["detail"]));
        finding.must(service.lives(), "the service died");
        let placed = client.place(&honest).await?;
        let over = ended(&mut client, placed["id"].as_str().and_then(id).ok_or("no id")?).await?;
        finding.must(over["status"] == "succeeded", format!("the next order: {}", over["error"]));
    }
    let grown = service.process().rss_bytes().saturating_sub(rss);
    finding.figure(format!("RSS + {}", mib(grown)));
    finding.must(grown <= 8 * 1024 * 1024, format!("RSS grew by {}", mib(grown)));
    Ok(())
}

/// A memory cgroup of its own, removed at the end.
struct Group(PathBuf);

impl Group {
    fn new() -> Try<Self> {
        let path = Path::new(GROUPS).join(format!("pasta-fasta-torture-{}", std::process::id()));
        std::fs::create_dir(&path)?;
        let group = Self(path);
        std::fs::write(group.0.join("memory.limit_in_bytes"), GROUP_BYTES.to_string())?;
        Ok(group)
    }

    fn kills(&self) -> u64 {
        let text = std::fs::read_to_string(self.0.join("memory.oom_control")).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
        line.and_then(|number| number.trim().parse().ok()).unwrap_or(0)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Processes that have just been killed may still be in it for a moment.
        for _ in 0..100 {
            if std::fs::remove_dir(&self.0).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// B3.
pub(super) async fn stopped_and_busy(setting: &Setting) -> Try<Vec<Finding>> {
    Ok(vec![stopped(setting).await?, busy(setting).await?])
}

/// Length of the steps whose kitchens are stopped.
const STEP: Duration = Duration::from_secs(2);
/// From a step's deadline to its kill, and then to the order's end on a busy machine.
const AFTER: Duration = Duration::from_millis(2_000);

async fn stopped(setting: &Setting) -> Try<Finding> {
    let mut finding = Finding::of(
        "B3 stopped kitchens",
        "20 x SIGSTOP",
        "each order fails <= 1 s after its step's deadline (+ 1 s for the machine), not by its timeout; 0 zombies",
    );
    let service = Start::new(setting, "B3")?.open().await?;
    let (before, ledger, mut client) = (Baseline::of(&service), Ledger::default(), service.client());
    let work = recipe(json!({"kind": "wait", "ms": STEP.as_millis() as u64}));
    // The timeout is only there so that the row ends when the deadline does not exist.
    let order = json!({"model": "multiprocessing", "setup": {"kitchens": 1}, "recipe": work, "timeout_ms": 20_000});
    let orders: Vec<_> = (0..20).map(|n| (format!("s{n}"), order.clone())).collect();
    let ids = place_all(&mut client, &ledger, &orders).await?;
    until(&mut client, Duration::from_secs(20), "all kitchens are up", |s| count(s, "children") >= 20).await?;
    // Steps begin when a kitchen is up; a stop before that would hit a start, not a step.
    tokio::time::sleep(STEP / 4).await;
    let children = service.process().children();
    let began = Instant::now();
    for child in &children {
        proc::send(child.0, Signal::STOP)?;
    }
    finding.fault(children.len() >= 20, format!("{} children stopped", children.len()));
    let mut took = Samples::default();
    for order in ids {
        let over = ended(&mut client, order).await?;
        took.add(began.elapsed());
        let kind = over["error"]["kind"].as_str().unwrap_or_default().to_owned();
        finding.must(over["status"] == "failed" && kind != "timeout", format!("ended as {} {kind}", over["status"]));
    }
    finding.at_most("last one ended after", took.max(), STEP + AFTER);
    checker::check(setting, &service, &ledger, before, &mut finding).await?;
    Ok(finding)
}

/// Full load: nobody who works may be taken for dead.
async fn busy(setting: &Setting) -> Try<Finding> {
    let during = setting.size(Duration::from_secs(30), Duration::from_secs(600));
    let mut finding = Finding::of("B3 busy kitchens", format!("{} s", during.as_secs()), "0 false kills");
    let service = Start::new(setting, "B3-busy")?.open().await?;
    let (before, ledger, mut client) = (Baseline::of(&service), Ledger::default(), service.client());
    let (began, busy) = (Instant::now(), proc::machine_busy_s());
    let mut placed = 0;
    while began.elapsed() < during {
        let kitchens = if placed % 16 == 0 { json!({"kitchens": 4}) } else { json!({}) };
        let burn = recipe(json!({"kind": "cpu", "ms": 40}));
        let order = json!({"model": "multiprocessing", "setup": kitchens, "recipe": burn, "dishes": 4});
        let orders: Vec<_> = (0..8).map(|n| (format!("b{}", placed + n), order.clone())).collect();
        placed += orders.len();
        place_all(&mut client, &ledger, &orders).await?;
        until(&mut client, Duration::from_secs(120), "the queue is short", |stats| {
            count(stats, "running") + count(stats, "queued") <= 24
        })
        .await?;
    }
    let used = (proc::machine_busy_s() - busy) / (began.elapsed().as_secs_f64() * proc::cores() as f64);
    let listed = checker::check(setting, &service, &ledger, before, &mut finding).await?;
    let failed: Vec<_> = listed.iter().filter(|order| order.status != "succeeded").collect();
    finding.fault(used >= 0.9, format!("the cores were {:.0} % busy", used * 100.0));
    finding.figure(format!("{} orders, {} failed", listed.len(), failed.len()));
    finding.must(failed.is_empty(), format!("{} failed, first: {:?}", failed.len(), failed.first()));
    Ok(finding)
}
