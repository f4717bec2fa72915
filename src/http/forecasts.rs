//! Forecasts over HTTP: asked and answered at once; and the calibration they rest on.
//!
//! It deliberately simulates nothing (that is [`crate::lab::forecasts`]).

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Response, StatusCode, Uri};
use serde::Deserialize;
use utoipa::ToSchema;

use super::AppState;
use super::comparison_ask::{ComparisonAsk, LineUpAsk, ObjectiveAsk, plan};
use super::forecast_wire::{ForecastView, view};
use super::orders::json;
use super::problem::{self, Problem};
use super::request::{self, Params};
use crate::domain::ask::OrderAsk;
use crate::domain::ask_json::object;
use crate::domain::limits;
use crate::domain::resolve::Violation;
use crate::lab::forecasts::Question;

/// What `POST /forecasts` accepts.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"work": {"io_ms": 60, "cpu_ms": 8, "dishes": 500}, "cores": 8}))]
pub struct ForecastAsk {
    /// An order without model, setup, preset and isolation; of up to 1,000,000 dishes.
    #[serde(deserialize_with = "object")]
    pub work: OrderAsk,
    /// `default`, `sweep`, or a list of models with their setups.
    #[serde(default)]
    pub line_up: Option<LineUpAsk>,
    /// Cores of another machine, with a house to match; this one's if absent.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 1024)]
    pub cores: Option<u64>,
    /// What is best: `makespan` (default), `mean_latency`, `p95_latency`, `memory`, or several with weights.
    #[serde(default)]
    pub objective: Option<ObjectiveAsk>,
}

/// From a forecast as asked to a question; with what is wrong so far.
#[must_use]
pub fn question(ask: ForecastAsk) -> (Question, Vec<Violation>) {
    let ForecastAsk { work, line_up, cores, objective } = ask;
    let (plan, mut bad) = plan(ComparisonAsk { work, line_up, repeats: None, objective, budget_ms: None });
    if cores.is_some_and(|cores| !(1..=limits::FORECAST_CORES).contains(&cores)) {
        bad.push(Violation::new("/cores", format!("must be from 1 to {}", limits::FORECAST_CORES)));
    }
    let cores = cores.map(|cores| cores.clamp(1, limits::FORECAST_CORES) as u32);
    (Question { work: plan.work, line_up: plan.line_up, cores, objective: plan.objective }, bad)
}

/// Foresee models
///
/// Simulates the same work under each entry in virtual time, and answers at once: nothing is cooked and nothing is kept.
/// The same question has the same answer, as long as the calibration stays the same.
#[utoipa::path(post, path = "/forecasts", operation_id = "placeForecast", tag = "comparisons",
    request_body = ForecastAsk,
    responses(
        (status = 200, description = "What would come of it", body = ForecastView),
        (status = 400, description = "Not JSON", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "Body too large", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "Body not JSON by its content type", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Violations, each with its pointer", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "The service is about to end", body = Problem, content_type = "application/problem+json"),
    ))]
pub async fn place(
    State(app): State<AppState>,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<Response<Body>, Problem> {
    Params::of(&uri)?.done()?;
    let ask: ForecastAsk = request::json(&headers, &request::bytes(&headers, body).await?)?;
    let (question, bad) = question(ask);
    let specs = app.forecasts.orders(&question, bad).map_err(|bad| Problem::with(&problem::INVALID, bad))?;
    let work = question.work.clone();
    let answer = app.before_closing(app.forecasts.foresee(question, specs)).await.flatten();
    let answer = answer.ok_or_else(|| Problem::new(&problem::DRAINING, "the service is about to end"))?;
    Ok(json(StatusCode::OK, &view(&work, &answer)))
}
