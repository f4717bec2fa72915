//! From a recipe as asked to a recipe as resolved.
//!
//! It deliberately knows no order: dishes and models are checked in [`super::resolve`].

use std::fmt::{Arguments, Display};
use std::sync::Arc;
use std::time::Duration;

use super::ask::{InlineRecipe, OrderAsk, RecipeAsk, WorkAsk};
use super::draw::Spread;
use super::limits;
use super::menu;
use super::recipe::{Fault, Recipe, Step, Work};
use super::resolve::{Violation, word};
use super::resolve_lab::{self, bounded};

/// The recipe of an order: a built-in, its own, or the shorthand's.
pub(super) fn recipe(ask: &OrderAsk, allow_faults: bool, bad: &mut Vec<Violation>) -> Arc<Recipe> {
    let shorthand = ask.io_ms.is_some() || ask.cpu_ms.is_some();
    if shorthand && ask.recipe.is_some() {
        bad.push(Violation::new("/recipe", "either `recipe` or the shorthand `io_ms`, `cpu_ms`"));
    }
    let recipe = match &ask.recipe {
        _ if shorthand => short(ask.io_ms, ask.cpu_ms, bad),
        Some(RecipeAsk::Inline(recipe)) => inline(recipe, format_args!("/recipe"), bad),
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
    let is_fault = |s: &Step| s.work.is_fault();
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
    let step = |(i, (name, work)): (usize, (&str, Work))| Step { after: (1 << i) >> 1, ..Step::plain(name, work) };
    Recipe {
        name: "io-cpu".into(),
        equipment: Box::default(),
        steps: io.into_iter().chain(cpu).enumerate().map(step).collect(),
    }
}

/// Resolves a recipe of one's own; violations carry pointers below `at`.
pub(super) fn inline(ask: &InlineRecipe, at: Arguments<'_>, bad: &mut Vec<Violation>) -> Recipe {
    name(&ask.name, limits::NAME_CHARS, format_args!("{at}/name"), bad);
    let equipment = resolve_lab::equipment(ask.equipment.as_ref(), format_args!("{at}/equipment"), bad);
    if ask.steps.is_empty() || ask.steps.len() > limits::STEPS_PER_DISH {
        bad.push(Violation::new(format!("{at}/steps"), format!("must be 1 to {} steps", limits::STEPS_PER_DISH)));
    }
    let taken = &ask.steps[..ask.steps.len().min(limits::STEPS_PER_DISH)];
    let mut steps = Vec::with_capacity(taken.len());
    for (i, step) in taken.iter().enumerate() {
        let here = format_args!("{at}/steps/{i}");
        name(&step.name, limits::NAME_CHARS, format_args!("{here}/name"), bad);
        if taken[..i].iter().any(|s| s.name == step.name) {
            bad.push(Violation::new(format!("{here}/name"), "step names must differ"));
        }
        let mut after = 0_u128;
        for (j, before) in step.after.iter().enumerate() {
            match taken.iter().position(|s| s.name == *before) {
                Some(k) => after |= 1 << k,
                None => bad.push(Violation::new(format!("{here}/after/{j}"), "no step of this recipe has this name")),
            }
        }
        let needs = resolve_lab::needs(step, &equipment, here, bad);
        let hold_while_waiting = step.hold_while_waiting.unwrap_or(false);
        let work = work(&step.work, format_args!("{here}/work"), bad);
        steps.push(Step { name: step.name.as_str().into(), after, needs, hold_while_waiting, ..work });
    }
    let recipe = Recipe { name: ask.name.as_str().into(), equipment, steps: steps.into() };
    if let Some(cycle) = recipe.cycle() {
        let names: Vec<_> = cycle.iter().map(|i| &*recipe.steps[*i].name).collect();
        let detail = format!("these steps wait for each other in a circle: {}", names.join(", "));
        bad.push(Violation::new(format!("{at}/steps/{}/after", cycle[0]), detail));
    }
    recipe
}

/// The fields that each kind of work has, apart from `kind`.
const FIELDS: [(&str, &[&str]); 6] = [
    ("wait", &["ms", "distribution"]),
    ("blocking_wait", &["ms", "distribution"]),
    ("cpu", &["ms", "iterations", "gil_held_percent", "yield_every_ms"]),
    ("exchange", &["bytes", "messages"]),
    ("counter", &["increments", "locked"]),
    ("fault", &["what", "on_attempts"]),
];

/// A step that does this work and nothing else.
fn work(ask: &WorkAsk, at: Arguments<'_>, bad: &mut Vec<Violation>) -> Step {
    let nothing = Step::plain("", Work::Wait(Duration::ZERO));
    let kinds = FIELDS.map(|(kind, _)| kind);
    let Some(kind) = word(Some(&ask.kind), &kinds, format_args!("{at}/kind"), bad) else { return nothing };
    let said = [
        (ask.ms.is_some(), "ms"),
        (ask.iterations.is_some(), "iterations"),
        (ask.what.is_some(), "what"),
        (ask.on_attempts.is_some(), "on_attempts"),
        (ask.gil_held_percent.is_some(), "gil_held_percent"),
        (ask.yield_every_ms.is_some(), "yield_every_ms"),
        (ask.distribution.is_some(), "distribution"),
        (ask.bytes.is_some(), "bytes"),
        (ask.messages.is_some(), "messages"),
        (ask.increments.is_some(), "increments"),
        (ask.locked.is_some(), "locked"),
    ];
    let own = FIELDS[kind].1;
    for (_, field) in said.iter().filter(|(said, field)| *said && !own.contains(field)) {
        let detail = format!("work of kind {} has no `{field}`; it has {}", kinds[kind], own.join(", "));
        bad.push(Violation::new(format!("{at}/{field}"), detail));
    }
    match kinds[kind] {
        "wait" => wait(ask, Work::Wait, at, bad),
        "blocking_wait" => wait(ask, Work::BlockingWait, at, bad),
        "cpu" => cpu(ask, at, bad),
        "exchange" => Step { work: resolve_lab::exchange(ask, at, bad), ..nothing },
        "counter" => Step { work: resolve_lab::counter(ask, at, bad), ..nothing },
        _ => Step { work: fault(ask, at, bad), ..nothing },
    }
}

fn wait(ask: &WorkAsk, kind: fn(Duration) -> Work, at: Arguments<'_>, bad: &mut Vec<Violation>) -> Step {
    let (spread, length) = match &ask.distribution {
        Some(_) if ask.ms.is_some() => {
            bad.push(Violation::new(format!("{at}/distribution"), "a wait has either `ms` or `distribution`"));
            (Spread::Constant, Duration::ZERO)
        }
        Some(distribution) => resolve_lab::spread(distribution, format_args!("{at}/distribution"), bad),
        None => {
            let ms = bounded(ask.ms, 0, limits::WAIT_MS, format_args!("{at}/ms"), bad);
            (Spread::Constant, Duration::from_millis(ms))
        }
    };
    Step { spread, ..Step::plain("", kind(length)) }
}

fn cpu(ask: &WorkAsk, at: Arguments<'_>, bad: &mut Vec<Violation>) -> Step {
    let max_iterations = limits::CPU_MS_PER_ORDER * limits::ITERATIONS_PER_CPU_MS;
    let work = match (ask.iterations, ask.ms) {
        (Some(n), None) => Work::Iterations(bounded(Some(n), 0, max_iterations, format_args!("{at}/iterations"), bad)),
        (None, ms @ Some(_)) => {
            let ms = bounded(ms, 0, limits::CPU_MS_PER_ORDER, format_args!("{at}/ms"), bad);
            Work::Burn(Duration::from_millis(ms))
        }
        _ => {
            bad.push(Violation::new(format!("{at}/iterations"), "a cpu step has either `iterations` or `ms`"));
            Work::Burn(Duration::ZERO)
        }
    };
    let held = bounded(ask.gil_held_percent.or(Some(100)), 0, 100, format_args!("{at}/gil_held_percent"), bad);
    let yield_every = ask.yield_every_ms.map(|ms| {
        Duration::from_millis(bounded(Some(ms), 1, limits::CPU_MS_PER_ORDER, format_args!("{at}/yield_every_ms"), bad))
    });
    Step { gil_held_percent: held as u8, yield_every, ..Step::plain("", work) }
}

fn fault(ask: &WorkAsk, at: Arguments<'_>, bad: &mut Vec<Violation>) -> Work {
    let names = ["exit", "abort", "panic", "hang", "oom"];
    let i = word(ask.what.as_deref().or(Some("")), &names, format_args!("{at}/what"), bad).unwrap_or(2);
    let fault = [Fault::Exit, Fault::Abort, Fault::Panic, Fault::Hang, Fault::Oom][i];
    match ask.on_attempts {
        None => Work::Fault(fault),
        Some(n) => {
            let attempts = bounded(Some(n), 1, limits::ATTEMPTS, format_args!("{at}/on_attempts"), bad) as u32;
            Work::PassingFault { fault, attempts }
        }
    }
}

/// Names are data everywhere: 1..=max characters, no controls, no bidirectional overrides.
pub(super) fn name(text: &str, max: usize, pointer: impl Display, bad: &mut Vec<Violation>) {
    let unprintable = |c: char| {
        c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{fffe}' | '\u{ffff}')
    };
    let count = text.chars().count();
    if count == 0 || count > max || text.chars().any(unprintable) {
        bad.push(Violation::new(pointer, format!("must be 1 to {max} characters without control characters")));
    }
}
