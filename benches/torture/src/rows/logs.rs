//! E2: nobody can read the log. The service goes on.
//!
//! It deliberately logs everything it can (`trace`), so that every order meets the dead output.

use std::fs::File;
use std::process::Stdio;
use std::time::Duration;

use super::{place_all, until, waiting};
use crate::Try;
use crate::checker::{self, Baseline, count};
use crate::figures::Finding;
use crate::ledger::Ledger;
use crate::service::{Setting, Start};

/// E2.
pub(super) async fn dead_output(setting: &Setting) -> Try<Vec<Finding>> {
    let full = || Ok::<_, std::io::Error>(Stdio::from(File::options().write(true).open("/dev/full")?));
    let closed = || {
        let (reader, writer) = std::io::pipe()?;
        drop(reader);
        Ok::<_, std::io::Error>(Stdio::from(writer))
    };
    // The same service with a log file, to see that there is something to lose.
    let control = Start::new(setting, "E2-control")?.flags(&["--log", "trace"]).open().await?;
    control.client().place(&waiting("asyncio", 1)).await?;
    let lines = std::fs::read_to_string(&control.log)?.lines().count();
    drop(control);
    Ok(vec![
        one(setting, "E2 log to /dev/full", "/dev/full", (full()?, full()?), lines).await?,
        one(setting, "E2 log to a closed pipe", "pipe:", (closed()?, closed()?), lines).await?,
    ])
}

async fn one(setting: &Setting, row: &str, leads_to: &str, output: (Stdio, Stdio), lines: usize) -> Try<Finding> {
    let mut finding = Finding::of(row, "1,000 orders", "all succeed, the service lives");
    let start = Start::new(setting, "E2")?.flags(&["--log", "trace"]).output(output.0, output.1);
    let mut service = start.open().await?;
    let (before, ledger, mut client) = (Baseline::of(&service), Ledger::default(), service.client());
    let models = ["sequential", "asyncio", "multithreading", "multiprocessing"];
    let orders: Vec<_> = (0..1_000).map(|n| (format!("l{n}"), waiting(models[n % 4], 1))).collect();
    for part in orders.chunks(50) {
        place_all(&mut client, &ledger, part).await?;
    }
    until(&mut client, Duration::from_secs(60), "all have succeeded", |s| count(s, "succeeded") == 1_000).await?;
    finding.must(service.lives(), "the service ended");
    let descriptors = [1, 2].map(|number| service.process().descriptor(number));
    finding.fault(
        descriptors.iter().all(|to| to.starts_with(leads_to)) && lines > 0,
        format!("stdout and stderr are {descriptors:?}, a log file got {lines} lines for one order"),
    );
    let listed = checker::check(setting, &service, &ledger, before, &mut finding).await?;
    finding.figure(format!("{} orders ended", listed.len()));
    Ok(finding)
}
