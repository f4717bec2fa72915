//! What theory says of an order without overhead, against the simulation: exact, for the time is virtual.
//!
//! The closed forms are those of the laboratory (identical dishes: wait W, then C of CPU in two steps; n dishes; m cores).

use std::sync::Arc;
use std::time::Duration;

use super::{Channel, Costs, Crew, Ending, Forecast, Inside, Plan, Supply, Term, run};
use crate::domain::Ns;
use crate::domain::arrivals::{Arrivals, Process};
use crate::domain::draw;
use crate::domain::menu;
use crate::domain::recipe::{Equipment, Recipe, Step, StepOrder, Work};
use crate::domain::spec::Spec;

pub(super) const MS: Ns = 1_000_000;

/// An order of steps that follow one another.
pub(super) fn order(works: &[Work], dishes: u32) -> Spec {
    let step = |(i, work): (usize, &Work)| Step { after: (1 << i) >> 1, ..Step::plain(&i.to_string(), *work) };
    let steps = works.iter().enumerate().map(step).collect();
    let recipe = Recipe { name: "law".into(), steps, equipment: Box::default() };
    Spec { recipe: Arc::new(recipe), ..menu::example("pasta-fasta", dishes) }
}

pub(super) fn wait(ms: u64) -> Work {
    Work::Wait(Duration::from_millis(ms))
}

pub(super) fn burn(ms: u64) -> Work {
    Work::Burn(Duration::from_millis(ms))
}

pub(super) fn plan(crew: Crew) -> Plan {
    Plan { crew, gil: None, channel: Channel::Move }
}

/// Without any cost but the work.
pub(super) fn free(spec: &Spec, crew: Crew, cores: f64) -> Forecast {
    run(spec, plan(crew), &Costs::zero(), &Supply::of(cores))
}

const POOL_OF_9: Crew = Crew::Pool { threads: 9, at_once: true };
const NINE_KITCHENS: Crew = Crew::Kitchens { count: 9, one_use: false, inside: Inside::Steps, up: false };

/// The seed's shape: 300 ms of waiting, then 100 and 100 of CPU.
fn seed(dishes: u32) -> Spec {
    menu::example("pasta-fasta", dishes)
}

#[test]
fn a_chef_alone_waits_at_once_and_computes_one_after_another() {
    for n in [1, 3, 10] {
        let there = free(&seed(n), Crew::Loop { assistants: 0 }, 2.0);
        assert_eq!(there.makespan, (300 + 200 * u64::from(n)) * MS, "W + nC");
        // Dish k is done at W + kC.
        let mean = (1..=u64::from(n)).map(|k| 300 + 200 * k).sum::<u64>() * MS / u64::from(n);
        assert_eq!(there.mean_dish, mean);
        assert_eq!(there.path.sum(), there.makespan);
        assert_eq!(there.path.of(Term::Wait), 300 * MS);
    }
}

#[test]
fn one_thread_does_everything_one_after_another() {
    let there = free(&seed(4), Crew::Sequential, 8.0);
    assert_eq!(
        (there.makespan, there.path.of(Term::Wait), there.path.of(Term::Cpu)),
        (2_000 * MS, 1_200 * MS, 800 * MS)
    );
}

#[test]
fn assistants_compute_on_as_many_cores_as_there_are() {
    for (n, m, expected) in [(4, 1.0, 300 + 800), (4, 2.0, 300 + 400), (4, 8.0, 300 + 200), (3, 2.0, 300 + 300)] {
        let there = free(&seed(n), Crew::Loop { assistants: 8 }, m);
        assert_eq!(there.makespan, expected * MS, "W + max(C, nC / m), {n} dishes, {m} cores");
    }
}

#[test]
fn threads_and_kitchens_share_the_cores() {
    for crew in [POOL_OF_9, Crew::ThreadPerStep, NINE_KITCHENS] {
        for (n, m, expected) in [(3, 1.0, 300 + 600), (3, 2.0, 300 + 300), (3, 4.0, 300 + 200)] {
            let there = free(&seed(n), crew, m);
            assert_eq!(there.makespan, expected * MS, "W + max(C, nC / m) of {crew:?}, {n} dishes, {m} cores");
            assert!(there.path.sum() == there.makespan && there.dishes == n);
        }
        let concurrent = Spec { step_order: StepOrder::Concurrent, ..seed(3) };
        for (m, expected) in [(1.0, 600), (2.0, 300), (4.0, 300)] {
            assert_eq!(free(&concurrent, crew, m).makespan, expected * MS, "max(W, c, nC / m) of {crew:?}");
        }
    }
}

#[test]
fn a_dish_that_arrives_when_all_threads_have_ended_gets_one_of_its_own() {
    let arrivals = Some(Box::new(Arrivals::new(10, Process::Uniform)));
    let spec = Spec { arrivals, ..order(&[wait(20)], 5) };
    for gil in [None, Some(5 * MS)] {
        let there = run(&spec, Plan { gil, ..plan(Crew::ThreadPerStep) }, &Costs::zero(), &Supply::of(2.0));
        assert_eq!((there.ending, there.makespan), (Ending::Done, 420 * MS), "{there:?}");
    }
}

#[test]
fn half_a_core_takes_twice_the_time_and_a_core_and_a_half_is_shared() {
    let two = order(&[burn(100)], 2);
    assert_eq!(free(&two, POOL_OF_9, 0.5).makespan, 400 * MS);
    let there = free(&two, POOL_OF_9, 1.5);
    assert_eq!(there.makespan.div_ceil(1_000), (200 * MS * 2 / 3).div_ceil(1_000));
    assert!((there.core_utilisation - 1.0).abs() < 1e-6, "{}", there.core_utilisation);
    assert!(there.core_wait.abs_diff(2 * there.makespan - 200 * MS) < 10);
}

#[test]
fn threads_under_a_lock_compute_one_at_a_time() {
    for crew in [POOL_OF_9, Crew::ThreadPerStep, Crew::Loop { assistants: 8 }] {
        for n in [1, 3, 6] {
            let there = run(&seed(n), Plan { gil: Some(5 * MS), ..plan(crew) }, &Costs::zero(), &Supply::of(8.0));
            assert_eq!(there.makespan, (300 + 200 * u64::from(n)) * MS, "W + nC of {crew:?}");
            // The lock makes all of them late: nobody is done long before the last.
            assert!(n == 1 || there.mean_dish > there.makespan * 9 / 10, "{there:?}");
        }
    }
    let kitchens = Crew::Kitchens { count: 4, one_use: false, inside: Inside::Pool(4), up: true };
    let there = run(&seed(4), Plan { gil: Some(5 * MS), ..plan(kitchens) }, &Costs::zero(), &Supply::of(4.0));
    assert_eq!(there.makespan, 500 * MS, "each kitchen has its own");
}

#[test]
fn a_sleeper_waits_an_interval_for_each_thread_that_computes() {
    // One dish of short waits beside k that compute: a wake-up costs k intervals (laboratory 0.5).
    for (k, interval) in [(1, 5), (2, 5), (4, 5), (2, 1)] {
        let naps = 50_u32;
        let mut steps: Vec<Step> = (0..naps).map(|i| Step::plain(&i.to_string(), wait(1))).collect();
        for (i, step) in steps.iter_mut().enumerate().skip(1) {
            step.after = 1 << (i - 1);
        }
        steps.extend((0..k).map(|i| Step::plain(&format!("burn {i}"), burn(60_000))));
        let recipe = Recipe { name: "convoy".into(), steps: steps.into(), equipment: Box::default() };
        let spec = Spec { recipe: Arc::new(recipe), ..menu::example("pasta-fasta", 1) };
        let there = run(
            &spec,
            Plan { gil: Some(interval * MS), ..plan(Crew::ThreadPerStep) },
            &Costs::zero(),
            &Supply::of(8.0),
        );
        let per_nap = there.gil_wait as f64 / 1e6;
        // The waits of the k threads for each other dominate the sum, so look at who napped: 50 naps of 1 ms + k intervals.
        assert!(per_nap > f64::from(naps) * f64::from(k as u32) * interval as f64, "{k} {interval}: {there:?}");
    }
}

#[test]
fn equipment_is_used_by_as_many_as_there_are() {
    for (capacity, rounds) in [(1, 10), (2, 5), (3, 4), (10, 1)] {
        for crew in [Crew::Loop { assistants: 0 }, POOL_OF_9, Crew::ThreadPerStep] {
            let mut spec = order(&[wait(100)], 10);
            let recipe = Arc::make_mut(&mut spec.recipe);
            recipe.equipment = [Equipment { name: "stove".into(), capacity, shared: false }].into();
            recipe.steps[0].needs = [0].into();
            let rounds = if crew == POOL_OF_9 { rounds.max(2) } else { rounds };
            assert_eq!(free(&spec, crew, 1.0).makespan, rounds * 100 * MS, "{capacity} stoves under {crew:?}");
        }
    }
}

#[test]
fn a_wait_for_equipment_begins_when_the_loop_turns_to_it_and_not_when_the_equipment_is_free() {
    // Three of nine dishes at a time: whoever gets the stove next learns of it after the three have been chopped.
    let mut spec = order(&[wait(10), burn(6)], 9);
    let recipe = Arc::make_mut(&mut spec.recipe);
    recipe.equipment = [Equipment { name: "stove".into(), capacity: 3, shared: false }].into();
    recipe.steps[0].needs = [0].into();
    let crew = plan(Crew::Loop { assistants: 0 });
    let costs = Costs::default();
    let there = run(&spec, crew, &costs, &Supply::of(2.0)).makespan;
    let law = 3 * (10 + 3 * 6) * MS;
    let overhead = costs.begin + 3 * (costs.loop_late + MS / 2);
    assert!((law..=law + overhead).contains(&there), "{there} is not {law} and at most {overhead} of overhead");
}

#[test]
fn who_holds_the_ladle_and_wants_the_stove_waits_for_ever() {
    let mut spec = order(&[wait(10), wait(10)], 1);
    spec.step_order = StepOrder::Concurrent;
    let recipe = Arc::make_mut(&mut spec.recipe);
    let piece = |name: &str| Equipment { name: name.into(), capacity: 1, shared: false };
    recipe.equipment = [piece("ladle"), piece("stove")].into();
    for (step, needs) in recipe.steps.iter_mut().zip([[0, 1], [1, 0]]) {
        step.needs = needs.into();
        step.hold_while_waiting = true;
    }
    // One by one nothing happens; it takes somebody who holds one of them while both begin.
    assert_eq!(free(&spec, Crew::ThreadPerStep, 2.0).ending, Ending::Done);
    let recipe = Arc::make_mut(&mut spec.recipe);
    let mut steps = recipe.steps.to_vec();
    for need in [0, 1] {
        let mut keeper = Step::plain(&format!("keeps {need}"), wait(5 + u64::from(need)));
        keeper.needs = [need].into();
        steps.insert(usize::from(need), keeper);
    }
    // At 5 ms one gets its first and wants the other's; at 6 ms the other gets its first and wants this one's.
    recipe.steps = steps.into();
    for crew in [Crew::ThreadPerStep, POOL_OF_9, Crew::Loop { assistants: 0 }] {
        let there = free(&spec, crew, 2.0);
        assert_eq!((there.ending, there.dishes, there.makespan), (Ending::Deadlock, 0, 6 * MS), "{crew:?}");
    }
}

#[test]
fn who_has_neighbours_gets_more_the_more_ask() {
    let supply = Supply::measured(&[(1, 0.5), (3, 1.0)], 1.0);
    for (dishes, expected) in [(1, 200), (2, 266), (3, 300), (6, 600)] {
        let there = run(&order(&[burn(100)], dishes), plan(POOL_OF_9), &Costs::zero(), &supply);
        assert_eq!(there.makespan / MS, expected, "{dishes}: {there:?}");
    }
    assert_eq!((Supply::of(1.5).cores(), supply.cores()), (1.5, 1.0));
}

/// Gives a recipe two kinds of equipment, both of a kitchen or both shared, and its steps a need for some of it, asked for in
/// one order, so that nobody waits for ever.
fn equip(recipe: &mut Recipe, draw: impl Fn(u16, u64) -> u64) {
    let shared = draw(43, 2) == 0;
    let piece = |name: &str, i: u16| Equipment { name: name.into(), capacity: 1 + draw(44 + i, 3) as u32, shared };
    recipe.equipment = [piece("oven", 0), piece("pan", 1)].into();
    for (step, i) in recipe.steps.iter_mut().zip(0_u16..) {
        step.needs = (0..2_u8).filter(|need| draw(50 + 2 * i + u16::from(*need), 2) == 0).collect();
        step.hold_while_waiting = draw(60 + i, 2) == 0;
    }
}

/// A random order of up to three steps and forty dishes.
fn random_order(seed: u64) -> (Spec, Crew, f64) {
    let draw = |i: u16, below: u64| draw::bits(seed, 7, i) % below;
    let works: Vec<Work> = (0..=draw(0, 3) as u16)
        .map(|i| match draw(10 + i, 4) {
            0 => wait(draw(20 + i, 50)),
            1 => burn(draw(20 + i, 20)),
            2 => Work::BlockingWait(Duration::from_millis(draw(20 + i, 20))),
            _ => Work::Exchange { bytes: 1 + draw(20 + i, 100_000) as u32, messages: 1 + draw(30 + i, 200) as u32 },
        })
        .collect();
    let n = 1 + draw(1, 8) as u32;
    let crews = [
        Crew::Sequential,
        Crew::Loop { assistants: 0 },
        Crew::Loop { assistants: n },
        Crew::Pool { threads: n, at_once: draw(2, 2) == 0 },
        Crew::ThreadPerStep,
        Crew::Kitchens { count: n, one_use: false, inside: Inside::Steps, up: draw(2, 2) == 0 },
        Crew::Kitchens { count: n, one_use: false, inside: Inside::Loop, up: true },
        Crew::Kitchens { count: n, one_use: false, inside: Inside::Pool(3), up: false },
    ];
    let order_of_steps = [StepOrder::Recipe, StepOrder::Sequential, StepOrder::Concurrent][draw(3, 3) as usize];
    let mut spec = Spec {
        step_order: order_of_steps,
        arrivals: (draw(9, 3) == 0).then(|| Box::new(Arrivals::new(50 + draw(41, 500) as u32, Process::Poisson))),
        max_in_flight: (draw(4, 3) == 0).then(|| 1 + draw(5, 5) as u32),
        ..order(&works, 1 + draw(6, 40) as u32)
    };
    if draw(42, 2) == 0 {
        equip(Arc::make_mut(&mut spec.recipe), draw);
    }
    (spec, crews[draw(7, 8) as usize], 0.5 + draw(8, 40) as f64 / 10.0)
}

#[test]
fn no_order_is_faster_than_its_lower_bound_or_slower_than_its_upper_bound() {
    for seed in 0..3_000 {
        let (spec, crew, cores) = random_order(seed);
        let channel = [Channel::Pipe, Channel::Memory][seed as usize % 2];
        let gil = seed.is_multiple_of(4).then_some(5 * MS);
        let with_neighbours = Supply::measured(&[(1, 0.4), (2, 0.7), (4, 1.1), (8, 1.6)], 1.0);
        let supply = if seed.is_multiple_of(5) { with_neighbours } else { Supply::of(cores) };
        for costs in [Costs::zero(), Costs::default()] {
            let plan = Plan { gil, channel, ..plan(crew) };
            let there = run(&spec, plan, &costs, &supply);
            // Rounding to whole nanoseconds, once per step and per change of hands.
            let slack = 4 * (spec.steps_total() + there.makespan / MS);
            assert_eq!((there.ending, there.dishes), (Ending::Done, spec.dishes), "{seed}: {spec:?} {crew:?}");
            assert!(there.makespan + slack >= there.lower_bound, "{seed}: {there:?} of {spec:?} {crew:?} {cores}");
            assert!(there.makespan <= there.upper_bound + slack, "{seed}: {there:?} of {spec:?} {crew:?} {cores}");
            assert_eq!(there.path.sum(), there.makespan, "{seed}: its path explains all of it");
            assert_eq!(there, run(&spec, plan, &costs, &supply), "the same every time");
        }
    }
}
