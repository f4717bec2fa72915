//! The laboratory's fields of an order as asked: distributions, equipment, arrivals.
//!
//! Flat structs like [`super::ask`]'s, for the same reason; checked in `resolve_lab.rs`.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use utoipa::PartialSchema;
use utoipa::ToSchema;
use utoipa::openapi::{RefOr, Schema};

use super::arrivals::Process;
use super::ask_json::{named, of_object};
use super::limits;

/// How a wait differs from dish to dish, instead of `ms`; which fields belong to which kind is said beside them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
#[schema(as = Distribution, example = json!({"kind": "log_normal", "median_ms": 50, "p95_ms": 200}))]
pub struct SpreadAsk {
    /// `constant`, `uniform`, `log_normal` or `exponential`.
    pub kind: String,
    /// `constant`: the length of every wait.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0, maximum = 3_600_000)]
    pub ms: Option<u64>,
    /// `uniform`: the shortest.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0, maximum = 3_600_000)]
    pub min_ms: Option<u64>,
    /// `uniform`: the longest.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0, maximum = 3_600_000)]
    pub max_ms: Option<u64>,
    /// `log_normal`: half of the waits are shorter.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 3_600_000)]
    pub median_ms: Option<u64>,
    /// `log_normal`: one wait in twenty is longer.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 3_600_000)]
    pub p95_ms: Option<u64>,
    /// `exponential`: their mean.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 3_600_000)]
    pub mean_ms: Option<u64>,
}

/// When dishes are asked for: by the clock, whether or not others are done. Completion times count from there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Arrivals, example = json!({"rate_per_s": 50, "process": "poisson"}))]
pub struct ArrivalsAsk {
    /// Dishes a second, on average.
    #[schema(minimum = 1, maximum = 1_000_000)]
    pub rate_per_s: u64,
    /// `poisson` (independent clients) or `uniform` (a clock); `poisson` if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Process>)]
    pub process: Option<String>,
}

/// Something that only so many steps can use at once.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
#[schema(as = EquipmentItem, example = json!({"capacity": 2}))]
pub struct ItemAsk {
    /// Steps that can use it at once; 1 if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 1_000_000)]
    pub capacity: Option<u64>,
    /// One for all kitchens of the order instead of one in each.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shared: Option<bool>,
}

/// Equipment by name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EquipmentAsk(pub Vec<(String, ItemAsk)>);

impl<'de> Deserialize<'de> for EquipmentAsk {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        named(deserializer).map(Self)
    }
}

impl Serialize for EquipmentAsk {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, item)| (name, item)))
    }
}

impl PartialSchema for EquipmentAsk {
    fn schema() -> RefOr<Schema> {
        of_object(ItemAsk::name().as_ref(), limits::NAME_CHARS, limits::EQUIPMENT, "What steps share, by name.")
    }
}

impl ToSchema for EquipmentAsk {
    fn name() -> std::borrow::Cow<'static, str> {
        "Equipment".into()
    }

    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.push((ItemAsk::name().into(), ItemAsk::schema()));
    }
}
