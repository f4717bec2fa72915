//! H1 and H3: clients that hold on to connections, and a process that has no descriptors left.
//!
//! It deliberately counts a slow client as closed only when its socket says so, not when a write fails to arrive.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::waiting;
use crate::Try;
use crate::checker::{Baseline, count};
use crate::figures::{Finding, Samples, ms};
use crate::probe::Probe;
use crate::proc;
use crate::service::{Service, Setting, Start};
use crate::wire::{Conn, request};

/// How a slow client is slow.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Slow {
    Head,
    Body,
    Idle,
}

impl Slow {
    /// The service's limit for it.
    fn limit(self) -> Duration {
        Duration::from_secs(if self == Slow::Head { 10 } else { 30 })
    }
}

/// Above a limit a busy machine gets this long to notice. Chosen.
const SLACK: Duration = Duration::from_secs(2);
/// Connections above the limit that may still ask probes, and as many that the service itself and the row have.
const GUESTS: usize = 2 * 64;
/// Connections that make room at one look, at most: a 64th of those who wait, and the look may come once more.
const AT_A_LOOK: usize = 2 * 64;
/// Bytes of memory a connection may take.
const CONNECTION_BYTES: u64 = 20 * 1024;

/// H1.
pub(super) async fn slow_clients(setting: &Setting) -> Try<Finding> {
    let clients = setting.size(500, 5_000);
    let mut finding = Finding::of(
        "H1 slow clients",
        format!("{clients}: head, body, idle"),
        "honest p99 <= 100 ms and no failure, closed within 10 s / 30 s / 30 s (+ 2 s), <= 20 KiB each, descriptors back; \
         of those above the connection limit as many make room as are needed",
    );
    let service = Start::new(setting, "H1")?.open().await?;
    service.client().place(&waiting("asyncio", 0)).await?;
    let seats = count(&service.client().json("/limits").await?, "connections") as usize;
    let before = Baseline::of(&service);
    let rss = service.process().rss_bytes();
    let kept = Probe::start(service.address(), "/stats", Duration::from_millis(20), false);
    let fresh = Probe::start(service.address(), "/livez", Duration::from_millis(50), true);
    let attackers: Vec<_> = (0..clients)
        .map(|n| {
            let (slow, to) = ([Slow::Head, Slow::Body, Slow::Idle][n % 3], service.address());
            let from = Ipv4Addr::new(127, 0, 0, 2 + (n % 5) as u8);
            tokio::spawn(async move { (slow, attack(slow, to, from).await) })
        })
        .collect();
    tokio::time::sleep(Duration::from_secs(5)).await;
    let held = service.process().descriptors().saturating_sub(before.descriptors);
    let grown = service.process().rss_bytes().saturating_sub(rss);
    let mut closed =
        [(Slow::Head, Samples::default()), (Slow::Body, Samples::default()), (Slow::Idle, Samples::default())];
    let mut failed = 0;
    for attacker in attackers {
        match attacker.await? {
            (slow, Ok(after)) => closed.iter_mut().filter(|(kind, _)| *kind == slow).for_each(|(_, s)| s.add(after)),
            _ => failed += 1,
        }
    }
    let (kept, fresh) = (kept.end(), fresh.end());
    let most = clients.min(seats);
    finding.fault(held > most / 2, format!("{held} of {clients} held 5 s after they had begun, {failed} got none"));
    finding.must(held <= seats + GUESTS, format!("{held} connections held, the limit is {seats}"));
    made_room(&service, (clients + fresh.latency.len(), clients, seats), &mut finding).await?;
    finding.at_most("honest p99 (kept)", kept.latency.p99(), Duration::from_millis(100));
    finding.at_most("honest p99 (new)", fresh.latency.p99(), Duration::from_millis(100));
    finding
        .must(kept.failures + fresh.failures == 0, format!("{} + {} honest failures", kept.failures, fresh.failures));
    for (slow, after) in closed {
        let (last, limit) = (after.max(), slow.limit() + SLACK);
        finding.figure(format!("{slow:?} closed by {}", ms(last)));
        finding.must(last <= limit, format!("{slow:?}: closed after up to {}, limit {}", ms(last), ms(limit)));
        finding.must(after.len() > 0, format!("{slow:?}: no connection was held"));
    }
    let each = grown / held.max(1) as u64;
    finding.figure(format!("{each} bytes of memory each"));
    finding.must(each <= CONNECTION_BYTES, format!("{each} bytes each"));
    descriptors_back(&service, before, &mut finding).await;
    Ok(finding)
}

/// Below the limit nobody makes room. Above it the slowest do: at least as many as there are too many, and no more than
/// one for each that arrived beyond the seats, but for those of the last look.
async fn made_room(service: &Service, (arrived, slow, seats): (usize, usize, usize), finding: &mut Finding) -> Try<()> {
    let text = String::from_utf8_lossy(&service.client().get("/metrics").await?.body).into_owned();
    let series = "pasta_fasta_connections_cut_total{reason=\"room\"} ";
    let went = text.lines().find_map(|line| line.strip_prefix(series)?.parse::<usize>().ok());
    let went = went.ok_or("no count of those who made room")?;
    let (least, most) = match slow > seats {
        true => (slow - seats, arrived - seats + AT_A_LOOK),
        false => (0, 0),
    };
    finding.figure(format!("{went} made room for others"));
    finding.must((least..=most).contains(&went), format!("{went} made room, not {least} to {most}"));
    Ok(())
}

async fn descriptors_back(service: &Service, before: Baseline, finding: &mut Finding) {
    let began = Instant::now();
    while service.process().descriptors() > before.descriptors + 2 && began.elapsed() < Duration::from_secs(2) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let now = service.process().descriptors();
    finding.must(now <= before.descriptors + 2, format!("{now} descriptors 2 s later, {} before", before.descriptors));
}

/// Holds on until the service closes; how long that took from the moment it began to be slow.
async fn attack(slow: Slow, to: std::net::SocketAddr, from: Ipv4Addr) -> Try<Duration> {
    let mut conn = Conn::open(to, Some(from)).await?;
    match slow {
        Slow::Head => conn.stream.write_all(b"POST /orders HTTP/1.1\r\nhost: 127.0.0.1\r\n").await?,
        Slow::Body => {
            let head = "POST /orders HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n";
            conn.stream.write_all(format!("{head}content-length: 4000\r\n\r\n{{").as_bytes()).await?;
        }
        Slow::Idle => drop(conn.call(&request("GET", "/livez", &[], "")).await?),
    }
    let (began, mut sink) = (Instant::now(), [0; 1024]);
    // A service without the limit would hold it for ever: then this is what is reported.
    while began.elapsed() < slow.limit() + 3 * SLACK {
        tokio::select! {
            read = conn.stream.read(&mut sink) => match read {
                // A 408 may come before the close.
                Ok(bytes) if bytes > 0 => {}
                _ => return Ok(began.elapsed()),
            },
            () = tokio::time::sleep(Duration::from_secs(1)) => {
                let drop = match slow {
                    Slow::Head => &b"x-slow: yes\r\n"[..],
                    Slow::Body => b" ",
                    Slow::Idle => continue,
                };
                if conn.stream.write_all(drop).await.is_err() {
                    return Ok(began.elapsed());
                }
            }
        }
    }
    Ok(began.elapsed())
}

/// H3.
pub(super) async fn no_descriptors(setting: &Setting) -> Try<Finding> {
    let mut finding = Finding::of(
        "H3 out of descriptors",
        "nofile 256, 400 connections",
        "<= 10 % of a core, admitted requests answered, new ones accepted <= 1 s after release",
    );
    let mut service = Start::new(setting, "H3")?.open().await?;
    // Once it runs: a service that knows the limit at its start keeps its connections below it.
    proc::limit_descriptors(service.process(), 256)?;
    let mut admitted = service.client();
    admitted.get("/livez").await?;
    // Each on its own: when the backlog is full, a connect waits, and the others must not wait with it.
    let to = service.address();
    let held: Vec<_> = (0..400)
        .map(|_| {
            tokio::spawn(async move {
                let held = Conn::open(to, None).await;
                std::future::pending::<()>().await;
                drop(held);
            })
        })
        .collect();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let (cpu, began) = (service.process().cpu_exact(), Instant::now());
    let mut latency = Samples::default();
    while began.elapsed() < Duration::from_secs(3) {
        let sent = Instant::now();
        let answer = admitted.get("/livez").await?;
        finding.must(answer.status == 200, format!("an admitted request got {}", answer.status));
        latency.add(sent.elapsed());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let used = service.process().cpu_exact().saturating_sub(cpu).as_secs_f64() / began.elapsed().as_secs_f64();
    let open = service.process().descriptors();
    let one_more = async { Conn::open(to, None).await?.call(&request("GET", "/livez", &[], "")).await };
    let refused = tokio::time::timeout(Duration::from_millis(300), one_more).await;
    finding.fault(
        open >= 250 && !matches!(refused, Ok(Ok(_))),
        format!("{open} of 256 descriptors open, a 401st connection got no answer"),
    );
    let released = Instant::now();
    held.iter().for_each(tokio::task::JoinHandle::abort);
    let mut fresh = service.client();
    fresh.get("/livez").await?;
    finding.at_most("new connection after release", released.elapsed(), Duration::from_secs(1));
    finding.figure(format!("{:.1} % of a core, admitted p99 {}", used * 100.0, ms(latency.p99())));
    finding.must(used <= 0.1, format!("{:.1} % of a core", used * 100.0));
    finding.must(service.lives() && service.panics() == 0, "the service died or panicked");
    Ok(finding)
}
