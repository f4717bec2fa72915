//! Placing many orders at once: all of them or none.
//!
//! It deliberately has no partial success: a client that wants that sends them one by one.

use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Response, StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::AppState;
use super::caller::Caller;
use super::live;
use super::once;
use super::orders::{json_of, refusal};
use super::problem::{self, Problem};
use super::request::{self, NoParams};
use super::wire::OrderView;
use crate::domain::ask::OrderAsk;
use crate::domain::ask_json::objects;
use crate::domain::limits;
use crate::domain::resolve::Violation;
use crate::domain::spec::Spec;

/// How long a batch waits for its refusal where the house is full. A client that sends five hundred orders again at once costs, though
/// nobody parses them, the cores that would make room: four of them left a third less to cook with (2 cores, scripts/bench, row
/// `batch`). An order alone is refused at once.
const PACE: Duration = Duration::from_millis(1);

/// What `POST /orders/batch` accepts.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"orders": [{"model": "asyncio"}, {"model": "multithreading", "io_ms": 10}]}))]
pub struct BatchAsk {
    /// The orders.
    #[serde(deserialize_with = "objects::<_, _, { limits::BATCH }>")]
    #[schema(min_items = 1, max_items = 1000)]
    pub orders: Vec<OrderAsk>,
}

/// The orders of a batch, in its order.
#[derive(Serialize, ToSchema)]
#[schema(as = OrderBatch)]
pub struct BatchView<'a> {
    /// The orders as they were accepted.
    #[schema(max_items = 1000)]
    pub data: Vec<OrderView<'a>>,
}

/// Place many orders
///
/// All or nothing: if one cannot be accepted, none is, and every violation of every order is listed.
#[utoipa::path(post, path = "/orders/batch", operation_id = "placeOrders", tag = "orders",
    params(
        ("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 257, pattern = r#"^([!#-\[\]-~]{1,255}|"[!#-\[\]-~]{1,255}")$"#, description = "As for one order; it names the whole batch."),
        ("traceparent" = Option<String>, Header, description = "W3C Trace Context; carried with each order."),
    ),
    request_body = BatchAsk,
    responses(
        (status = 202, description = "Accepted; read each order for its end", body = BatchView),
        (status = 400, description = "Not JSON, or a field twice", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "Body too large", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "Body not JSON by its content type", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Violations, each with its pointer", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "You have your share of the house", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "The house is full or closing", body = Problem, content_type = "application/problem+json"),
    ))]
pub async fn place(
    State(app): State<AppState>,
    caller: Caller,
    _: NoParams,
    headers: HeaderMap,
    body: Body,
) -> Result<Response<Body>, Problem> {
    let key = once::key(&headers)?;
    let body = request::bytes_up_to(limits::BATCH_BYTES, &headers, body).await?;
    if key.is_none()
        && let Err(full) = app.kitchen.admits(&caller.client)
    {
        tokio::time::sleep(PACE).await;
        return Err(refusal(full));
    }
    let ask: BatchAsk = request::json(&headers, &body)?;
    let once = key.map(|key| once::of(&caller, key, "/orders/batch", &ask.orders));
    let traceparent = request::traceparent(&headers);
    let mut bad = Vec::new();
    if ask.orders.is_empty() || ask.orders.len() > limits::BATCH {
        bad.push(Violation::new("/orders", format!("must be 1 to {} orders", limits::BATCH)));
    }
    let mut specs = Vec::with_capacity(ask.orders.len().min(limits::BATCH));
    for (i, order) in ask.orders.into_iter().take(limits::BATCH).enumerate() {
        match app.kitchen.resolve(order) {
            Ok(spec) => specs.push(Spec { traceparent, ..spec }),
            Err(found) => {
                let below = |v: Violation| Violation::new(format!("/orders/{i}{}", v.pointer), v.detail);
                bad.extend(found.into_iter().map(below));
            }
        }
    }
    if !bad.is_empty() {
        return Err(Problem::with(&problem::INVALID, bad));
    }
    let placed = app.kitchen.submit(&caller.client, specs, once).await.map_err(refusal)?;
    let data = placed.jobs.iter().map(|job| OrderView::new(job, live::here(&app.kitchen, job))).collect();
    let mut response = json_of(StatusCode::ACCEPTED, &BatchView { data }, placed.jobs.len());
    if placed.before {
        once::replayed(&mut response);
    }
    Ok(response)
}
