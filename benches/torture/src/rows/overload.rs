//! G1: ten times more than the house can cook. Goodput holds, refusals are quick and polite, liveness answers.
//!
//! Service and generator get cores of their own (half each), so that neither takes the other's; C is measured the same
//! way. What an order takes is CPU in the one case, a place in the other: then the house has few, so that ten times its
//! capacity is a rate the generator can send. Orders that take nothing cannot be overdone like that: what an order costs
//! is then its request, a refusal costs a part of it (a quarter, as measured), and refusing nine of ten is more than all
//! there is. As many as can be sent must not make goodput collapse. It deliberately offers no more than it can send.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{recipe, until, waiting};
use crate::Try;
use crate::checker::{self, Baseline, count};
use crate::figures::{Finding, Samples, mib};
use crate::ledger::Ledger;
use crate::load::{self, Back, Load};
use crate::probe::{Probe, Seen};
use crate::proc;
use crate::service::{Service, Setting, Start};
use crate::wire::{Client, placing, request};

/// Orders the house may hold: few, so that it is full within the first second; of waits so few that places are what is
/// scarce.
const ACTIVE_ORDERS: u32 = 1_000;
const PLACES: u32 = 64;
/// What an order waits that holds such a place (chosen: ten times the capacity is some 13,000/s).
const WAIT_MS: u64 = 50;
/// Share of the rate the generator reached in its trial, if that was too little, that it is then asked for: it must not
/// be late by itself.
const COMFORT: f64 = 0.8;
/// Connections of the closed loop, which C hardly depends on, and of the open loop: so many that the answers to a rate
/// it can send never keep it waiting for a free one.
const CLOSED: usize = 64;
const OPEN: usize = 512;
/// What of C must remain: for real work as promised; without any, only that it does not collapse (chosen).
const GOODPUT: f64 = 0.9;
const GOODPUT_OF_NOTHING: f64 = 0.3;
const LINE: &str = "goodput >= 90 % of C, accepted p99 <= 20 ms, rejects p99 <= 10 ms, all 429/503 with Retry-After 1..30, \
                    /livez p99 <= 50 ms, RSS <= 256 MiB + stored bytes, normal <= 5 s after";
const LINE_OF_NOTHING: &str = "the same, but goodput >= 30 % of C";
/// What has to be offered for the fault to have happened: nearly ten times C, or what is more than C beyond doubt.
const OVERLOAD: f64 = 9.0;
const MORE_THAN_C: f64 = 1.5;

/// G1.
pub(super) async fn ten_times(setting: &Setting) -> Try<Vec<Finding>> {
    let (first, second) = halves();
    proc::pin(std::process::id(), &second)?;
    let findings = all(setting, &first).await;
    proc::pin(std::process::id(), &format!("0-{}", proc::cores().max(2) - 1))?;
    findings
}

/// The cores of the service and those of the generator, as taskset names them.
fn halves() -> (String, String) {
    let cores = proc::cores();
    match cores {
        1 => ("0".to_owned(), "0".to_owned()),
        _ => (format!("0-{}", cores / 2 - 1), format!("{}-{}", cores / 2, cores - 1)),
    }
}

async fn all(setting: &Setting, cores: &str) -> Try<Vec<Finding>> {
    let mut findings = Vec::new();
    for case in cases() {
        // One case that cannot be carried out must not take the figures of the others with it.
        let found = overload(setting, cores, &case).await.unwrap_or_else(|error| {
            let mut finding = Finding::of(&case.name(), "-", case.line());
            finding.must(false, error.to_string());
            finding
        });
        findings.push(found);
    }
    Ok(findings)
}

/// What is ordered too often.
struct Case {
    model: &'static str,
    takes: Takes,
}

/// What an order takes.
#[derive(Clone, Copy, PartialEq)]
enum Takes {
    Cpu,
    APlace,
    Nothing,
}

/// Nothing is ordered of asyncio only: under the other models an order of nothing costs more than the generator needs to
/// send it, so that more than the house can cook is not to be had from half the machine.
fn cases() -> Vec<Case> {
    let mut cases: Vec<_> = ["sequential", "asyncio", "multithreading", "multiprocessing"]
        .into_iter()
        .flat_map(|model| [Takes::Cpu, Takes::APlace].map(|takes| Case { model, takes }))
        .collect();
    cases.push(Case { model: "asyncio", takes: Takes::Nothing });
    cases
}

impl Case {
    fn name(&self) -> String {
        let what = match self.takes {
            Takes::Cpu => "4 ms of CPU".to_owned(),
            Takes::APlace => format!("wait of {WAIT_MS} ms, {PLACES} places"),
            Takes::Nothing => "nothing to do".to_owned(),
        };
        format!("G1 {}, {what}", self.model)
    }

    fn order(&self) -> Value {
        match self.takes {
            Takes::Cpu => json!({"model": self.model, "recipe": recipe(json!({"kind": "cpu", "ms": 4}))}),
            Takes::APlace => waiting(self.model, WAIT_MS),
            Takes::Nothing => waiting(self.model, 0),
        }
    }

    fn active_orders(&self) -> String {
        if self.takes == Takes::APlace { PLACES } else { ACTIVE_ORDERS }.to_string()
    }

    fn line(&self) -> &'static str {
        if self.takes == Takes::Nothing { LINE_OF_NOTHING } else { LINE }
    }
}

/// Orders brought to their end per second while something runs.
async fn goodput<F: Future<Output = Back>>(client: &mut Client, loaded: F) -> Try<(f64, Back)> {
    let before = checker::stats(client).await?;
    let back = loaded.await;
    let after = checker::stats(client).await?;
    let done = count(&after, "succeeded") - count(&before, "succeeded");
    Ok((done as f64 / back.took.as_secs_f64(), back))
}

async fn overload(setting: &Setting, cores: &str, case: &Case) -> Try<Finding> {
    let order = &case.order();
    let during = setting.size(Duration::from_secs(10), Duration::from_secs(60));
    let mut finding = Finding::of(&case.name(), format!("{} s", during.as_secs()), case.line());
    let service = Start::new(setting, "G1")?
        .under(&["taskset", "-c", cores])
        .flags(&["--max-active-orders", &case.active_orders(), "--max-ended-orders", "10000000"])
        .open()
        .await?;
    let (before, mut client) = (Baseline::of(&service), service.client());
    let plain = Load {
        to: service.address(),
        from: (2..6).map(|n| Ipv4Addr::new(127, 0, 0, n)).collect(),
        connections: CLOSED,
        request: Arc::new(placing(&order.to_string())),
        key: "load",
        ledger: Arc::new(Ledger::default()),
    };
    let (capacity, closed) = capacity(&mut client, &plain, order).await?;
    let plain = Load { connections: OPEN, ..plain };
    let trial = load::open_loop(&plain, 10.0 * capacity, Duration::from_secs(2)).await;
    checker::quiet(&mut client).await?;
    let wanted = 10.0 * capacity;
    let rate = if trial.rate() >= 0.9 * wanted { wanted } else { COMFORT * trial.rate() };
    let livez = Probe::start(service.address(), "/livez", Duration::from_millis(10), false);
    let busy = service.process().cpu();
    let (good, open) = goodput(&mut client, load::open_loop(&plain, rate, during)).await?;
    let busy = service.process().cpu().saturating_sub(busy).as_secs_f64() / open.took.as_secs_f64();
    let seen = livez.end();
    let rss = service.process().rss_bytes();
    let times = if case.takes == Takes::Nothing { MORE_THAN_C } else { OVERLOAD };
    finding.fault(
        open.rejected.len() > 0 && open.rate() > times * capacity,
        format!("{:.0}/s offered = {:.1} x C, {} rejected", open.rate(), open.rate() / capacity, open.rejected.len()),
    );
    if rate < wanted {
        finding.figure(format!(
            "10 x C is {:.0}/s, this generator sends at most {:.0}/s",
            10.0 * capacity,
            trial.rate()
        ));
    }
    judge(&mut finding, case, (capacity, &closed), (good, &open));
    finding.figure(format!("service {busy:.2} cores, its children not counted"));
    liveness(&mut finding, &seen);
    memory(&mut finding, &mut client, rss).await?;
    // At half of what the house can do, else what asks whether it is normal again would keep it full.
    let pace = Duration::from_secs_f64(2.0 / capacity).max(Duration::from_millis(5));
    normal_again(&mut finding, &service, &plain.ledger, (order, pace)).await?;
    checker::check(setting, &service, &plain.ledger, before, &mut finding).await?;
    Ok(finding)
}

/// C: the most a closed loop gets done, whether its clients wait for each order or not.
async fn capacity(client: &mut Client, plain: &Load, order: &Value) -> Try<(f64, Back)> {
    let waiting =
        Load { request: Arc::new(request("POST", "/orders?wait=60", &[], &order.to_string())), ..plain.clone() };
    // The first second is warming up: kitchens start, pages are touched.
    load::closed_loop(&waiting, Duration::from_secs(1)).await;
    let mut best = goodput(client, load::closed_loop(&waiting, Duration::from_secs(3))).await?;
    let other = goodput(client, load::closed_loop(plain, Duration::from_secs(3))).await?;
    if other.0 > best.0 {
        best = other;
    }
    checker::quiet(client).await?;
    Ok(best)
}

fn judge(finding: &mut Finding, case: &Case, (capacity, closed): (f64, &Back), (good, open): (f64, &Back)) {
    let share = good / capacity;
    finding.figure(format!("C {capacity:.0}/s (generator {:.2} cores)", closed.cores()));
    finding.figure(format!("goodput {good:.0}/s = {:.0} % of C (generator {:.2} cores)", share * 100.0, open.cores()));
    let least = if case.takes == Takes::Nothing { GOODPUT_OF_NOTHING } else { GOODPUT };
    finding.must(share >= least, format!("goodput is {:.0} % of C", share * 100.0));
    finding.at_most("accepted p99", open.accepted.p99(), Duration::from_millis(20));
    finding.at_most("rejects p99", open.rejected.p99(), Duration::from_millis(10));
    finding.figure(format!(
        "(of that the generator's own lateness p99 {}; from the moment of sending {} and {})",
        crate::figures::ms(open.late.p99()),
        crate::figures::ms(open.accepted_from_sent.p99()),
        crate::figures::ms(open.rejected_from_sent.p99())
    ));
    finding.must(open.odd.is_empty(), format!("{} other answers, first: {:?}", open.odd.len(), open.odd.first()));
    finding.must(open.lost == 0, format!("{} requests got no answer", open.lost));
}

/// `/livez` under whatever happens.
pub(super) fn liveness(finding: &mut Finding, seen: &Seen) {
    finding.at_most("/livez p99", seen.latency.p99(), Duration::from_millis(50));
    finding.must(seen.failures == 0, format!("{} of {} /livez failed", seen.failures, seen.latency.len()));
}

async fn memory(finding: &mut Finding, client: &mut Client, rss: u64) -> Try<()> {
    let stats = checker::stats(client).await?;
    let allowed = 256 * 1024 * 1024 + count(&stats, "active_bytes") + count(&stats, "ended_bytes");
    finding.figure(format!("RSS {}", mib(rss)));
    finding.must(rss <= allowed, format!("RSS {} over {}", mib(rss), mib(allowed)));
    Ok(())
}

/// Twenty orders in a row are accepted within 20 ms each.
async fn normal_again(
    finding: &mut Finding,
    service: &Service,
    ledger: &Ledger,
    (order, pace): (&Value, Duration),
) -> Try<()> {
    let began = Instant::now();
    let mut client = service.client();
    let body = placing(&order.to_string());
    let mut latency = Samples::default();
    while latency.len() < 20 && began.elapsed() < Duration::from_secs(10) {
        let (sent, at) = (Instant::now(), ledger.now());
        let answer = client.call(&body).await;
        ledger.placed("again", 0, at, answer.as_ref().ok());
        match answer {
            Ok(answer) if answer.status == 202 && sent.elapsed() <= Duration::from_millis(20) => {
                latency.add(sent.elapsed())
            }
            _ => latency = Samples::default(),
        }
        tokio::time::sleep(pace).await;
    }
    let back = began.elapsed();
    until(&mut client, Duration::from_secs(60), "all has ended", |s| count(s, "queued") + count(s, "running") == 0)
        .await?;
    finding.at_most("normal after", back, Duration::from_secs(5));
    Ok(())
}
