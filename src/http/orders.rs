//! Placing, reading, stopping and deleting orders.
//!
//! It deliberately holds no rule of cooking: read, call the kitchen, render.

use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::header::{CONTENT_TYPE, ETAG, IF_NONE_MATCH, LOCATION, RETRY_AFTER};
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode, Uri};
use axum::response::IntoResponse;
use serde::Serialize;

use super::AppState;
use super::problem::{self, Problem};
use super::request::{self, Hold, Params};
use super::wire::{self, OrderView};
use crate::domain::ask::OrderAsk;
use crate::domain::id::OrderId;
use crate::domain::job::Job;
use crate::kitchen::{Found, Kitchen, Refusal};
use crate::store::{CancelAnswer, DeleteAnswer};

/// Header fields that an answer of JSON has room for.
const HEADERS: usize = 12;

type Answer = Result<Response<Body>, Problem>;

/// Place an order
///
/// The order runs in the background; poll it, hold the answer with `wait`, or follow its events. Without a body the query
/// parameters are the order. A failed order is no HTTP error: its status says so. A client that leaves cancels nothing.
#[utoipa::path(post, path = "/orders", operation_id = "placeOrder", tag = "orders",
    params(
        ("wait" = Option<u64>, Query, minimum = 0, maximum = 60, description = "Seconds to hold the answer until the order has ended; also as `Prefer: wait=N`."),
        ("preset" = Option<String>, Query, description = "Without a body: a named whole order."),
        ("model" = Option<String>, Query, description = "Without a body: the model."),
        ("recipe" = Option<String>, Query, description = "Without a body: a built-in recipe."),
        ("dishes" = Option<u64>, Query, minimum = 1, maximum = 3_000_000, description = "Without a body: how many dishes."),
        ("io_ms" = Option<u64>, Query, minimum = 0, maximum = 3_600_000, description = "Without a body: shorthand, the wait."),
        ("cpu_ms" = Option<u64>, Query, minimum = 0, maximum = 3_600_000, description = "Without a body: shorthand, the CPU step."),
        ("step_order" = Option<String>, Query, description = "Without a body: order of the steps."),
        ("isolation" = Option<String>, Query, description = "Without a body: where it is cooked."),
        ("speed" = Option<u64>, Query, minimum = 1, maximum = 1_000_000, description = "Without a body: divisor of every wait."),
        ("seed" = Option<u64>, Query, minimum = 0, maximum = 9_007_199_254_740_991_i64, description = "Without a body: fixes random draws."),
        ("max_in_flight" = Option<u64>, Query, minimum = 1, maximum = 3_000_000, description = "Without a body: dishes at once."),
        ("timeout_ms" = Option<u64>, Query, minimum = 1, maximum = 86_400_000, description = "Without a body: run time limit."),
    ),
    request_body(content = OrderAsk, description = "The order; no body if the query says it."),
    responses(
        (status = 202, description = "Accepted; not ended yet", body = OrderView,
            headers(("Location" = String, description = "The order"), ("Retry-After" = String, description = "Seconds"), ("X-Order-Status" = String, description = "Its status"))),
        (status = 200, description = "Accepted and ended within `wait`", body = OrderView,
            headers(("X-Order-Status" = String, description = "Its status"))),
        (status = 400, description = "Not JSON, or a field twice", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "Body too large", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "Body not JSON by its content type", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Violations, each with its pointer", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "The house is full or closing", body = Problem, content_type = "application/problem+json"),
    ))]
pub async fn place(State(app): State<AppState>, uri: Uri, headers: HeaderMap, body: Body) -> Answer {
    let kitchen = &app.kitchen;
    let mut params = Params::of(&uri)?;
    let hold = request::hold(&mut params, &headers)?;
    let body = request::bytes(&headers, body).await?;
    kitchen.admits().map_err(refusal)?;
    let ask = request::order(&mut params, &headers, &body)?;
    params.done()?;
    let spec = kitchen.resolve(ask).map_err(|bad| Problem::with(&problem::INVALID, bad))?;
    let job = kitchen.submit(vec![spec]).map_err(refusal)?.pop();
    let job = job.ok_or_else(|| Problem::new(&problem::INTERNAL, "an accepted order was not returned"))?;
    let job = match hold.seconds {
        0 => job,
        seconds => held(&app, job.id, seconds, None).await?,
    };
    let status = if job.status.is_done() { StatusCode::OK } else { StatusCode::ACCEPTED };
    let mut response = render(kitchen, &job, status);
    applied(&mut response, hold);
    Ok(response)
}

/// Why the house did not accept an order.
pub fn refusal(refusal: Refusal) -> Problem {
    match refusal {
        Refusal::Full => Problem::new(&problem::FULL, refusal.to_string()),
        Refusal::Draining => Problem::new(&problem::DRAINING, refusal.to_string()),
    }
}

fn applied(response: &mut Response<Body>, hold: Hold) {
    if hold.preferred
        && let Ok(value) = HeaderValue::from_str(&format!("wait={}", hold.seconds))
    {
        response.headers_mut().insert("preference-applied", value);
        response.headers_mut().insert("vary", HeaderValue::from_static("Prefer"));
    }
}

/// The order as it stands, with every header an order's answer has.
fn render(kitchen: &Kitchen, job: &Job, status: StatusCode) -> Response<Body> {
    let live = wire::live(kitchen, job);
    let view = OrderView::new(job, live);
    let mut response = json(status, &view);
    let headers = response.headers_mut();
    let mut put = |name: axum::http::HeaderName, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(name, value);
        }
    };
    put(ETAG, &wire::etag(job, live));
    if status == StatusCode::ACCEPTED {
        put(LOCATION, &view.links.this);
    }
    headers.insert("x-order-status", HeaderValue::from_static(job.status.name()));
    if !job.status.is_done() {
        headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

/// A JSON answer.
pub fn json(status: StatusCode, value: &impl Serialize) -> Response<Body> {
    match serde_json::to_vec(value) {
        Ok(body) => {
            let mut response = Response::new(Body::from(body));
            *response.status_mut() = status;
            // An order's answer has nine; growing on the way would hash all of them twice.
            response.headers_mut().reserve(HEADERS);
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            response
        }
        Err(error) => {
            tracing::error!(%error, "cannot write an answer");
            Problem::new(&problem::INTERNAL, "the answer could not be written").into_response()
        }
    }
}

/// Holds until the order has ended, or changed from `seen`, or time is up, or the service is about to end.
async fn held(app: &AppState, id: OrderId, seconds: u64, seen: Option<&str>) -> Result<Job, Problem> {
    let kitchen = &app.kitchen;
    let watched = kitchen.watch(id);
    let ended = watched.ended();
    let job = find(kitchen, id)?;
    let changed = seen.is_some_and(|seen| seen != wire::etag(&job, wire::live(kitchen, &job)));
    if job.status.is_done() || changed {
        return Ok(job);
    }
    // Time being up is no error: the order is answered as it stands.
    let _ = app.before_closing(tokio::time::timeout(Duration::from_secs(seconds), ended)).await;
    find(kitchen, id)
}

/// One order, or why it is not here.
pub fn find(kitchen: &Kitchen, id: OrderId) -> Result<Job, Problem> {
    match kitchen.get(id) {
        Found::Here(job) => Ok(*job),
        Found::Gone => Err(Problem::new(&problem::GONE, format!("{id} is no longer kept"))),
        Found::LostOnRestart => Err(Problem::new(&problem::LOST, format!("{id} was lost when the service restarted"))),
        Found::Unknown => Err(Problem::new(&problem::NOT_FOUND, format!("{id} was never issued by this service"))),
    }
}

/// An id from a path.
pub fn id(text: &str) -> Result<OrderId, Problem> {
    OrderId::parse(text, "ord_")
        .ok_or_else(|| Problem::new(&problem::NOT_FOUND, "no order has an id of this form; they look like ord_019..."))
}

/// Read an order
///
/// Answers at once, or with `wait` when the order has ended. With `If-None-Match` an unchanged order is a 304.
#[utoipa::path(get, path = "/orders/{id}", operation_id = "getOrder", tag = "orders",
    params(
        ("id" = String, Path, description = "The order's id"),
        ("wait" = Option<u64>, Query, minimum = 0, maximum = 60, description = "Seconds to hold the answer until the order has ended; also as `Prefer: wait=N`."),
    ),
    responses(
        (status = 200, description = "The order", body = OrderView,
            headers(("ETag" = String, description = "attempt.revision"), ("X-Order-Status" = String, description = "Its status"))),
        (status = 304, description = "Unchanged"),
        (status = 404, description = "Never issued", body = Problem, content_type = "application/problem+json"),
        (status = 410, description = "No longer kept, or lost on restart", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Bad parameter", body = Problem, content_type = "application/problem+json"),
    ))]
pub async fn get(State(app): State<AppState>, Path(text): Path<String>, uri: Uri, headers: HeaderMap) -> Answer {
    let kitchen = &app.kitchen;
    let mut params = Params::of(&uri)?;
    let hold = request::hold(&mut params, &headers)?;
    params.done()?;
    let id = id(&text)?;
    let seen = headers.get(IF_NONE_MATCH).and_then(|v| v.to_str().ok());
    let job = match hold.seconds {
        0 => find(kitchen, id)?,
        seconds => held(&app, id, seconds, seen).await?,
    };
    let tag = wire::etag(&job, wire::live(kitchen, &job));
    if seen.is_some_and(|seen| seen.split(',').any(|s| s.trim().trim_start_matches("W/") == tag || s.trim() == "*")) {
        let mut response = StatusCode::NOT_MODIFIED.into_response();
        if let Ok(tag) = HeaderValue::from_str(&tag) {
            response.headers_mut().insert(ETAG, tag);
        }
        return Ok(response);
    }
    let mut response = render(kitchen, &job, StatusCode::OK);
    applied(&mut response, hold);
    Ok(response)
}

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
    ))]
pub async fn cancel(State(app): State<AppState>, Path(text): Path<String>) -> Answer {
    let id = id(&text)?;
    match app.kitchen.cancel(id) {
        CancelAnswer::Canceled(job) => Ok(render(&app.kitchen, &job, StatusCode::OK)),
        CancelAnswer::Running(job) => Ok(render(&app.kitchen, &job, StatusCode::ACCEPTED)),
        CancelAnswer::Ended(job) => {
            Err(Problem::new(&problem::NOT_CANCELABLE, format!("{id} has {}", job.status.name())))
        }
        CancelAnswer::Absent => Err(find(&app.kitchen, id).err().unwrap_or_else(|| gone(id))),
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
    ))]
pub async fn delete(State(app): State<AppState>, Path(text): Path<String>) -> Answer {
    let id = id(&text)?;
    match app.kitchen.delete(id) {
        DeleteAnswer::Deleted => Ok(StatusCode::NO_CONTENT.into_response()),
        DeleteAnswer::Active => Err(Problem::new(&problem::ACTIVE, format!("{id} has not ended"))),
        DeleteAnswer::Absent => Err(find(&app.kitchen, id).err().unwrap_or_else(|| gone(id))),
    }
}

fn gone(id: OrderId) -> Problem {
    Problem::new(&problem::GONE, format!("{id} is no longer kept"))
}
