//! The end of a comparison: forecasts set beside the runs, samples extended, a verdict, a recommendation.
//!
//! It deliberately measures nothing more.

use super::comparison::{Comparison, LineUp};
use super::comparisons::Comparisons;
use super::entry::{Entry, Sizes};
use super::foresee::{self, Place};
use super::line_up;
use super::noise::{Noise, Reading};
use super::objective::Aims;
use super::plan::{self, Machine};
use super::recommend::{self, CORES, Question};
use super::recommend_text;
use super::statistics::Spread;
use super::verdict;
use crate::domain::spec::Spec;

/// Steps that a forecast of all entries may have: a recommendation asks for some thirty of them, at some microsecond a
/// step, and has a fraction of a second.
const STEPS_LOOKED_AT: u64 = 10_000;
/// How many times that a forecast of more dishes may have: there are at most three of them.
const MORE: u32 = 4;

/// What has to be done once all runs are over; it computes for a fraction of a second.
pub(super) fn of(
    house: &Comparisons,
    mut state: Comparison,
    before: Reading,
    cores_after: f64,
) -> impl FnOnce() -> Comparison + Send + 'static {
    let line_ups = line_ups(house, &state);
    let place = house.place(f64::midpoint(before.cores, cores_after));
    let nominal = house.machine(house.kitchen.config.staff.cores as f64);
    move || {
        let (whole, full) = state.dishes;
        for entry in state.entries.iter_mut().filter(|entry| !entry.runs.is_empty()) {
            look_back(entry, full, &place);
        }
        if full < whole {
            let sizes = Sizes { full, half: full / 2, whole };
            state.entries.iter_mut().for_each(|entry| entry.extend(sizes, nominal));
        }
        let objective = state.plan.objective;
        state.verdict = verdict::judge(&mut state.entries, objective, state.dishes);
        let noise = Noise::of(&state.entries, objective, before, cores_after, nominal);
        if let Some(verdict) = &state.verdict {
            let entries = &state.entries;
            let (looked_at, most_dishes) = looked_at(entries, state.dishes, place.machine);
            let (noise, place, line_ups) = (&noise, &place, &line_ups[..]);
            let question = Question { entries, objective, verdict, noise, place, line_ups, looked_at, most_dishes };
            state.recommendation = recommend::recommend(&question, &foresee::foresee);
            if let Some(recommended) = &mut state.recommendation {
                recommended.text = recommend_text::of(recommended, entries, verdict, noise, objective);
            }
        }
        state.noise = Some(noise);
        state
    }
}

/// Sets a forecast with what is known now, and the runs as they were, beside the forecast of before.
fn look_back(entry: &mut Entry, dishes: u32, place: &Place) {
    let median = |values: Vec<f64>| Spread::of(&values).map_or(0.0, |spread| spread.median);
    let aim = |i: usize| median(entry.runs.iter().map(|run| run.aims()[i]).collect());
    let measured: Aims = std::array::from_fn(aim);
    entry.start_cpu_ms = median(entry.runs.iter().map(|run| run.cpu_ms - run.steps_cpu_ms).collect());
    let spec = foresee::refitted(&Spec { dishes, ..entry.spec.clone() }, &entry.step_cpu);
    if let Some(forecasts) = &mut entry.forecasts {
        forecasts.measured = Some(measured);
        forecasts.refit = foresee::foresee(&spec, place);
    }
}

/// So many dishes that a forecast of all entries stays small, but no sample that leaves workers idle; and the most that one of
/// more dishes may have. Of a sample more is not asked: what is more than it may be less than the order has.
fn looked_at(entries: &[Entry], (whole, dishes): (u32, u32), machine: Machine) -> (u32, u32) {
    let steps: u64 = entries.iter().map(|entry| entry.spec.recipe.steps.len() as u64).sum();
    let fit = (STEPS_LOOKED_AT / steps.max(1)) as u32;
    let looked_at = dishes.min(fit.max(plan::round(machine.house)));
    (looked_at, if looked_at == whole { looked_at.max(MORE * fit) } else { looked_at })
}

/// Who would be compared on other numbers of cores: everyone who was, and for the default line-up also its members there.
fn line_ups(house: &Comparisons, state: &Comparison) -> Vec<(u32, Vec<(String, Spec)>)> {
    let own: Vec<_> = state.entries.iter().map(|entry| (entry.name.clone(), entry.spec.clone())).collect();
    let on = |cores: u32| {
        let mut who = own.clone();
        if !matches!(state.plan.line_up, LineUp::Of(_)) {
            let there = line_up::default(u64::from(cores));
            let entries = there.iter().filter_map(|candidate| house.entry(&state.plan.work, candidate).ok());
            who.extend(entries.map(|entry| (entry.name, entry.spec)));
        }
        who.sort_by(|a, b| a.0.cmp(&b.0));
        who.dedup_by(|a, b| a.0 == b.0);
        (cores, who)
    };
    CORES.into_iter().map(on).collect()
}
