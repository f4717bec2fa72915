//! An order as asked: the JSON body field by field, nothing filled in, nothing checked but syntax and types.
//!
//! Flat structs on purpose: with them serde reports unknown and duplicate fields exactly. Meaning and limits are checked
//! in [`super::resolve`], all at once.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub use super::ask_json::{LabelsAsk, SetupAsk, Value};
use super::ask_json::{maybe, object, objects};
pub use super::ask_lab::{ArrivalsAsk, EquipmentAsk, SpreadAsk};
use super::limits;
use super::recipe::StepOrder;
use super::spec::Isolation;

/// What `POST /orders` accepts. Every field is optional but `model` (or a preset that sets it).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
#[schema(example = json!({"model": "asyncio", "dishes": 3}))]
pub struct OrderAsk {
    /// A named whole order (`GET /presets`); the other fields override it one by one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preset: Option<String>,
    /// How steps are run: one of `GET /models`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Options of the model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub setup: Option<SetupAsk>,
    /// What is cooked: the name of a built-in recipe (`GET /recipes`) or a recipe of your own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recipe: Option<RecipeAsk>,
    /// Shorthand instead of `recipe`: one wait of this many milliseconds ...
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0, maximum = 3_600_000)]
    pub io_ms: Option<u64>,
    /// ... and then one step that burns this many milliseconds of CPU.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0, maximum = 3_600_000)]
    pub cpu_ms: Option<u64>,
    /// How many dishes of the recipe; 1 if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 3_000_000)]
    pub dishes: Option<u64>,
    /// Dishes in progress at once; all if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 3_000_000)]
    pub max_in_flight: Option<u64>,
    /// Order of the steps within a dish: `recipe` (its `after` edges), `sequential` or `concurrent`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<StepOrder>)]
    pub step_order: Option<String>,
    /// `house` (in the service's process) or `kitchen` (the whole order in a child process, with exact memory).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Isolation>)]
    pub isolation: Option<String>,
    /// Divisor of every wait; 1 if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 1_000_000)]
    pub speed: Option<u64>,
    /// Fixes every random draw; drawn and echoed if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0, maximum = 9_007_199_254_740_991_i64)]
    pub seed: Option<u64>,
    /// Run time after which an attempt fails with `timeout`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 86_400_000)]
    pub timeout_ms: Option<u64>,
    /// Time after acceptance by which the order must have begun; otherwise it ends as `expired`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 86_400_000)]
    pub expires_in_ms: Option<u64>,
    /// Attempts it may have as long as they fail; 1 if absent. A deadlock is not tried again; runs lost with their node do not count.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 10)]
    pub max_attempts: Option<u64>,
    /// Time between the first attempt and the second, doubled for each further one, up to a minute; 1000 if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0, maximum = 60_000)]
    pub retry_wait_ms: Option<u64>,
    /// Your own marks, to filter lists by.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub labels: Option<LabelsAsk>,
    /// When dishes are asked for: by the clock instead of all at the start.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "maybe")]
    pub arrivals: Option<ArrivalsAsk>,
}

/// A recipe as asked: a built-in's name, or steps of your own.
#[derive(Clone, Debug, PartialEq)]
pub enum RecipeAsk {
    /// Name of a built-in.
    Named(String),
    /// A recipe of one's own.
    Inline(InlineRecipe),
}

/// A recipe of your own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Recipe)]
pub struct InlineRecipe {
    /// Its name.
    #[schema(min_length = 1, max_length = 100)]
    pub name: String,
    /// Its steps, 1 to 100.
    #[serde(deserialize_with = "objects::<_, _, { limits::STEPS_PER_DISH }>")]
    #[schema(min_items = 1, max_items = 100)]
    pub steps: Vec<StepAsk>,
    /// What its steps share, by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub equipment: Option<EquipmentAsk>,
}

/// One step of a recipe.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Step)]
pub struct StepAsk {
    /// Unique within the recipe.
    #[schema(min_length = 1, max_length = 100)]
    pub name: String,
    /// What it does.
    #[serde(deserialize_with = "object")]
    pub work: WorkAsk,
    /// Names of steps that must be done before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(max_items = 100)]
    pub after: Vec<String>,
    /// Equipment it needs for its whole length, by name, in the order it is taken.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(max_items = 32)]
    pub needs: Vec<String>,
    /// Keep what it has while it waits for the next, instead of taking all or nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold_while_waiting: Option<bool>,
}

/// The work of a step; which fields belong to which kind is said beside them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
#[schema(as = Work, example = json!({"kind": "wait", "ms": 300}))]
pub struct WorkAsk {
    /// `wait`, `blocking_wait`, `cpu`, `exchange`, `counter` or `fault`.
    pub kind: String,
    /// `wait`, `blocking_wait`: how long. `cpu`: CPU time to burn, instead of `iterations`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0, maximum = 3_600_000)]
    pub ms: Option<u64>,
    /// `cpu`: sum `i * i` for all `i` below this number.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0, maximum = 1_440_000_000_000_i64)]
    pub iterations: Option<u64>,
    /// `fault`: `exit`, `abort`, `panic`, `hang` or `oom`; only where the service allows faults.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub what: Option<String>,
    /// `fault`: only in the first so many attempts at the order; in all if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 10)]
    pub on_attempts: Option<u64>,
    /// `cpu`: share of the work that needs the GIL, where there is one; 100 if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0, maximum = 100)]
    pub gil_held_percent: Option<u64>,
    /// `cpu`: CPU time after which an event loop without assistants may do something else; never if absent. Elsewhere it
    /// changes nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 3_600_000)]
    pub yield_every_ms: Option<u64>,
    /// `wait`, `blocking_wait`: drawn from this instead of `ms`.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "maybe")]
    pub distribution: Option<SpreadAsk>,
    /// `exchange`: bytes of each message.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0, maximum = 16_777_216)]
    pub bytes: Option<u64>,
    /// `exchange`: messages handed over; 1 if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 100_000)]
    pub messages: Option<u64>,
    /// `counter`: how often the number that all steps of the order share is counted up.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0, maximum = 100_000_000)]
    pub increments: Option<u64>,
    /// `counter`: count under a lock; `false` if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub locked: Option<bool>,
}
