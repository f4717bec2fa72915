//! The report of an order over HTTP.
//!
//! It deliberately computes nothing itself (that is [`crate::lab::report`]).

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Response, StatusCode, Uri};

use super::AppState;
use super::caller::Caller;
use super::orders::{find, id, json};
use super::problem::{self, Problem};
use super::request::{self, Params};
use super::steps::{records, text_answer};
use crate::lab::plan::Machine;
use crate::lab::report::{self, Report};

/// Read an order's report
///
/// All figures of an ended order, with what decided its makespan and what would change it: JSON, or with `format=text`
/// (or `Accept: text/plain`) one screen of text.
#[utoipa::path(get, path = "/orders/{id}/report", operation_id = "getReport", tag = "orders",
    params(
        ("id" = String, Path, description = "The order's id"),
        ("format" = Option<String>, Query, pattern = "^(json|text)$", description = "`json` or `text`."),
    ),
    responses(
        (status = 200, description = "The report", content((Report = "application/json"), (String = "text/plain"))),
        (status = 404, description = "Never issued", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "It has not ended", body = Problem, content_type = "application/problem+json"),
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
    let as_text = request::form(&mut params, &headers, &[("json", &[], false), ("text", &["text/plain"], true)])?;
    params.done()?;
    let job = find(&app.kitchen, &caller, id(&text)?).await?;
    if !job.status.is_done() {
        let detail = "a report is of an ended order; hold with GET /orders/{id}?wait=60, or see /timeline";
        return Err(Problem::new(&problem::ACTIVE, detail));
    }
    let staff = &app.kitchen.staff;
    let machine = Machine { cores: staff.config.cores as f64, house: staff.house() };
    let report = report::of(&job, &records(&app, &job).await?, machine);
    Ok(match as_text {
        true => text_answer("text/plain; charset=utf-8", report::text(&report)),
        false => json(StatusCode::OK, &report),
    })
}
