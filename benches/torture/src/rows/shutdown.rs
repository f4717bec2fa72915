//! K: told to end, at any moment. In time, with the truth as exit code, and nobody left behind.
//!
//! It deliberately gives a grace of two seconds: what is tested is that it is kept, not how long it is.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::json;
use tokio::io::AsyncWriteExt;

use super::stores::{Store, each};
use super::{place_all, until, waiting};
use crate::Try;
use crate::checker::count;
use crate::figures::{Finding, Samples, ms};
use crate::ledger::Ledger;
use crate::load::{self, Load, uniform};
use crate::proc;
use crate::service::{Service, Setting, Start};
use crate::sse::Stream;
use crate::wire::{Conn, id_text, placing};

const GRACE: Duration = Duration::from_secs(2);
const FLAGS: &[&str] = &["--grace-s", "2", "--max-threads", "8", "--max-active-orders", "250000"];

/// K.
pub(super) async fn under_load(setting: &Setting) -> Try<Vec<Finding>> {
    let mut findings = each("K SIGTERM under load", async |store| loaded(setting, store).await).await;
    findings.extend([clean(setting).await?, idle(setting).await?, hurried(setting).await?]);
    Ok(findings)
}

/// Ends it and looks what is left. Answers the exit code and the time it took.
async fn end(service: &mut Service, finding: &mut Finding, signals: usize) -> Try<(Option<i32>, Duration)> {
    let below = service.process().descendants();
    let mut sent = Instant::now();
    for signal in 0..signals {
        if signal > 0 {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        // Before the signal: on a busy core the service may be gone before this goes on.
        sent = Instant::now();
        service.signal(Signal::TERM)?;
    }
    let (status, _) = service.ended(GRACE * 15).await?;
    let took = sent.elapsed();
    let gone = Instant::now();
    while proc::alive(&below) > 0 && gone.elapsed() < Duration::from_secs(1) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let left = proc::alive(&below);
    finding.must(left == 0, format!("{left} of {} children alive 1 s after the end", below.len()));
    finding.must(service.panics() == 0, "a panic in the log");
    Ok((status.code(), took))
}

async fn loaded(setting: &Setting, store: &'static str) -> Try<Finding> {
    let (rounds, queued, readers) = match store {
        "memory" => setting.size((5, 2_000, 50), (30, 100_000, 1_000)),
        // Fewer: an empty store of its own for each round takes longer than the round.
        _ => setting.size((2, 1_000, 50), (10, 20_000, 1_000)),
    };
    let mut finding = Finding::of(
        &format!("K SIGTERM under load, {store}"),
        format!("{rounds} x {queued} queued, 100 running, {readers} SSE, 50 slow clients"),
        "end <= grace + 1 s, exit code 1 if orders were lost (memory) and 0 if they are kept, every stream is told an \
         end, 0 children",
    );
    let (mut took, mut dice, mut children, mut told) = (Samples::default(), setting.size(3, 5), 0, 0);
    for round in 0..rounds {
        let mut store = Store::new(setting, "K", store)?;
        let exit_code = Some(if store.is_durable() { 0 } else { 1 });
        let mut service = Start::new(setting, "K")?.flags(FLAGS).flags(&["--store", &store.url]).open().await?;
        let (streams, _slow) = beset(&service, queued, readers).await?;
        children += service.process().descendants().len();
        let posting = tokio::spawn(late(service.address()));
        tokio::time::sleep(Duration::from_secs_f64(uniform(&mut dice) * 0.4)).await;
        let ended = end(&mut service, &mut finding, 1).await?;
        took.add(ended.1);
        finding.must(ended.0 == exit_code, format!("round {round}: the exit code is {:?}", ended.0));
        let back = posting.await?;
        finding.must(back.odd.is_empty(), format!("round {round}: {:?}", back.odd.first()));
        told += final_events(streams).await;
        store.at_rest(&mut finding)?;
    }
    finding.fault(children > 0, format!("{rounds} SIGTERMs, {children} children at the time"));
    finding.at_most("end max", took.max(), GRACE + Duration::from_secs(1));
    finding.figure(format!("{told} of {} streams were told an end", rounds * readers));
    finding.must(told == rounds * readers, format!("{} streams were not told an end", rounds * readers - told));
    Ok(finding)
}

/// Orders of all kinds, who follows one of them, and who never finishes a request.
async fn beset(service: &Service, queued: usize, readers: usize) -> Try<(Vec<Stream>, Vec<Conn>)> {
    let running = crowd(service, queued).await?;
    let mut streams = Vec::new();
    for _ in 0..readers {
        streams.push(Stream::open(service.address(), &id_text(running)).await?);
    }
    let mut slow = Vec::new();
    for _ in 0..50 {
        let mut conn = Conn::open(service.address(), None).await?;
        conn.stream.write_all(b"POST /orders HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: 100\r\n\r\n{").await?;
        slow.push(conn);
    }
    Ok((streams, slow))
}

/// Orders that arrive while it ends.
async fn late(to: SocketAddr) -> load::Back {
    let posting = Load {
        to,
        from: vec![Ipv4Addr::new(127, 0, 0, 7)],
        connections: 4,
        request: Arc::new(placing(&waiting("asyncio", 5).to_string())),
        key: "late",
        ledger: Arc::new(Ledger::default()),
    };
    load::closed_loop(&posting, Duration::from_millis(700)).await
}

/// Fills the house; answers one order that runs.
async fn crowd(service: &Service, queued: usize) -> Try<u128> {
    let (mut client, ledger) = (service.client(), Ledger::default());
    let kinds = ["asyncio", "sequential", "multithreading", "multiprocessing"];
    let mut orders: Vec<_> = (0..95).map(|n| (format!("r{n}"), waiting(kinds[n % 2 * (n % 4)], 600_000))).collect();
    let mut own = waiting("multiprocessing", 600_000);
    own["setup"] = json!({"kitchens": 2});
    orders.extend((0..5).map(|n| (format!("k{n}"), own.clone())));
    let ids = place_all(&mut client, &ledger, &orders).await?;
    until(&mut client, Duration::from_secs(10), "kitchens are up", |stats| count(stats, "children") >= 5).await?;
    let mut waits = waiting("multithreading", 600_000);
    waits["setup"] = json!({"chefs": 8});
    place_all(&mut client, &ledger, &vec![("q".to_owned(), waits); queued]).await?;
    Ok(ids[0])
}

/// How many streams got an event that ends them; all of them must be over by now.
async fn final_events(streams: Vec<Stream>) -> usize {
    let mut told = 0;
    for mut stream in streams {
        let mut is_told = false;
        while let Ok(Ok(Some(event))) = tokio::time::timeout(Duration::from_secs(1), stream.next()).await {
            is_told |= event.name == "closing" || (event.name.starts_with("order.") && event.name != "order.running");
        }
        told += usize::from(is_told);
    }
    told
}

async fn clean(setting: &Setting) -> Try<Finding> {
    let rounds = setting.size(3, 10);
    let mut finding = Finding::of(
        "K SIGTERM, all can end",
        format!("{rounds} x 100 orders of 0.5 s"),
        "end <= grace + 1 s, exit code 0",
    );
    let (mut took, mut running) = (Samples::default(), 0);
    for round in 0..rounds {
        let mut service = Start::new(setting, "K-clean")?.flags(FLAGS).open().await?;
        let mut client = service.client();
        let orders: Vec<_> = (0..100).map(|n| (format!("c{n}"), waiting("asyncio", 500))).collect();
        place_all(&mut client, &Ledger::default(), &orders).await?;
        until(&mut client, Duration::from_secs(5), "all run", |stats| count(stats, "queued") == 0).await?;
        running += count(&crate::checker::stats(&mut client).await?, "running");
        let ended = end(&mut service, &mut finding, 1).await?;
        took.add(ended.1);
        finding.must(ended.0 == Some(0), format!("round {round}: nothing was lost, the exit code is {:?}", ended.0));
    }
    finding.fault(running > 0, format!("{running} running at the SIGTERMs"));
    finding.at_most("end max", took.max(), GRACE + Duration::from_secs(1));
    Ok(finding)
}

/// Nothing to wait for: at once, whatever streams are open.
async fn idle(setting: &Setting) -> Try<Finding> {
    let rounds = setting.size(5, 20);
    let mut finding = Finding::of(
        "K SIGTERM, nothing to wait for",
        format!("{rounds} x idle, with 10 streams of all orders, with 10 of one"),
        "end <= 50 ms each, streams are told so",
    );
    let mut took: [Samples; 3] = Default::default();
    for _ in 0..rounds {
        let mut service = Start::new(setting, "K-idle")?.open().await?;
        let ended = end(&mut service, &mut finding, 1).await?;
        took[0].add(ended.1);
        finding.must(ended.0 == Some(0), format!("nothing was lost, the exit code is {:?}", ended.0));
        let mut service = Start::new(setting, "K-idle")?.open().await?;
        took[1].add(end_with_streams(&mut service, "/events", 0, &mut finding).await?);
        // A stream of one order needs one that is not over; without grace there is nothing to wait for.
        let mut service = Start::new(setting, "K-idle")?.flags(&["--grace-s", "0"]).open().await?;
        let order = [("i".to_owned(), waiting("asyncio", 600_000))];
        let ids = place_all(&mut service.client(), &Ledger::default(), &order).await?;
        let path = format!("/orders/{}/events", id_text(ids[0]));
        took[2].add(end_with_streams(&mut service, &path, 1, &mut finding).await?);
    }
    finding.fault(true, format!("{} SIGTERMs", 3 * rounds));
    for (what, took) in ["idle", "following all orders", "following one"].iter().zip(&took) {
        finding.figure(format!("{what}, median {}", ms(took.percentile(50.0))));
        finding.at_most(&format!("{what}, worst"), took.max(), Duration::from_millis(50));
    }
    Ok(finding)
}

/// Ends it while ten streams are open; all of them must be told.
async fn end_with_streams(service: &mut Service, path: &str, code: i32, finding: &mut Finding) -> Try<Duration> {
    let mut streams = Vec::new();
    for _ in 0..10 {
        let mut stream = Stream::of(service.address(), path).await?;
        stream.next().await?;
        streams.push(stream);
    }
    let ended = end(service, finding, 1).await?;
    finding.must(ended.0 == Some(code), format!("{path}: the exit code is {:?}, not {code}", ended.0));
    let told = final_events(streams).await;
    finding.must(told == 10, format!("{path}: {told} of 10 streams were told an end"));
    Ok(ended.1)
}

/// A second signal means now.
async fn hurried(setting: &Setting) -> Try<Finding> {
    let mut finding = Finding::of("K second SIGTERM", "1", "end <= 500 ms after it, exit code 1");
    let mut service = Start::new(setting, "K-now")?.flags(&["--grace-s", "60"]).open().await?;
    crowd(&service, 100).await?;
    let ended = end(&mut service, &mut finding, 2).await?;
    finding.fault(true, "two SIGTERMs 100 ms apart, grace 60 s");
    finding.at_most("end after", ended.1, Duration::from_millis(500));
    finding.must(ended.0 == Some(1), format!("orders were lost, the exit code is {:?}", ended.0));
    Ok(finding)
}
