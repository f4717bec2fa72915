//! How good forecasts were, over HTTP.
//!
//! It deliberately keeps nothing: the comparisons that are kept are all there is.

use axum::body::Body;
use axum::extract::State;
use axum::http::{Response, StatusCode, Uri};
use serde::Serialize;
use utoipa::ToSchema;

use super::AppState;
use super::caller::Caller;
use super::orders::{down, json};
use super::problem::Problem;
use super::recommendation_wire::thousandths;
use super::request::Params;
use crate::lab::accuracy::{Errors, Row};

/// Errors of forecasts of the makespan, percent of what was measured.
#[derive(Serialize, ToSchema)]
#[schema(as = ForecastErrors)]
pub struct ErrorsView {
    /// Entries.
    #[schema(minimum = 1, maximum = 100_000)]
    pub n: u64,
    /// Mean of the absolute errors (MAPE).
    pub mean_absolute_percent: f64,
    /// Mean of the errors; above zero: foreseen too long.
    pub bias_percent: f64,
    /// 95th percentile of the absolute errors.
    pub p95_absolute_percent: f64,
}

/// The forecasts of one model.
#[derive(Serialize, ToSchema)]
#[schema(as = ModelAccuracy)]
pub struct RowView {
    /// The model; null for all of them together.
    pub model: Option<&'static str>,
    /// Forecasts made before the runs; null if there are none yet.
    pub before: Option<ErrorsView>,
    /// Forecasts made afterwards with measured demands; null if there are none yet.
    pub refit: Option<ErrorsView>,
}

/// How good the forecasts were.
#[derive(Serialize, ToSchema)]
#[schema(as = Accuracy)]
pub struct AccuracyView {
    /// A row for each model, then one for all.
    #[schema(max_items = 64)]
    pub data: Vec<RowView>,
}

/// Read how good forecasts were
///
/// Each comparison keeps what was expected of each entry before it ran, and in hindsight; this sums up their errors over
/// the youngest 1,000 comparisons that are kept and that you may see.
#[utoipa::path(get, path = "/accuracy", operation_id = "getAccuracy", tag = "comparisons",
    responses(
        (status = 200, description = "Errors by model", body = AccuracyView),
        (status = 422, description = "Bad parameter", body = Problem, content_type = "application/problem+json"),
    ))]
pub async fn get(State(app): State<AppState>, caller: Caller, uri: Uri) -> Result<Response<Body>, Problem> {
    Params::of(&uri)?.done()?;
    let rows = app.comparisons.accuracy(caller.confined_to()).await.map_err(down)?;
    Ok(json(StatusCode::OK, &AccuracyView { data: rows.into_iter().map(row).collect() }))
}

fn row(row: Row) -> RowView {
    RowView { model: row.model, before: row.before.map(errors), refit: row.refit.map(errors) }
}

fn errors(errors: Errors) -> ErrorsView {
    ErrorsView {
        n: errors.n as u64,
        mean_absolute_percent: thousandths(errors.mean_absolute_percent),
        bias_percent: thousandths(errors.bias_percent),
        p95_absolute_percent: thousandths(errors.p95_absolute_percent),
    }
}
