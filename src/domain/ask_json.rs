//! The JSON shapes of an order that derives cannot say: either-or values, objects with each key once.
//!
//! It deliberately checks nothing but syntax and types.

use std::fmt;

use serde::de::{self, IgnoredAny, MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use utoipa::openapi::schema::{OneOfBuilder, SchemaType, Type};
use utoipa::openapi::{ObjectBuilder, RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use super::ask::{InlineRecipe, RecipeAsk};
use super::limits;

impl Serialize for RecipeAsk {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Named(name) => name.serialize(serializer),
            Self::Inline(recipe) => recipe.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for RecipeAsk {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = RecipeAsk;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the name of a recipe or a recipe object")
            }
            fn visit_str<E: de::Error>(self, name: &str) -> Result<RecipeAsk, E> {
                Ok(RecipeAsk::Named(name.to_owned()))
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<RecipeAsk, A::Error> {
                InlineRecipe::deserialize(MapAccessDeserializer::new(map)).map(RecipeAsk::Inline)
            }
        }
        deserializer.deserialize_any(Either)
    }
}

/// A word, a number or a truth value: what an option may be set to.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A word.
    Word(String),
    /// A whole number.
    Number(u64),
    /// `true` or `false`.
    Truth(bool),
    /// `null`.
    Nothing,
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Word(word) => serializer.serialize_str(word),
            Self::Number(n) => serializer.serialize_u64(*n),
            Self::Truth(t) => serializer.serialize_bool(*t),
            Self::Nothing => serializer.serialize_unit(),
        }
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl Visitor<'_> for Any {
            type Value = Value;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a word, a whole number, true or false")
            }
            fn visit_str<E: de::Error>(self, word: &str) -> Result<Value, E> {
                Ok(Value::Word(word.to_owned()))
            }
            fn visit_u64<E: de::Error>(self, n: u64) -> Result<Value, E> {
                Ok(Value::Number(n))
            }
            fn visit_bool<E: de::Error>(self, t: bool) -> Result<Value, E> {
                Ok(Value::Truth(t))
            }
            fn visit_unit<E: de::Error>(self) -> Result<Value, E> {
                Ok(Value::Nothing)
            }
        }
        deserializer.deserialize_any(Any)
    }
}

fn of_type(kind: Type) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(SchemaType::Type(kind))
}

impl PartialSchema for Value {
    fn schema() -> RefOr<Schema> {
        let number = of_type(Type::Integer).minimum(Some(0)).maximum(Some(4_294_967_295_u64));
        let any = OneOfBuilder::new().item(of_type(Type::String)).item(number).item(of_type(Type::Boolean));
        any.description(Some("A word or a number; `GET /models` says which a model accepts.")).into()
    }
}

impl ToSchema for Value {
    fn name() -> std::borrow::Cow<'static, str> {
        "SetupValue".into()
    }
}

impl PartialSchema for RecipeAsk {
    fn schema() -> RefOr<Schema> {
        let name = of_type(Type::String).description(Some("Name of a built-in recipe."));
        OneOfBuilder::new().item(name).item(utoipa::openapi::Ref::from_schema_name(InlineRecipe::name())).into()
    }
}

impl ToSchema for RecipeAsk {
    fn name() -> std::borrow::Cow<'static, str> {
        "RecipeChoice".into()
    }

    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.push((InlineRecipe::name().into(), InlineRecipe::schema()));
        InlineRecipe::schemas(schemas);
    }
}

/// A JSON object and nothing else: what serde derives would also read an array, field by field in order.
struct Object<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Only<T>(std::marker::PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Only<T> {
            type Value = Object<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Object<T>, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(Object)
            }
        }
        deserializer.deserialize_map(Only(std::marker::PhantomData))
    }
}

/// Reads an object, never an array.
pub fn object<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<T, D::Error> {
    Object::deserialize(deserializer).map(|Object(value)| value)
}

/// Reads a list of objects, never of arrays, and keeps one more than `MOST` of them: enough to refuse it by, and a list that is
/// forty times as long occupies no more.
pub fn objects<'de, D, T, const MOST: usize>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    struct List<T, const MOST: usize>(std::marker::PhantomData<T>);
    impl<'de, T: Deserialize<'de>, const MOST: usize> Visitor<'de> for List<T, MOST> {
        type Value = Vec<T>;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list")
        }
        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<T>, A::Error> {
            let mut kept = Vec::new();
            while kept.len() <= MOST {
                let Some(Object(value)) = list.next_element()? else { return Ok(kept) };
                kept.push(value);
            }
            while list.next_element::<IgnoredAny>()?.is_some() {}
            Ok(kept)
        }
    }
    deserializer.deserialize_seq(List::<T, MOST>(std::marker::PhantomData))
}

/// Reads an object or `null`, never an array.
pub fn maybe<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    let value: Option<Object<T>> = Option::deserialize(deserializer)?;
    Ok(value.map(|Object(value)| value))
}

/// Reads an object whose values are objects, each key once.
pub fn named<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Vec<(String, T)>, D::Error> {
    let list: Vec<(String, Object<T>)> = pairs(deserializer)?;
    Ok(list.into_iter().map(|(name, Object(value))| (name, value)).collect())
}

/// The schema of an object with up to `most` values of the schema `of`, whose keys have up to `chars` characters.
pub fn of_object(of: &str, chars: usize, most: usize, what: &str) -> RefOr<Schema> {
    let key = of_type(Type::String).min_length(Some(1)).max_length(Some(chars)).build();
    let value = utoipa::openapi::Ref::from_schema_name(of);
    let object = of_type(Type::Object)
        .property_names(Some(key))
        .additional_properties(Some(RefOr::<Schema>::Ref(value)))
        .max_properties(Some(most));
    object.description(Some(what)).into()
}

/// A JSON object read in order, each key once (a map type would silently keep the last of two).
fn pairs<'de, D: Deserializer<'de>, V: Deserialize<'de>>(deserializer: D) -> Result<Vec<(String, V)>, D::Error> {
    struct Pairs<V>(std::marker::PhantomData<V>);
    impl<'de, V: Deserialize<'de>> Visitor<'de> for Pairs<V> {
        type Value = Vec<(String, V)>;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }
        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut out: Self::Value = Vec::new();
            while let Some(key) = map.next_key::<String>()? {
                if out.iter().any(|(k, _)| *k == key) {
                    return Err(de::Error::custom(format_args!("duplicate field `{key}`")));
                }
                out.push((key, map.next_value()?));
            }
            Ok(out)
        }
    }
    deserializer.deserialize_map(Pairs(std::marker::PhantomData))
}

/// The options of a model as asked.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SetupAsk(pub Vec<(String, Value)>);

/// Labels as asked.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LabelsAsk(pub Vec<(String, String)>);

// Written out: what utoipa derives for a map of `Value` allows anything, since it takes the name for serde_json's.
impl PartialSchema for SetupAsk {
    fn schema() -> RefOr<Schema> {
        let value = utoipa::openapi::Ref::from_schema_name(Value::name());
        let setup = of_type(Type::Object).additional_properties(Some(RefOr::<Schema>::Ref(value)));
        setup.description(Some("Options of a model; `GET /models` says which it has.")).into()
    }
}

impl ToSchema for SetupAsk {
    fn name() -> std::borrow::Cow<'static, str> {
        "Setup".into()
    }

    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.push((Value::name().into(), Value::schema()));
    }
}

impl PartialSchema for LabelsAsk {
    fn schema() -> RefOr<Schema> {
        let text =
            |shortest| of_type(Type::String).min_length(Some(shortest)).max_length(Some(limits::LABEL_CHARS)).build();
        let labels = of_type(Type::Object)
            .property_names(Some(text(1)))
            .additional_properties(Some(RefOr::T(Schema::Object(text(0)))))
            .max_properties(Some(limits::LABELS));
        labels.description(Some("Marks of one's own; keys and values without control characters.")).into()
    }
}

impl ToSchema for LabelsAsk {
    fn name() -> std::borrow::Cow<'static, str> {
        "Labels".into()
    }
}

impl<'de> Deserialize<'de> for SetupAsk {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        pairs(deserializer).map(Self)
    }
}

impl<'de> Deserialize<'de> for LabelsAsk {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        pairs(deserializer).map(Self)
    }
}

impl Serialize for SetupAsk {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(k, v)| (k, v)))
    }
}

impl Serialize for LabelsAsk {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(k, v)| (k, v)))
    }
}
