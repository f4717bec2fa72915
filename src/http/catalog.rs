//! What the house offers: models, recipes, presets.
//!
//! It deliberately decides nothing: every answer is a table of another room, written down.

use std::collections::BTreeMap;

use axum::body::Body;
use axum::extract::Path;
use axum::http::{Response, StatusCode};
use serde::Serialize;
use utoipa::ToSchema;

use super::orders::json;
use super::problem::{self, Problem};
use crate::domain::ask::{InlineRecipe, OrderAsk, Value};
use crate::domain::{menu, options};
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
