//! The rows: each breaks one thing and says what it found.
//!
//! A row starts its own services and ends them. It deliberately reads nothing of another row.

mod clocks;
mod crash;
mod crowd;
mod database;
mod disk;
mod door;
mod fair;
mod fence;
mod greedy;
mod keys;
mod kill;
mod kitchens;
mod logs;
mod nodes;
mod overload;
mod power;
mod readers;
mod retries;
mod same;
mod shutdown;
mod stop;
mod stores;
mod synced;

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::Try;
use crate::checker;
use crate::figures::Finding;
use crate::ledger::{Call, Ledger, hash};
use crate::service::Setting;
use crate::wire::{self, Client};

/// All of them, in the order in which they run when none is named.
pub const NAMES: &[&str] = &[
    "A1", "A2", "A3", "A4", "B1", "B2", "B3", "B5", "C1", "C2", "D1", "D2", "D3", "E1", "E2", "F", "G1", "G2", "G3",
    "H1", "H2", "H3", "I1", "J", "K", "L2", "M", "Q", "R",
];

/// Runs one row.
pub async fn run(name: &str, setting: &Setting) -> Try<Vec<Finding>> {
    let finding = match name {
        "A1" => kill::server_killed(setting).await?,
        "A2" => crash::file(setting).await?,
        "A3" => return synced::before_each_answer(setting).await,
        "A4" => crash::nodes(setting).await?,
        "B1" => kitchens::kitchens_killed(setting).await?,
        "B2" => return stop::out_of_memory(setting).await,
        "B3" => return stop::stopped_and_busy(setting).await,
        "B5" => kill::children_follow(setting).await?,
        "C1" => fence::paused(setting).await?,
        "C2" => fence::ambiguous(setting).await?,
        "D1" => database::restarted(setting).await?,
        "D2" => database::silent(setting).await?,
        "D3" => database::promoted(setting).await?,
        "E1" => return disk::full(setting).await,
        "E2" => return logs::dead_output(setting).await,
        "F" => return clocks::jumping(setting).await,
        "G1" => return overload::ten_times(setting).await,
        "G2" => fair::quiet_behind_noisy(setting).await?,
        "G3" => return fair::burning(setting).await,
        "H1" => door::slow_clients(setting).await?,
        "H2" => readers::stalled_readers(setting).await?,
        "H3" => door::no_descriptors(setting).await?,
        "I1" => {
            return Ok(stores::each("I1 100,000 queued", async |store| crowd::a_long_queue(setting, store).await).await);
        }
        "J" => crowd::cancel_storm(setting).await?,
        "K" => return shutdown::under_load(setting).await,
        "L2" => same::answers(setting).await?,
        "M" => return Ok(vec![greedy::refused_up_front(setting).await?, keys::without_end(setting).await?]),
        "Q" => {
            return Ok(
                stores::each("Q idempotent retries", async |store| retries::idempotent(setting, store).await).await
            );
        }
        "R" => {
            return Ok(stores::each("R vanishing POSTs", async |store| retries::vanishing(setting, store).await).await);
        }
        other => return Err(format!("no row {other}").into()),
    };
    Ok(vec![finding])
}

/// A recipe of one step.
fn recipe(work: Value) -> Value {
    json!({"name": "torture", "steps": [{"name": "step", "work": work}]})
}

/// An order that waits.
fn waiting(model: &str, ms: u64) -> Value {
    json!({"model": model, "recipe": recipe(json!({"kind": "wait", "ms": ms}))})
}

/// The same order with the mark the checker looks for; an empty key leaves none, for orders that are weighed.
fn marked(mut order: Value, key: &str) -> Value {
    if !key.is_empty() {
        order["labels"] = json!({"torture": key});
    }
    order
}

/// Places orders in batches; all must be accepted. Answers their ids in order.
async fn place_all(client: &mut Client, ledger: &Ledger, orders: &[(String, Value)]) -> Try<Vec<u128>> {
    let mut ids = Vec::with_capacity(orders.len());
    for part in orders.chunks(1_000) {
        let bodies: Vec<Value> = part.iter().map(|(key, order)| marked(order.clone(), key)).collect();
        let sent = ledger.now();
        let answer = client.post("/orders/batch", &json!({"orders": bodies})).await?;
        if answer.status != 202 {
            return Err(format!("batch: {}: {}", answer.status, String::from_utf8_lossy(&answer.body)).into());
        }
        let placed = answer.json()?;
        let placed = placed["data"].as_array().ok_or("no data in the batch's answer")?;
        for ((key, order), accepted) in part.iter().zip(placed) {
            let id = accepted["id"].as_str().and_then(wire::id).ok_or("an order without id")?;
            ledger.append(Call {
                key: key.as_str().into(),
                body_hash: hash(order.to_string().as_bytes()),
                sent,
                received: Some(ledger.now()),
                status: answer.status,
                order: Some(id),
                replayed: false,
                places: true,
            });
            ids.push(id);
        }
    }
    Ok(ids)
}

/// Looks at `/stats` until it holds; answers how long that took.
async fn until(client: &mut Client, at_most: Duration, what: &str, holds: impl Fn(&Value) -> bool) -> Try<Duration> {
    let began = Instant::now();
    loop {
        let stats = checker::stats(client).await?;
        if holds(&stats) {
            return Ok(began.elapsed());
        }
        if began.elapsed() > at_most {
            return Err(format!("not within {at_most:?}: {what}: {stats}").into());
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// The order when it has ended.
async fn ended(client: &mut Client, id: u128) -> Try<Value> {
    let path = format!("/orders/{}?wait=60", wire::id_text(id));
    let order = client.json(&path).await?;
    if order["done"] != json!(true) {
        return Err(format!("{} did not end within 60 s", wire::id_text(id)).into());
    }
    Ok(order)
}
