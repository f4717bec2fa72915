//! Placing and reading orders.
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
use super::caller::Caller;
use super::live;
use super::once;
use super::problem::{self, Problem};
use super::request::{self, Hold, Params};
use super::wire::{self, Done, OrderView};
use crate::clock;
use crate::domain::ask::OrderAsk;
use crate::domain::id::OrderId;
use crate::domain::job::Job;
use crate::domain::recipe::StepOrder;
use crate::domain::spec::Isolation;
use crate::kitchen::{Found, Kitchen, Refusal};
use crate::store::Down;

/// Header fields that an answer of JSON has room for.
const HEADERS: usize = 12;

/// Bytes that most answers fit into; an order has 1,500. Growing there from nothing would copy it twice.
const JSON_BYTES: usize = 2_048;

/// What handlers answer.
pub type Answer = Result<Response<Body>, Problem>;

/// Place an order
///
/// The order runs in the background; poll it, hold the answer with `wait`, or follow its events. A POST without a body is
/// allowed: the query parameters are the order then. A failed order is no HTTP error: its status says so. A client that leaves cancels nothing.
#[utoipa::path(post, path = "/orders", operation_id = "placeOrder", tag = "orders",
    params(
        ("wait" = Option<u64>, Query, minimum = 0, maximum = 60, description = "Seconds to hold the answer until the order has ended; also as `Prefer: wait=N`. Answered earlier if the service needs the connection for others."),
        ("preset" = Option<String>, Query, description = "Without a body: a named whole order."),
        ("model" = Option<String>, Query, description = "Without a body: the model."),
        ("recipe" = Option<String>, Query, description = "Without a body: a built-in recipe."),
        ("dishes" = Option<u64>, Query, minimum = 1, maximum = 3_000_000, description = "Without a body: how many dishes."),
        ("io_ms" = Option<u64>, Query, minimum = 0, maximum = 3_600_000, description = "Without a body: shorthand, the wait."),
        ("cpu_ms" = Option<u64>, Query, minimum = 0, maximum = 3_600_000, description = "Without a body: shorthand, the CPU step."),
        ("step_order" = Option<StepOrder>, Query, description = "Without a body: order of the steps."),
        ("isolation" = Option<Isolation>, Query, description = "Without a body: where it is cooked."),
        ("speed" = Option<u64>, Query, minimum = 1, maximum = 1_000_000, description = "Without a body: divisor of every wait."),
        ("seed" = Option<u64>, Query, minimum = 0, maximum = 9_007_199_254_740_991_i64, description = "Without a body: fixes random draws."),
        ("max_in_flight" = Option<u64>, Query, minimum = 1, maximum = 3_000_000, description = "Without a body: dishes at once."),
        ("timeout_ms" = Option<u64>, Query, minimum = 1, maximum = 86_400_000, description = "Without a body: run time limit."),
        ("expires_in_ms" = Option<u64>, Query, minimum = 1, maximum = 86_400_000, description = "Without a body: start deadline."),
        ("max_attempts" = Option<u64>, Query, minimum = 1, maximum = 10, description = "Without a body: attempts as long as they fail."),
        ("retry_wait_ms" = Option<u64>, Query, minimum = 0, maximum = 60_000, description = "Without a body: time between the first two."),
        ("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 257, pattern = r#"^([!#-\[\]-~]{1,255}|"[!#-\[\]-~]{1,255}")$"#, description = "1 to 255 visible ASCII characters, bare or quoted: the same request with the same key places one order, however often it is sent; while the first is on its way the others wait for it and get its answer, not a 409. Kept as long as the order."),
        ("traceparent" = Option<String>, Header, description = "W3C Trace Context; carried with the order."),
    ),
    request_body(content = OrderAsk, description = "The order; no body if the query says it."),
    responses(
        (status = 202, description = "Accepted; not ended yet", body = OrderView,
            headers(("Location" = String, description = "The order"), ("Retry-After" = String, description = "Seconds"), ("X-Order-Status" = String, description = "Its status"), ("Idempotency-Replayed" = String, description = "`true` if this key had placed the order before"))),
        (status = 200, description = "Accepted and ended within `wait`", body = OrderView,
            headers(("X-Order-Status" = String, description = "Its status"))),
        (status = 400, description = "Not JSON, a field twice, or a bad key", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "Body too large", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "Body not JSON by its content type", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Violations, each with its pointer; or a key that was used for another request", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "You have your share of the house", body = Problem, content_type = "application/problem+json",
            headers(("Retry-After" = String, description = "Seconds"))),
        (status = 503, description = "The house is full or closing", body = Problem, content_type = "application/problem+json"),
    ))]
pub async fn place(State(app): State<AppState>, caller: Caller, uri: Uri, headers: HeaderMap, body: Body) -> Answer {
    let kitchen = &app.kitchen;
    let mut params = Params::of(&uri)?;
    let hold = request::hold(&mut params, &headers)?;
    let key = once::key(&headers)?;
    let body = request::bytes(&headers, body).await?;
    if key.is_none() {
        // What has a key may have been here before, and is answered then however full the house is.
        kitchen.admits(&caller.client).map_err(refusal)?;
    }
    let ask = request::order(&mut params, &headers, &body)?;
    params.done()?;
    let once = key.map(|key| once::of(&caller, key, "/orders", &ask));
    let mut spec = kitchen.resolve(ask).map_err(|bad| Problem::with(&problem::INVALID, bad))?;
    spec.traceparent = request::traceparent(&headers);
    let placed = kitchen.submit(&caller.client, vec![spec], once).await.map_err(refusal)?;
    let job = placed.jobs.into_iter().next().ok_or_else(replayed_and_gone)?;
    let job = match hold.seconds {
        0 => job,
        // In a box: most requests hold nothing, and need no room for it.
        seconds => Box::pin(held(&app, &caller, job.id, seconds, None)).await?,
    };
    let status = if job.status.is_done() && hold.seconds > 0 { StatusCode::OK } else { StatusCode::ACCEPTED };
    let mut response = render(&job, live::done(kitchen, &job).await, status);
    applied(&mut response, hold);
    if placed.before {
        once::replayed(&mut response);
    }
    Ok(response)
}

/// Time between two looks at an order that this node does not cook: between a turn of the page and a burden for a database.
pub(super) const LOOK_ELSEWHERE: Duration = Duration::from_millis(500);

/// The order of a key that was forgotten between the look at the key and the look at the order.
pub(super) fn replayed_and_gone() -> Problem {
    Problem::new(&problem::GONE, "the order of this Idempotency-Key is no longer kept")
}

/// Why the house did not accept an order.
pub fn refusal(refusal: Refusal) -> Problem {
    match refusal {
        Refusal::Full(wait) => Problem::new(&problem::FULL, refusal.to_string()).after(wait),
        Refusal::Share(wait) => Problem::new(&problem::QUOTA, refusal.to_string()).after(wait),
        Refusal::KeyReused => Problem::new(&problem::KEY_REUSED, refusal.to_string()),
        Refusal::Draining => Problem::new(&problem::DRAINING, refusal.to_string()),
        Refusal::Down(why) => down(why),
    }
}

/// Why the store cannot answer.
pub fn down(down: Down) -> Problem {
    match down {
        Down::Away => Problem::new(&problem::STORE_DOWN, down.to_string()),
        Down::StorageFull => Problem::new(&problem::STORAGE_FULL, down.to_string()),
    }
}

/// Says which wish to wait was heeded.
pub(super) fn applied(response: &mut Response<Body>, hold: Hold) {
    if hold.preferred
        && let Ok(value) = HeaderValue::from_str(&format!("wait={}", hold.seconds))
    {
        response.headers_mut().insert("preference-applied", value);
        response.headers_mut().insert("vary", HeaderValue::from_static("Prefer"));
    }
}

/// The order as it stands, with every header an order's answer has.
pub fn render(job: &Job, live: Option<Done>, status: StatusCode) -> Response<Body> {
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
        put(LOCATION, &["/orders/", &view.id].concat());
    }
    headers.insert("x-order-status", HeaderValue::from_static(job.status.name()));
    if !job.status.is_done() {
        headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

/// A JSON answer.
pub fn json(status: StatusCode, value: &impl Serialize) -> Response<Body> {
    json_of(status, value, 1)
}

/// A JSON answer that tells of so many orders.
pub fn json_of(status: StatusCode, value: &impl Serialize, orders: usize) -> Response<Body> {
    let mut body = Vec::with_capacity(JSON_BYTES * orders);
    match serde_json::to_writer(&mut body, value) {
        Ok(()) => {
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

/// Holds until the order has ended, or changed from `seen`, or time is up, or the service is about to end, or the connection is needed.
async fn held(app: &AppState, caller: &Caller, id: OrderId, seconds: u64, seen: Option<&str>) -> Result<Job, Problem> {
    let kitchen = &app.kitchen;
    let watched = kitchen.watch(id);
    // Time being up is no error: the order is answered as it stands.
    let until = clock::now() + clock::ns(Duration::from_secs(seconds));
    let (mut has_news, mut is_to_go) = (true, false);
    loop {
        let news = watched.ended();
        let job = find(kitchen, caller, id).await?;
        let changed = match seen {
            Some(seen) if has_news => seen != wire::etag(&job, live::done(kitchen, &job).await),
            _ => false,
        };
        let left = Duration::from_nanos(until.saturating_sub(clock::now()));
        if job.status.is_done() || changed || is_to_go || left.is_zero() {
            return Ok(job);
        }
        // What waits, or runs elsewhere, may end without this node hearing of it: look now and then.
        let look = if kitchen.cooks(id) { left } else { left.min(LOOK_ELSEWHERE) };
        let heard = caller.hold(app, tokio::time::timeout(look, news)).await;
        // The end of a run is news; that of its order only if it is not tried again.
        (has_news, is_to_go) = (matches!(heard, Some(Ok(()))), heard.is_none());
    }
}

/// One order, or why it is not here. Another's order is as unknown as one that never was.
pub async fn find(kitchen: &Kitchen, caller: &Caller, id: OrderId) -> Result<Job, Problem> {
    let unknown = || Problem::new(&problem::NOT_FOUND, format!("{id} was never issued by this service"));
    match kitchen.get(id).await.map_err(down)? {
        Found::Here(job) if caller.sees(&job.owner) => Ok(*job),
        Found::Here(_) => Err(unknown()),
        Found::Gone => Err(Problem::new(&problem::GONE, format!("{id} is no longer kept"))),
        Found::LostOnRestart => Err(Problem::new(&problem::LOST, format!("{id} was lost when the service restarted"))),
        Found::Unknown => Err(unknown()),
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
        ("wait" = Option<u64>, Query, minimum = 0, maximum = 60, description = "Seconds to hold the answer until the order has ended; also as `Prefer: wait=N`. Answered earlier if the service needs the connection for others."),
    ),
    responses(
        (status = 200, description = "The order", body = OrderView,
            headers(("ETag" = String, description = "attempt.revision"), ("X-Order-Status" = String, description = "Its status"))),
        (status = 304, description = "Unchanged"),
        (status = 404, description = "Never issued", body = Problem, content_type = "application/problem+json"),
        (status = 410, description = "No longer kept, or lost on restart", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Bad parameter", body = Problem, content_type = "application/problem+json"),
    ))]
pub async fn get(
    State(app): State<AppState>,
    caller: Caller,
    Path(text): Path<String>,
    uri: Uri,
    headers: HeaderMap,
) -> Answer {
    let kitchen = &app.kitchen;
    let mut params = Params::of(&uri)?;
    let hold = request::hold(&mut params, &headers)?;
    params.done()?;
    let id = id(&text)?;
    let seen = headers.get(IF_NONE_MATCH).and_then(|v| v.to_str().ok());
    let job = match hold.seconds {
        0 => find(kitchen, &caller, id).await?,
        seconds => Box::pin(held(&app, &caller, id, seconds, seen)).await?,
    };
    let live = live::done(kitchen, &job).await;
    let tag = wire::etag(&job, live);
    if request::has_seen(&headers, &tag) {
        let mut response = StatusCode::NOT_MODIFIED.into_response();
        if let Ok(tag) = HeaderValue::from_str(&tag) {
            response.headers_mut().insert(ETAG, tag);
        }
        return Ok(response);
    }
    let mut response = render(&job, live, StatusCode::OK);
    applied(&mut response, hold);
    Ok(response)
}
