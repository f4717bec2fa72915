//! The checker: reads everything the service knows after the fault and a quiet period, and holds it against the ledger.
//!
//! I1 accepted orders exist and nothing else does, I2 one order per key,
//! I3 one end that never changes, I4 events without gaps, I5 a step told as done is not run again, I6 the counts add up,
//! I7 attempts never go back, I9 nothing is left running, I10 no 500 and no panic (whether requests were cut off only a
//! row knows, since some cut them). I8 (webhooks) is not built.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::Value;

use crate::Try;
use crate::figures::Finding;
use crate::ledger::{Call, Ledger};
use crate::service::{Service, Setting};
use crate::sse;
use crate::wire::{self, Client, id_text};

/// Longest quiet period: everything that was accepted must have ended by then.
const QUIET_WITHIN: Duration = Duration::from_secs(120);
/// How many orders' events are read in full; all of them would take longer than the fault.
const EVENTS_OF: usize = 20;

/// An order as the list tells it.
#[derive(Clone, Debug, Deserialize, PartialEq)]
pub struct Listed {
    pub id: String,
    pub status: String,
    pub done: bool,
    pub attempt: u32,
    pub node: Option<String>,
    /// Its runs that did not come to an end.
    pub attempts: Vec<Broken>,
    pub started_at: Option<String>,
    pub finished_at: Option<String>,
    pub labels: BTreeMap<String, String>,
    pub error: Option<Value>,
}

/// A run that was broken off.
#[derive(Clone, Debug, Deserialize, PartialEq)]
pub struct Broken {
    pub attempt: u32,
    pub node: String,
    pub why: String,
}

#[derive(Deserialize)]
struct Page {
    data: Vec<Listed>,
    next_cursor: Option<String>,
}

/// Every order the service knows, by the keyset list.
pub async fn all(client: &mut Client) -> Try<Vec<Listed>> {
    let mut orders = Vec::new();
    let mut path = "/orders?limit=200".to_owned();
    loop {
        let answer = client.get(&path).await?;
        let page: Page =
            serde_json::from_slice(&answer.body).map_err(|error| format!("GET {path}: {}: {error}", answer.status))?;
        orders.extend(page.data);
        match page.next_cursor {
            Some(cursor) => path = format!("/orders?limit=200&cursor={cursor}"),
            None => return Ok(orders),
        }
    }
}

/// Counts of `/stats`.
pub async fn stats(client: &mut Client) -> Try<Value> {
    client.json("/stats").await
}

/// One count.
pub fn count(stats: &Value, name: &str) -> u64 {
    stats[name].as_u64().unwrap_or(0)
}

/// I6: whether accepted is the sum of the states.
pub fn conserved(stats: &Value) -> bool {
    let states = ["queued", "running", "succeeded", "failed", "canceled", "expired"];
    count(stats, "accepted") == states.iter().map(|state| count(stats, state)).sum::<u64>()
}

/// Waits until nothing is queued and nothing runs.
pub async fn quiet(client: &mut Client) -> Try<Duration> {
    let began = Instant::now();
    while began.elapsed() < QUIET_WITHIN {
        let now = stats(client).await?;
        if count(&now, "queued") + count(&now, "running") == 0 {
            return Ok(began.elapsed());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Err(format!("not quiet within {QUIET_WITHIN:?}: {}", stats(client).await?).into())
}

/// Processes, threads and descriptors before the row, to come back to.
#[derive(Clone, Copy, Debug)]
pub struct Baseline {
    pub children: usize,
    pub threads: usize,
    pub descriptors: usize,
}

impl Baseline {
    pub fn of(service: &Service) -> Self {
        let process = service.process();
        let children = process.children().len();
        Self { children, threads: process.threads(), descriptors: process.descriptors() }
    }

    /// Room for the house's own pools and loop, which start at first use and stay: a child per core with its
    /// descriptors, min(32, cores + 4) pool threads, and a handful of threads that live as long as the process.
    fn with_the_house(self) -> Self {
        let cores = crate::proc::cores();
        Self {
            children: self.children + cores,
            threads: self.threads + (cores + 4).min(32) + cores + 8,
            descriptors: self.descriptors + 4 * cores + 2 * ((cores + 4).min(32) + cores + 8),
        }
    }
}

/// I9: back to the baseline within two seconds.
async fn nothing_left(service: &Service, before: Baseline, finding: &mut Finding) {
    let bound = before.with_the_house();
    let began = Instant::now();
    loop {
        let (now, zombies) = (Baseline::of(service), service.process().zombies());
        let back =
            now.children <= bound.children && now.threads <= bound.threads && now.descriptors <= bound.descriptors;
        if back && zombies == 0 {
            return;
        }
        if began.elapsed() > Duration::from_secs(2) {
            finding.must(false, format!("I9: {now:?} and {zombies} zombies 2 s later, allowed {bound:?}"));
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Holds the service to everything it answered. Call it when the load has stopped; it waits for the quiet itself.
pub async fn check(
    setting: &Setting,
    service: &Service,
    ledger: &Ledger,
    before: Baseline,
    finding: &mut Finding,
) -> Try<Vec<Listed>> {
    ledger.write(&setting.out.join(format!("{}.ledger.jsonl", finding.row.replace([' ', '/'], "-"))))?;
    let mut client = service.client();
    finding.must(conserved(&stats(&mut client).await?), "I6: accepted is not the sum of the states, under load");
    quiet(&mut client).await?;
    let (first, end) = (all(&mut client).await?, stats(&mut client).await?);
    let calls = ledger.calls();
    finding.must(conserved(&end), format!("I6: accepted is not the sum of the states: {end}"));
    accepted_exist(&calls, &first, count(&end, "accepted"), finding);
    one_end(&first, &all(&mut client).await?, finding);
    let step = (first.len() / EVENTS_OF).max(1);
    for order in first.iter().step_by(step) {
        if let Err(error) = sse::whole(service.address(), &order.id).await {
            finding.must(false, format!("I4/I5: {}: {error}", order.id));
        }
    }
    let failures = calls.iter().filter(|call| call.status == 500).count();
    finding.must(failures == 0, format!("I10: {failures} answers were a 500"));
    finding.must(service.panics() == 0, format!("I10: {} panics in the log", service.panics()));
    nothing_left(service, before, finding).await;
    Ok(first)
}

/// The same for nodes over one durable store, each with what it had at its start: each is asked, and all must say the same.
pub async fn check_durable(
    setting: &Setting,
    nodes: &[(&Service, Baseline)],
    ledger: &Ledger,
    finding: &mut Finding,
) -> Try<Vec<Listed>> {
    ledger.write(&setting.out.join(format!("{}.ledger.jsonl", finding.row.replace([' ', '/'], "-"))))?;
    let mut client = nodes[0].0.client();
    let began = Instant::now();
    while stats(&mut client).await.is_err() && began.elapsed() < QUIET_WITHIN {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    finding.must(conserved(&stats(&mut client).await?), "I6: accepted is not the sum of the states, under load");
    quiet(&mut client).await?;
    for (node, before) in nodes {
        nothing_left(node, *before, finding).await;
    }
    let (orders, end, calls) = (all(&mut client).await?, stats(&mut client).await?, ledger.calls());
    finding.must(conserved(&end), format!("I6: accepted is not the sum of the states: {end}"));
    accepted_exist(&calls, &orders, count(&end, "accepted"), finding);
    let mut elsewhere = 0;
    for (node, _) in nodes {
        one_end(&orders, &all(&mut node.client()).await?, finding);
        elsewhere += streams(node, &orders, finding).await;
        finding.must(node.panics() == 0, format!("I10: {} panics in the log", node.panics()));
    }
    for order in &orders {
        let rising = order.attempts.windows(2).all(|two| two[0].attempt < two[1].attempt);
        let below =
            order.attempts.last().is_none_or(|last| last.attempt < order.attempt || order.status != "succeeded");
        finding.must(rising && below, format!("I7: {}: {} after {:?}", order.id, order.attempt, order.attempts));
    }
    let failures = calls.iter().filter(|call| call.status == 500).count();
    finding.must(failures == 0, format!("I10: {failures} answers were a 500"));
    let made = orders.iter().filter(|order| order.status == "succeeded").count();
    let broken = orders.iter().filter(|order| !order.attempts.is_empty()).count();
    finding.figure(format!("{} orders, {made} succeeded, {broken} after a broken run", orders.len()));
    if nodes.len() > 1 {
        finding.must(elsewhere > 0, "no stream was read of an order that another node had");
        finding.figure(format!("{elsewhere} streams read at another node"));
    }
    Ok(orders)
}

/// I4 and I5: reads some streams in full, half of them of orders after a broken run if there are so many; answers how many
/// were of orders that ran on another node.
async fn streams(node: &Service, orders: &[Listed], finding: &mut Finding) -> usize {
    let (broken, whole): (Vec<_>, Vec<_>) = orders.iter().partition(|order| !order.attempts.is_empty());
    let some = |of: Vec<&Listed>, how_many: usize| {
        let step = (of.len() / how_many).max(1);
        of.into_iter().step_by(step).take(how_many).cloned().collect::<Vec<_>>()
    };
    let broken = some(broken, EVENTS_OF / 2);
    let whole = some(whole, EVENTS_OF - broken.len());
    let mut elsewhere = 0;
    for order in broken.into_iter().chain(whole) {
        if let Err(error) = sse::whole(node.address(), &order.id).await {
            finding.must(false, format!("I4/I5: {} at {}: {error}", order.id, node.name));
        }
        elsewhere += usize::from(order.node.is_some_and(|ran_on| ran_on != node.name));
    }
    elsewhere
}

/// I1 and I2.
fn accepted_exist(calls: &[Call], orders: &[Listed], accepted: u64, finding: &mut Finding) {
    let known: HashSet<u128> = orders.iter().filter_map(|order| wire::id(&order.id)).collect();
    let promised: HashSet<u128> = calls.iter().filter_map(|call| call.order).collect();
    let lost: Vec<_> = promised.difference(&known).take(3).map(|id| id_text(*id)).collect();
    finding.must(lost.is_empty(), format!("I1: accepted and not there: {lost:?}"));
    // What was never answered may have happened, once per call.
    let maybe = calls.iter().filter(|call| call.places && call.status == 0).count();
    let unknown = known.difference(&promised).count();
    finding.must(unknown <= maybe, format!("I1: {unknown} orders nobody was told of, {maybe} calls without answer"));
    finding.must(accepted as usize == known.len(), format!("I1: {accepted} accepted, {} listed", known.len()));
    let sent: HashSet<&str> = calls.iter().map(|call| &*call.key).collect();
    let mut of_key: HashMap<&str, usize> = HashMap::new();
    for key in orders.iter().filter_map(|order| order.labels.get("torture")) {
        finding.must(sent.contains(key.as_str()), format!("I1: an order of {key}, which was never sent"));
        *of_key.entry(key).or_default() += 1;
    }
    let doubled: Vec<_> = of_key.iter().filter(|(_, orders)| **orders > 1).take(3).collect();
    finding.must(doubled.is_empty(), format!("I2: more than one order of one key: {doubled:?}"));
}

/// I3 and I7.
fn one_end(first: &[Listed], second: &[Listed], finding: &mut Finding) {
    let later: HashMap<&str, &Listed> = second.iter().map(|order| (order.id.as_str(), order)).collect();
    for order in first {
        finding.must(order.done, format!("I3: {} is {} after the quiet", order.id, order.status));
        match later.get(order.id.as_str()) {
            Some(again) => {
                finding.must(*again == order, format!("I3: {} changed after its end: {again:?}", order.id));
                finding.must(again.attempt >= order.attempt, format!("I7: {} went back an attempt", order.id));
            }
            None => finding.must(false, format!("I3: {} vanished after its end", order.id)),
        }
    }
}
