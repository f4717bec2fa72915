//! The books balance: random small orders over all models, many at a time, each step accounted for.
//!
//! `BOOKS_ORDERS` says how many (60 when nothing is said), `BOOKS_SEED` which ones; a failure names both, and whatever is out
//! of bound is printed. What a hypervisor or an interrupt takes from a core no clock of a thread sees, so holes beside such
//! ticks are counted apart and not judged. It deliberately compares no models.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::harness::{self, House, link, number};
use crate::ledger::{self, Step};

/// Orders that run at the same time.
const AT_ONCE: usize = 4;
/// Steps whose residual is beyond its bound, per thousand judged, at most: what is taken may be shorter than a tick.
const HOLES_PER_THOUSAND: f64 = 10.0;

/// A generator of small numbers: splitmix64, the same in every run of the same seed.
struct Dice(u64);

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

/// A recipe of one to four steps, each after any of those before it.
fn recipe(dice: &mut Dice) -> Value {
    let count = 1 + dice.below(4);
    let steps: Vec<Value> = (0..count)
        .map(|i| {
            let after: Vec<String> = (0..i).filter(|_| dice.below(2) == 0).map(|p| format!("s{p}")).collect();
            let work = match dice.below(5) {
                0 | 1 => json!({"kind": "wait", "ms": dice.below(40)}),
                2 => json!({"kind": "blocking_wait", "ms": dice.below(15)}),
                3 => json!({"kind": "cpu", "ms": 20 + dice.below(8)}),
                _ => json!({"kind": "cpu", "iterations": dice.below(400_000)}),
            };
            json!({"name": format!("s{i}"), "work": work, "after": after})
        })
        .collect();
    json!({"name": "random", "steps": steps})
}

fn order(dice: &mut Dice) -> Value {
    let (model, setup) = setup(dice);
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

fn variable(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Ticks (10 ms) in which cores worked for a hypervisor or an interrupt: proc(5), `/proc/stat`, fields 6 to 8 of all cores.
fn taken_ticks() -> u64 {
    let stat = std::fs::read_to_string("/proc/stat").expect("Linux");
    stat.split_whitespace().skip(6).take(3).map(|ticks| ticks.parse::<u64>().expect("a number")).sum()
}

#[derive(Default)]
struct Tally {
    judged: usize,
    holes: Vec<Step>,
    worst: f64,
    beside_ticks: usize,
}

impl Tally {
    /// Adds the steps of an order; those long enough are judged by max(2 ms, 5 %).
    #[expect(clippy::print_stdout, reason = "says what was out of bound")]
    fn add(&mut self, steps: &[Step], taken: bool, what: &str) {
        for step in steps.iter().filter(|step| step.span() >= 20.0) {
            let residual = step.residual_ms.expect("it ran").abs();
            let is_hole = residual > (step.span() * 0.05).max(2.0);
            if is_hole {
                println!("out of bound{}: {step:?} of {what}", if taken { " beside ticks" } else { "" });
            }
            if taken && is_hole {
                self.beside_ticks += 1;
                continue;
            }
            self.judged += 1;
            self.worst = self.worst.max(residual / step.span());
            if is_hole {
                self.holes.push(step.clone());
            }
        }
    }
}

/// No chef does two things at once: steps that keep their worker never overlap on one thread.
fn assert_no_chef_is_in_two_places(steps: &[Step], waits_free: bool, what: &str) {
    let mut lanes: BTreeMap<u32, Vec<&Step>> = BTreeMap::new();
    for step in steps.iter().filter(|step| !(waits_free && step.kind == "wait")) {
        lanes.entry(step.worker().tid).or_default().push(step);
    }
    for lane in lanes.values_mut() {
        lane.sort_by(|a, b| (a.started(), a.finished()).partial_cmp(&(b.started(), b.finished())).unwrap());
        for two in lane.windows(2) {
            // Both ends are cut to the microsecond.
            assert!(two[1].started() >= two[0].finished() - 0.001, "{two:?} of {what}");
        }
    }
}

async fn judge(house: &House, ask: &Value, what: &str) -> Vec<Step> {
    let order = house.cook(ask.clone()).await;
    assert_eq!(order["status"], "succeeded", "{what}: {order}");
    let steps = ledger::of(house, &order).await;
    let waits_free = ask["model"] == "asyncio" || ask["setup"]["inside"] == "asyncio";
    assert_no_chef_is_in_two_places(&steps, waits_free, what);
    let report = house.json(&link(&order, "report")).await;
    let of = |at: &str| number(&report, at);
    let (lower, makespan, upper) = (of("/bounds/lower_ms"), of("/makespan_ms"), of("/bounds/upper_ms"));
    assert!(
        lower <= makespan + 0.01 && makespan <= upper + 0.01,
        "{lower} <= {makespan} <= {upper} of {what}: {report}"
    );
    let chain = report["chain"].as_object().unwrap();
    let terms = chain.iter().filter(|(name, _)| name.ends_with("_ms")).map(|(_, term)| term.as_f64().unwrap());
    let whole: f64 = terms.sum();
    assert!((whole - makespan).abs() < 0.02, "the chain says {whole}, the order {makespan} of {what}: {report}");
    steps
}

#[tokio::test]
async fn the_books_of_random_orders_balance_under_every_model() {
    let (orders, seed) = (variable("BOOKS_ORDERS", 60) as usize, variable("BOOKS_SEED", 7));
    let house = harness::open();
    let mut dice = Dice(seed);
    let mut tally = Tally::default();
    for first in (0..orders).step_by(AT_ONCE) {
        let asks: Vec<_> = (first..orders.min(first + AT_ONCE))
            .map(|nth| (order(&mut dice), nth))
            .map(|(ask, nth)| (format!("order {nth} of BOOKS_SEED={seed}: {ask}"), ask))
            .collect();
        let before = taken_ticks();
        let judged = futures_util::future::join_all(asks.iter().map(|(what, ask)| judge(&house, ask, what))).await;
        let taken = taken_ticks() != before;
        asks.iter().zip(judged).for_each(|((what, _), steps)| tally.add(&steps, taken, what));
    }
    let Tally { judged, holes, worst, beside_ticks } = tally;
    println!(
        "{orders} orders: {judged} steps of 20 ms and more judged, {} out of bound, worst {:.2} %, {beside_ticks} beside ticks",
        holes.len(),
        worst * 1e2
    );
    let allowed = (judged as f64 * HOLES_PER_THOUSAND / 1e3).max(1.0) as usize;
    assert!(judged >= orders && holes.len() <= allowed, "BOOKS_SEED={seed}, {judged} judged: {holes:?}");
}
