//! The bookkeeping of equipment as a pure thing: order, fairness, and deadlocks found neither too early nor too late.
//!
//! It deliberately runs no steps: what threads, loops and kitchens make of it is in the other files of this name.

use std::sync::Arc;

use pasta_fasta::domain::draw;
use pasta_fasta::domain::rack::{ClaimId, Rack, Standing};
use pasta_fasta::domain::recipe::{Equipment, Recipe, Step, StepRef, Work};

/// A rack of these capacities, and steps that need these pieces; `true`: they hold while they wait.
fn rack(capacities: &[u32], steps: &[(&[u8], bool)]) -> Rack {
    let names = ["stove", "ladle", "knife", "sink"];
    let piece = |(i, capacity): (usize, &u32)| Equipment { name: names[i].into(), capacity: *capacity, shared: false };
    let step = |(i, (needs, hold)): (usize, &(&[u8], bool))| Step {
        needs: (*needs).into(),
        hold_while_waiting: *hold,
        ..Step::plain(&format!("s{i}"), Work::Wait(std::time::Duration::ZERO))
    };
    Rack::new(Arc::new(Recipe {
        name: "r".into(),
        equipment: capacities.iter().enumerate().map(piece).collect(),
        steps: steps.iter().enumerate().map(step).collect(),
    }))
}

fn at(dish: u32, step: u16) -> StepRef {
    StepRef { dish, step }
}

fn has(rack: &Rack, id: ClaimId) -> bool {
    matches!(rack.standing(id), Standing::Has { .. })
}

#[test]
fn one_piece_is_given_in_the_order_it_was_asked_for_and_withdrawn_claims_are_passed_over() {
    let mut rack = rack(&[2], &[(&[0], false), (&[0], true)]);
    let claims: Vec<_> = (0..6).map(|i| rack.claim(at(1, i % 2), 0)).collect();
    assert_eq!(claims.iter().filter(|id| has(&rack, **id)).count(), 2);
    rack.release(claims[2], 1);
    rack.release(claims[0], 2);
    assert!(has(&rack, claims[1]) && has(&rack, claims[3]) && !has(&rack, claims[4]));
    rack.release(claims[1], 3);
    rack.release(claims[3], 3);
    assert!(has(&rack, claims[4]) && has(&rack, claims[5]));
    assert_eq!(rack.settled(), [0, 1, 3, 4, 5].map(|i: usize| claims[i]));
}

#[test]
fn all_or_nothing_holds_nothing_while_it_waits_and_is_not_overtaken_for_ever() {
    let mut rack = rack(&[3, 1], &[(&[0], false), (&[0, 1], false), (&[1], false)]);
    let ladle = rack.claim(at(1, 2), 0);
    let both = rack.claim(at(2, 1), 0);
    assert!(has(&rack, ladle) && !has(&rack, both));
    // Three stoves are free; one of them is spoken for.
    let stoves: Vec<_> = (3..6).map(|dish| rack.claim(at(dish, 0), 0)).collect();
    assert_eq!(stoves.iter().map(|id| has(&rack, *id)).collect::<Vec<_>>(), [true, true, false]);
    // Whoever comes later does not get the ladle first.
    let late = rack.claim(at(7, 2), 0);
    rack.release(ladle, 5);
    assert!(has(&rack, both) && !has(&rack, late) && !has(&rack, stoves[2]));
    assert_eq!(rack.standing(both), Standing::Has { held_idle: 0 });
    rack.release(both, 6);
    assert!(has(&rack, late) && has(&rack, stoves[2]));
}

#[test]
fn what_is_held_while_waiting_is_timed_and_a_circle_is_found_when_it_closes() {
    let mut rack = rack(&[1, 1], &[(&[0, 1], true), (&[1, 0], true)]);
    let first = rack.claim(at(1, 0), 0);
    let other_way = rack.claim(at(1, 1), 1);
    let same_way = rack.claim(at(2, 0), 2);
    assert!(has(&rack, first) && !has(&rack, other_way) && !has(&rack, same_way));
    rack.release(first, 9);
    let Standing::Stuck(circle) = rack.standing(same_way) else { panic!("{:?}", rack.standing(same_way)) };
    assert_eq!(circle, "dish 2, s0 holds stove and waits for ladle; dish 1, s1 holds ladle and waits for stove");
    assert_eq!(rack.standing(other_way), Standing::Waits);
    // Had the last one not asked, the other would have gone on.
    rack.release(same_way, 12);
    assert_eq!(rack.standing(other_way), Standing::Has { held_idle: 3 });
}

#[test]
fn a_second_piece_breaks_the_circle() {
    let mut rack = rack(&[2, 1], &[(&[0, 1], true), (&[1, 0], true)]);
    let claims: Vec<_> = (0..8).map(|i| rack.claim(at(1 + i / 2, (i % 2) as u16), 0)).collect();
    // Dish 1 has both; then come, held up one behind the other, those who hold a stove and those who hold a ladle.
    for _ in 0..8 {
        let going = claims.iter().find(|id| has(&rack, **id)).copied();
        let stuck = claims.iter().any(|id| matches!(rack.standing(*id), Standing::Stuck(_)));
        match going {
            Some(id) => rack.release(id, 1),
            None => return assert!(stuck, "nobody goes on, and nobody says why"),
        }
    }
}

/// A claim is stuck if and only if it still waits after everybody else has finished and given back, again and again.
fn is_right(rack: &mut Rack, claims: &mut Vec<ClaimId>, stuck: bool) {
    while let Some(i) = claims.iter().position(|id| has(rack, *id)) {
        rack.release(claims.swap_remove(i), 0);
    }
    let told = claims.iter().any(|id| matches!(rack.standing(*id), Standing::Stuck(_)));
    if stuck {
        assert!(!claims.is_empty(), "told to be stuck, and went on");
    }
    assert_eq!(claims.is_empty(), !told, "{} wait for ever, told: {told}", claims.len());
}

#[test]
fn in_any_mixture_somebody_is_stuck_exactly_when_told_so_and_otherwise_all_are_served() {
    let (mut deadlocks, mut served) = (0, 0);
    for seed in 0..20_000_u64 {
        let draw = |i: u32, of: u64| draw::bits(seed, i, 0) % of;
        let capacities: Vec<u32> = (0..3).map(|i| 1 + draw(i, 3) as u32).collect();
        let orders: [&[u8]; 6] = [&[0, 1], &[1, 0], &[0, 1, 2], &[2, 0], &[1, 2], &[1]];
        // A third of the mixtures is of one mind, so that neither kind hides the other's mistakes.
        let mind = draw(4, 3);
        let steps: Vec<(&[u8], bool)> = (0..4)
            .map(|i| (orders[draw(10 + i, 6) as usize], if mind == 2 { draw(20 + i, 2) == 0 } else { mind == 0 }))
            .collect();
        let mut rack = rack(&capacities, &steps);
        let mut claims: Vec<ClaimId> = Vec::new();
        let mut stuck = false;
        for turn in 0..40 {
            let at_work: Vec<_> = (0..claims.len()).filter(|i| has(&rack, claims[*i])).collect();
            if draw(100 + turn, 2) == 0 || at_work.is_empty() {
                claims.push(rack.claim(at(turn, draw(200 + turn, 4) as u16), 0));
            } else {
                let i = at_work[draw(300 + turn, at_work.len() as u64) as usize];
                rack.release(claims.swap_remove(i), 0);
            }
            stuck = claims.iter().any(|id| matches!(rack.standing(*id), Standing::Stuck(_)));
            if stuck {
                break;
            }
        }
        deadlocks += u32::from(stuck);
        served += u32::from(!stuck);
        is_right(&mut rack, &mut claims, stuck);
    }
    println!("{deadlocks} mixtures deadlocked, {served} did not");
    assert!(deadlocks > 1_000 && served > 1_000, "{deadlocks} and {served}: the mixtures prove little");
}
