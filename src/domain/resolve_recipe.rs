//! From a recipe as asked to a recipe as resolved.
//!
//! It deliberately knows no order: dishes and models are checked in [`super::resolve`].

use std::sync::Arc;
use std::time::Duration;

use super::ask::{InlineRecipe, OrderAsk, RecipeAsk, WorkAsk};
use super::limits;
use super::menu;
use super::recipe::{Fault, Recipe, Step, Work};
use super::resolve::{Violation, word};

/// The recipe of an order: a built-in, its own, or the shorthand's.
pub(super) fn recipe(ask: &OrderAsk, allow_faults: bool, bad: &mut Vec<Violation>) -> Arc<Recipe> {
    let shorthand = ask.io_ms.is_some() || ask.cpu_ms.is_some();
    if shorthand && ask.recipe.is_some() {
        bad.push(Violation::new("/recipe", "either `recipe` or the shorthand `io_ms`, `cpu_ms`"));
    }
    let recipe = match &ask.recipe {
        _ if shorthand => short(ask.io_ms, ask.cpu_ms, bad),
        Some(RecipeAsk::Inline(recipe)) => inline(recipe, "/recipe", bad),
        Some(RecipeAsk::Named(name)) => {
            if let Some(found) = menu::recipe(name) {
                return found.recipe.clone();
            }
            let names: Vec<_> = menu::recipes().iter().map(|r| r.ask.name.as_str()).collect();
            bad.push(Violation::new("/recipe", format!("must be a recipe object or one of {}", names.join(", "))));
            short(None, None, bad)
        }
        None => match menu::recipe(menu::DEFAULT_RECIPE) {
            Some(found) => return found.recipe.clone(),
            None => short(None, None, bad),
        },
    };
    let is_fault = |s: &Step| matches!(s.work, Work::Fault(_));
    if let Some(i) = recipe.steps.iter().position(is_fault).filter(|_| !allow_faults) {
        let detail = "fault steps are refused unless the service runs with --allow-faults";
        bad.push(Violation::new(format!("/recipe/steps/{i}/work/kind"), detail));
    }
    Arc::new(recipe)
}

/// One wait, then one CPU step; each only if asked for.
fn short(io_ms: Option<u64>, cpu_ms: Option<u64>, bad: &mut Vec<Violation>) -> Recipe {
    for (value, max, pointer) in [(io_ms, limits::WAIT_MS, "/io_ms"), (cpu_ms, limits::CPU_MS_PER_ORDER, "/cpu_ms")] {
        if value.is_some_and(|v| v > max) {
            bad.push(Violation::new(pointer, format!("must be from 0 to {max}")));
        }
    }
    let millis = |ms: u64| Duration::from_millis(ms.min(limits::WAIT_MS));
    let io = io_ms.map(|ms| ("io", Work::Wait(millis(ms))));
    let cpu = cpu_ms.map(|ms| ("cpu", Work::Burn(millis(ms))));
    let step = |(i, (name, work)): (usize, (&str, Work))| Step { name: name.into(), work, after: (1 << i) >> 1 };
    Recipe { name: "io-cpu".into(), steps: io.into_iter().chain(cpu).enumerate().map(step).collect() }
}

/// Resolves a recipe of one's own; violations carry pointers below `at`.
pub(super) fn inline(ask: &InlineRecipe, at: &str, bad: &mut Vec<Violation>) -> Recipe {
    name(&ask.name, limits::NAME_CHARS, &format!("{at}/name"), bad);
    planned(&[(ask.equipment.is_some(), "equipment")], at, bad);
    if ask.steps.is_empty() || ask.steps.len() > limits::STEPS_PER_DISH {
        bad.push(Violation::new(format!("{at}/steps"), format!("must be 1 to {} steps", limits::STEPS_PER_DISH)));
    }
    let taken = &ask.steps[..ask.steps.len().min(limits::STEPS_PER_DISH)];
    let mut steps = Vec::with_capacity(taken.len());
    for (i, step) in taken.iter().enumerate() {
        let here = format!("{at}/steps/{i}");
        name(&step.name, limits::NAME_CHARS, &format!("{here}/name"), bad);
        if taken[..i].iter().any(|s| s.name == step.name) {
            bad.push(Violation::new(format!("{here}/name"), "step names must differ"));
        }
        let plans = [(step.needs.is_some(), "needs"), (step.hold_while_waiting.is_some(), "hold_while_waiting")];
        planned(&plans, &here, bad);
        let mut after = 0_u128;
        for (j, before) in step.after.iter().enumerate() {
            match taken.iter().position(|s| s.name == *before) {
                Some(k) => after |= 1 << k,
                None => bad.push(Violation::new(format!("{here}/after/{j}"), "no step of this recipe has this name")),
            }
        }
        steps.push(Step {
            name: step.name.as_str().into(),
            work: work(&step.work, &format!("{here}/work"), bad),
            after,
        });
    }
    let recipe = Recipe { name: ask.name.as_str().into(), steps: steps.into() };
    if let Some(cycle) = recipe.cycle() {
        let names: Vec<_> = cycle.iter().map(|i| &*recipe.steps[*i].name).collect();
        let detail = format!("these steps wait for each other in a circle: {}", names.join(", "));
        bad.push(Violation::new(format!("{at}/steps/{}/after", cycle[0]), detail));
    }
    recipe
}

fn planned(fields: &[(bool, &str)], at: &str, bad: &mut Vec<Violation>) {
    for (_, name) in fields.iter().filter(|(said, _)| *said) {
        bad.push(Violation::new(format!("{at}/{name}"), format!("`{name}` is not built yet")));
    }
}

fn work(ask: &WorkAsk, at: &str, bad: &mut Vec<Violation>) -> Work {
    let plans = [
        (ask.yield_every_ms.is_some(), "yield_every_ms"),
        (ask.distribution.is_some(), "distribution"),
        (ask.bytes.is_some(), "bytes"),
        (ask.messages.is_some(), "messages"),
        (ask.gil_held_percent.is_some_and(|p| p != 100), "gil_held_percent"),
    ];
    planned(&plans, at, bad);
    let mut refuse = |field: &str, detail: String| bad.push(Violation::new(format!("{at}/{field}"), detail));
    let mut bounded = |field: &str, value: Option<u64>, max: u64| match value {
        Some(v) if v <= max => v,
        _ => {
            refuse(field, format!("must be from 0 to {max}"));
            0
        }
    };
    let max_iterations = limits::CPU_MS_PER_ORDER * limits::ITERATIONS_PER_CPU_MS;
    match (ask.kind.as_str(), ask.iterations, ask.ms) {
        ("wait", None, ms) => Work::Wait(Duration::from_millis(bounded("ms", ms, limits::WAIT_MS))),
        ("blocking_wait", None, ms) => Work::BlockingWait(Duration::from_millis(bounded("ms", ms, limits::WAIT_MS))),
        ("cpu", Some(_), None) => Work::Iterations(bounded("iterations", ask.iterations, max_iterations)),
        ("cpu", None, Some(_)) => Work::Burn(Duration::from_millis(bounded("ms", ask.ms, limits::CPU_MS_PER_ORDER))),
        ("fault", None, None) => fault(ask.what.as_deref(), at, bad),
        ("exchange", ..) => {
            refuse("kind", "`exchange` is not built yet".to_owned());
            Work::Wait(Duration::ZERO)
        }
        ("cpu", ..) => {
            refuse("iterations", "a cpu step has either `iterations` or `ms`".to_owned());
            Work::Wait(Duration::ZERO)
        }
        ("wait" | "blocking_wait" | "fault", ..) => {
            refuse(
                "iterations",
                "only a cpu step has `iterations`, and a fault neither `iterations` nor `ms`".to_owned(),
            );
            Work::Wait(Duration::ZERO)
        }
        _ => {
            refuse("kind", "must be one of wait, blocking_wait, cpu, fault".to_owned());
            Work::Wait(Duration::ZERO)
        }
    }
}

fn fault(what: Option<&str>, at: &str, bad: &mut Vec<Violation>) -> Work {
    let names = ["exit", "abort", "panic", "hang", "oom"];
    let i = word(what.or(Some("")), &names, &format!("{at}/what"), bad).unwrap_or(2);
    Work::Fault([Fault::Exit, Fault::Abort, Fault::Panic, Fault::Hang, Fault::Oom][i])
}

/// Names are data everywhere: 1..=max characters, no controls, no bidirectional overrides.
pub(super) fn name(text: &str, max: usize, pointer: &str, bad: &mut Vec<Violation>) {
    let unprintable = |c: char| {
        c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{fffe}' | '\u{ffff}')
    };
    let count = text.chars().count();
    if count == 0 || count > max || text.chars().any(unprintable) {
        bad.push(Violation::new(pointer, format!("must be 1 to {max} characters without control characters")));
    }
}
