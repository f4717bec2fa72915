//! B1: kitchens are killed under load. Their dishes fail with the true reason, everybody else goes on.
//!
//! It deliberately kills whichever child it finds, idle ones too: a kill knows nothing of who is busy. Only the house's
//! kitchens must be replaced: one of an order's own may be the last that its order needed.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{place_all, recipe};
use crate::Try;
use crate::checker::{self, Baseline, Listed, count};
use crate::figures::{Finding, Samples, ms};
use crate::ledger::Ledger;
use crate::proc::{self, Process};
use crate::service::{Setting, Start};
use crate::wire::Client;

/// Pause between two kills: long enough that the pool is whole again, short enough that most hit somebody at work.
const PACE: Duration = Duration::from_millis(60);
/// When a kitchen of the house counts as not replaced.
const REPLACED_WITHIN: Duration = Duration::from_secs(10);

/// What the killer saw.
#[derive(Default)]
struct Killed {
    kills: usize,
    /// From the signal until the child had been collected.
    noticed: Samples,
    /// From the signal to a kitchen of the house until there was a new one.
    replaced: Samples,
    never_noticed: usize,
    never_replaced: usize,
}

/// The house's kitchens, told from those of orders by how much they yield.
fn crew(children: &[Process], niceness: i64) -> HashSet<Process> {
    children.iter().copied().filter(|child| child.niceness() == Some(niceness)).collect()
}

/// Kills a random child again and again; `niceness` is that of the house's kitchens.
fn killer(service: Process, niceness: i64, kills: usize, stop: &AtomicBool) -> Killed {
    let mut killed = Killed::default();
    let mut dice = 7;
    while killed.kills < kills && !stop.load(Ordering::Relaxed) {
        let before = service.children();
        if before.is_empty() {
            std::thread::sleep(Duration::from_millis(2));
            continue;
        }
        let victim = before[(crate::load::uniform(&mut dice) * before.len() as f64) as usize];
        let known = crew(&before, niceness);
        let sent = Instant::now();
        if proc::send(victim.0, rustix::process::Signal::KILL).is_err() {
            continue;
        }
        killed.kills += 1;
        match victim.collected_after(Duration::from_secs(2)) {
            Some(after) => killed.noticed.add(after),
            None => killed.never_noticed += 1,
        }
        if known.contains(&victim) {
            match replaced(service, niceness, &known, sent) {
                Some(after) => killed.replaced.add(after),
                None => killed.never_replaced += 1,
            }
        }
        std::thread::sleep(PACE.saturating_sub(sent.elapsed()));
    }
    killed
}

/// Waits for a kitchen of the house that is not among these; how long after the signal it was there.
fn replaced(service: Process, niceness: i64, known: &HashSet<Process>, sent: Instant) -> Option<Duration> {
    while sent.elapsed() < REPLACED_WITHIN {
        if crew(&service.children(), niceness).difference(known).next().is_some() {
            return Some(sent.elapsed());
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    None
}

/// Has the house start its kitchens; answers their niceness.
async fn hire(client: &mut Client, ledger: &Ledger, service: Process) -> Try<i64> {
    let wait = json!({"model": "multiprocessing", "recipe": recipe(json!({"kind": "wait", "ms": 50})), "dishes": 16});
    let first = place_all(client, ledger, &[("hired".to_owned(), wait)]).await?;
    super::ended(client, first[0]).await?;
    let crew = service.children();
    Ok(crew.first().and_then(|child| child.niceness()).ok_or("the house has no kitchens")?)
}

fn orders(how_many: usize) -> Vec<(String, Value)> {
    let order = |n: usize| {
        let wait = recipe(json!({"kind": "wait", "ms": 100}));
        match n % 4 {
            0 => json!({"model": "multiprocessing", "recipe": recipe(json!({"kind": "cpu", "ms": 30})), "dishes": 4}),
            1 => json!({"model": "multiprocessing", "setup": {"kitchens": 2}, "recipe": wait, "dishes": 4}),
            _ => json!({"model": "multiprocessing", "recipe": wait, "dishes": 4}),
        }
    };
    (0..how_many).map(|n| (format!("o{n}"), order(n))).collect()
}

/// B1.
pub(super) async fn kitchens_killed(setting: &Setting) -> Try<Finding> {
    let (kills, how_many) = setting.size((40, 80), (200, 400));
    let mut finding = Finding::of(
        "B1 killed kitchens",
        format!("{kills} kills, {how_many} orders"),
        "noticed p99 <= 50 ms, the house's replaced p99 <= 200 ms, failed orders say signal 9, the others succeed, 0 zombies",
    );
    let service = Start::new(setting, "B1")?.open().await?;
    let before = Baseline::of(&service);
    let (ledger, stop) = (Ledger::default(), Arc::new(AtomicBool::new(false)));
    let mut client = service.client();
    let niceness = hire(&mut client, &ledger, service.process()).await?;
    let (process, stopped) = (service.process(), stop.clone());
    let killing = tokio::task::spawn_blocking(move || killer(process, niceness, kills, &stopped));
    let orders = orders(how_many);
    // A few at a time, so that there is work during every kill; again from the start until the kills are done.
    let (mut placed, mut round) = (0, 0);
    while !killing.is_finished() || placed < orders.len() {
        let part: Vec<_> = orders
            .iter()
            .skip(placed % orders.len())
            .take(8)
            .cloned()
            .map(|(key, order)| (format!("{round}-{key}"), order))
            .collect();
        placed += part.len();
        round = placed / orders.len();
        place_all(&mut client, &ledger, &part).await?;
        super::until(&mut client, Duration::from_secs(60), "the queue is short", |stats| {
            count(stats, "running") + count(stats, "queued") <= 12
        })
        .await?;
    }
    stop.store(true, Ordering::Relaxed);
    let killed = killing.await?;
    let listed = checker::check(setting, &service, &ledger, before, &mut finding).await?;
    let failed = truthful(&listed, &mut finding);
    finding.fault(
        killed.kills == kills && failed > 0,
        format!("{} kills, {failed} of {placed} orders were hit", killed.kills),
    );
    finding.must(failed <= 2 * killed.kills, format!("{failed} orders failed of {} kills", killed.kills));
    finding.must(killed.never_noticed == 0, format!("{} deaths were not noticed", killed.never_noticed));
    finding.must(killed.never_replaced == 0, format!("{} of the house were not replaced", killed.never_replaced));
    finding.at_most("noticed p99", killed.noticed.p99(), Duration::from_millis(50));
    finding.at_most("replaced p99", killed.replaced.p99(), Duration::from_millis(200));
    let (noticed, replaced) = (killed.noticed.percentile(50.0), killed.replaced.percentile(50.0));
    finding.figure(format!(
        "medians {} and {}, {} replacements seen",
        ms(noticed),
        ms(replaced),
        killed.replaced.len()
    ));
    Ok(finding)
}

/// Every order succeeded, or failed and says why; answers how many failed.
fn truthful(listed: &[Listed], finding: &mut Finding) -> usize {
    for order in listed.iter().filter(|order| order.status != "succeeded") {
        let error = order.error.clone().unwrap_or_default();
        let said = error["detail"].as_str().unwrap_or_default();
        let truth = order.status == "failed" && error["kind"] == "signal" && said.contains("signal 9");
        finding.must(truth, format!("{} is {}: {error}", order.id, order.status));
    }
    listed.iter().filter(|order| order.status == "failed").count()
}
