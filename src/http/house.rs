//! How the house is: probes, statistics, metrics, version.
//!
//! Probes are never behind load shedding, and liveness touches no lock of the kitchen. It deliberately answers with real
//! status codes: a probe that is always 200 is none.

use axum::body::Body;
use axum::extract::State;
use axum::http::{Response, StatusCode};
use serde::Serialize;
use utoipa::ToSchema;

use super::AppState;
use super::orders::{down, json};
use super::problem::{self, Problem};
use super::request::NoParams;
use super::steps::text_answer;
use crate::domain::job::Status;
use crate::metrics::Reading;
use crate::telemetry;

/// A probe's answer.
#[derive(Serialize, ToSchema)]
pub struct Probe {
    /// `ok`, or `degraded`: it accepts orders, but not every model can cook them.
    pub status: &'static str,
    /// What keeps orders: `memory` forgets them at a restart, `sqlite` and `postgres` do not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub durability: Option<&'static str>,
    /// What its promises do not cover: a failover that may lose acknowledged orders.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub caveat: Option<String>,
    /// What does not work, while the rest does: child processes cannot be started.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub degraded: Option<String>,
}

/// Is the process alive?
#[utoipa::path(get, path = "/livez", operation_id = "livez", tag = "house",
    responses((status = 200, description = "It is alive", body = Probe)))]
pub async fn livez() -> Response<Body> {
    json(StatusCode::OK, &Probe { status: "ok", durability: None, caveat: None, degraded: None })
}

/// How full a house may be that is ready for more: others are sent elsewhere before it has to refuse them. Chosen; who was
/// refused is let in again below this, too.
const READY: f32 = 0.9;

/// Does it accept orders?
///
/// Not while it closes, nor while what keeps the orders does not answer, nor while it is nine tenths full of waiting and running
/// orders, by number or by bytes.
#[utoipa::path(get, path = "/readyz", operation_id = "readyz", tag = "house",
    responses((status = 200, description = "It accepts orders", body = Probe), (status = 503, description = "It accepts none now; `detail` says why", body = Problem, content_type = "application/problem+json")))]
pub async fn readyz(State(app): State<AppState>) -> Result<Response<Body>, Problem> {
    if app.kitchen.is_draining() {
        return Err(Problem::new(&problem::DRAINING, "the service is shutting down"));
    }
    if let Some(why) = app.kitchen.store.trouble() {
        return Err(Problem::new(&problem::STORE_DOWN, why));
    }
    let full = app.kitchen.fill();
    if full >= READY {
        let detail = format!(
            "the house holds {:.0} % of the orders it can hold; it is ready again below {:.0} %",
            full * 100.0,
            READY * 100.0
        );
        return Err(Problem::new(&problem::FULL, detail));
    }
    let degraded = app.kitchen.staff.pass_if_started().and_then(|pass| pass.trouble());
    let status = if degraded.is_some() { "degraded" } else { "ok" };
    Ok(json(
        StatusCode::OK,
        &Probe {
            status,
            durability: Some(app.kitchen.store.durability()),
            caveat: app.kitchen.store.caveat(),
            degraded,
        },
    ))
}

/// The same as /readyz
#[utoipa::path(get, path = "/healthz", operation_id = "healthz", tag = "house",
    responses((status = 200, description = "It accepts orders", body = Probe), (status = 503, description = "It accepts none now; `detail` says why", body = Problem, content_type = "application/problem+json")))]
pub async fn healthz(app: State<AppState>) -> Result<Response<Body>, Problem> {
    readyz(app).await
}

/// Version of the service.
#[derive(Serialize, ToSchema)]
pub struct Version {
    /// Always `pasta-fasta`.
    pub name: &'static str,
    /// Its version.
    pub version: &'static str,
    /// Changes with every start; ids carry it.
    pub boot: String,
}

/// Which version is this?
#[utoipa::path(get, path = "/version", operation_id = "getVersion", tag = "house",
    responses((status = 200, description = "The version", body = Version)))]
pub async fn version(State(app): State<AppState>) -> Response<Body> {
    let version = env!("CARGO_PKG_VERSION");
    json(StatusCode::OK, &Version { name: "pasta-fasta", version, boot: app.kitchen.ids.boot() })
}

/// Counts of the house, or of all nodes that share its store; `accepted` is the sum of the six states.
#[derive(Serialize, ToSchema)]
pub struct Stats {
    /// Orders accepted since the start.
    #[schema(minimum = 0, maximum = 9_007_199_254_740_991_i64)]
    pub accepted: u64,
    /// Waiting now.
    #[schema(minimum = 0, maximum = 9_007_199_254_740_991_i64)]
    pub queued: u64,
    /// Running now.
    #[schema(minimum = 0, maximum = 9_007_199_254_740_991_i64)]
    pub running: u64,
    /// Succeeded since the start.
    #[schema(minimum = 0, maximum = 9_007_199_254_740_991_i64)]
    pub succeeded: u64,
    /// Failed since the start.
    #[schema(minimum = 0, maximum = 9_007_199_254_740_991_i64)]
    pub failed: u64,
    /// Canceled since the start.
    #[schema(minimum = 0, maximum = 9_007_199_254_740_991_i64)]
    pub canceled: u64,
    /// Expired since the start.
    #[schema(minimum = 0, maximum = 9_007_199_254_740_991_i64)]
    pub expired: u64,
    /// Ended orders still kept.
    #[schema(minimum = 0, maximum = 9_007_199_254_740_991_i64)]
    pub kept: u64,
    /// Bytes of waiting and running orders.
    #[schema(minimum = 0, maximum = 9_007_199_254_740_991_i64)]
    pub active_bytes: u64,
    /// Bytes of ended orders.
    #[schema(minimum = 0, maximum = 9_007_199_254_740_991_i64)]
    pub ended_bytes: u64,
    /// Child processes of this node now.
    #[schema(minimum = 0, maximum = 4_194_304)]
    pub children: u64,
}

/// How busy is the house?
#[utoipa::path(get, path = "/stats", operation_id = "getStats", tag = "house",
    responses(
        (status = 200, description = "The counts", body = Stats),
        (status = 422, description = "A query parameter, of which there is none", body = Problem, content_type = "application/problem+json"),
    ))]
pub async fn stats(State(app): State<AppState>, _: NoParams) -> Result<Response<Body>, Problem> {
    Ok(json(StatusCode::OK, &counts(&app).await?))
}

/// The counts of the house.
pub(super) async fn counts(app: &AppState) -> Result<Stats, Problem> {
    let counts = app.kitchen.store.counts().await.map_err(down)?;
    let of = |status: Status| counts.by_status[status as usize];
    Ok(Stats {
        accepted: counts.accepted,
        queued: of(Status::Queued),
        running: of(Status::Running),
        succeeded: of(Status::Succeeded),
        failed: of(Status::Failed),
        canceled: of(Status::Canceled),
        expired: of(Status::Expired),
        kept: counts.kept,
        active_bytes: counts.active_bytes as u64,
        ended_bytes: counts.ended_bytes as u64,
        children: app.kitchen.staff.pass_if_started().map_or(0, |pass| pass.alive() as u64),
    })
}

/// Prometheus metrics
#[utoipa::path(get, path = "/metrics", operation_id = "getMetrics", tag = "house",
    responses((status = 200, description = "OpenMetrics text", body = String, content_type = "application/openmetrics-text")))]
pub async fn metrics(State(app): State<AppState>) -> Response<Body> {
    let reading = Reading { log_lines_dropped: telemetry::dropped(), ..app.kitchen.reading() };
    let text = app.kitchen.metrics.scrape(reading);
    text_answer("application/openmetrics-text; version=1.0.0; charset=utf-8", text)
}
