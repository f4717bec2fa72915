//! Random small orders of every model, with everything that a step can wait for: what the books are held against.
//!
//! It deliberately draws nothing that fails: an order that does is no measurement.

use serde_json::{Value, json};

/// A generator of small numbers: splitmix64, the same in every run of the same seed.
pub struct Dice(pub u64);

impl Dice {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        pasta_fasta::domain::draw::mix(self.0) % n
    }

    fn one_of<T: Clone>(&mut self, of: &[T]) -> T {
        of[self.below(of.len() as u64) as usize].clone()
    }
}

fn setup(dice: &mut Dice) -> (&'static str, Value) {
    let count = 1 + dice.below(4);
    dice.one_of(&[
        ("sequential", json!({})),
        ("asyncio", json!({})),
        ("asyncio", json!({"chef": "own"})),
        ("asyncio", json!({"assistants": count})),
        ("asyncio", json!({"assistants": "house"})),
        ("multithreading", json!({})),
        ("multithreading", json!({"chefs": count})),
        ("multithreading", json!({"chefs": "per_step"})),
        ("multiprocessing", json!({})),
        ("multiprocessing", json!({"kitchens": count})),
        ("multiprocessing", json!({"kitchens": "per_step"})),
        ("multiprocessing", json!({"kitchens": count, "inside": "asyncio"})),
        ("multiprocessing", json!({"kitchens": count, "inside": "threads", "start": "prewarmed"})),
    ])
}

/// What steps may need: all of it the order's own kitchen's, or all of it shared by its kitchens.
fn equipment(dice: &mut Dice) -> Value {
    let shared = dice.below(3) == 0;
    let mut piece = || json!({"capacity": 1 + dice.below(2), "shared": shared});
    json!({"oven": piece(), "pan": piece()})
}

fn work(dice: &mut Dice) -> Value {
    match dice.below(9) {
        0 | 1 => json!({"kind": "wait", "ms": dice.below(40)}),
        2 => {
            let drawn = dice.one_of(&[
                json!({"kind": "uniform", "min_ms": 5, "max_ms": 40}),
                json!({"kind": "log_normal", "median_ms": 15, "p95_ms": 60}),
                json!({"kind": "exponential", "mean_ms": 20}),
            ]);
            json!({"kind": dice.one_of(&["wait", "blocking_wait"]), "distribution": drawn})
        }
        3 => json!({"kind": "blocking_wait", "ms": dice.below(15)}),
        4 => json!({"kind": "cpu", "ms": 20 + dice.below(8)}),
        5 => json!({"kind": "cpu", "ms": 20 + dice.below(8), "yield_every_ms": 1 + dice.below(12)}),
        6 => json!({"kind": "cpu", "ms": 20 + dice.below(8), "gil_held_percent": dice.below(101)}),
        7 => json!({"kind": "exchange", "bytes": 1 + dice.below(20_000), "messages": 1 + dice.below(300)}),
        _ => json!({"kind": "cpu", "iterations": dice.below(400_000)}),
    }
}

/// A recipe of one to four steps, each after any of those before it. Equipment is asked for in one order, so that nobody waits
/// for ever.
fn recipe(dice: &mut Dice) -> Value {
    let count = 1 + dice.below(4);
    let is_equipped = dice.below(2) == 0;
    let steps: Vec<Value> = (0..count)
        .map(|i| {
            let after: Vec<String> = (0..i).filter(|_| dice.below(2) == 0).map(|p| format!("s{p}")).collect();
            let mut step = json!({"name": format!("s{i}"), "work": work(dice), "after": after});
            let needs: Vec<&str> = ["oven", "pan"].into_iter().filter(|_| is_equipped && dice.below(3) == 0).collect();
            if !needs.is_empty() {
                step["hold_while_waiting"] = json!(dice.below(2) == 0);
                step["needs"] = json!(needs);
            }
            step
        })
        .collect();
    let mut recipe = json!({"name": "random", "steps": steps});
    if is_equipped {
        recipe["equipment"] = equipment(dice);
    }
    recipe
}

/// An order of some model and setup.
pub fn order(dice: &mut Dice) -> Value {
    let (model, mut setup) = setup(dice);
    if model != "sequential" && dice.below(3) == 0 {
        setup["gil"] = json!(true);
    }
    if model == "multiprocessing" {
        setup["channel"] = dice.one_of(&[json!("pipe"), json!("shared_memory")]);
    }
    let mut order = json!({
        "model": model, "setup": setup, "recipe": recipe(dice), "dishes": 1 + dice.below(5), "seed": dice.below(1 << 32),
        "step_order": dice.one_of(&["recipe", "sequential", "concurrent"]),
        "isolation": dice.one_of(&["house", "house", "kitchen"]),
    });
    let fields = order.as_object_mut().unwrap();
    if dice.below(4) == 0 {
        fields.insert("max_in_flight".to_owned(), json!(1 + dice.below(3)));
    }
    if dice.below(4) == 0 {
        fields.insert("arrivals".to_owned(), json!({"rate_per_s": 20 + dice.below(200), "process": "poisson"}));
    }
    order
}
