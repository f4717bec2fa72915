//! Comparisons over HTTP: jobs like orders.
//!
//! It deliberately measures nothing (that is [`crate::lab::comparisons`]).

use std::fmt;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::header::{LOCATION, RETRY_AFTER};
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode, Uri};
use serde::de::{self, SeqAccess, Visitor, value::SeqAccessDeserializer};
use serde::{Deserialize, Deserializer};
use utoipa::openapi::schema::{OneOfBuilder, SchemaType, Type};
use utoipa::openapi::{ArrayBuilder, ObjectBuilder, Ref, RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use super::AppState;
use super::caller::Caller;
use super::comparison_wire::{ComparisonView, ListView, view};
use super::orders::json;
use super::problem::{self, Problem};
use super::request::{self, Params};
use crate::domain::ask::{OrderAsk, SetupAsk};
use crate::domain::ask_json::{object, objects};
use crate::domain::id::OrderId;
use crate::domain::limits;
use crate::domain::resolve::Violation;
use crate::lab::comparison::{LineUp, Objective, Plan};
use crate::lab::line_up::Candidate;

/// What `POST /comparisons` accepts.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"work": {"io_ms": 60, "cpu_ms": 8, "dishes": 500}}))]
pub struct ComparisonAsk {
    /// An order without model, setup, preset and isolation.
    #[serde(deserialize_with = "object")]
    pub work: OrderAsk,
    /// `default`, `sweep`, or a list of models with their setups.
    #[serde(default)]
    pub line_up: Option<LineUpAsk>,
    /// Runs of each entry; 5 if absent.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 50)]
    pub repeats: Option<u64>,
    /// What is best: `makespan` (default), `mean_latency`, `p95_latency` or `memory`.
    #[serde(default)]
    #[schema(value_type = Option<Objective>)]
    pub objective: Option<String>,
    /// Milliseconds to measure for, 8000 if absent (a sweep: 60000); dishes are sampled to fit.
    #[serde(default)]
    #[schema(minimum = 1000, maximum = 600_000)]
    pub budget_ms: Option<u64>,
}

/// A line-up as asked.
#[derive(Debug)]
pub enum LineUpAsk {
    /// By name.
    Named(String),
    /// One by one.
    Of(Vec<CandidateAsk>),
}

/// An entry of a line-up.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Candidate)]
pub struct CandidateAsk {
    /// The model.
    pub model: String,
    /// Its options.
    #[serde(default)]
    pub setup: Option<SetupAsk>,
}

impl<'de> Deserialize<'de> for LineUpAsk {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = LineUpAsk;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("\"default\", \"sweep\" or a list")
            }
            fn visit_str<E: de::Error>(self, name: &str) -> Result<LineUpAsk, E> {
                Ok(LineUpAsk::Named(name.to_owned()))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<LineUpAsk, A::Error> {
                objects(SeqAccessDeserializer::new(seq)).map(LineUpAsk::Of)
            }
        }
        deserializer.deserialize_any(Either)
    }
}

impl PartialSchema for LineUpAsk {
    fn schema() -> RefOr<Schema> {
        let name =
            ObjectBuilder::new().schema_type(SchemaType::Type(Type::String)).enum_values(Some(["default", "sweep"]));
        let list = ArrayBuilder::new()
            .items(Ref::from_schema_name(CandidateAsk::name()))
            .min_items(Some(1))
            .max_items(Some(limits::LINE_UP));
        OneOfBuilder::new().item(name).item(list).into()
    }
}

impl ToSchema for LineUpAsk {
    fn name() -> std::borrow::Cow<'static, str> {
        "LineUp".into()
    }

    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.push((CandidateAsk::name().into(), CandidateAsk::schema()));
        CandidateAsk::schemas(schemas);
    }
}

/// From a comparison as asked to one as resolved, but for its orders; with what is wrong so far.
#[must_use]
pub fn plan(ask: ComparisonAsk) -> (Plan, Vec<Violation>) {
    let mut bad = Vec::new();
    let fixed = [
        (ask.work.model.is_some(), "model"),
        (ask.work.setup.is_some(), "setup"),
        (ask.work.preset.is_some(), "preset"),
        (ask.work.isolation.is_some(), "isolation"),
    ];
    for (_, name) in fixed.iter().filter(|(said, _)| *said) {
        bad.push(Violation::new(format!("/work/{name}"), "is the line-up's business; leave it out of the work"));
    }
    let line_up = match ask.line_up {
        None => LineUp::Default,
        Some(LineUpAsk::Named(name)) if name == "default" => LineUp::Default,
        Some(LineUpAsk::Named(name)) if name == "sweep" => LineUp::Sweep,
        Some(LineUpAsk::Named(_)) => {
            bad.push(Violation::new("/line_up", "must be \"default\", \"sweep\" or a list"));
            LineUp::Default
        }
        Some(LineUpAsk::Of(list)) => {
            if list.is_empty() || list.len() > limits::LINE_UP {
                bad.push(Violation::new("/line_up", format!("must have 1 to {} entries", limits::LINE_UP)));
            }
            let candidate = |c: CandidateAsk| Candidate { model: c.model, setup: c.setup.unwrap_or_default() };
            LineUp::Of(list.into_iter().map(candidate).collect())
        }
    };
    let repeats = ask.repeats.unwrap_or(5);
    if !(1..=limits::REPEATS).contains(&repeats) {
        bad.push(Violation::new("/repeats", format!("must be from 1 to {}", limits::REPEATS)));
    }
    let budget_ms = ask.budget_ms.unwrap_or(if line_up == LineUp::Sweep { 60_000 } else { 8_000 });
    if !(1_000..=limits::BUDGET_MS).contains(&budget_ms) {
        bad.push(Violation::new("/budget_ms", format!("must be from 1000 to {}", limits::BUDGET_MS)));
    }
    let objective = ask.objective.as_deref().map_or(Some(Objective::Makespan), Objective::parse);
    if objective.is_none() {
        bad.push(Violation::new("/objective", format!("must be one of {}", Objective::NAMES.join(", "))));
    }
    let plan = Plan {
        work: ask.work,
        line_up,
        repeats: repeats.min(limits::REPEATS) as usize,
        objective: objective.unwrap_or(Objective::Makespan),
        budget: Duration::from_millis(budget_ms.min(limits::BUDGET_MS)),
    };
    (plan, bad)
}

/// Compare models
///
/// Runs the same work under each entry, interleaved, alone in the house (other orders wait), and says which is best and
/// whether that is more than chance.
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
        app.comparisons.submit(&caller.client, plan, bad).map_err(invalid)?
    };
    let state = accepted.map_err(|full| Problem::new(&problem::FULL, full.to_string()))?;
    if hold.seconds > 0 {
        app.before_closing(app.comparisons.wait(state.id, Duration::from_secs(hold.seconds))).await;
    }
    let state = app.comparisons.get(state.id).unwrap_or(state);
    let status = if state.status.is_done() { StatusCode::OK } else { StatusCode::ACCEPTED };
    let view = view(&state);
    let mut response = json(status, &view);
    if let Ok(location) = HeaderValue::from_str(&format!("/comparisons/{}", view.id)) {
        response.headers_mut().insert(LOCATION, location);
    }
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
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
    let missing = || Problem::new(&problem::NOT_FOUND, "no comparison of this id is kept");
    let id = OrderId::parse(&text, "cmp_").ok_or_else(missing)?;
    if hold.seconds > 0 {
        app.before_closing(app.comparisons.wait(id, Duration::from_secs(hold.seconds))).await;
    }
    let state = app.comparisons.get(id).filter(|state| caller.sees(&state.owner)).ok_or_else(missing)?;
    Ok(json(StatusCode::OK, &view(&state)))
}

/// List comparisons
#[utoipa::path(get, path = "/comparisons", operation_id = "listComparisons", tag = "comparisons",
    params(("limit" = Option<u64>, Query, minimum = 1, maximum = 200, description = "How many; 50 if absent.")),
    responses(
        (status = 200, description = "Youngest first", body = ListView),
        (status = 422, description = "Bad parameter", body = Problem, content_type = "application/problem+json"),
    ))]
pub async fn list(State(app): State<AppState>, caller: Caller, uri: Uri) -> Result<Response<Body>, Problem> {
    let mut params = Params::of(&uri)?;
    let limit = params.number("limit", 1, limits::PAGE as u64)?.unwrap_or(limits::PAGE_DEFAULT as u64);
    params.done()?;
    let all = app.comparisons.list(limit as usize, |state| caller.sees(&state.owner));
    Ok(json(StatusCode::OK, &ListView { data: all.iter().map(view).collect() }))
}
