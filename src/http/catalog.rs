//! What the house offers: models, recipes, presets, limits.
//!
//! It deliberately decides nothing: every answer is a table of another room, written down.

use std::collections::BTreeMap;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{Response, StatusCode};
use serde::Serialize;
use utoipa::ToSchema;

use super::AppState;
use super::orders::json;
use super::problem::{self, Problem};
use crate::domain::ask::{InlineRecipe, OrderAsk, Value};
use crate::domain::{limits, menu, options};
use crate::model;

/// A list.
#[derive(Serialize, ToSchema)]
pub struct Listed<T: Serialize + ToSchema> {
    /// The entries.
    #[schema(max_items = 1000)]
    pub data: Vec<T>,
}

/// A model.
#[derive(Serialize, ToSchema)]
#[schema(as = Model)]
pub struct ModelView {
    /// Its name.
    pub name: &'static str,
    /// One sentence.
    pub summary: &'static str,
    /// What `setup` may say.
    pub setup: BTreeMap<&'static str, OptionView>,
}

/// An option of a model.
#[derive(Serialize, ToSchema)]
#[schema(as = ModelOption)]
pub struct OptionView {
    /// What it decides.
    pub summary: &'static str,
    /// What it accepts.
    pub accepts: String,
    /// What holds when nothing is said.
    pub default: Value,
    /// The option that must be true for this one to mean something.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub only_with: Option<&'static str>,
}

/// A built-in recipe.
#[derive(Serialize, ToSchema)]
#[schema(as = MenuRecipe)]
pub struct RecipeEntry {
    /// Its name.
    pub name: &'static str,
    /// One sentence.
    pub summary: &'static str,
    /// The recipe.
    pub recipe: &'static InlineRecipe,
}

/// A named whole order.
#[derive(Serialize, ToSchema)]
#[schema(as = Preset)]
pub struct PresetEntry {
    /// Its name, for `preset` of an order.
    pub name: &'static str,
    /// One sentence.
    pub summary: &'static str,
    /// The order.
    pub order: &'static OrderAsk,
}

/// List the models
#[utoipa::path(get, path = "/models", operation_id = "listModels", tag = "catalog",
    responses((status = 200, description = "The models and their options", body = Listed<ModelView>)))]
pub async fn models() -> Response<Body> {
    let option = |info: &'static options::OptionInfo| {
        let default = options::echo(info, info.default);
        let (accepts, only_with) = (options::accepted(info), options::only_with(info.name));
        (info.name, OptionView { summary: info.summary, accepts, default, only_with })
    };
    let view = |model: &&'static dyn model::Model| {
        let info = model.info();
        ModelView { name: info.name, summary: info.summary, setup: info.options.iter().map(option).collect() }
    };
    json(StatusCode::OK, &Listed { data: model::ALL.iter().map(view).collect() })
}

fn entry(recipe: &'static menu::MenuRecipe) -> RecipeEntry {
    RecipeEntry { name: &recipe.ask.name, summary: &recipe.summary, recipe: &recipe.ask }
}

/// List the built-in recipes
#[utoipa::path(get, path = "/recipes", operation_id = "listRecipes", tag = "catalog",
    responses((status = 200, description = "The built-in recipes", body = Listed<RecipeEntry>)))]
pub async fn recipes() -> Response<Body> {
    json(StatusCode::OK, &Listed { data: menu::recipes().iter().map(entry).collect() })
}

/// Read a built-in recipe
#[utoipa::path(get, path = "/recipes/{name}", operation_id = "getRecipe", tag = "catalog",
    params(("name" = String, Path, description = "The recipe's name")),
    responses(
        (status = 200, description = "The recipe", body = RecipeEntry),
        (status = 404, description = "No such recipe", body = Problem, content_type = "application/problem+json"),
    ))]
pub async fn recipe(Path(name): Path<String>) -> Result<Response<Body>, Problem> {
    let found =
        menu::recipe(&name).ok_or_else(|| Problem::new(&problem::NOT_FOUND, "no built-in recipe has this name"))?;
    Ok(json(StatusCode::OK, &entry(found)))
}

/// List the presets
#[utoipa::path(get, path = "/presets", operation_id = "listPresets", tag = "catalog",
    responses((status = 200, description = "Named whole orders, the seed's four programs among them", body = Listed<PresetEntry>)))]
pub async fn presets() -> Response<Body> {
    let view = |p: &'static menu::Preset| PresetEntry { name: &p.name, summary: &p.summary, order: &p.order };
    json(StatusCode::OK, &Listed { data: menu::presets().iter().map(view).collect() })
}

/// A limit; its unit is in its name.
#[derive(Serialize, ToSchema)]
#[schema(minimum = 0, maximum = 9_007_199_254_740_991_i64)]
pub struct Limit(u64);

/// List the limits
///
/// Above a limit an order is refused by name, never clamped. What is not limited here is not listed: the memory of a child
/// process and the rate of writes can be, and the lease (`lease_ms`) is where nodes share a store.
#[utoipa::path(get, path = "/limits", operation_id = "getLimits", tag = "catalog",
    responses((status = 200, description = "The limits, units in their names", body = BTreeMap<String, Limit>)))]
pub async fn limits(State(app): State<AppState>) -> Response<Body> {
    let (budget, bounds, door) = (app.kitchen.config.budget, app.kitchen.config.bounds, &app.door);
    let rows: [(&'static str, u64); 38] = [
        ("body_bytes", limits::BODY_BYTES as u64),
        ("batch_bytes", limits::BATCH_BYTES as u64),
        ("batch_orders", limits::BATCH as u64),
        ("steps_per_dish", limits::STEPS_PER_DISH as u64),
        ("steps_per_order", limits::STEPS_PER_ORDER),
        ("cpu_ms_per_order", limits::CPU_MS_PER_ORDER),
        ("iterations_per_cpu_ms", limits::ITERATIONS_PER_CPU_MS),
        ("wait_ms", limits::WAIT_MS),
        ("labels", limits::LABELS as u64),
        ("label_chars", limits::LABEL_CHARS as u64),
        ("name_chars", limits::NAME_CHARS as u64),
        ("timeout_ms", limits::TIMEOUT_MS),
        ("threads", u64::from(budget.threads)),
        ("children", u64::from(budget.children)),
        ("assistants", u64::from(limits::ASSISTANTS)),
        ("recorded_steps", limits::RECORDS),
        ("expires_in_ms", limits::EXPIRES_IN_MS),
        ("max_attempts", limits::ATTEMPTS),
        ("retry_wait_ms", limits::RETRY_WAIT_MS),
        ("idempotency_key_chars", limits::IDEMPOTENCY_KEY_CHARS as u64),
        ("event_streams", limits::STREAMS as u64),
        ("hold_s", limits::HOLD_S),
        ("page", limits::PAGE as u64),
        ("active_orders", bounds.active_orders as u64),
        ("active_bytes", bounds.active_bytes as u64),
        ("ended_orders", bounds.ended_orders as u64),
        ("ended_bytes", bounds.ended_bytes as u64),
        ("retention_s", bounds.retention_us as u64 / 1_000_000),
        ("connections", super::server::connections(door) as u64),
        ("head_bytes", limits::HEAD_BYTES as u64),
        ("headers", limits::HEADERS as u64),
        ("uri_bytes", limits::URI_BYTES as u64),
        ("header_timeout_ms", u64::from(door.header_timeout_ms)),
        ("body_timeout_ms", u64::from(door.body_timeout_ms)),
        ("idle_timeout_ms", u64::from(door.idle_timeout_ms)),
        ("write_timeout_ms", u64::from(door.write_timeout_ms)),
        ("line_up", limits::LINE_UP as u64),
        ("repeats", limits::REPEATS),
    ];
    let rate =
        app.rate.map(|rate| [("writes_per_s", u64::from(rate.per_s)), ("writes_at_once", u64::from(rate.burst))]);
    let memory = app.kitchen.config.staff.kitchen_memory.map(|bytes| ("child_memory_bytes", bytes));
    let lease = app.lease.map(|lease| ("lease_ms", u64::try_from(lease.as_millis()).unwrap_or(u64::MAX)));
    let all = rows.into_iter().chain(memory).chain(lease).chain(rate.into_iter().flatten());
    json(StatusCode::OK, &all.map(|(name, value)| (name, Limit(value))).collect::<BTreeMap<_, _>>())
}
