//! Who is compared: the default five, a sweep over counts, or what the client names.
//!
//! It deliberately measures nothing.

use crate::domain::ask::{SetupAsk, Value};
use crate::domain::limits;
use crate::domain::options;
use crate::domain::resolve::Violation;
use crate::domain::spec::{Choice, Spec};
use crate::model;

/// A model and its options, as asked.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidate {
    /// The model.
    pub model: String,
    /// Its options.
    pub setup: SetupAsk,
}

/// A way of scaling a model by one number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// One chef.
    Asyncio,
    /// One chef, n assistants.
    Assistants,
    /// n threads.
    Threads,
    /// n kitchens that take steps.
    Kitchens,
    /// n kitchens that take dishes to loops of their own.
    Workers,
}

impl Family {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Asyncio, Self::Assistants, Self::Threads, Self::Kitchens, Self::Workers];

    /// The member of this size.
    #[must_use]
    pub fn member(self, count: u64) -> Candidate {
        let number = |name: &str| (name.to_owned(), Value::Number(count));
        let inside = || ("inside".to_owned(), Value::Word("asyncio".to_owned()));
        let (model, setup) = match self {
            Self::Asyncio => ("asyncio", vec![]),
            Self::Assistants => ("asyncio", vec![number("assistants")]),
            Self::Threads => ("multithreading", vec![number("chefs")]),
            Self::Kitchens => ("multiprocessing", vec![number("kitchens")]),
            Self::Workers => ("multiprocessing", vec![number("kitchens"), inside()]),
        };
        Candidate { model: model.to_owned(), setup: SetupAsk(setup) }
    }

    /// The largest member that makes sense for so many dishes.
    #[must_use]
    pub fn largest(self, dishes: u32) -> u64 {
        let dishes = u64::from(dishes);
        match self {
            Self::Asyncio => 1,
            Self::Assistants => dishes.min(u64::from(crate::domain::limits::ASSISTANTS)),
            Self::Threads => dishes.min(512),
            Self::Kitchens | Self::Workers => dishes.min(64),
        }
    }
}

/// The default: one chef; with the house's number of assistants; a pool of threads; a pool of kitchens that take steps;
/// one event loop per core.
#[must_use]
pub fn default(cores: u64) -> Vec<Candidate> {
    let pool = (cores + 4).min(32);
    // One more child is the kitchen that the whole order is isolated in.
    let cores = cores.min(u64::from(limits::CHILDREN) - 1);
    vec![
        Family::Asyncio.member(0),
        Family::Assistants.member(pool),
        Family::Threads.member(pool),
        Family::Kitchens.member(cores),
        Family::Workers.member(cores),
    ]
}

/// The sizes a sweep tries, as long as they help: 1, 2, cores, then doubling.
#[must_use]
pub fn sizes(cores: u64, largest: u64) -> Vec<u64> {
    let mut sizes = vec![1, 2, cores];
    let mut next = cores;
    while next * 2 <= largest {
        next *= 2;
        sizes.push(next);
    }
    sizes.retain(|n| *n <= largest.max(1));
    sizes.sort_unstable();
    sizes.dedup();
    sizes
}

/// What a resolved entry is called, as "multiprocessing x 2, asyncio inside".
#[must_use]
pub fn name(spec: &Spec) -> String {
    let info = model::get(spec.model).info();
    let mut name = info.name.to_owned();
    for (option, choice) in info.options.iter().zip(spec.setup.0) {
        if choice == option.default {
            continue;
        }
        let part = match (option.name, choice) {
            ("chefs" | "kitchens", Choice::Count(n)) => format!(" x {n}"),
            ("assistants", Choice::Count(n)) => format!(" + {n} assistants"),
            (_, choice) => match options::echo(option, choice) {
                Value::Word(word) => format!(", {} {word}", option.name),
                Value::Number(n) => format!(", {} {n}", option.name),
                Value::Truth(true) => format!(", {}", option.name),
                Value::Truth(false) | Value::Nothing => String::new(),
            },
        };
        name.push_str(&part);
    }
    name.replace(", inside asyncio", ", asyncio inside").replace(", inside threads", ", threads inside")
}

/// Pointers of an entry's violations: what concerns its model or setup is its own, the rest is the work's.
#[must_use]
pub fn relocate(bad: Vec<Violation>, i: usize) -> Vec<Violation> {
    let own = |p: &str| p.starts_with("/model") || p.starts_with("/setup");
    let move_to = |v: Violation| {
        let base = if own(&v.pointer) { format!("/line_up/{i}") } else { "/work".to_owned() };
        Violation::new(format!("{base}{}", v.pointer), v.detail)
    };
    bad.into_iter().map(move_to).collect()
}
