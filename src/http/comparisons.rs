//! Comparisons over HTTP: jobs like orders.
//!
//! It deliberately measures nothing (that is [`crate::lab::comparisons`]).

use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::header::{LOCATION, RETRY_AFTER};
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode, Uri};
use axum::response::IntoResponse;

use super::AppState;
use super::caller::Caller;
use super::comparison_ask::{ComparisonAsk, plan};
use super::comparison_wire::{ComparisonView, PageView, answer, view};
use super::order_list::{self, next_page};
use super::orders::{applied, down, json};
use super::problem::{self, Problem};
use super::request::{self, NoParams, Params};
use crate::domain::id::OrderId;
use crate::domain::limits;
use crate::lab::comparisons::{CancelAnswer, Refused};
use crate::lab::filing::Known;

/// Compare models
///
/// Runs the same work under each entry, interleaved, alone in the house (other orders wait), and says which is best,
/// whether that is more than chance, and what to do. Its orders have the label `comparison`; before them each entry cooks
/// one dish to warm up, which counts nowhere (label `comparison_warm_up`).
#[utoipa::path(post, path = "/comparisons", operation_id = "placeComparison", tag = "comparisons",
    request_body = ComparisonAsk,
    params(("wait" = Option<u64>, Query, minimum = 0, maximum = 60, description = "Seconds to hold the answer until it has ended; also as `Prefer: wait=N`.")),
    responses(
        (status = 202, description = "Accepted; not ended yet", body = ComparisonView),
        (status = 200, description = "Ended within `wait`", body = ComparisonView),
        (status = 400, description = "Not JSON", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "Body too large", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "Body not JSON by its content type", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Violations, each with its pointer", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Too many comparisons are waiting", body = Problem, content_type = "application/problem+json"),
    ))]
pub async fn place(
    State(app): State<AppState>,
    caller: Caller,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<Response<Body>, Problem> {
    let mut params = Params::of(&uri)?;
    let hold = request::hold(&mut params, &headers)?;
    params.done()?;
    let ask: ComparisonAsk = request::json(&headers, &request::bytes(&headers, body).await?)?;
    let invalid = |bad| Problem::with(&problem::INVALID, bad);
    let accepted = {
        let (plan, bad) = plan(ask);
        app.comparisons.submit(&caller.client, plan, bad).await.map_err(invalid)?
    };
    let state = accepted.map_err(|refused| match refused {
        Refused::Full(full) => Problem::new(&problem::FULL, full.to_string()),
        Refused::Down(away) => down(away),
    })?;
    if hold.seconds > 0 {
        caller.hold(&app, app.comparisons.wait(state.id, Duration::from_secs(hold.seconds))).await;
    }
    let state = app.comparisons.get(state.id).unwrap_or(state);
    let status = if state.status.is_done() { StatusCode::OK } else { StatusCode::ACCEPTED };
    let view = view(&state);
    let mut response = json(status, &view);
    if let Ok(location) = HeaderValue::from_str(&format!("/comparisons/{}", view.id)) {
        response.headers_mut().insert(LOCATION, location);
    }
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    applied(&mut response, hold);
    Ok(response)
}

/// Read a comparison
#[utoipa::path(get, path = "/comparisons/{id}", operation_id = "getComparison", tag = "comparisons",
    params(
        ("id" = String, Path, description = "The comparison's id"),
        ("wait" = Option<u64>, Query, minimum = 0, maximum = 60, description = "Seconds to hold the answer until it has ended; also as `Prefer: wait=N`."),
    ),
    responses(
        (status = 200, description = "The comparison", body = ComparisonView),
        (status = 404, description = "Not here", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Bad parameter", body = Problem, content_type = "application/problem+json"),
    ))]
pub async fn get(
    State(app): State<AppState>,
    caller: Caller,
    Path(text): Path<String>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response<Body>, Problem> {
    let mut params = Params::of(&uri)?;
    let hold = request::hold(&mut params, &headers)?;
    params.done()?;
    let mut known = find(&app, &caller, &text).await?;
    if hold.seconds > 0 && !known.is_over() {
        caller.hold(&app, app.comparisons.wait(known.id(), Duration::from_secs(hold.seconds))).await;
        known = app.comparisons.find(known.id()).await.map_err(down)?.ok_or_else(missing)?;
    }
    let mut response = json(StatusCode::OK, &answer(&known));
    applied(&mut response, hold);
    Ok(response)
}

/// A comparison that is kept and that this caller may see.
pub(super) async fn find(app: &AppState, caller: &Caller, text: &str) -> Result<Known, Problem> {
    let id = OrderId::parse(text, "cmp_").ok_or_else(missing)?;
    let known = app.comparisons.find(id).await.map_err(down)?;
    known.filter(|known| caller.sees(known.owner())).ok_or_else(missing)
}

fn missing() -> Problem {
    Problem::new(&problem::NOT_FOUND, "no comparison of this id is kept")
}

/// Stop a comparison
///
/// A waiting comparison is canceled at once (200). A running one is asked to stop (202): the run it is at ends within
/// 250 ms, the house is open again. Cancelling a canceled one again is a 200.
#[utoipa::path(post, path = "/comparisons/{id}/cancel", operation_id = "cancelComparison", tag = "comparisons",
    params(("id" = String, Path, description = "The comparison's id")),
    responses(
        (status = 200, description = "Canceled", body = ComparisonView),
        (status = 202, description = "Asked to stop", body = ComparisonView),
        (status = 404, description = "Not here", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "Ended otherwise", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Bad parameter", body = Problem, content_type = "application/problem+json"),
    ))]
pub async fn cancel(
    State(app): State<AppState>,
    caller: Caller,
    Path(text): Path<String>,
    _: NoParams,
) -> Result<Response<Body>, Problem> {
    let id = find(&app, &caller, &text).await?.id();
    match app.comparisons.cancel(id).await.map_err(down)?.ok_or_else(missing)? {
        CancelAnswer::Canceled(known) => Ok(json(StatusCode::OK, &answer(&known))),
        CancelAnswer::Running(known) => Ok(json(StatusCode::ACCEPTED, &answer(&known))),
        CancelAnswer::Ended(status) => {
            Err(Problem::new(&problem::NOT_CANCELABLE, format!("{text} has {}", status.name())))
        }
    }
}

/// Delete a comparison
///
/// Forgets an ended comparison; its orders are kept as others are. It never stops one: cancel it first.
#[utoipa::path(delete, path = "/comparisons/{id}", operation_id = "deleteComparison", tag = "comparisons",
    params(("id" = String, Path, description = "The comparison's id")),
    responses(
        (status = 204, description = "Forgotten"),
        (status = 404, description = "Not here", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "Still active", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Bad parameter", body = Problem, content_type = "application/problem+json"),
    ))]
pub async fn delete(
    State(app): State<AppState>,
    caller: Caller,
    Path(text): Path<String>,
    _: NoParams,
) -> Result<Response<Body>, Problem> {
    let id = find(&app, &caller, &text).await?.id();
    match app.comparisons.delete(id).await.map_err(down)?.ok_or_else(missing)? {
        true => Ok(StatusCode::NO_CONTENT.into_response()),
        false => Err(Problem::new(&problem::ACTIVE, format!("{text} has not ended"))),
    }
}

/// List comparisons
///
/// Youngest first, by keyset: pass `next_cursor` as `cursor` for the next page. Over a database those of all nodes, and of all
/// runs of the service.
#[utoipa::path(get, path = "/comparisons", operation_id = "listComparisons", tag = "comparisons",
    params(
        ("limit" = Option<u64>, Query, minimum = 1, maximum = 200, description = "How many; 50 if absent."),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before."),
    ),
    responses(
        (status = 200, description = "A page", body = PageView, headers(("Link" = String, description = "rel=next"))),
        (status = 422, description = "Bad parameter", body = Problem, content_type = "application/problem+json"),
    ))]
pub async fn list(State(app): State<AppState>, caller: Caller, uri: Uri) -> Result<Response<Body>, Problem> {
    let mut params = Params::of(&uri)?;
    let limit = params.number("limit", 1, limits::PAGE as u64)?.unwrap_or(limits::PAGE_DEFAULT as u64) as usize;
    let before = order_list::cursor(&mut params, "cmp_")?;
    params.done()?;
    let mut found = app.comparisons.list(before, limit + 1, caller.confined_to()).await.map_err(down)?;
    let has_more = found.len() > limit;
    found.truncate(limit);
    let next_cursor = found.last().filter(|_| has_more).map(|known| known.id().text("cmp_"));
    let view = PageView { data: found.iter().map(answer).collect(), has_more, next_cursor };
    let mut response = json(StatusCode::OK, &view);
    if let Some(cursor) = view.next_cursor {
        response.headers_mut().extend(next_page(&uri, &cursor));
    }
    Ok(response)
}
