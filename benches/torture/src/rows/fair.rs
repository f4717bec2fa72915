//! G2 and G3: a client behind a noisy one, and everybody behind burning steps.
//!
//! Clients are told apart by their address, since access control is off by default. It deliberately measures the quiet
//! client by the service's own `queue_ms`, checked against the client's clock.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::{ended, place_all, recipe, until, waiting};
use crate::Try;
use crate::checker::{self, Baseline, count};
use crate::figures::{Finding, Samples};
use crate::ledger::Ledger;
use crate::probe::Probe;
use crate::service::{Service, Setting, Start};
use crate::sse::Stream;
use crate::wire::{Client, id, id_text};

/// G2.
pub(super) async fn quiet_behind_noisy(setting: &Setting) -> Try<Finding> {
    let (noisy, quiet) = setting.size((10_000, 5), (100_000, 30));
    let mut finding = Finding::of(
        "G2 quiet behind noisy",
        format!("{noisy} queued, {quiet} quiet orders"),
        "the quiet client's orders start p99 <= 1 s",
    );
    // Eight threads to lease, each order takes one for 60 ms: 130 orders/s, so the queue outlives the row.
    let flags = ["--max-threads", "8", "--max-active-orders", "250000"];
    let service = Start::new(setting, "G2")?.flags(&flags).open().await?;
    let order = |ms: u64| {
        let mut order = waiting("multithreading", ms);
        order["setup"] = json!({"chefs": 1});
        order
    };
    let ledger = Ledger::default();
    let mut loud = Client::new(service.address(), Some(Ipv4Addr::new(127, 0, 0, 2)));
    let mut soft = Client::new(service.address(), Some(Ipv4Addr::new(127, 0, 0, 3)));
    let orders: Vec<_> = (0..noisy).map(|n| (format!("x{n}"), order(60))).collect();
    place_all(&mut loud, &ledger, &orders).await?;
    let at_start = count(&checker::stats(&mut soft).await?, "queued");
    let (mut delay, mut told) = (Samples::default(), Samples::default());
    for _ in 0..quiet {
        let sent = Instant::now();
        let placed = soft.place(&order(1)).await?;
        let path = format!("/orders/{}?wait=5", placed["id"].as_str().unwrap_or_default());
        let over = soft.json(&path).await?;
        delay.add(sent.elapsed());
        if let Some(ms) = over["timings"]["queue_ms"].as_f64() {
            told.add(Duration::from_secs_f64(ms / 1e3));
        }
        tokio::time::sleep(Duration::from_secs(1).saturating_sub(sent.elapsed())).await;
    }
    let at_end = count(&checker::stats(&mut soft).await?, "queued");
    finding
        .fault(at_start as usize >= noisy * 9 / 10 && at_end > 0, format!("{at_start} queued before, {at_end} after"));
    finding.at_most("submit to end p99", delay.p99(), Duration::from_secs(1));
    finding.figure(format!("queue_ms p99 {} of {} that started", crate::figures::ms(told.p99()), told.len()));
    finding.must(told.len() == quiet, format!("{} of {quiet} did not start within 5 s", quiet - told.len()));
    Ok(finding)
}

/// G3.
pub(super) async fn burning(setting: &Setting) -> Try<Vec<Finding>> {
    let mut findings = Vec::new();
    for model in ["sequential", "asyncio", "multithreading", "multiprocessing"] {
        findings.push(burning_under(setting, model).await?);
    }
    Ok(findings)
}

async fn burning_under(setting: &Setting, model: &str) -> Try<Finding> {
    let during = setting.size(Duration::from_secs(5), Duration::from_secs(30));
    let mut finding = Finding::of(
        &format!("G3 64 burning steps, {model}"),
        format!("{} s", during.as_secs()),
        "/livez p99 <= 20 ms, GET order p99 <= 50 ms, POST p99 <= 50 ms, SSE lag p99 <= 250 ms, cancel <= 250 ms",
    );
    let service = Start::new(setting, "G3")?.open().await?;
    let (before, ledger, mut client) = (Baseline::of(&service), Ledger::default(), service.client());
    let burn = json!({"model": model, "recipe": recipe(json!({"kind": "cpu", "ms": 5_000})), "dishes": 64});
    let burning = place_all(&mut client, &ledger, &[("burn".to_owned(), burn)]).await?[0];
    until(&mut client, Duration::from_secs(10), "it burns", |stats| count(stats, "running") == 1).await?;
    let cpu = crate::proc::machine_busy_s();
    let path = format!("/orders/{}", id_text(burning));
    let livez = Probe::start(service.address(), "/livez", Duration::from_millis(10), false);
    let get = Probe::start(service.address(), &path, Duration::from_millis(10), false);
    let (posts, lag) = tokio::join!(posting(&service, &ledger, during), lag(&service, &ledger, during));
    let (livez, get) = (livez.end(), get.end());
    let busy = (crate::proc::machine_busy_s() - cpu) / during.as_secs_f64();
    finding.fault(busy > 0.8, format!("{busy:.1} cores busy"));
    finding.at_most("/livez p99", livez.latency.p99(), Duration::from_millis(20));
    finding.at_most("GET p99", get.latency.p99(), Duration::from_millis(50));
    finding.at_most("POST p99", posts?.p99(), Duration::from_millis(50));
    finding.at_most("SSE lag p99", lag?.p99(), Duration::from_millis(250));
    finding.must(livez.failures + get.failures == 0, format!("{} failures", livez.failures + get.failures));
    let asked = Instant::now();
    client.post(&format!("{path}/cancel"), &Value::Null).await?;
    ended(&mut client, burning).await?;
    finding.at_most("cancel", asked.elapsed(), Duration::from_millis(250));
    checker::check(setting, &service, &ledger, before, &mut finding).await?;
    Ok(finding)
}

/// Places a small order every 20 ms on a loop of its own.
async fn posting(service: &Service, ledger: &Ledger, during: Duration) -> Try<Samples> {
    let (mut client, mut latency, began) = (service.client(), Samples::default(), Instant::now());
    let mut order = waiting("asyncio", 0);
    order["setup"] = json!({"chef": "own"});
    let request = crate::wire::placing(&order.to_string());
    while began.elapsed() < during {
        let (sent, at) = (Instant::now(), ledger.now());
        let answer = client.call(&request).await?;
        latency.add(sent.elapsed());
        ledger.placed("post", 0, at, Some(&answer));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(latency)
}

/// How much later than it happened a step is told: an order whose loop is its own, so that only the telling can be late.
async fn lag(service: &Service, ledger: &Ledger, during: Duration) -> Try<Samples> {
    let (mut client, mut lag) = (service.client(), Samples::default());
    let order = json!({"model": "asyncio", "setup": {"chef": "own"}, "dishes": during.as_millis() as u64 / 100,
        "max_in_flight": 1, "recipe": recipe(json!({"kind": "wait", "ms": 100}))});
    let sent = ledger.now();
    let answer = client.post("/orders", &order).await?;
    ledger.placed("sse", 0, sent, Some(&answer));
    let order = answer.json()?["id"].as_str().and_then(id).ok_or("no id")?;
    let mut stream = Stream::open(service.address(), &id_text(order)).await?;
    let mut started = None;
    while let Some(event) = stream.next().await? {
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
        if let Some(at) = event.data["started_at"].as_str() {
            started = unix(at);
        } else if let (Some(started), Some(at_ms)) = (started, event.data["at_ms"].as_f64()) {
            lag.add(now.saturating_sub(started + Duration::from_secs_f64(at_ms / 1e3)));
        }
    }
    if lag.len() == 0 {
        return Err("no step was told".into());
    }
    Ok(lag)
}

/// An RFC 3339 timestamp in UTC as time since 1970 (days from civil, Howard Hinnant).
fn unix(text: &str) -> Option<Duration> {
    let number = |from: usize, to: usize| text.get(from..to)?.parse::<i64>().ok();
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let shifted = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (shifted.div_euclid(400), shifted.rem_euclid(400));
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days = era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468;
    let seconds = days * 86_400 + number(11, 13)? * 3_600 + number(14, 16)? * 60;
    let fraction: f64 = text.get(17..)?.trim_end_matches('Z').parse().ok()?;
    Some(Duration::from_secs(u64::try_from(seconds).ok()?) + Duration::from_secs_f64(fraction))
}
