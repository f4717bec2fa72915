//! The books balance: random small orders over all models, many at a time, each step accounted for.
//!
//! `BOOKS_ORDERS` says how many (60 when nothing is said), `BOOKS_SEED` which ones; a failure names both, and whatever is out
//! of bound is printed. What a hypervisor or an interrupt takes from a core no clock of a thread sees, so holes beside such
//! ticks are counted apart and not judged. It deliberately compares no models.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::harness::{self, House, link, number};
use crate::ledger::{self, Step};
use crate::random_orders::{Dice, order};

/// Orders that run at the same time.
const AT_ONCE: usize = 4;
/// Steps whose residual is beyond its bound, per thousand judged, at most: what is taken may be shorter than a tick.
const HOLES_PER_THOUSAND: f64 = 10.0;

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

/// Both ends of a step and each of its terms are cut to the microsecond.
const CUT_MS: f64 = 0.004;

/// Something that is used by one at a time is not used for longer than there is time: in every window from the start of one use
/// to the end of another, the uses that lie in it fit. A use is a window and how much of it.
fn assert_one_at_a_time(uses: &[(f64, f64, f64)], (share, each_ms): (f64, f64), what: &str) {
    for (from, ..) in uses {
        for (_, to, _) in uses.iter().filter(|(_, to, _)| to >= from) {
            let inside = uses.iter().filter(|(begin, end, _)| begin >= from && end <= to);
            let (count, sum) = inside.fold((0, 0.0), |(n, sum), (.., used)| (n + 1, sum + used));
            assert!(
                sum <= (to - from) * (1.0 + share) + f64::from(count) * each_ms,
                "{sum} ms from {from} to {to}: {what}"
            );
        }
    }
}

/// No chef does two things at once: what keeps him never overlaps. A loop is not kept by waits and exchanges, nor while CPU work
/// of its own waits for equipment or yields.
fn assert_no_chef_is_in_two_places(steps: &[Step], ask: &Value, what: &str) {
    let has_loop = ask["model"] == "asyncio" || ask["setup"]["inside"] == "asyncio";
    let has_assistants = !ask["setup"]["assistants"].is_null();
    let mut lanes: BTreeMap<u32, Vec<(f64, f64, f64)>> = BTreeMap::new();
    for step in steps.iter().filter(|step| !(has_loop && ["wait", "exchange"].contains(&step.kind.as_str()))) {
        let turns = has_loop && !has_assistants;
        let (equipped, yielded) =
            if turns { (step.equipped(), step.yielded_ms.unwrap()) } else { (step.started(), 0.0) };
        let kept = step.finished() - equipped - yielded;
        lanes.entry(step.worker().tid).or_default().push((equipped, step.finished(), kept));
    }
    lanes.values().for_each(|lane| assert_one_at_a_time(lane, (0.0, CUT_MS), &format!("{lane:?} of {what}")));
}

/// Under a GIL one thread of a process computes at a time. What a thread takes to be put to sleep and woken is CPU time of its
/// step, too, beside the lock: some 20 us each 5 ms, and once per step.
fn assert_one_holds_the_gil(steps: &[Step], ask: &Value, what: &str) {
    if ask["setup"]["gil"] != true {
        return;
    }
    let holds = |name: &str| {
        let steps = ask["recipe"]["steps"].as_array().unwrap();
        let step = steps.iter().find(|step| step["name"] == name).expect("a step of the recipe");
        step["work"]["gil_held_percent"].is_null()
    };
    let mut kitchens: BTreeMap<u32, Vec<(f64, f64, f64)>> = BTreeMap::new();
    for step in steps.iter().filter(|step| step.kind == "cpu" && holds(&step.step)) {
        let cpu = step.cpu_ms.unwrap();
        kitchens.entry(step.worker().pid).or_default().push((step.started(), step.finished(), cpu));
    }
    kitchens
        .values()
        .for_each(|held| assert_one_at_a_time(held, (0.05, 0.1), &format!("{held:?} under the GIL of {what}")));
}

/// Of no equipment more is in use than there is: in a kitchen, or in all of them if they share it.
fn assert_no_equipment_is_used_twice(steps: &[Step], ask: &Value, what: &str) {
    let recipe = &ask["recipe"];
    for (name, piece) in recipe["equipment"].as_object().into_iter().flatten() {
        let needs = |step: &&Value| step["needs"].as_array().is_some_and(|needs| needs.contains(&json!(name)));
        let users: Vec<_> =
            recipe["steps"].as_array().unwrap().iter().filter(needs).map(|step| &step["name"]).collect();
        let mut places: BTreeMap<u32, Vec<(f64, i32)>> = BTreeMap::new();
        for step in steps.iter().filter(|step| users.contains(&&json!(step.step))) {
            let place = places.entry(if piece["shared"] == true { 0 } else { step.worker().pid }).or_default();
            place.extend([(step.equipped() + CUT_MS, 1), (step.finished().max(step.equipped() + CUT_MS), -1)]);
        }
        for changes in places.values_mut() {
            changes.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
            let mut used = 0;
            for (at, change) in changes {
                used += *change;
                assert!(f64::from(used) <= number(piece, "/capacity"), "{used} use the {name} at {at} ms: {what}");
            }
        }
    }
}

/// The report of an order adds up: chain, books and bounds, and nobody is busy for longer than it took.
fn assert_report(report: &Value, what: &str) {
    let of = |at: &str| number(report, at);
    let (lower, makespan, upper) = (of("/bounds/lower_ms"), of("/makespan_ms"), of("/bounds/upper_ms"));
    assert!(
        lower <= makespan + 0.01 && makespan <= upper + 0.01,
        "{lower} <= {makespan} <= {upper} of {what}: {report}"
    );
    let terms = |of: &str, apart: &[&str]| -> f64 {
        let terms = report[of].as_object().unwrap().iter();
        let terms = terms.filter(|(name, _)| name.ends_with("_ms") && !apart.contains(&name.as_str()));
        terms.map(|(_, term)| term.as_f64().unwrap()).sum()
    };
    let chain = terms("chain", &[]);
    assert!((chain - makespan).abs() < 0.02, "the chain says {chain}, the order {makespan} of {what}: {report}");
    let (span, books) =
        (of("/books/span_ms"), terms("books", &["span_ms", "worst_residual_ms", "queue_ms", "held_idle_ms"]));
    assert!((books - span).abs() < 0.02, "the books say {books}, the steps {span} of {what}: {report}");
    for share in ["/overlap/chef_utilisation", "/lag/loop_utilisation"] {
        let share = report.pointer(share).and_then(Value::as_f64).unwrap_or(0.0);
        assert!((0.0..=1.0).contains(&share), "busy for {share} of the time: {what}: {report}");
    }
}

async fn judge(house: &House, ask: &Value, what: &str) -> Vec<Step> {
    let order = house.cook(ask.clone()).await;
    assert_eq!(order["status"], "succeeded", "{what}: {order}");
    let steps = ledger::of(house, &order).await;
    assert_no_chef_is_in_two_places(&steps, ask, what);
    assert_one_holds_the_gil(&steps, ask, what);
    assert_no_equipment_is_used_twice(&steps, ask, what);
    assert_report(&house.json(&link(&order, "report")).await, what);
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
