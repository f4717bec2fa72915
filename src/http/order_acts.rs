//! What can be done to an order that is there: stop it, try it again, forget it; and stopping many at once.
//!
//! It deliberately never changes an ended order: another try is an order of its own.

use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use futures_util::future::join_all;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::AppState;
use super::caller::Caller;
use super::live;
use super::once;
use super::order_list::{self, Conditions};
use super::orders::{Answer, down, find, id, json, refusal, render, replayed_and_gone};
use super::problem::{self, Problem};
use super::request::{self, NoParams};
use super::wire::OrderView;
use crate::domain::ask::LabelsAsk;
use crate::domain::id::OrderId;
use crate::domain::job::Status;
use crate::domain::limits;
use crate::domain::resolve::Violation;
use crate::kitchen::Kitchen;
use crate::store::{CancelAnswer, DeleteAnswer, Query};

/// Stop an order
///
/// A waiting order is canceled at once (200). A running one is asked to stop (202) and ends as `canceled` within 100 ms,
/// child processes within 250 ms. Cancelling a canceled order again is a 200.
#[utoipa::path(post, path = "/orders/{id}/cancel", operation_id = "cancelOrder", tag = "orders",
    params(("id" = String, Path, description = "The order's id")),
    responses(
        (status = 200, description = "Canceled", body = OrderView),
        (status = 202, description = "Asked to stop", body = OrderView),
        (status = 404, description = "Never issued", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "Ended otherwise", body = Problem, content_type = "application/problem+json"),
        (status = 410, description = "No longer kept, or lost on restart", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Bad parameter", body = Problem, content_type = "application/problem+json"),
    ))]
pub async fn cancel(State(app): State<AppState>, caller: Caller, Path(text): Path<String>, _: NoParams) -> Answer {
    let id = find(&app.kitchen, &caller, id(&text)?).await?.id;
    match app.kitchen.cancel(id).await.map_err(down)? {
        CancelAnswer::Canceled { job, .. } => Ok(render(&job, live::done(&app.kitchen, &job).await, StatusCode::OK)),
        CancelAnswer::Running(job) => Ok(render(&job, live::done(&app.kitchen, &job).await, StatusCode::ACCEPTED)),
        CancelAnswer::Ended(job) => {
            Err(Problem::new(&problem::NOT_CANCELABLE, format!("{id} has {}", job.status.name())))
        }
        CancelAnswer::Absent => Err(gone(id)),
    }
}

/// Delete an order
///
/// Forgets an ended order and its steps. It never stops one: cancel it first.
#[utoipa::path(delete, path = "/orders/{id}", operation_id = "deleteOrder", tag = "orders",
    params(("id" = String, Path, description = "The order's id")),
    responses(
        (status = 204, description = "Forgotten"),
        (status = 404, description = "Never issued", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "Still active", body = Problem, content_type = "application/problem+json"),
        (status = 410, description = "No longer kept, or lost on restart", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Bad parameter", body = Problem, content_type = "application/problem+json"),
    ))]
pub async fn delete(State(app): State<AppState>, caller: Caller, Path(text): Path<String>, _: NoParams) -> Answer {
    let id = find(&app.kitchen, &caller, id(&text)?).await?.id;
    match app.kitchen.delete(id).await.map_err(down)? {
        DeleteAnswer::Deleted => Ok(StatusCode::NO_CONTENT.into_response()),
        DeleteAnswer::Active => Err(Problem::new(&problem::ACTIVE, format!("{id} has not ended"))),
        DeleteAnswer::Absent => Err(gone(id)),
    }
}

/// Try an order again
///
/// Places a new order that is the same in everything, the seed included, and names this one in `retry_of`. The ended order
/// stays as it is.
#[utoipa::path(post, path = "/orders/{id}/retry", operation_id = "retryOrder", tag = "orders",
    params(
        ("id" = String, Path, description = "The order's id"),
        ("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 257, pattern = r#"^([!#-\[\]-~]{1,255}|"[!#-\[\]-~]{1,255}")$"#, description = "As for placing an order: one new order per key, however often it is sent."),
        ("traceparent" = Option<String>, Header, description = "W3C Trace Context; the new order belongs to this trace, or else to that of the old one."),
    ),
    responses(
        (status = 202, description = "The new order", body = OrderView,
            headers(("Location" = String, description = "The new order"), ("Retry-After" = String, description = "Seconds"), ("X-Order-Status" = String, description = "Its status"), ("Idempotency-Replayed" = String, description = "`true` if this key had placed the order before"))),
        (status = 400, description = "A bad key", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "Never issued", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "Still active", body = Problem, content_type = "application/problem+json"),
        (status = 410, description = "No longer kept, or lost on restart", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A key that was used for another request", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "You have your share of the house", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "The house is full or closing", body = Problem, content_type = "application/problem+json"),
    ))]
pub async fn retry(
    State(app): State<AppState>,
    caller: Caller,
    Path(text): Path<String>,
    _: NoParams,
    headers: HeaderMap,
) -> Answer {
    let key = once::key(&headers)?;
    let job = find(&app.kitchen, &caller, id(&text)?).await?;
    if !job.status.is_done() {
        return Err(Problem::new(&problem::ACTIVE, format!("{} has not ended", job.id)));
    }
    let once = key.map(|key| once::of(&caller, key, &format!("/orders/{}/retry", job.id), &()));
    let mut spec = (*job.spec).clone();
    spec.traceparent = request::traceparent(&headers).or(spec.traceparent);
    let placed = app.kitchen.retry(&caller.client, job.id, spec, once).await.map_err(refusal)?;
    let again = placed.jobs.into_iter().next().ok_or_else(replayed_and_gone)?;
    let mut response = render(&again, live::done(&app.kitchen, &again).await, StatusCode::ACCEPTED);
    if placed.before {
        once::replayed(&mut response);
    }
    Ok(response)
}

/// How long stopping many orders may take. Chosen: as many as the house holds, 20 ms for each page of them, ten times over.
const STOP_MANY: Duration = Duration::from_secs(100);

/// States an order can be stopped in, and so the most that a condition may name.
const STOPPABLE: usize = 2;

/// Which orders to stop: all conditions must hold, and at least one must be given.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
#[schema(example = json!({"status": ["queued"], "labels": {"run": "7"}}))]
pub struct CancelAsk {
    /// Of these states only: `queued`, `running`; both if absent.
    #[schema(value_type = Option<Vec<Stoppable>>, max_items = 2)]
    pub status: Option<Vec<String>>,
    /// Of this model only.
    pub model: Option<String>,
    /// With all of these labels only.
    #[schema(value_type = Option<std::collections::BTreeMap<String, String>>)]
    pub labels: Option<LabelsAsk>,
    /// Accepted after this time only (RFC 3339).
    #[schema(format = DateTime)]
    pub created_after: Option<String>,
    /// Accepted before this time only (RFC 3339).
    #[schema(format = DateTime)]
    pub created_before: Option<String>,
}

/// A state that an order can be stopped in.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum Stoppable {
    /// Accepted, not begun.
    Queued,
    /// Being cooked.
    Running,
}

/// What became of the orders that were to be stopped.
#[derive(Debug, Default, Serialize, ToSchema)]
pub struct CancelTally {
    /// Were waiting and are canceled.
    #[schema(minimum = 0, maximum = 9_007_199_254_740_991_i64)]
    pub canceled: u64,
    /// Are running and were asked to stop.
    #[schema(minimum = 0, maximum = 9_007_199_254_740_991_i64)]
    pub requested: u64,
}

/// Stop many orders
///
/// Cancels every active order that meets all conditions, also if the client leaves before the answer. A body without any
/// condition is refused.
#[utoipa::path(post, path = "/orders/cancel", operation_id = "cancelOrders", tag = "orders",
    request_body = CancelAsk,
    responses(
        (status = 200, description = "How many were stopped, or asked to stop", body = CancelTally),
        (status = 400, description = "Not JSON, or a field twice", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "Body too large", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "Body not JSON by its content type", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "No condition, or a bad one", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "What keeps the orders did not stop all of them; ask again", body = Problem, content_type = "application/problem+json"),
    ))]
pub async fn cancel_many(
    State(app): State<AppState>,
    caller: Caller,
    _: NoParams,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    let ask: CancelAsk = request::json(&headers, &request::bytes(&headers, body).await?)?;
    let query = Query { owner: caller.confined_to(), ..which(ask)? };
    let kitchen = app.kitchen.clone();
    // Whoever leaves after having asked for it does not leave half of it undone.
    let stopped = app.running_on.run(STOP_MANY, async move { stop_all(&kitchen, query).await }).await;
    let late = || Problem::new(&problem::STORE_DOWN, "not all of them could be stopped in time; ask again");
    let tally =
        stopped.map_err(|_| Problem::new(&problem::INTERNAL, "stopping them broke off"))?.ok_or_else(late)??;
    Ok(json(StatusCode::OK, &tally))
}

/// Stops every active order that this finds, a page at a time.
async fn stop_all(kitchen: &Kitchen, mut query: Query) -> Result<CancelTally, Problem> {
    let mut tally = CancelTally::default();
    loop {
        let page = kitchen.store.list(query.clone()).await.map_err(down)?;
        // All at once: each write of a durable store waits for the disk, and those that wait together share it.
        for answer in join_all(page.jobs.iter().map(|job| kitchen.cancel(job.id))).await {
            match answer.map_err(down)? {
                CancelAnswer::Canceled { now: true, .. } => tally.canceled += 1,
                CancelAnswer::Running(_) => tally.requested += 1,
                CancelAnswer::Canceled { .. } | CancelAnswer::Ended(_) | CancelAnswer::Absent => {}
            }
        }
        query.before = page.next;
        if page.next.is_none() {
            return Ok(tally);
        }
        // A hundred thousand orders take a while; others are answered meanwhile.
        tokio::task::yield_now().await;
    }
}

fn which(ask: CancelAsk) -> Result<Query, Problem> {
    let labels = ask.labels.map_or_else(Vec::new, |LabelsAsk(pairs)| pairs);
    let given = Conditions {
        status: ask.status.unwrap_or_default(),
        model: ask.model,
        labels,
        created_after: ask.created_after,
        created_before: ask.created_before,
    };
    if given == Conditions::default() {
        return Err(Problem::new(&problem::EMPTY_FILTER, "name at least one condition, as {\"status\": [\"queued\"]}"));
    }
    if given.status.len() > STOPPABLE {
        let detail = format!("must be at most {STOPPABLE} states");
        return Err(Problem::with(&problem::INVALID, vec![Violation::new("/status", detail)]));
    }
    let place = |name: &str| format!("/{name}");
    let mut query = order_list::query(given, place).map_err(|bad| Problem::with(&problem::INVALID, vec![bad]))?;
    if query.status.is_empty() {
        query.status = vec![Status::Queued, Status::Running];
    }
    if query.status.iter().any(|status| status.is_done()) {
        return Err(Problem::with(&problem::INVALID, vec![order_list::only_active()]));
    }
    Ok(Query { limit: limits::PAGE, ..query })
}

fn gone(id: OrderId) -> Problem {
    Problem::new(&problem::GONE, format!("{id} is no longer kept"))
}
