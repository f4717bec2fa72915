//! The work of an order as figures: what each step does, and the sums, chains and bounds that follow from it alone.
//!
//! It deliberately simulates nothing.

use super::costs::Costs;
use super::plan::{Crew, Inside, Plan};
use crate::domain::Ns;
use crate::domain::recipe::{StepRef, Work};
use crate::domain::spec::Spec;

/// Turns a step may give away in all: the length of its pieces grows beyond.
const TURNS: u64 = 1_000_000;

/// The work of each step, where it is the same in every dish.
pub(super) fn fixed(spec: &Spec) -> Box<[Option<Work>]> {
    let first = |step: usize| spec.work(StepRef { dish: spec.first_dish, step: step as u16 });
    let is_drawn = |step: usize| spec.recipe.steps[step].spread != crate::domain::draw::Spread::Constant;
    (0..spec.recipe.steps.len()).map(|step| (!is_drawn(step)).then(|| first(step))).collect()
}

/// The steps that wait for no other of their dish.
pub(super) fn roots(spec: &Spec) -> Box<[u32]> {
    let is_root = |step: &usize| spec.recipe.before(*step, spec.step_order) == 0;
    (0..spec.recipe.steps.len()).filter(is_root).map(|step| step as u32).collect()
}

/// Of each step: the CPU time after which it lets the loop turn.
pub(super) fn chunks(spec: &Spec, costs: &Costs) -> Box<[Ns]> {
    let chunk = |step: &crate::domain::recipe::Step| {
        let Some(every) = step.yield_every else { return Ns::MAX };
        let all = costs.cpu(step.work).saturating_mul(u64::from(spec.dishes));
        (every.as_nanos() as Ns).max(all / TURNS).max(1)
    };
    spec.recipe.steps.iter().map(chunk).collect()
}

/// What an order demands, whoever takes its steps.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Demand {
    /// Computing and exchanging, of all steps.
    pub(super) cpu: Ns,
    /// Of that, exchanging: what a loop does itself, whoever takes its steps.
    pub(super) exchange: Ns,
    /// Of both, what needs the GIL.
    pub(super) held: Ns,
    /// Waits that free a loop.
    pub(super) wait: Ns,
    /// Waits that do not.
    pub(super) blocking: Ns,
    /// The longest chain of a dish, from the start of the run to the dish's end.
    pub(super) chain: Ns,
    /// The least wait with which a dish begins.
    pub(super) first_wait: Ns,
    /// The last arrival.
    pub(super) arrival: Ns,
    /// The least time that equipment needs for all steps that need it.
    pub(super) equipment: Ns,
}

/// Adds up an order's demand.
pub(super) fn demand(spec: &Spec, costs: &Costs, kitchens: u32, price: impl Fn(u32, u32) -> Ns) -> Demand {
    let works = fixed(spec);
    let same = works.iter().all(Option::is_some) && spec.arrivals.is_none();
    let looked_at = if same { 1 } else { spec.dishes };
    let mut sum = Demand { first_wait: Ns::MAX, ..Demand::default() };
    let mut tools = vec![0_u128; spec.recipe.equipment.len()];
    let order: Vec<usize> = in_order(spec).collect();
    let mut ends = vec![0; order.len()];
    for position in 0..looked_at {
        let dish = spec.dish(position);
        let mut chain = 0;
        for &i in &order {
            let work = works[i].unwrap_or_else(|| spec.work(StepRef { dish, step: i as u16 }));
            let span = span(work, costs, &price);
            sum.add(work, span, spec.recipe.steps[i].gil_held_percent);
            let before = spec.recipe.before(i, spec.step_order);
            let ready = (0..works.len()).filter(|j| before >> j & 1 == 1).map(|j| ends[j]).max().unwrap_or(0);
            if before == 0 {
                sum.first_wait = sum.first_wait.min(if matches!(work, Work::Wait(_)) { span } else { 0 });
            }
            ends[i] = ready + span;
            chain = chain.max(ends[i]);
            for need in &spec.recipe.steps[i].needs {
                tools[usize::from(*need)] += u128::from(span);
            }
        }
        let arrival = spec.arrival(dish);
        sum.arrival = sum.arrival.max(arrival);
        sum.chain = sum.chain.max(arrival + chain);
    }
    let times = u64::from(if same { spec.dishes } else { 1 });
    for figure in [&mut sum.cpu, &mut sum.exchange, &mut sum.held, &mut sum.wait, &mut sum.blocking] {
        *figure = figure.saturating_mul(times);
    }
    let of_kind = |(used, kind): (&u128, &crate::domain::recipe::Equipment)| {
        let there = u128::from(kind.capacity) * u128::from(if kind.shared { 1 } else { kitchens.max(1) });
        (used * u128::from(times) / there) as Ns
    };
    sum.equipment = tools.iter().zip(&spec.recipe.equipment).map(of_kind).max().unwrap_or(0);
    sum
}

impl Demand {
    fn add(&mut self, work: Work, span: Ns, held_percent: u8) {
        match work {
            Work::Wait(_) => self.wait = self.wait.saturating_add(span),
            Work::BlockingWait(_) => self.blocking = self.blocking.saturating_add(span),
            Work::Exchange { .. } => {
                self.cpu += span;
                self.exchange += span;
                self.held += span;
            }
            _ => {
                self.cpu += span;
                self.held += (u128::from(span) * u128::from(held_percent) / 100) as Ns;
            }
        }
    }

    /// All of it, one after another.
    pub(super) fn serial(&self) -> Ns {
        self.cpu.saturating_add(self.wait).saturating_add(self.blocking)
    }
}

/// How long a piece of work takes somebody who is alone.
fn span(work: Work, costs: &Costs, price: impl Fn(u32, u32) -> Ns) -> Ns {
    match work {
        Work::Wait(d) | Work::BlockingWait(d) => d.as_nanos() as Ns,
        Work::Exchange { bytes, messages } => price(bytes, messages),
        work => costs.cpu(work),
    }
}

/// The steps so that each comes after those it waits for.
fn in_order(spec: &Spec) -> impl Iterator<Item = usize> {
    let (mut placed, steps) = (0_u128, spec.recipe.steps.len());
    std::iter::from_fn(move || {
        let next =
            (0..steps).find(|i| placed >> i & 1 == 0 && spec.recipe.before(*i, spec.step_order) & !placed == 0)?;
        placed |= 1 << next;
        Some(next)
    })
}

/// What no schedule can beat on so many cores (Graham 1969; Brent 1974).
pub(super) fn lower_bound(plan: &Plan, demand: &Demand, cores: f64) -> Ns {
    let over = |work: Ns, by: f64| (work as f64 / by) as Ns;
    let kitchens = match plan.crew {
        Crew::Kitchens { count, .. } => count.max(1),
        _ => 1,
    };
    let mut bounds = vec![demand.chain, demand.equipment, over(demand.cpu, cores)];
    if plan.gil.is_some() {
        bounds.push(demand.held / u64::from(kitchens));
    }
    let threads = |n: u32| (demand.wait + demand.blocking + demand.cpu) / u64::from(n.max(1));
    match plan.crew {
        Crew::Sequential => bounds.push(threads(1)),
        Crew::Loop { assistants: 0 } => bounds.push(demand.first_wait.saturating_add(demand.cpu + demand.blocking)),
        Crew::Loop { assistants } => {
            bounds.push((demand.cpu - demand.exchange + demand.blocking) / u64::from(assistants));
            bounds.push(demand.exchange);
        }
        Crew::Pool { threads: n, .. } => bounds.push(threads(n)),
        Crew::ThreadPerStep => {}
        Crew::Kitchens { count, inside: Inside::Steps, .. } => bounds.push(threads(count)),
        Crew::Kitchens { count, inside: Inside::Loop, .. } => {
            bounds.push((demand.cpu + demand.blocking) / u64::from(count.max(1)));
        }
        Crew::Kitchens { count, inside: Inside::Pool(n), .. } => bounds.push(threads(count.saturating_mul(n))),
    }
    bounds.into_iter().max().unwrap_or(0)
}

/// What no schedule without idleness exceeds, overhead apart (Blumofe and Leiserson 1999): every moment either all workers
/// are taken, or every dish makes progress. Where dishes wait for a place, for equipment, or for others of their share,
/// only the sum of everything is a bound.
pub(super) fn upper_bound(spec: &Spec, plan: &Plan, demand: &Demand, cores: f64) -> Ns {
    let slow = cores.min(1.0);
    let all = (demand.cpu as f64 / slow) as Ns + demand.wait + demand.blocking + demand.arrival;
    let plain = spec.max_in_flight.is_none() && spec.recipe.equipment.is_empty() && plan.gil.is_none();
    let over = |work: Ns, by: f64| (work as f64 / by) as Ns;
    let pool = |n: u32| {
        let n = f64::from(n.max(1));
        over(demand.wait + demand.blocking, n) + over(demand.cpu, n.min(cores)) + over(demand.chain, slow)
    };
    let bound = match plan.crew {
        Crew::Loop { assistants: 0 } if plain => over(demand.cpu, slow) + demand.blocking + demand.chain,
        Crew::Loop { assistants } if plain => {
            let n = f64::from(assistants);
            let on_loop = over(demand.exchange, slow);
            over(demand.blocking, n) + over(demand.cpu, n.min(cores)) + on_loop + over(demand.chain, slow)
        }
        Crew::Pool { threads, .. } if plain => pool(threads),
        Crew::ThreadPerStep if plain => over(demand.cpu, cores) + over(demand.chain, slow),
        Crew::Kitchens { count, inside: Inside::Steps, .. } if plain => pool(count),
        _ => all,
    };
    bound.min(all)
}
