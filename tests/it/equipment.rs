//! Equipment as chefs of one kitchen fight over it: the laws of a stove, of standing with a ladle, and of a deadlock.
//!
//! Equipment between kitchens is in `equipment_kitchens`, the bookkeeping alone in `equipment_rack`.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{self, eventually, link, number};
use crate::ledger::{self, Step};
use crate::models::{order, setups};
use crate::refusals::refused;

/// When a step had all it needed.
pub fn equipped(step: &Step) -> f64 {
    step.started() + step.equipment_wait_ms.expect("it ran")
}

/// Steps that had their equipment at the same moment, at most.
pub fn most_equipped(steps: &[Step]) -> usize {
    let spans = steps.iter().flat_map(|step| [(equipped(step), 1_i32), (step.finished(), -1)]);
    let mut changes: Vec<_> = spans.collect();
    // To the microsecond: what is given back at one moment can be taken at the same.
    changes.sort_by(|a, b| (a.0 + f64::from(a.1) * 0.002).total_cmp(&(b.0 + f64::from(b.1) * 0.002)));
    let now = changes.iter().scan(0, |now, (_, change)| {
        *now += change;
        Some(*now)
    });
    usize::try_from(now.max().unwrap_or(0)).expect("more begin than end")
}

/// One step that waits this long and needs one of so many stoves.
pub fn boil(ms: u64, stoves: u64) -> Value {
    json!({"name": "boil", "equipment": {"stove": {"capacity": stoves, "shared": true}},
        "steps": [{"name": "boil_pasta", "work": {"kind": "wait", "ms": ms}, "needs": ["stove"]}]})
}

/// Two steps that take the same two things in opposite orders.
pub fn opposite(ms: u64, hold: bool, shared: bool) -> Value {
    let piece = json!({"shared": shared});
    let step = |name: &str, needs: [&str; 2]| json!({"name": name, "work": {"kind": "wait", "ms": ms}, "needs": needs, "hold_while_waiting": hold});
    json!({"name": "opposite", "equipment": {"ladle": piece, "stove": piece},
        "steps": [step("stir", ["ladle", "stove"]), step("serve", ["stove", "ladle"])]})
}

/// The order has failed because two dishes wait for each other, and says which.
pub fn assert_deadlocked(ended: &Value) {
    assert_eq!((&ended["status"], &ended["error"]["kind"]), (&json!("failed"), &json!("deadlock")), "{ended}");
    let detail = ended["error"]["detail"].as_str().expect("a detail");
    for part in ["stir holds ladle and waits for stove", "serve holds stove and waits for ladle", "dish "] {
        assert!(detail.contains(part), "no {part} in: {detail}");
    }
    assert!(ledger::makespan(ended) < 5_000.0, "not at once: {ended}");
}

#[tokio::test]
async fn with_one_stove_boils_follow_one_another_whoever_cooks() {
    let house = harness::open();
    for setup in setups(&house).await {
        let ended = house.cook(order(&setup, json!({"recipe": boil(30, 1), "dishes": 4}))).await;
        assert_eq!(ended["status"], "succeeded", "{ended}");
        let steps = ledger::of(&house, &ended).await;
        assert!(ledger::makespan(&ended) >= 4.0 * 30.0, "{setup}: {ended}");
        assert_eq!(most_equipped(&steps), 1, "{setup}: {steps:?}");
        for step in &steps {
            let residual = step.residual_ms.expect("a residual").abs();
            assert!(step.lag() >= 0.0 && step.finished() >= equipped(step) + 30.0, "{setup}: {step:?}");
            assert!(residual < 0.01, "{setup}: the books do not balance: {step:?}");
            assert_eq!(step.held_idle_ms, Some(0.0), "{setup}: {step:?}");
        }
    }
}

#[tokio::test]
async fn the_law_of_stoves_holds_on_a_loop_and_among_threads() {
    let house = harness::open();
    let models = [
        json!({"model": "asyncio"}),
        json!({"model": "asyncio", "setup": {"assistants": 2}}),
        json!({"model": "multithreading", "setup": {"chefs": 6}}),
    ];
    for setup in models {
        for (stoves, rounds) in [(1, 6.0), (2, 3.0), (3, 2.0), (6, 1.0)] {
            let ended = house.cook(order(&setup, json!({"recipe": boil(60, stoves), "dishes": 6}))).await;
            let steps = ledger::of(&house, &ended).await;
            assert_eq!(most_equipped(&steps) as u64, stoves, "{setup}: {steps:?}");
            let waited: f64 = steps.iter().map(|step| step.equipment_wait_ms.expect("it ran")).sum();
            let late: f64 = steps.iter().map(Step::lag).sum();
            let makespan = ledger::makespan(&ended);
            assert!(makespan >= rounds * 60.0, "{setup}, {stoves} stoves: {makespan} ms");
            assert!(
                makespan <= (rounds * 60.0 + late) * 1.1 + 30.0,
                "{setup}, {stoves} stoves: {makespan} ms, {late} late"
            );
            // Each round waits for all rounds before it.
            let law = 60.0 * stoves as f64 * (rounds - 1.0) * rounds / 2.0;
            assert!(waited >= law - 6.0, "{setup}, {stoves} stoves: waited {waited} ms together, not {law} ms");
        }
    }
}

#[tokio::test]
async fn who_asks_first_gets_it_first() {
    let house = harness::open();
    for setup in [json!({"model": "asyncio"}), json!({"model": "multithreading", "setup": {"chefs": 8}})] {
        // A dish every 10 ms, so that it is certain who asked first.
        let arrivals = json!({"rate_per_s": 100, "process": "uniform"});
        let asked = order(&setup, json!({"recipe": boil(25, 1), "dishes": 8, "arrivals": arrivals}));
        let steps = ledger::of(&house, &house.cook(asked).await).await;
        let in_line = ledger::named(&steps, "boil_pasta");
        let had: Vec<_> = in_line.iter().map(|step| equipped(step)).collect();
        assert!(had.is_sorted(), "{setup}: {had:?}");
        assert!(in_line[7].equipment_wait_ms > Some(60.0), "nobody waited: {in_line:?}");
    }
}

#[tokio::test]
async fn somebody_just_stands_there_holding_a_ladle() {
    let house = harness::open();
    let kitchen = |hold: bool| {
        json!({"name": "ladle", "equipment": {"ladle": {}, "stove": {}}, "steps": [
            {"name": "boil", "work": {"kind": "wait", "ms": 200}, "needs": ["stove"]},
            {"name": "fetch", "work": {"kind": "wait", "ms": 50}},
            {"name": "stir", "work": {"kind": "cpu", "ms": 20}, "needs": ["ladle", "stove"], "hold_while_waiting": hold,
             "after": ["fetch"]}]})
    };
    let models = [
        json!({"model": "asyncio"}),
        json!({"model": "asyncio", "setup": {"assistants": 3}}),
        json!({"model": "multithreading", "setup": {"chefs": 3}}),
        json!({"model": "multithreading", "setup": {"chefs": "per_step"}, "isolation": "kitchen"}),
        json!({"model": "multiprocessing", "setup": {"kitchens": 1, "inside": "threads"}}),
    ];
    for setup in models {
        for hold in [true, false] {
            let ended = house.cook(order(&setup, json!({"recipe": kitchen(hold)}))).await;
            let steps = ledger::of(&house, &ended).await;
            let stir = ledger::named(&steps, "stir")[0];
            let (waited, idle) = (stir.equipment_wait_ms.expect("it ran"), stir.held_idle_ms.expect("it ran"));
            assert!(waited >= 60.0 && equipped(stir) >= 200.0, "{setup}: {stir:?}");
            assert_eq!(idle >= 60.0, hold, "{setup}, hold {hold}: {stir:?}");
            assert!(idle <= waited, "{setup}: {stir:?}");
            let residual = stir.residual_ms.expect("a residual").abs();
            assert!(residual <= (stir.span() * 0.05).max(2.0), "{setup}: {stir:?}");
        }
    }
}

#[tokio::test]
async fn opposite_orders_of_taking_deadlock_which_is_found_named_and_harms_nobody() {
    let house = harness::open();
    let models = [
        json!({"model": "asyncio"}),
        json!({"model": "asyncio", "setup": {"chef": "own"}, "isolation": "kitchen"}),
        json!({"model": "multithreading"}),
        json!({"model": "multithreading", "setup": {"chefs": 4}}),
        json!({"model": "multithreading", "setup": {"chefs": "per_step"}, "isolation": "kitchen"}),
        json!({"model": "multiprocessing", "setup": {"kitchens": 1, "inside": "asyncio"}}),
    ];
    for setup in models {
        let fields = |hold| json!({"recipe": opposite(50, hold, false), "dishes": 2, "step_order": "concurrent"});
        let ended = house.cook(order(&setup, fields(true))).await;
        assert_deadlocked(&ended);
        let steps = ledger::of(&house, &ended).await;
        assert!(steps.iter().any(|step| step.outcome == "failed"), "{steps:?}");
        // Taken all at once there is nothing to wait for in a circle.
        let polite = house.cook(order(&setup, fields(false))).await;
        assert_eq!(polite["status"], "succeeded", "{setup}: {polite}");
        let next = house.cook(order(&setup, json!({"io_ms": 1, "cpu_ms": 1}))).await;
        assert_eq!(next["status"], "succeeded", "{next}");
    }
    assert_eq!(house.get("/livez").await.status(), 200);
    // One dish has two steps, of which the first takes both; and one chef alone has nobody to wait for.
    for setup in [json!({"model": "multithreading", "dishes": 1}), json!({"model": "sequential", "dishes": 3})] {
        let fields = json!({"recipe": opposite(5, true, false), "step_order": "concurrent"});
        assert_eq!(house.cook(order(&setup, fields)).await["status"], "succeeded");
    }
}

#[tokio::test]
async fn whoever_waits_for_equipment_hears_a_cancel() {
    let house = harness::open();
    let mut recipe = boil(60_000, 1);
    recipe["steps"][0]["after"] = json!(["fetch"]);
    recipe["steps"].as_array_mut().expect("a list").push(json!({"name": "fetch", "work": {"kind": "wait", "ms": 1}}));
    for setup in setups(&house).await {
        let placed = house.place(order(&setup, json!({"recipe": recipe, "dishes": 5}))).await;
        // What comes before the boils is done, in every dish that is cooked at the same time.
        let fetched = if setup["model"] == "sequential" { 1.0 } else { 5.0 };
        eventually(Duration::from_secs(20), "the boils begin", async || {
            number(&house.json(&link(&placed, "self")).await, "/progress/steps_done") >= fetched
        })
        .await;
        house.post(&link(&placed, "cancel"), &json!(null)).await;
        let ended = tokio::time::timeout(Duration::from_secs(2), house.ended(&placed)).await;
        let ended = ended.unwrap_or_else(|_| panic!("not stopped within 2 s: {setup}"));
        assert_eq!(ended["status"], "canceled", "{setup}: {ended}");
    }
    let stats = house.json("/stats").await;
    assert_eq!((&stats["running"], &stats["queued"]), (&json!(0), &json!(0)));
}

#[tokio::test]
async fn equipment_that_makes_no_sense_is_refused_with_pointers() {
    let house = harness::open();
    let of = |equipment: Value, needs: Value| {
        json!({"model": "asyncio", "recipe": {"name": "n", "equipment": equipment,
            "steps": [{"name": "s", "work": {"kind": "wait", "ms": 0}, "needs": needs}]}})
    };
    let many: serde_json::Map<_, _> = (0..33).map(|i| (format!("e{i}"), json!({}))).collect();
    let table = [
        (of(json!({"stove": {}}), json!(["oven"])), "/recipe/steps/0/needs/0"),
        (of(json!({"stove": {}}), json!(["stove", "stove"])), "/recipe/steps/0/needs/1"),
        (of(json!({"stove": {"capacity": 0}}), json!([])), "/recipe/equipment/stove/capacity"),
        (of(json!({"stove": {"capacity": 1_000_001}}), json!([])), "/recipe/equipment/stove/capacity"),
        (of(json!({"stove": {"shared": true}, "pan": {}}), json!(["pan", "stove"])), "/recipe/steps/0/needs"),
        (of(json!(many), json!([])), "/recipe/equipment"),
    ];
    for (asked, pointer) in table {
        let problem = refused(&house, house.post("/orders", &asked).await, 422, "invalid-order").await;
        assert_eq!(problem["errors"][0]["pointer"], json!(pointer), "{problem}");
    }
}

#[tokio::test]
async fn the_presets_show_the_fight_over_the_stove_and_the_deadlock() {
    let house = harness::open();
    let fight = house.cook(json!({"preset": "one-stove"})).await;
    let steps = ledger::of(&house, &fight).await;
    let boils: Vec<_> = steps.into_iter().filter(|step| step.step == "boil_pasta").collect();
    assert_eq!((&fight["status"], most_equipped(&boils)), (&json!("succeeded"), 1), "{fight}");
    assert!(ledger::makespan(&fight) >= 100.0 * boils.len() as f64, "{fight}");
    let deadlock = house.cook(json!({"preset": "deadlock"})).await;
    assert_eq!(deadlock["error"]["kind"], "deadlock", "{deadlock}");
}
