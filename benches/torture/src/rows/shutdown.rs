//! K: told to end, at any moment. In time, with the truth as exit code, and nobody left behind.
//!
//! It deliberately gives a grace of two seconds: what is tested is that it is kept, not how long it is.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::json;
use tokio::io::AsyncWriteExt;

use super::{place_all, until, waiting};
use crate::Try;
use crate::checker::count;
use crate::figures::{Finding, Samples};
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
    Ok(vec![loaded(setting).await?, clean(setting).await?, idle(setting).await?, hurried(setting).await?])
}

/// Ends it and looks what is left. Answers the exit code and the time it took.
async fn end(service: &mut Service, finding: &mut Finding, signals: usize) -> Try<(Option<i32>, Duration)> {
    let below = service.process().descendants();
    for sent in 0..signals {
        if sent > 0 {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        service.signal(Signal::TERM)?;
    }
    let (status, took) = service.ended(GRACE * 15).await?;
    let gone = Instant::now();
    while proc::alive(&below) > 0 && gone.elapsed() < Duration::from_secs(1) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let left = proc::alive(&below);
    finding.must(left == 0, format!("{left} of {} children alive 1 s after the end", below.len()));
    finding.must(service.panics() == 0, "a panic in the log");
    Ok((status.code(), took))
}

async fn loaded(setting: &Setting) -> Try<Finding> {
    let (rounds, queued, readers) = setting.size((5, 2_000, 50), (30, 100_000, 1_000));
    let mut finding = Finding::of(
        "K SIGTERM under load",
        format!("{rounds} x {queued} queued, 100 running, {readers} SSE, 50 slow clients"),
        "end <= grace + 1 s, exit code 1 (orders were lost), 0 children",
    );
    let (mut took, mut dice, mut children, mut told) = (Samples::default(), setting.size(3, 5), 0, 0);
    for round in 0..rounds {
        let mut service = Start::new(setting, "K")?.flags(FLAGS).open().await?;
        let running = crowd(&service, queued).await?;
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
        children += service.process().descendants().len();
        let posting = Load {
            to: service.address(),
            from: vec![Ipv4Addr::new(127, 0, 0, 7)],
            connections: 4,
            request: Arc::new(placing(&waiting("asyncio", 5).to_string())),
            key: "late",
            ledger: Arc::new(Ledger::default()),
        };
        let posting = tokio::spawn(async move { load::closed_loop(&posting, Duration::from_millis(700)).await });
        tokio::time::sleep(Duration::from_secs_f64(uniform(&mut dice) * 0.4)).await;
        let ended = end(&mut service, &mut finding, 1).await?;
        took.add(ended.1);
        finding.must(ended.0 == Some(1), format!("round {round}: orders were lost, the exit code is {:?}", ended.0));
        let back = posting.await?;
        finding.must(back.odd.is_empty(), format!("round {round}: {:?}", back.odd.first()));
        told += final_events(streams).await;
    }
    finding.fault(children > 0, format!("{rounds} SIGTERMs, {children} children at the time"));
    finding.at_most("end max", took.max(), GRACE + Duration::from_secs(1));
    finding.figure(format!("{told} of {} streams were told an end", rounds * readers));
    Ok(finding)
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
        while let Ok(Ok(Some(event))) = tokio::time::timeout(Duration::from_secs(1), stream.next()).await {
            told += usize::from(
                event.name == "closing" || (event.name.starts_with("order.") && event.name != "order.running"),
            );
        }
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
    let mut finding =
        Finding::of("K SIGTERM, nothing to wait for", format!("{rounds} x 10 SSE"), "end <= 50 ms, streams closed");
    let (mut with_streams, mut without) = (Samples::default(), Samples::default());
    for _ in 0..rounds {
        // An open stream needs an order that is not over; without grace there is nothing to wait for.
        let mut service = Start::new(setting, "K-idle")?.flags(&["--grace-s", "0"]).open().await?;
        let ids =
            place_all(&mut service.client(), &Ledger::default(), &[("i".to_owned(), waiting("asyncio", 600_000))])
                .await?;
        let mut streams = Vec::new();
        for _ in 0..10 {
            let mut stream = Stream::open(service.address(), &id_text(ids[0])).await?;
            stream.next().await?;
            streams.push(stream);
        }
        let ended = end(&mut service, &mut finding, 1).await?;
        with_streams.add(ended.1);
        finding.must(ended.0 == Some(1), format!("an order was lost, the exit code is {:?}", ended.0));
        let mut service = Start::new(setting, "K-idle")?.open().await?;
        let ended = end(&mut service, &mut finding, 1).await?;
        without.add(ended.1);
        finding.must(ended.0 == Some(0), format!("nothing was lost, the exit code is {:?}", ended.0));
    }
    finding.fault(true, format!("{} SIGTERMs", 2 * rounds));
    finding.at_most("with streams, median", with_streams.percentile(50.0), Duration::from_millis(50));
    finding.at_most("idle, median", without.percentile(50.0), Duration::from_millis(50));
    finding.figure(format!("worst {}", crate::figures::ms(with_streams.max().max(without.max()))));
    Ok(finding)
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
