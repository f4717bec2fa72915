//! The options of a model as data: what `setup` may say, checked and echoed without knowing the model.
//!
//! It deliberately does not know which models exist; each row of [`crate::model::ALL`] brings its own table.

use std::ops::RangeInclusive;

use super::ask::{SetupAsk, Value};
use super::resolve::Violation;
use super::spec::{Choice, OPTIONS, Setup};

/// One option of a model.
#[derive(Debug)]
pub struct OptionInfo {
    /// Name within `setup`.
    pub name: &'static str,
    /// What it decides, in one sentence.
    pub summary: &'static str,
    /// Words it accepts.
    pub words: &'static [&'static str],
    /// Numbers it accepts, if it does.
    pub counts: Option<RangeInclusive<u32>>,
    /// What holds when nothing is said; a truth if it accepts `true` and `false`.
    pub default: Choice,
}

/// Options that mean something only where another one is true.
const ONLY_WITH: [(&str, &str); 1] = [("switch_interval_us", "gil")];

/// Resolves what `setup` says against a model's table; violations carry pointers below `at`.
pub fn resolve(model: &str, table: &[OptionInfo], ask: &SetupAsk, at: &str, bad: &mut Vec<Violation>) -> Setup {
    let mut setup = Setup([Choice::Word(0); OPTIONS]);
    for (slot, info) in setup.0.iter_mut().zip(table) {
        *slot = info.default;
    }
    for (name, value) in &ask.0 {
        let pointer = format!("{at}/{name}");
        match table.iter().position(|info| info.name == name) {
            None => bad.push(Violation::new(pointer, unknown(model, table))),
            Some(i) => match choose(&table[i], value) {
                Ok(choice) => setup.0[i] = choice,
                Err(detail) => bad.push(Violation::new(pointer, detail)),
            },
        }
    }
    for (name, other) in ONLY_WITH.iter().filter(|(name, _)| ask.0.iter().any(|(said, _)| said == name)) {
        if table.iter().any(|info| info.name == *name) && !applies(table, &setup, name) {
            bad.push(Violation::new(format!("{at}/{name}"), format!("means something only with `{other}`: true")));
        }
    }
    setup
}

/// The option that must be true for this one to mean something.
#[must_use]
pub fn only_with(name: &str) -> Option<&'static str> {
    ONLY_WITH.iter().find(|(option, _)| *option == name).map(|(_, other)| *other)
}

/// Whether an option means something in this setup.
#[must_use]
pub fn applies(table: &[OptionInfo], setup: &Setup, name: &str) -> bool {
    let is_true = |other: &str| table.iter().zip(setup.0).any(|(o, c)| o.name == other && c == Choice::Truth(true));
    only_with(name).is_none_or(is_true)
}

fn unknown(model: &str, table: &[OptionInfo]) -> String {
    if table.is_empty() {
        return format!("{model} has no options");
    }
    let names: Vec<_> = table.iter().map(|info| info.name).collect();
    format!("{model} has no such option; it has: {}", names.join(", "))
}

fn choose(info: &OptionInfo, value: &Value) -> Result<Choice, String> {
    let found = match value {
        Value::Word(word) => info.words.iter().position(|w| w == word).map(|i| Choice::Word(i as u8)),
        Value::Number(n) => u32::try_from(*n)
            .ok()
            .filter(|n| info.counts.as_ref().is_some_and(|range| range.contains(n)))
            .map(Choice::Count),
        Value::Truth(truth) => matches!(info.default, Choice::Truth(_)).then_some(Choice::Truth(*truth)),
        Value::Nothing => None,
    };
    found.ok_or_else(|| format!("must be {}", accepted(info)))
}

/// What an option accepts, in words.
#[must_use]
pub fn accepted(info: &OptionInfo) -> String {
    let mut parts: Vec<_> = info.words.iter().map(|w| format!("\"{w}\"")).collect();
    if matches!(info.default, Choice::Truth(_)) {
        parts.push("true or false".to_owned());
    }
    if let Some(range) = &info.counts {
        parts.push(format!("a number from {} to {}", range.start(), range.end()));
    }
    parts.join(" or ")
}

/// The chosen value as it is echoed.
#[must_use]
pub fn echo(info: &OptionInfo, choice: Choice) -> Value {
    match choice {
        Choice::Word(i) => Value::Word(info.words.get(usize::from(i)).copied().unwrap_or_default().to_owned()),
        Choice::Count(n) => Value::Number(u64::from(n)),
        Choice::Truth(truth) => Value::Truth(truth),
    }
}
