//! What the house takes and what it does not, in one list.
//!
//! It deliberately checks nothing: each limit is kept where what it limits is read or done.

use std::collections::BTreeMap;

use axum::body::Body;
use axum::extract::State;
use axum::http::{Response, StatusCode};
use serde::Serialize;
use utoipa::ToSchema;

use super::AppState;
use super::orders::json;
use crate::domain::limits;

/// Those that no setting changes.
const FIXED: [(&str, u64); 44] = [
    ("body_bytes", limits::BODY_BYTES as u64),
    ("batch_bytes", limits::BATCH_BYTES as u64),
    ("head_bytes", limits::HEAD_BYTES as u64),
    ("headers", limits::HEADERS as u64),
    ("uri_bytes", limits::URI_BYTES as u64),
    ("batch_orders", limits::BATCH as u64),
    ("steps_per_dish", limits::STEPS_PER_DISH as u64),
    ("steps_per_order", limits::STEPS_PER_ORDER),
    ("cpu_ms_per_order", limits::CPU_MS_PER_ORDER),
    ("iterations_per_cpu_ms", limits::ITERATIONS_PER_CPU_MS),
    ("wait_ms", limits::WAIT_MS),
    ("equipment", limits::EQUIPMENT as u64),
    ("capacity", limits::CAPACITY),
    ("message_bytes", limits::MESSAGE_BYTES),
    ("messages", limits::MESSAGES),
    ("exchange_bytes", limits::EXCHANGE_BYTES),
    ("exchange_messages", limits::EXCHANGE_MESSAGES),
    ("increments", limits::INCREMENTS),
    ("increments_per_cpu_ms", limits::INCREMENTS_PER_CPU_MS),
    ("arrivals_per_s", limits::ARRIVALS_PER_S),
    ("labels", limits::LABELS as u64),
    ("label_chars", limits::LABEL_CHARS as u64),
    ("name_chars", limits::NAME_CHARS as u64),
    ("speed", limits::SPEED),
    ("timeout_ms", limits::TIMEOUT_MS),
    ("expires_in_ms", limits::EXPIRES_IN_MS),
    ("max_attempts", limits::ATTEMPTS),
    ("retry_wait_ms", limits::RETRY_WAIT_MS),
    ("idempotency_key_chars", limits::IDEMPOTENCY_KEY_CHARS as u64),
    ("assistants", limits::ASSISTANTS as u64),
    ("recorded_steps", limits::RECORDS),
    ("recorded_processes", limits::PROCESS_ROWS as u64),
    ("hold_s", limits::HOLD_S),
    ("event_streams", limits::STREAMS as u64),
    ("page", limits::PAGE as u64),
    ("line_up", limits::LINE_UP as u64),
    ("repeats", limits::REPEATS),
    ("budget_ms", limits::BUDGET_MS),
    ("comparisons", limits::COMPARISONS as u64),
    ("comparisons_in_memory", limits::COMPARISONS_IN_MEMORY as u64),
    ("comparison_bytes_in_memory", limits::COMPARISON_BYTES_IN_MEMORY as u64),
    ("forecast_dishes", limits::FORECAST_DISHES),
    ("forecast_steps", limits::FORECAST_STEPS),
    ("forecast_cores", limits::FORECAST_CORES),
];

/// A limit; its unit is in its name.
#[derive(Serialize, ToSchema)]
#[schema(minimum = 0, maximum = 9_007_199_254_740_991_i64)]
pub struct Limit(u64);

/// List the limits
///
/// Above a limit an order is refused by name, never clamped; some of them are of conversions and of what is kept. Some are listed only
/// where they are set: `child_memory_bytes`, the rate of writes (`writes_per_s`, `writes_at_once`), and the lease (`lease_ms`).
#[utoipa::path(get, path = "/limits", operation_id = "getLimits", tag = "catalog",
    responses((status = 200, description = "The limits, units in their names", body = BTreeMap<String, Limit>)))]
pub async fn list(State(app): State<AppState>) -> Response<Body> {
    let (budget, bounds, door) = (app.kitchen.config.budget, app.kitchen.config.bounds, &app.door);
    let bounded = [
        ("threads", u64::from(budget.threads)),
        ("children", u64::from(budget.children)),
        ("active_orders", bounds.active_orders as u64),
        ("active_bytes", bounds.active_bytes as u64),
        ("ended_orders", bounds.ended_orders as u64),
        ("ended_bytes", bounds.ended_bytes as u64),
        ("retention_s", bounds.retention_us as u64 / 1_000_000),
        ("connections", super::server::connections(door) as u64),
        ("header_timeout_ms", u64::from(door.header_timeout_ms)),
        ("body_timeout_ms", u64::from(door.body_timeout_ms)),
        ("idle_timeout_ms", u64::from(door.idle_timeout_ms)),
        ("write_timeout_ms", u64::from(door.write_timeout_ms)),
    ];
    let rate =
        app.rate.map(|rate| [("writes_per_s", u64::from(rate.per_s)), ("writes_at_once", u64::from(rate.burst))]);
    let memory = app.kitchen.config.staff.kitchen_memory.map(|bytes| ("child_memory_bytes", bytes));
    let lease = app.lease.map(|lease| ("lease_ms", u64::try_from(lease.as_millis()).unwrap_or(u64::MAX)));
    let all = FIXED.into_iter().chain(bounded).chain(memory).chain(lease).chain(rate.into_iter().flatten());
    json(StatusCode::OK, &all.map(|(name, value)| (name, Limit(value))).collect::<BTreeMap<_, _>>())
}
