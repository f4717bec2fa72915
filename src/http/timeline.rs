//! An order's Gantt chart over HTTP.
//!
//! It deliberately draws nothing itself (that is [`crate::lab::timeline`]).

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Response, Uri};

use super::AppState;
use super::caller::Caller;
use super::orders::{find, id};
use super::problem::Problem;
use super::request::{self, Params};
use super::steps::{records, text_answer};
use crate::lab::timeline;

/// See an order
///
/// Its Gantt chart: text (what `curl` gets) or SVG (what a browser gets), or what `format` says.
#[utoipa::path(get, path = "/orders/{id}/timeline", operation_id = "getTimeline", tag = "orders",
    params(
        ("id" = String, Path, description = "The order's id"),
        ("format" = Option<String>, Query, pattern = "^(text|svg)$", description = "`text` or `svg`."),
    ),
    responses(
        (status = 200, description = "The chart", content((String = "text/plain"), (String = "image/svg+xml"))),
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
) -> Result<Response<Body>, Problem> {
    let mut params = Params::of(&uri)?;
    let svg = request::form(&mut params, &headers, &[("text", &[], false), ("svg", &["image/", "text/html"], true)])?;
    params.done()?;
    let job = find(&app.kitchen, &caller, id(&text)?).await?;
    let records = records(&app, &job).await?;
    Ok(match svg {
        true => text_answer("image/svg+xml", timeline::svg(&job, &records)),
        false => text_answer("text/plain; charset=utf-8", timeline::text(&job, &records)),
    })
}
