//! Calibrations over HTTP: measure what this machine costs, and look at what was measured last.
//!
//! It deliberately measures nothing (that is [`crate::lab::calibrate`]).

use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::{Response, StatusCode, Uri};
use serde::Serialize;
use utoipa::ToSchema;

use super::AppState;
use super::orders::json;
use super::problem::{self, Problem};
use super::request::Params;
use super::wire::At;
use crate::clock;
use crate::domain::{Ns, limits};
use crate::lab::calibration::{self, Calibration};

/// What this machine costs.
#[derive(Serialize, ToSchema)]
#[schema(as = Calibration)]
pub struct CalibrationView {
    /// Whether it was measured; else the figures are assumed.
    pub calibrated: bool,
    /// When.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub measured_at: Option<At>,
    /// How long ago.
    pub age_ms: Option<f64>,
    /// How long it took.
    pub took_ms: Option<f64>,
    /// The machine it is about: processor, cores, kernel.
    pub host: Option<String>,
    /// Cores the kernel lets the house use.
    #[schema(minimum = 1, maximum = 4_294_967_295_u64)]
    pub cores: u32,
    /// What so many burners get of them together.
    #[schema(max_items = 2048)]
    pub effective_cores: Vec<BurnersView>,
    /// Iterations of a CPU step in a millisecond.
    #[schema(minimum = 1, maximum = 9_007_199_254_740_991_i64)]
    pub iterations_per_ms: u64,
    /// Increments of a counter in a millisecond, without a lock.
    #[schema(minimum = 1, maximum = 9_007_199_254_740_991_i64)]
    pub increments_per_ms: u64,
    /// The same with a lock that nobody else wants.
    #[schema(minimum = 1, maximum = 9_007_199_254_740_991_i64)]
    pub locked_increments_per_ms: u64,
    /// From an order's start until its model is at work.
    pub begin_us: f64,
    /// The loop's CPU for a wait, from its beginning to its noticed end.
    pub loop_wait_us: f64,
    /// How late an idle loop hears of a timer.
    pub loop_late_us: f64,
    /// From a thread's end of a step until the loop hears of it.
    pub hand_back_us: f64,
    /// Starting a thread.
    pub thread_start_us: f64,
    /// From there until it is at work.
    pub thread_birth_us: f64,
    /// Waking a thread that sleeps.
    pub wake_us: f64,
    /// How late a thread comes back from a wait.
    pub thread_late_us: f64,
    /// Taking, measuring and writing down one step in a thread.
    pub step_us: f64,
    /// Starting a process, for the one who starts it.
    pub spawn_issue_us: f64,
    /// From there until the process is at work.
    pub spawn_us: f64,
    /// From one end of a kitchen's pipe to the other.
    pub pipe_us: f64,
    /// From the release of an order's GIL until the next thread that computes has it.
    pub gil_switch_us: f64,
    /// One message of an exchange within a kitchen.
    pub message_us: f64,
    /// The same between kitchens, through a pipe.
    pub pipe_message_us: f64,
    /// The same through shared memory.
    pub shared_memory_us: f64,
    /// A mebibyte of an exchange within a kitchen, beyond the message: a reference, so next to nothing.
    pub mebibyte_us: f64,
    /// The same through a pipe.
    pub pipe_mebibyte_us: f64,
    /// The same through shared memory.
    pub shared_memory_mebibyte_us: f64,
    /// Bytes of a process that has done nothing yet.
    #[schema(minimum = 0, maximum = 9_007_199_254_740_991_i64)]
    pub process_bytes: u64,
    /// Bytes of a process that waits for steps.
    #[schema(minimum = 0, maximum = 9_007_199_254_740_991_i64)]
    pub kitchen_bytes: u64,
    /// Bytes of a thread that has worked.
    #[schema(minimum = 0, maximum = 9_007_199_254_740_991_i64)]
    pub thread_bytes: u64,
    /// Bytes of a dish on a loop.
    #[schema(minimum = 0, maximum = 9_007_199_254_740_991_i64)]
    pub task_bytes: u64,
}

/// What so many burners get.
#[derive(Serialize, ToSchema)]
#[schema(as = Burners)]
pub struct BurnersView {
    /// Threads that burn at once.
    #[schema(minimum = 1, maximum = 4_294_967_295_u64)]
    pub burners: u32,
    /// CPU seconds per second that they get together.
    pub cores: f64,
}

fn us(span: Ns) -> f64 {
    span as f64 / 1e3
}

fn view(calibration: &Calibration) -> CalibrationView {
    let (costs, measured) = (&calibration.costs, calibration.measured.as_ref());
    let burners = |(burners, cores): &(u32, f64)| BurnersView { burners: *burners, cores: (cores * 1e3).round() / 1e3 };
    CalibrationView {
        calibrated: measured.is_some(),
        measured_at: measured.map(|m| At(m.at_us)),
        age_ms: measured.map(|m| (clock::wall_us() - m.at_us) as f64 / 1e3),
        took_ms: measured.map(|m| m.took_ms as f64),
        host: measured.map(|m| m.host.clone()),
        cores: calibration.cores,
        effective_cores: calibration.effective_cores.iter().map(burners).collect(),
        iterations_per_ms: costs.iterations_per_ms,
        increments_per_ms: costs.increments_per_ms[0],
        locked_increments_per_ms: costs.increments_per_ms[1],
        begin_us: us(costs.begin),
        loop_wait_us: us(costs.loop_begin + costs.loop_end),
        loop_late_us: us(costs.loop_late),
        hand_back_us: us(costs.hand_back),
        thread_start_us: us(costs.thread_start),
        thread_birth_us: us(costs.thread_birth),
        wake_us: us(costs.wake),
        thread_late_us: us(costs.thread_late),
        step_us: us(costs.step),
        spawn_issue_us: us(costs.spawn_issue),
        spawn_us: us(costs.spawn),
        pipe_us: us(costs.pipe),
        gil_switch_us: us(costs.gil_switch),
        message_us: us(costs.message[0]),
        pipe_message_us: us(costs.message[1]),
        shared_memory_us: us(costs.message[2]),
        mebibyte_us: us(costs.mebibyte[0]),
        pipe_mebibyte_us: us(costs.mebibyte[1]),
        shared_memory_mebibyte_us: us(costs.mebibyte[2]),
        process_bytes: costs.process_bytes,
        kitchen_bytes: costs.kitchen_bytes,
        thread_bytes: costs.thread_bytes,
        task_bytes: costs.task_bytes,
    }
}

/// Measure this machine
///
/// Starts threads, processes and small orders, alone in the house (other orders wait), for about three seconds. Forecasts
/// rest on it from then on, until the service ends. One that is not over within `budget_ms` changes nothing.
#[utoipa::path(post, path = "/calibrations", operation_id = "calibrate", tag = "comparisons",
    params(("budget_ms" = Option<u64>, Query, description = "How long it may take, once the house is empty", minimum = 1, maximum = 600_000, example = 30_000)),
    responses(
        (status = 200, description = "Measured", body = CalibrationView),
        (status = 422, description = "A parameter that cannot be", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "One is being made, the house did not become empty, or it was not over in time", body = Problem, content_type = "application/problem+json"),
    ))]
pub async fn place(State(app): State<AppState>, uri: Uri) -> Result<Response<Body>, Problem> {
    let mut params = Params::of(&uri)?;
    let budget_ms = params.number("budget_ms", 1, limits::BUDGET_MS)?;
    params.done()?;
    let at_most = budget_ms.map_or(calibration::AT_MOST, Duration::from_millis);
    let made = app.before_closing(app.forecasts.calibrate(at_most)).await;
    let made = made.ok_or_else(|| Problem::new(&problem::DRAINING, "the service is about to end"))?;
    let calibration = made.map_err(|why| Problem::new(&problem::FULL, why))?;
    Ok(json(StatusCode::OK, &view(&calibration)))
}

/// Read what was measured last
#[utoipa::path(get, path = "/calibrations", operation_id = "getCalibration", tag = "comparisons",
    responses((status = 200, description = "The last calibration, or what is assumed until there is one", body = CalibrationView)))]
pub async fn get(State(app): State<AppState>, uri: Uri) -> Result<Response<Body>, Problem> {
    Params::of(&uri)?.done()?;
    Ok(json(StatusCode::OK, &view(&app.forecasts.calibrations.last())))
}
