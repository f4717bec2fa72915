//! What a kitchen says while it works: the seed's own sentences for the seed's steps, plain ones for all others.
//!
//! It deliberately holds no state: a sentence is a function of the step, the dish and what happened.

use std::time::Duration;

use super::recipe::Work;
use super::record::Outcome;

/// The seed's steps and what its programs print at their start and end.
const SEED: [(&str, &str, &str); 3] = [
    ("boil_pasta", "Boiling pasta", "Pasta ready!"),
    ("chop_veggies", "Chopping veggies", "Veggies chopped."),
    ("prepare_sauce", "Preparing pasta sauce", "Sauce ready."),
];

fn seed(name: &str) -> Option<&'static (&'static str, &'static str, &'static str)> {
    SEED.iter().find(|(step, ..)| *step == name)
}

/// What is said when a step starts, as "Order 1: Boiling pasta (30s)...".
#[must_use]
pub fn start(dish: u32, name: &str, work: Work) -> String {
    let what = seed(name).map_or(name, |s| s.1);
    match work {
        Work::Wait(d) | Work::BlockingWait(d) => format!("Order {dish}: {what} ({})...", human(d)),
        _ => format!("Order {dish}: {what}..."),
    }
}

/// What is said when a step is over, as "Order 1: Pasta ready!".
#[must_use]
pub fn end(dish: u32, name: &str, outcome: Outcome) -> String {
    match (outcome, seed(name)) {
        (Outcome::Succeeded, Some(s)) => format!("Order {dish}: {}", s.2),
        (Outcome::Succeeded, None) => format!("Order {dish}: {name} done."),
        (other, _) => format!("Order {dish}: {name} {}.", other.name()),
    }
}

/// A duration as people write it: "30s", "1.5s", "300ms".
#[must_use]
pub fn human(d: Duration) -> String {
    let us = d.as_micros();
    match us {
        0..1_000_000 if us.is_multiple_of(1_000) => format!("{}ms", us / 1_000),
        0..1_000_000 => format!("{}ms", us as f64 / 1e3),
        _ if us.is_multiple_of(1_000_000) => format!("{}s", us / 1_000_000),
        _ => format!("{:.1}s", us as f64 / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seeds_steps_are_narrated_in_the_seeds_words() {
        let boil = Work::Wait(Duration::from_secs(30));
        assert_eq!(start(1, "boil_pasta", boil), "Order 1: Boiling pasta (30s)...");
        assert_eq!(end(3, "chop_veggies", Outcome::Succeeded), "Order 3: Veggies chopped.");
        assert_eq!(start(2, "prepare_sauce", Work::Iterations(10)), "Order 2: Preparing pasta sauce...");
        assert_eq!(end(2, "io", Outcome::Failed), "Order 2: io failed.");
    }
}
