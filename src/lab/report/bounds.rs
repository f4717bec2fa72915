//! Between which makespans an order had to end: what no schedule can beat, and what a greedy one never exceeds.
//!
//! Lower: Graham 1969, Brent 1974 (longest chain; work over cores). Upper: Blumofe and Leiserson 1999: at every moment
//! either something is used to the full, which its total demand bounds, or every longest chain advances. All of it from
//! the measured work of this order, so that it bounds this run. It deliberately knows no overhead: that is added by who
//! has measured it.

use crate::domain::Ns;
use crate::domain::recipe::Work;
use crate::domain::spec::Spec;
use crate::lab::plan::Machine;
use crate::model::Shape;

/// What one step takes however it is scheduled.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Cost {
    pub(super) wait: Ns,
    pub(super) cpu: Ns,
}

/// The work of an order, added up.
#[derive(Clone, Debug, Default)]
pub(super) struct Demands {
    /// CPU time of all steps.
    pub(super) cpu: Ns,
    /// Waits of all steps.
    pub(super) wait: Ns,
    /// Time the steps keep a worker.
    pub(super) kept: Ns,
    /// Longest chain of a dish, from when the dish arrived.
    pub(super) path: Ns,
    /// The latest end of such a chain, from the order's start.
    pub(super) path_end: Ns,
    /// The longest chains of all dishes together.
    pub(super) paths: Ns,
    /// The first moment at which a step can keep a worker, and at which one can compute.
    pub(super) head: Ns,
    pub(super) cpu_head: Ns,
    /// CPU time that needs the GIL.
    pub(super) gil: Ns,
    /// Time over capacity, per equipment of the recipe.
    pub(super) equipment: Vec<Ns>,
    /// The last dish arrived.
    pub(super) last_arrival: Ns,
}

/// The measured work of an order's dishes.
pub(super) struct Ledger<'a> {
    spec: &'a Spec,
    shape: Shape,
    /// The steps of the recipe, each behind those it waits for.
    order: Vec<usize>,
    sums: Demands,
}

impl<'a> Ledger<'a> {
    pub(super) fn new(spec: &'a Spec, shape: Shape) -> Self {
        let before = |i: usize| spec.recipe.before(i, spec.step_order);
        let (mut order, mut placed) = (Vec::new(), 0_u128);
        while let Some(i) = (0..spec.recipe.steps.len()).find(|i| placed >> i & 1 == 0 && before(*i) & !placed == 0) {
            placed |= 1 << i;
            order.push(i);
        }
        let sums = Demands {
            head: Ns::MAX,
            cpu_head: Ns::MAX,
            equipment: vec![0; spec.recipe.equipment.len()],
            ..Demands::default()
        };
        Self { spec, shape, order, sums }
    }

    /// Adds `times` dishes that arrived then, with the cost of each step of the recipe.
    pub(super) fn add(&mut self, costs: &[Cost], arrived: Ns, times: u64) {
        let (mut ends, mut longest) = (vec![0; costs.len()], 0);
        for &i in &self.order {
            let (cost, step) = (costs[i], &self.spec.recipe.steps[i]);
            let before = self.spec.recipe.before(i, self.spec.step_order);
            let begin = (0..costs.len()).filter(|p| before >> p & 1 == 1).map(|p| ends[p]).max().unwrap_or(0);
            ends[i] = begin + cost.wait + cost.cpu;
            longest = longest.max(ends[i]);
            let frees_worker = self.shape.waits_free && matches!(step.work, Work::Wait(_));
            let kept = cost.cpu + if frees_worker { 0 } else { cost.wait };
            let sums = &mut self.sums;
            if kept > 0 {
                sums.head = sums.head.min(arrived + begin);
            }
            if cost.cpu > 0 {
                sums.cpu_head = sums.cpu_head.min(arrived + begin);
            }
            sums.kept += kept * times;
            sums.cpu += cost.cpu * times;
            sums.wait += cost.wait * times;
            sums.gil += cost.cpu * times * u64::from(step.gil_held_percent) / 100;
            for need in &step.needs {
                let capacity = u64::from(self.spec.recipe.equipment[usize::from(*need)].capacity.max(1));
                sums.equipment[usize::from(*need)] += (cost.wait + cost.cpu) * times / capacity;
            }
        }
        self.sums.path = self.sums.path.max(longest);
        self.sums.path_end = self.sums.path_end.max(arrived + longest);
        self.sums.paths += longest * times;
        self.sums.last_arrival = self.sums.last_arrival.max(arrived);
    }

    pub(super) fn close(mut self) -> Demands {
        let sums = &mut self.sums;
        sums.head = if sums.kept > 0 { sums.head } else { 0 };
        sums.cpu_head = if sums.cpu > 0 { sums.cpu_head } else { 0 };
        self.sums
    }
}

/// Where an order's makespan had to lie.
#[derive(Clone, Debug)]
pub(super) struct Bounds {
    /// Lower bounds by what they come from, the largest first.
    pub(super) lower: Vec<(&'static str, Ns)>,
    /// Upper bound before overhead.
    pub(super) upper: Ns,
}

/// What an order is bounded by besides its own work.
#[derive(Clone, Copy, Debug)]
pub(super) struct Resources {
    pub(super) machine: Machine,
    pub(super) workers: u32,
    /// Workers that worked: a pool grows as it is needed, and processes take their time to start.
    pub(super) chefs: u32,
    pub(super) has_gil: bool,
    /// Processes its steps ran in: each has its own GIL and equipment.
    pub(super) kitchens: u32,
}

/// The bounds of an order.
pub(super) fn of(spec: &Spec, demands: &Demands, by: Resources) -> Bounds {
    let over = |demand: Ns, among: f64| (demand as f64 / among.max(1e-9)) as Ns;
    let (cores, workers, kitchens) = (by.machine.cores, f64::from(by.workers.max(1)), f64::from(by.kitchens.max(1)));
    let gil = if by.has_gil { over(demands.gil, kitchens) } else { 0 };
    let equipment = spec.recipe.equipment.iter().zip(&demands.equipment);
    let equipment: Vec<Ns> =
        equipment.map(|(e, demand)| if e.shared { *demand } else { over(*demand, kitchens) }).collect();
    let window = spec.max_in_flight.map_or(0, |window| over(demands.paths, f64::from(window.max(1))));
    let mut lower = vec![
        ("critical_path", demands.path_end),
        ("cores", demands.cpu_head + over(demands.cpu, cores)),
        ("workers", demands.head + over(demands.kept, workers)),
        ("gil", if gil > 0 { demands.cpu_head + gil } else { 0 }),
        ("equipment", equipment.iter().copied().max().unwrap_or(0)),
        ("max_in_flight", window),
    ];
    lower.retain(|(_, bound)| *bound > 0);
    lower.sort_by_key(|(_, bound)| std::cmp::Reverse(*bound));
    let chefs = f64::from(by.chefs.clamp(1, by.workers.max(1)));
    let on_cores = if chefs > cores { over(demands.cpu, cores) } else { 0 };
    // Workers that do nothing but compute are no tighter a limit than the cores they compute on.
    let on_workers = if demands.kept == demands.cpu && chefs > cores { 0 } else { over(demands.kept, chefs) };
    let equipment: Ns = equipment.iter().sum();
    let upper = demands.last_arrival + demands.path + on_cores + on_workers + gil + equipment + window;
    Bounds { lower, upper }
}

/// Time that workers stood idle while a step was ready, all of them together: for each step when it was ready and when it
/// began, and the stretches in which steps kept a worker. No schedule that has such time is greedy, whatever the reason: a
/// thread that starts or wakes, a message under way, dishes that were dealt to another kitchen.
pub(super) fn idle(queued: impl Iterator<Item = (Ns, Ns)>, kept: impl Iterator<Item = (Ns, Ns)>, workers: u32) -> Ns {
    let mut changes: Vec<(Ns, i64, i64)> = Vec::new();
    changes.extend(queued.flat_map(|(ready, started)| [(ready, 1, 0), (started, -1, 0)]));
    changes.extend(kept.flat_map(|(from, to)| [(from, 0, 1), (to, 0, -1)]));
    changes.sort_unstable();
    let (mut last, mut queued, mut busy, mut idle) = (0, 0, 0, 0);
    for (at, joins, begins) in changes {
        let free = u64::from(workers).saturating_sub(busy.max(0) as u64);
        idle += if queued > 0 { free * (at - last) } else { 0 };
        (last, queued, busy) = (at, queued + joins, busy + begins);
    }
    idle
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::menu;
    use crate::model::HouseSize;

    const MS: Ns = 1_000_000;

    fn bounds_of(shape: Shape, dishes: u32) -> Bounds {
        let spec = menu::example("pasta-fasta", dishes);
        let mut ledger = Ledger::new(&spec, shape);
        let work = Cost { wait: 0, cpu: 100 * MS };
        ledger.add(&[Cost { wait: 300 * MS, cpu: 0 }, work, work], 0, u64::from(dishes));
        let machine = Machine { cores: 2.0, house: HouseSize { pool: 6, kitchens: 2 } };
        of(
            &spec,
            &ledger.close(),
            Resources { machine, workers: shape.workers, chefs: shape.workers, has_gil: false, kitchens: 1 },
        )
    }

    #[test]
    fn one_chef_who_is_free_while_he_waits_is_bounded_by_the_first_wait_and_all_work() {
        // A7 of the seed: W + n C.
        let bounds = bounds_of(Shape { workers: 1, computing: 1, waits_free: true, turns: true }, 3);
        assert_eq!(bounds.lower[0], ("workers", 900 * MS));
        assert_eq!(bounds.upper, 500 * MS + 600 * MS);
    }

    #[test]
    fn chefs_that_stand_and_wait_are_bounded_by_their_number() {
        let bounds = bounds_of(Shape { workers: 2, computing: 2, waits_free: false, turns: false }, 8);
        assert_eq!(bounds.lower[0], ("workers", 8 * 500 * MS / 2));
        let bounds = bounds_of(Shape { workers: 100, computing: 100, waits_free: false, turns: false }, 2);
        assert_eq!(bounds.lower[0].1, 500 * MS, "the longest chain, or work over cores behind the first wait");
    }

    #[test]
    fn a_worker_is_idle_while_a_step_is_ready_that_another_one_has_to_take() {
        // Two workers; the second is there from 2 to 5 only, the first takes one step after another.
        let queued = [(0, 0), (0, 2), (0, 4), (9, 10)];
        assert_eq!(idle(queued.into_iter(), [(0, 4), (2, 5), (4, 8), (10, 11)].into_iter(), 2), 2 + 2);
        // A wait that frees its worker queues like any other step.
        assert_eq!(idle([(0, 3), (0, 0)].into_iter(), [(0, 2)].into_iter(), 1), 1);
    }
}
