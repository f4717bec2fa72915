//! The built-in recipes and presets, read once from `menu.json` beside this file.
//!
//! It deliberately contains no work of its own: a built-in is an order anybody could have written.

use std::sync::{Arc, OnceLock};

use serde::Deserialize;

use super::ask::{InlineRecipe, OrderAsk};
use super::recipe::Recipe;
use super::resolve_recipe;

/// A built-in recipe.
#[derive(Debug)]
pub struct MenuRecipe {
    /// One sentence.
    pub summary: String,
    /// As a client would write it.
    pub ask: InlineRecipe,
    /// Resolved; orders share it.
    pub recipe: Arc<Recipe>,
}

/// A named whole order.
#[derive(Debug)]
pub struct Preset {
    /// Its name.
    pub name: String,
    /// One sentence.
    pub summary: String,
    /// The order, as a client would write it.
    pub order: OrderAsk,
}

/// Name of the recipe of an order that names none.
pub const DEFAULT_RECIPE: &str = "pasta-fasta";

#[derive(Deserialize)]
struct Text {
    recipes: Vec<(String, InlineRecipe)>,
    presets: Vec<(String, String, OrderAsk)>,
}

fn menu() -> &'static (Vec<MenuRecipe>, Vec<Preset>) {
    static MENU: OnceLock<(Vec<MenuRecipe>, Vec<Preset>)> = OnceLock::new();
    MENU.get_or_init(|| {
        let text: Text = serde_json::from_str(include_str!("menu.json")).expect("menu.json is checked by a test");
        let recipes = text.recipes.into_iter().map(|(summary, ask)| {
            let mut bad = Vec::new();
            let recipe = resolve_recipe::inline(&ask, format_args!(""), &mut bad);
            assert!(bad.is_empty(), "menu.json is checked by a test: {bad:?}");
            MenuRecipe { summary, ask, recipe: Arc::new(recipe) }
        });
        let presets = text.presets.into_iter().map(|(name, summary, order)| Preset { name, summary, order });
        (recipes.collect(), presets.collect())
    })
}

/// All built-in recipes.
#[must_use]
pub fn recipes() -> &'static [MenuRecipe] {
    &menu().0
}

/// All presets.
#[must_use]
pub fn presets() -> &'static [Preset] {
    &menu().1
}

/// The built-in recipe of this name.
#[must_use]
pub fn recipe(name: &str) -> Option<&'static MenuRecipe> {
    recipes().iter().find(|r| r.ask.name == name)
}

/// The preset of this name.
#[must_use]
pub fn preset(name: &str) -> Option<&'static Preset> {
    presets().iter().find(|p| p.name == name)
}

/// An order of a built-in recipe with everything else at its default, for tests of pure parts.
#[cfg(test)]
pub fn example(name: &str, dishes: u32) -> super::spec::Spec {
    use super::recipe::StepOrder;
    use super::spec::{Choice, Isolation, ModelId, OPTIONS, Setup, Spec};
    Spec {
        model: ModelId(0),
        setup: Setup([Choice::Word(0); OPTIONS]),
        recipe: recipe(name).unwrap().recipe.clone(),
        dishes,
        first_dish: 1,
        stride: 1,
        step_order: StepOrder::Recipe,
        isolation: Isolation::House,
        speed: 1,
        seed: 1,
        max_in_flight: None,
        arrivals: None,
        timeout: None,
        expires_in: None,
        traceparent: None,
        labels: Box::default(),
        max_attempts: 1,
        first_retry_wait: std::time::Duration::ZERO,
    }
}
