//! A comparison as asked: its JSON shape, and the way to one as resolved.
//!
//! It deliberately looks at no order: what is wrong with the work itself is found where it is resolved.

use std::fmt;
use std::time::Duration;

use serde::de::{self, MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer, value::SeqAccessDeserializer};
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::openapi::schema::{AdditionalProperties, OneOfBuilder, SchemaType, Type};
use utoipa::openapi::{ArrayBuilder, ObjectBuilder, Ref, RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use crate::domain::ask::{OrderAsk, SetupAsk};
use crate::domain::ask_json::{object, objects};
use crate::domain::limits;
use crate::domain::resolve::Violation;
use crate::lab::comparison::{LineUp, Plan};
use crate::lab::line_up::Candidate;
use crate::lab::objective::Objective;

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
    /// What is best: `makespan` (default), `mean_latency`, `p95_latency`, `memory`, or several with weights.
    #[serde(default)]
    pub objective: Option<ObjectiveAsk>,
    /// Milliseconds to measure for, all in all, 8000 if absent (a sweep: 60000); dishes are sampled to fit.
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
                objects::<_, _, { limits::LINE_UP }>(SeqAccessDeserializer::new(seq)).map(LineUpAsk::Of)
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

/// An objective as asked.
#[derive(Debug)]
pub enum ObjectiveAsk {
    /// One figure, by name.
    Named(String),
    /// Several, weighed.
    Weighed(WeightsAsk),
}

/// Weights of figures; the geometric mean with these weights is to be least, so that no unit counts.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct WeightsAsk {
    /// Of the time for all dishes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub makespan: Option<u64>,
    /// Of the mean completion time of a dish.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mean_latency: Option<u64>,
    /// Of its 95th percentile.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p95_latency: Option<u64>,
    /// Of the memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<u64>,
}

impl WeightsAsk {
    /// As an objective has them.
    #[must_use]
    pub fn of(objective: Objective) -> Self {
        let [makespan, mean_latency, p95_latency, memory] =
            objective.weights().map(|weight| Some(u64::from(weight)).filter(|weight| *weight > 0));
        Self { makespan, mean_latency, p95_latency, memory }
    }

    fn in_order(self) -> [Option<u64>; 4] {
        [self.makespan, self.mean_latency, self.p95_latency, self.memory]
    }
}

// Written out: what utoipa derives cannot ask for at least one of them.
impl PartialSchema for WeightsAsk {
    fn schema() -> RefOr<Schema> {
        let weight = || {
            // As everywhere, null says nothing.
            let weight = ObjectBuilder::new().schema_type(SchemaType::from_iter([Type::Integer, Type::Null]));
            weight.minimum(Some(1)).maximum(Some(Objective::LARGEST_WEIGHT))
        };
        let object = ObjectBuilder::new().schema_type(SchemaType::Type(Type::Object)).min_properties(Some(1));
        let object = Objective::NAMES.iter().fold(object, |object, name| object.property(*name, weight()));
        let what = "Weights of figures; the geometric mean with these weights is to be least, so that no unit counts.";
        object.additional_properties(Some(AdditionalProperties::FreeForm(false))).description(Some(what)).into()
    }
}

impl ToSchema for WeightsAsk {
    fn name() -> std::borrow::Cow<'static, str> {
        "Weights".into()
    }
}

impl ObjectiveAsk {
    /// As the command line says it: a name, or `makespan=3,memory=1`. What is no such thing stays a name, to be refused.
    #[must_use]
    pub fn of_words(words: &str) -> Self {
        let mut weights = WeightsAsk::default();
        let all_set = words.split(',').all(|part| {
            let Some((name, Ok(weight))) = part.split_once('=').map(|(name, n)| (name.trim(), n.trim().parse())) else {
                return false;
            };
            let place = match name {
                "makespan" => &mut weights.makespan,
                "mean_latency" => &mut weights.mean_latency,
                "p95_latency" => &mut weights.p95_latency,
                "memory" => &mut weights.memory,
                _ => return false,
            };
            *place = Some(weight);
            true
        });
        if all_set { Self::Weighed(weights) } else { Self::Named(words.to_owned()) }
    }
}

impl<'de> Deserialize<'de> for ObjectiveAsk {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = ObjectiveAsk;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the name of an objective or an object of weights")
            }
            fn visit_str<E: de::Error>(self, name: &str) -> Result<ObjectiveAsk, E> {
                Ok(ObjectiveAsk::Named(name.to_owned()))
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<ObjectiveAsk, A::Error> {
                WeightsAsk::deserialize(MapAccessDeserializer::new(map)).map(ObjectiveAsk::Weighed)
            }
        }
        deserializer.deserialize_any(Either)
    }
}

impl PartialSchema for ObjectiveAsk {
    fn schema() -> RefOr<Schema> {
        let name = ObjectBuilder::new().schema_type(SchemaType::Type(Type::String)).enum_values(Some(Objective::NAMES));
        OneOfBuilder::new().item(name).item(Ref::from_schema_name(WeightsAsk::name())).into()
    }
}

impl ToSchema for ObjectiveAsk {
    fn name() -> std::borrow::Cow<'static, str> {
        "Objective".into()
    }

    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.push((WeightsAsk::name().into(), WeightsAsk::schema()));
    }
}

fn objective(ask: Option<ObjectiveAsk>, bad: &mut Vec<Violation>) -> Objective {
    let objective = match ask {
        None => Some(Objective::MAKESPAN),
        Some(ObjectiveAsk::Named(name)) => Objective::named(&name),
        Some(ObjectiveAsk::Weighed(asked)) => {
            let range = 1..=Objective::LARGEST_WEIGHT;
            let wrong = |weight: Option<u64>| weight.is_some_and(|weight| !range.contains(&weight));
            for (name, _) in Objective::NAMES.iter().zip(asked.in_order()).filter(|(_, weight)| wrong(*weight)) {
                let detail = format!("must be from 1 to {}", Objective::LARGEST_WEIGHT);
                bad.push(Violation::new(format!("/objective/{name}"), detail));
            }
            // What is wrong is told already, and weighs something meanwhile.
            Objective::weighed(asked.in_order().map(|w| w.map_or(0, |w| w.clamp(1, Objective::LARGEST_WEIGHT) as u32)))
        }
    };
    objective.unwrap_or_else(|| {
        let names = Objective::NAMES.join(", ");
        bad.push(Violation::new("/objective", format!("must be one of {names}, or weights of them")));
        Objective::MAKESPAN
    })
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
        (ask.work.max_attempts.is_some(), "max_attempts"),
    ];
    for (_, name) in fixed.iter().filter(|(said, _)| *said) {
        bad.push(Violation::new(format!("/work/{name}"), "is the comparison's business; leave it out of the work"));
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
    let objective = objective(ask.objective, &mut bad);
    let plan = Plan {
        work: ask.work,
        line_up,
        repeats: repeats.min(limits::REPEATS) as usize,
        objective,
        budget: Duration::from_millis(budget_ms.min(limits::BUDGET_MS)),
    };
    (plan, bad)
}
