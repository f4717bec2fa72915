//! The steps of an order: a page of JSON, or all of them as CSV or NDJSON.
//!
//! It deliberately shows steps only as they were recorded: a running order shows those that are over.

use std::fmt::Write as _;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode, Uri};
use serde::Serialize;
use utoipa::ToSchema;

use super::AppState;
use super::caller::Caller;
use super::orders::{down, find, id, json};
use super::problem::Problem;
use super::request::{self, Form, Params};
use super::wire::{ms, signed_ms};
use crate::domain::job::Job;
use crate::domain::limits;
use crate::domain::record::StepRecord;

/// Thread of execution.
#[derive(Serialize, ToSchema)]
#[schema(as = Worker)]
pub struct WorkerView {
    /// Process id.
    #[schema(minimum = 0, maximum = 4_194_304)]
    pub pid: u32,
    /// Thread id.
    #[schema(minimum = 0, maximum = 4_194_304)]
    pub tid: u32,
}

/// One step as it went. Offsets are milliseconds from the order's start; null where nobody ran it.
#[derive(Serialize, ToSchema)]
#[schema(as = StepRecord)]
pub struct StepView<'a> {
    /// Number of the dish, from 1.
    #[schema(minimum = 1, maximum = 3_000_000)]
    pub dish: u32,
    /// Name of the step.
    pub step: &'a str,
    /// `wait`, `blocking_wait`, `cpu`, `exchange`, `counter` or `fault`.
    pub kind: &'static str,
    /// `succeeded`, `failed`, `canceled` or `skipped`.
    pub outcome: &'static str,
    /// Who ran it.
    pub worker: Option<WorkerView>,
    /// Its predecessors were done.
    pub ready_ms: Option<f64>,
    /// A worker took it up.
    pub started_ms: Option<f64>,
    /// It was over, and noticed to be.
    pub finished_ms: Option<f64>,
    /// `started - ready`.
    pub queue_ms: Option<f64>,
    /// CPU time of its thread.
    pub cpu_ms: Option<f64>,
    /// Time its thread waited for the GIL.
    pub gil_wait_ms: Option<f64>,
    /// Time its thread was runnable without a core.
    pub core_wait_ms: Option<f64>,
    /// Time it waited for equipment.
    pub equipment_wait_ms: Option<f64>,
    /// Part of that: time it held some equipment while it waited for more.
    pub held_idle_ms: Option<f64>,
    /// Time it spent handing things to others.
    pub exchange_ms: Option<f64>,
    /// Time its chef did something else between two pieces of it.
    pub yielded_ms: Option<f64>,
    /// What no term explains: `finished - started` minus all of them, and for waits minus the wait and its lag.
    pub residual_ms: Option<f64>,
    /// Waits: how late their end was noticed.
    pub lag_ms: Option<f64>,
    /// What it computed, as a decimal string.
    pub value: Option<String>,
}

impl<'a> StepView<'a> {
    fn new(job: &'a Job, record: &StepRecord) -> Self {
        let step = job.spec.step(record.at);
        let ran = |ns: u64| record.was_run().then(|| ms(ns));
        Self {
            dish: record.at.dish,
            step: &step.name,
            kind: step.work.kind(),
            outcome: record.outcome.name(),
            worker: record.was_run().then_some(WorkerView { pid: record.worker.pid, tid: record.worker.tid }),
            ready_ms: ran(record.ready),
            started_ms: ran(record.started),
            finished_ms: ran(record.finished),
            queue_ms: ran(record.started - record.ready),
            cpu_ms: ran(record.terms.cpu),
            gil_wait_ms: ran(record.terms.gil_wait),
            core_wait_ms: ran(record.terms.core_wait),
            equipment_wait_ms: ran(record.terms.equipment_wait),
            held_idle_ms: ran(record.terms.held_idle),
            exchange_ms: ran(record.terms.exchange),
            yielded_ms: ran(record.terms.yielded),
            residual_ms: record.was_run().then(|| signed_ms(record.residual(&job.spec))),
            lag_ms: record.lag(&job.spec).map(ms),
            value: record.value.map(|v| v.to_string()),
        }
    }
}

/// One page of steps, in order of their end; those that nobody ran come last.
#[derive(Serialize, ToSchema)]
#[schema(as = StepPage)]
pub struct StepPageView<'a> {
    /// The steps.
    #[schema(max_items = 200)]
    pub data: Vec<StepView<'a>>,
    /// Whether the records are a uniform sample of the steps (orders above 10,000 steps).
    pub sampled: bool,
    /// Whether there are more.
    pub has_more: bool,
    /// What to pass as `cursor` for the next page.
    pub next_cursor: Option<String>,
}

/// How steps are written down.
#[derive(Clone, Copy, PartialEq, Eq, ToSchema)]
#[schema(rename_all = "snake_case")]
enum Format {
    Json,
    Csv,
    Ndjson,
}

const FORMS: [Form<Format>; 3] = [
    ("json", &[], Format::Json),
    ("csv", &["text/csv"], Format::Csv),
    ("ndjson", &["application/x-ndjson"], Format::Ndjson),
];

/// Read an order's steps
///
/// A page of JSON, or with `format` (or `Accept`) all of them as CSV or NDJSON.
#[utoipa::path(get, path = "/orders/{id}/steps", operation_id = "listSteps", tag = "orders",
    params(
        ("id" = String, Path, description = "The order's id"),
        ("format" = inline(Option<Format>), Query, description = "`json`, `csv` or `ndjson`."),
        ("limit" = Option<u64>, Query, minimum = 1, maximum = 200, description = "Steps on a page; 50 if absent."),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before."),
    ),
    responses(
        (status = 200, description = "The steps", content(
            (StepPageView = "application/json"), (String = "text/csv"), (String = "application/x-ndjson"))),
        (status = 404, description = "Never issued", body = Problem, content_type = "application/problem+json"),
        (status = 410, description = "No longer kept, or lost on restart", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Bad parameter", body = Problem, content_type = "application/problem+json"),
    ))]
pub async fn list(
    State(app): State<AppState>,
    caller: Caller,
    Path(text): Path<String>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response<Body>, Problem> {
    let mut params = Params::of(&uri)?;
    let format = request::form(&mut params, &headers, &FORMS)?;
    let limit = params.number("limit", 1, limits::PAGE as u64)?.unwrap_or(limits::PAGE_DEFAULT as u64) as usize;
    let cursor = params.number("cursor", 0, limits::STEPS_PER_ORDER)?.unwrap_or(0) as usize;
    params.done()?;
    let job = find(&app.kitchen, &caller, id(&text)?).await?;
    let records = records(&app, &job).await?;
    match format {
        Format::Json => {
            let data: Vec<_> = records.iter().skip(cursor).take(limit).map(|r| StepView::new(&job, r)).collect();
            let next = cursor + data.len();
            let has_more = next < records.len();
            let sampled = job.spec.steps_total() > limits::RECORDS;
            let next_cursor = has_more.then(|| next.to_string());
            Ok(json(StatusCode::OK, &StepPageView { data, sampled, has_more, next_cursor }))
        }
        Format::Csv => Ok(text_answer("text/csv; charset=utf-8; header=present", csv(&job, &records))),
        Format::Ndjson => Ok(text_answer("application/x-ndjson", ndjson(&job, &records))),
    }
}

/// Steps that are recorded: all of an ended order, so far of a running one.
pub async fn records(app: &AppState, job: &Job) -> Result<Arc<Vec<StepRecord>>, Problem> {
    let so_far = || app.kitchen.run_of(job).map(|run| Arc::new(run.recorder.records_so_far()));
    let recorded = app.kitchen.store.steps(job.id).await.map_err(down)?;
    Ok(recorded.or_else(so_far).unwrap_or_default())
}

/// An answer that is text of this type.
pub fn text_answer(content_type: &'static str, text: String) -> Response<Body> {
    let mut response = Response::new(Body::from(text));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

const CSV_HEADER: &str = "dish,step,kind,outcome,pid,tid,ready_ms,started_ms,finished_ms,queue_ms,cpu_ms,gil_wait_ms,\
                          core_wait_ms,equipment_wait_ms,held_idle_ms,exchange_ms,yielded_ms,residual_ms,lag_ms,value\n";

fn csv(job: &Job, records: &[StepRecord]) -> String {
    let mut out = String::from(CSV_HEADER);
    for record in records {
        let v = StepView::new(job, record);
        let number = |n: Option<f64>| n.map(|n| n.to_string()).unwrap_or_default();
        let worker =
            v.worker.as_ref().map_or((String::new(), String::new()), |w| (w.pid.to_string(), w.tid.to_string()));
        let row = [
            v.dish.to_string(),
            quoted(v.step),
            v.kind.to_owned(),
            v.outcome.to_owned(),
            worker.0,
            worker.1,
            number(v.ready_ms),
            number(v.started_ms),
            number(v.finished_ms),
            number(v.queue_ms),
            number(v.cpu_ms),
            number(v.gil_wait_ms),
            number(v.core_wait_ms),
            number(v.equipment_wait_ms),
            number(v.held_idle_ms),
            number(v.exchange_ms),
            number(v.yielded_ms),
            number(v.residual_ms),
            number(v.lag_ms),
            v.value.unwrap_or_default(),
        ];
        let _ = writeln!(out, "{}", row.join(","));
    }
    out
}

/// A CSV field (RFC 4180). A leading `=`, `+`, `-` or `@` would be a formula to a spreadsheet, so it is quoted away.
fn quoted(text: &str) -> String {
    let formula = text.starts_with(['=', '+', '-', '@']);
    if formula || text.contains(['"', ',', '\n', '\r']) {
        format!("\"{}{}\"", if formula { "'" } else { "" }, text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

fn ndjson(job: &Job, records: &[StepRecord]) -> String {
    let mut out = String::new();
    for record in records {
        out.push_str(&serde_json::to_string(&StepView::new(job, record)).unwrap_or_default());
        out.push('\n');
    }
    out
}
