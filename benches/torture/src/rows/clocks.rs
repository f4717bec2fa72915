//! F: clocks jump, of one node, of the other, of Postgres. Waits stay exact, no lease is stolen, nothing is lost.
//!
//! By libfaketime, each process from a file of its own. It deliberately leaves the machine's clock alone, and the monotonic
//! clocks, which do not jump on any machine.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::crash::directory;
use super::nodes::{Nodes, statuses};
use super::waiting;
use crate::Try;
use crate::checker::check_durable;
use crate::figures::{Finding, Samples};
use crate::ledger::Ledger;
use crate::postgres::Postgres;
use crate::service::Setting;

/// Long enough that a late renewal on a busy machine is not taken for a stolen lease.
const LEASE: Duration = Duration::from_secs(5);
const WAIT: Duration = Duration::from_secs(2);

/// Where Debian puts it, below the name of the machine's kind.
fn library() -> Try<PathBuf> {
    let places = std::fs::read_dir("/usr/lib")?.filter_map(Result::ok);
    let mut found = places.map(|place| place.path().join("faketime/libfaketimeMT.so.1"));
    found
        .find(|path| path.exists())
        .ok_or_else(|| "libfaketime is missing (Debian: apt-get install libfaketime)".into())
}

/// Where a process reads its time from.
struct Clock(PathBuf);

impl Clock {
    fn new(directory: &Path, name: &str) -> Try<Self> {
        let clock = Self(directory.join(name));
        clock.set("+0")?;
        Ok(clock)
    }

    fn set(&self, offset: &str) -> Try<()> {
        Ok(std::fs::write(&self.0, format!("{offset}\n"))?)
    }

    fn wrapper(&self, library: &Path) -> Vec<String> {
        let file = format!("FAKETIME_TIMESTAMP_FILE={}", self.0.display());
        let preload = format!("LD_PRELOAD={}", library.display());
        ["env", &preload, &file, "FAKETIME_NO_CACHE=1", "FAKETIME_DONT_FAKE_MONOTONIC=1"].map(str::to_owned).into()
    }
}

/// F.
pub(super) async fn jumping(setting: &Setting) -> Try<Vec<Finding>> {
    let of_nodes = ["+1h", "-1h", "+3650d", "@1970-01-02 00:00:00", "+0"];
    // By the database's clock orders are forgotten after a day, so it stays within that.
    let of_postgres = ["+1h", "-1h", "+0"];
    let first = jumps(setting, "F-A", "F the clock of one node jumps", &of_nodes, 0).await?;
    let second = jumps(setting, "F-B", "F the clock of the other jumps", &of_nodes, 1).await?;
    let database = jumps(setting, "F-Postgres", "F the clock of Postgres jumps", &of_postgres, 2).await?;
    Ok(vec![first, second, database])
}

async fn jumps(setting: &Setting, row: &str, name: &str, to: &[&str], whose: usize) -> Try<Finding> {
    // A lease is a time of the database: when that leaps, all of them are over, and fences are what is left.
    let pass_line = match whose {
        2 => "a wait of 2 s lasts 2.00 to 2.10 s in a run that was not taken away, keys still known, 0 lost, 0 doubled",
        _ => "a wait of 2 s lasts 2.00 to 2.10 s, no order is taken from a living node, keys still known, 0 lost",
    };
    let mut finding = Finding::of(name, to.join(", "), pass_line);
    let place = directory(setting, row)?;
    // The database runs as another user, who has to read his.
    let clocks = [
        Clock::new(&place, "a")?,
        Clock::new(&place, "b")?,
        Clock::new(Path::new("/tmp"), &format!("pasta-fasta-{row}-clock"))?,
    ];
    let mut postgres = Postgres::start(&["--clock", &clocks[2].0.to_string_lossy()])?;
    let library = library()?;
    let wrapped = vec![clocks[0].wrapper(&library), clocks[1].wrapper(&library)];
    let nodes = Nodes::start_under(setting, row, &postgres.url, LEASE, wrapped).await?;
    let ledger = Arc::new(Ledger::default());
    let feeder = nodes.feed(&ledger, 20);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let (mut waits, mut moved) = (Samples::default(), 0);
    for offset in to {
        let real = told_time(&nodes, &mut postgres, whose).await?;
        let waiting =
            nodes.addresses().into_iter().map(|to| tokio::spawn(timed(to, ledger.clone()))).collect::<Vec<_>>();
        tokio::time::sleep(WAIT / 2).await;
        clocks[whose].set(offset)?;
        for wait in waiting {
            if let Some(took) = wait.await?? {
                waits.add(took);
            }
        }
        let now = told_time(&nodes, &mut postgres, whose).await?;
        // Day and hour.
        moved += usize::from(now.get(..14) != real.get(..14));
    }
    feeder.end().await?;
    let first = ledger.calls().iter().find_map(|call| call.order);
    let listed = check_durable(setting, &nodes.refs(), &ledger, &mut finding).await?;
    let known = listed.iter().any(|order| crate::wire::id(&order.id) == first);
    finding.must(known, "the first order is gone, and its key with it");
    // A `Date` follows a clock that goes forward only.
    let forward = to.iter().filter(|offset| offset.starts_with('+') && **offset != "+0").count();
    let least = if whose == 2 { to.len() } else { forward };
    finding.fault(moved >= least, format!("{moved} jumps were seen in the time it tells"));
    finding.at_most("longest wait of 2 s", waits.max(), WAIT + Duration::from_millis(100));
    let broken = listed.iter().filter(|order| !order.attempts.is_empty()).count();
    finding.must(broken == 0 || whose == 2, format!("{broken} orders were taken from a living node"));
    finding.figure(format!("{broken} taken away"));
    finding.figure(statuses(&ledger));
    let _ = std::fs::remove_file(&clocks[2].0);
    Ok(finding)
}

/// What a process says the time is: a node by its `Date`, since it stamps orders by a clock that does not jump; Postgres by
/// asking it.
async fn told_time(nodes: &Nodes<'_>, postgres: &mut Postgres, whose: usize) -> Try<String> {
    if whose == 2 {
        return postgres.ask("sql select to_char(clock_timestamp(), 'DD Mon YYYY HH24')");
    }
    let head = nodes.all[whose].client().get("/livez").await?;
    let date = head.header("date").unwrap_or_default();
    Ok(date.chars().skip("Mon, ".len()).take("23 Nov 2026 05".len()).collect())
}

/// Places a wait at this node and waits for its end; how long that took by this process's clock, if one run was enough.
async fn timed(to: std::net::SocketAddr, ledger: Arc<Ledger>) -> Try<Option<Duration>> {
    let mut client = crate::wire::Client::new(to, None);
    let (began, sent) = (Instant::now(), ledger.now());
    let answer = client.post("/orders?wait=10", &waiting("asyncio", WAIT.as_millis() as u64)).await?;
    let mut took = began.elapsed();
    ledger.placed("timed", 0, sent, Some(&answer));
    let mut order = answer.json()?;
    if order["done"] != true {
        // It was held up, or taken away in between; then it has to end all the same.
        order = super::ended(&mut client, answer.id().ok_or("no id")?).await?;
        took = began.elapsed();
    }
    if order["status"] != "succeeded" || took < WAIT {
        return Err(format!("after {took:?}: {order}").into());
    }
    Ok(order["attempts"].as_array().is_some_and(Vec::is_empty).then_some(took))
}
