//! A1 and B5: the service is killed. What it forgot it says, and its children go with it.
//!
//! It deliberately tests the store in memory only; durable stores promise more and get rows of their own.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{place_all, recipe, until, waiting};
use crate::Try;
use crate::checker::count;
use crate::figures::Finding;
use crate::ledger::Ledger;
use crate::proc;
use crate::service::{Service, Setting, Start};
use crate::wire::id_text;

/// Orders at the moment of the kill.
const ORDERS: usize = 500;
/// Longer than any row: an order that is running stays so.
const LONG_MS: u64 = 600_000;

/// Running orders of every model, in the house and with staff of their own.
fn orders(round: usize, how_many: usize) -> Vec<(String, Value)> {
    let with = |model: &str, extra: Value| {
        let mut order = waiting(model, LONG_MS);
        if let (Some(order), Some(extra)) = (order.as_object_mut(), extra.as_object()) {
            order.extend(extra.clone());
        }
        order
    };
    let order = |n: usize| match n % 50 {
        0 => with("multiprocessing", json!({"setup": {"kitchens": 2}, "dishes": 2})),
        1 => with("multiprocessing", json!({"setup": {"kitchens": "per_step"}, "dishes": 2})),
        2 => with("asyncio", json!({"isolation": "kitchen"})),
        3 => with("multiprocessing", json!({"setup": {"kitchens": 2}, "isolation": "kitchen", "dishes": 2})),
        4 => json!({"model": "multiprocessing", "recipe": recipe(json!({"kind": "cpu", "ms": LONG_MS})), "dishes": 2}),
        // The pools of the house take 64 orders each at once; the rest of the crowd runs on its loop.
        5..=8 => with("sequential", json!({})),
        9..=12 => with("multithreading", json!({})),
        13..=16 => with("multiprocessing", json!({})),
        17..=20 => with("multithreading", json!({"setup": {"chefs": 2}, "dishes": 2})),
        _ => with("asyncio", json!({})),
    };
    (0..how_many).map(|n| (format!("{round}-{n}"), order(n))).collect()
}

/// Places them and waits until all run and all their processes are up; answers how many run.
async fn fill(service: &Service, round: usize, how_many: usize) -> Try<(Vec<u128>, u64)> {
    let client = &mut service.client();
    let ids = place_all(client, &Ledger::default(), &orders(round, how_many)).await?;
    let wanted = ids.len() as u64;
    let mut running = 0;
    // A machine that cannot start them all still has a row: the number is printed.
    let all = until(client, Duration::from_secs(20), "all run", |stats| count(stats, "running") == wanted).await;
    if all.is_err() {
        running = count(&crate::checker::stats(client).await?, "running");
    }
    // Per fifty orders: 2 own, 2 for a step each, 1 isolated, 1 isolated with 2 below it.
    let (expected, began) = (how_many / 50 * 8, Instant::now());
    while service.process().descendants().len() < expected && began.elapsed() < Duration::from_secs(10) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Ok((ids, if all.is_ok() { wanted } else { running }))
}

/// A1.
pub(super) async fn server_killed(setting: &Setting) -> Try<Finding> {
    let rounds = setting.size(3, 20);
    let mut finding = Finding::of(
        "A1 kill -9, memory store",
        format!("{rounds} x {ORDERS} orders"),
        "bound <= 100 ms, ready <= 200 ms, 0 children after 1 s, every old id 410 lost-on-restart, none reused",
    );
    let mut service = Start::new(setting, "A1")?.open().await?;
    let mut old: Vec<u128> = Vec::new();
    let mut issued = HashSet::new();
    let (mut bound, mut ready, mut killed, mut least) = (Duration::ZERO, Duration::ZERO, 0, u64::MAX);
    for round in 0..rounds {
        let (ids, running) = fill(&service, round, ORDERS).await?;
        least = least.min(running);
        let reused = ids.iter().filter(|id| !issued.insert(**id)).count();
        finding.must(reused == 0, format!("{reused} ids were issued twice"));
        old.extend(ids);
        let below = service.process().descendants();
        killed += below.len();
        service.kill()?;
        let dead = Instant::now();
        service = Start::new(setting, "A1")?.port(service.port).open().await?;
        (bound, ready) = (bound.max(service.bound), ready.max(service.ready));
        tokio::time::sleep(Duration::from_secs(1).saturating_sub(dead.elapsed())).await;
        let left = proc::alive(&below);
        finding.must(left == 0, format!("round {round}: {left} of {} children alive after 1 s", below.len()));
        lost(&service, &old, &mut finding).await?;
    }
    finding.fault(least == ORDERS as u64 && killed > 0, format!("{least} running and {killed} children at the kills"));
    finding.at_most("bound", bound, Duration::from_millis(100));
    finding.at_most("ready", ready, Duration::from_millis(200));
    finding.figure(format!("{} old ids asked", old.len()));
    Ok(finding)
}

/// Every id of an earlier run must be told as lost.
async fn lost(service: &Service, old: &[u128], finding: &mut Finding) -> Try<()> {
    let mut client = service.client();
    for id in old {
        let answer = client.get(&format!("/orders/{}", id_text(*id))).await?;
        let kind = answer.json()?["type"].as_str().unwrap_or_default().to_owned();
        let told = answer.status == 410 && kind.ends_with("/problems/lost-on-restart");
        finding.must(told, format!("{}: {} {kind}", id_text(*id), answer.status));
    }
    Ok(())
}

/// B5.
pub(super) async fn children_follow(setting: &Setting) -> Try<Finding> {
    let rounds = setting.size(2, 10);
    let mut finding = Finding::of(
        "B5 server killed, children",
        format!("{rounds} x 100 orders"),
        "all gone <= 1 s, grandchildren too",
    );
    let (mut worst, mut all, mut nested) = (Duration::ZERO, 0, 0);
    for round in 0..rounds {
        let mut service = Start::new(setting, "B5")?.open().await?;
        fill(&service, round, 100).await?;
        let below = service.process().descendants();
        nested += below.len().saturating_sub(service.process().children().len());
        all += below.len();
        let killed = Instant::now();
        service.kill()?;
        while proc::alive(&below) > 0 && killed.elapsed() < Duration::from_secs(5) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        worst = worst.max(killed.elapsed());
    }
    finding.fault(all > 0 && nested > 0, format!("{all} processes below, {nested} of them grandchildren"));
    finding.at_most("last one gone after", worst, Duration::from_secs(1));
    Ok(finding)
}
