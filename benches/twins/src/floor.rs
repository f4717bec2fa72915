//! The floor: the bare axum handler that parses an order and answers one of the same shape and size.
//!
//! No queue, no store, no work, no validation beyond the types, no error pages, axum's own accept loop: nothing a job
//! service could leave out is in here, so orders per second through the service are given as a fraction of this.

use std::collections::BTreeMap;
use std::io::Write;

use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// As many as the service's HTTP runtime has on two cores.
const WORKERS: usize = 2;

const USAGE: &str = "usage: floor [--bind 127.0.0.1:PORT]";

#[derive(Deserialize, Serialize, Clone, Copy)]
#[serde(rename_all = "lowercase")]
enum Model {
    Sequential,
    Asyncio,
    Multithreading,
    Multiprocessing,
}

#[derive(Deserialize, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
enum Work {
    Wait { ms: u64 },
    Cpu { iterations: u64 },
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Step {
    name: String,
    work: Work,
    #[serde(default)]
    after: Vec<String>,
    #[serde(default)]
    needs: Vec<String>,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Recipe {
    name: String,
    #[serde(default)]
    equipment: BTreeMap<String, u32>,
    steps: Vec<Step>,
}

fn one() -> u32 {
    1
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    model: Model,
    #[serde(default = "one")]
    dishes: u32,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    recipe: Recipe,
}

#[derive(Serialize)]
struct Setup {
    chef: &'static str,
    assistants: u32,
    gil: bool,
}

#[derive(Serialize)]
struct Progress {
    steps_done: u64,
    steps_total: u64,
    dishes_done: u32,
    dishes_total: u32,
}

#[derive(Serialize)]
struct Timings {
    queue_ms: Option<f64>,
    makespan_ms: Option<f64>,
    mean_dish_ms: Option<f64>,
    p95_dish_ms: Option<f64>,
    cpu_ms: Option<f64>,
    peak_memory_bytes: Option<u64>,
}

#[derive(Serialize)]
struct Links {
    #[serde(rename = "self")]
    this: String,
    events: String,
    steps: String,
    timeline: String,
    cancel: String,
}

#[derive(Serialize)]
struct Order {
    id: String,
    status: &'static str,
    done: bool,
    model: Model,
    setup: Setup,
    recipe: Recipe,
    dishes: u32,
    step_order: &'static str,
    isolation: &'static str,
    speed: u32,
    seed: u64,
    labels: BTreeMap<String, String>,
    timeout_ms: Option<u64>,
    max_in_flight: Option<u32>,
    created_at: Timestamp,
    started_at: Option<Timestamp>,
    finished_at: Option<Timestamp>,
    retained_until: Option<Timestamp>,
    progress: Progress,
    timings: Timings,
    concurrent_orders: u32,
    result: Option<u64>,
    error: Option<u64>,
    links: Links,
}

async fn order(Json(asked): Json<Asked>) -> (StatusCode, Json<Order>) {
    let id = Uuid::now_v7();
    let steps_total = u64::from(asked.dishes) * asked.recipe.steps.len() as u64;
    let order = Order {
        id: format!("ord_{id}"),
        status: "queued",
        done: false,
        model: asked.model,
        setup: Setup {
            chef: "house",
            assistants: 0,
            gil: false,
        },
        recipe: asked.recipe,
        dishes: asked.dishes,
        step_order: "recipe",
        isolation: "house",
        speed: 1,
        // The service draws a seed for every order: the low half of the id is as random.
        seed: id.as_u64_pair().1 >> 11,
        labels: asked.labels,
        timeout_ms: None,
        max_in_flight: None,
        created_at: Timestamp::now(),
        started_at: None,
        finished_at: None,
        retained_until: None,
        progress: Progress {
            steps_done: 0,
            steps_total,
            dishes_done: 0,
            dishes_total: asked.dishes,
        },
        timings: Timings {
            queue_ms: None,
            makespan_ms: None,
            mean_dish_ms: None,
            p95_dish_ms: None,
            cpu_ms: None,
            peak_memory_bytes: None,
        },
        concurrent_orders: 0,
        result: None,
        error: None,
        links: Links {
            this: format!("/orders/ord_{id}"),
            events: format!("/orders/ord_{id}/events"),
            steps: format!("/orders/ord_{id}/steps"),
            timeline: format!("/orders/ord_{id}/timeline"),
            cancel: format!("/orders/ord_{id}/cancel"),
        },
    };
    (StatusCode::ACCEPTED, Json(order))
}

async fn serve(bind: &str) -> std::io::Result<()> {
    let listener = tokio::net::TcpListener::bind(bind).await?;
    println!("http://{}", listener.local_addr()?);
    std::io::stdout().flush()?;
    let ok = || async { "ok" };
    // The two probes let the same prober measure this server as an idle or disturbed reference.
    let router = Router::new()
        .route("/orders", post(order))
        .route("/livez", get(ok))
        .route("/readyz", get(ok));
    axum::serve(listener, router).await
}

fn main() -> std::io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let bind = match arguments.as_slice() {
        [] => "127.0.0.1:0",
        [name, bind] if name == "--bind" => bind,
        _ => {
            eprintln!("{USAGE}");
            std::process::exit(2);
        }
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .enable_all()
        .build()?;
    runtime.block_on(serve(bind))
}
