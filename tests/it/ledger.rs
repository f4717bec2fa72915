//! An order's step records, typed, and the arithmetic that the laws about them share.
//!
//! It deliberately states no law itself: what has to hold is said where it is tested.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::Value;

use crate::harness::{House, number};

/// Who ran a step.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
pub struct Worker {
    pub pid: u32,
    pub tid: u32,
}

/// One step as it went; offsets in milliseconds from the order's start, null where nobody ran it.
#[derive(Clone, Debug, Deserialize)]
pub struct Step {
    pub dish: u32,
    pub step: String,
    pub kind: String,
    pub outcome: String,
    pub worker: Option<Worker>,
    pub ready_ms: Option<f64>,
    pub started_ms: Option<f64>,
    pub finished_ms: Option<f64>,
    pub queue_ms: Option<f64>,
    pub cpu_ms: Option<f64>,
    pub core_wait_ms: Option<f64>,
    pub gil_wait_ms: Option<f64>,
    pub yielded_ms: Option<f64>,
    pub equipment_wait_ms: Option<f64>,
    pub held_idle_ms: Option<f64>,
    pub exchange_ms: Option<f64>,
    pub residual_ms: Option<f64>,
    pub lag_ms: Option<f64>,
    pub value: Option<String>,
}

impl Step {
    /// When it was taken up.
    pub fn started(&self) -> f64 {
        self.started_ms.unwrap_or_else(|| panic!("never started: {self:?}"))
    }

    /// When it was over.
    pub fn finished(&self) -> f64 {
        self.finished_ms.unwrap_or_else(|| panic!("never finished: {self:?}"))
    }

    /// When it had the equipment it needs.
    pub fn equipped(&self) -> f64 {
        self.started() + self.equipment_wait_ms.unwrap_or_else(|| panic!("not run: {self:?}"))
    }

    /// From one to the other.
    pub fn span(&self) -> f64 {
        self.finished() - self.started()
    }

    /// How late the end of a wait was noticed.
    pub fn lag(&self) -> f64 {
        self.lag_ms.unwrap_or_else(|| panic!("no lag: {self:?}"))
    }

    /// Time on a core and in the queue for one: what the step costs its chef on this machine, right now.
    pub fn busy(&self) -> f64 {
        self.cpu_ms.zip(self.core_wait_ms).map(|(cpu, wait)| cpu + wait).unwrap_or_else(|| panic!("not run: {self:?}"))
    }

    /// Time it waited for the GIL.
    pub fn gil_wait(&self) -> f64 {
        self.gil_wait_ms.unwrap_or_else(|| panic!("not run: {self:?}"))
    }

    /// All that the terms of a CPU step explain.
    pub fn explained(&self) -> f64 {
        self.busy() + self.gil_wait() + self.yielded_ms.unwrap_or(0.0)
    }

    /// Who ran it.
    pub fn worker(&self) -> Worker {
        self.worker.unwrap_or_else(|| panic!("nobody ran {self:?}"))
    }
}

/// All steps of an ended order.
pub async fn of(house: &House, order: &Value) -> Vec<Step> {
    let steps = house.steps(order).await;
    steps.into_iter().map(|step| serde_json::from_value(step).expect("a step record")).collect()
}

/// The steps of this kind, by start.
pub fn kind<'a>(steps: &'a [Step], kind: &str) -> Vec<&'a Step> {
    let mut found: Vec<_> = steps.iter().filter(|step| step.kind == kind).collect();
    found.sort_by(|a, b| a.started().total_cmp(&b.started()));
    found
}

/// The steps of this name, by dish.
pub fn named<'a>(steps: &'a [Step], name: &str) -> Vec<&'a Step> {
    let mut found: Vec<_> = steps.iter().filter(|step| step.step == name).collect();
    found.sort_by_key(|step| step.dish);
    found
}

/// The steps of each dish, in the order of their start, those that nobody ran last.
pub fn by_dish(steps: &[Step]) -> BTreeMap<u32, Vec<&Step>> {
    let mut dishes: BTreeMap<u32, Vec<&Step>> = BTreeMap::new();
    for step in steps {
        dishes.entry(step.dish).or_default().push(step);
    }
    let start = |step: &Step| step.started_ms.unwrap_or(f64::INFINITY);
    for dish in dishes.values_mut() {
        dish.sort_by(|a, b| start(a).total_cmp(&start(b)));
    }
    dishes
}

/// The different threads of these steps.
pub fn tids<'a>(steps: impl IntoIterator<Item = &'a Step>) -> BTreeSet<u32> {
    steps.into_iter().map(|step| step.worker().tid).collect()
}

/// The different processes of these steps.
pub fn pids<'a>(steps: impl IntoIterator<Item = &'a Step>) -> BTreeSet<u32> {
    steps.into_iter().map(|step| step.worker().pid).collect()
}

/// CPU time and waiting for cores of all CPU steps together.
pub fn busy(steps: &[Step]) -> f64 {
    kind(steps, "cpu").into_iter().map(Step::busy).sum()
}

/// The CPU steps of an order under one lock, after `before` milliseconds of something else, took as long as their sum: no
/// less than their CPU time, but for what waiting for the lock takes of a second core (who waits wakes up once in an
/// interval), and no more than that with all their waiting for cores, which may have gone on side by side.
pub fn assert_serial(order: &Value, steps: &[Step], before_ms: f64) {
    let cpu: f64 = kind(steps, "cpu").into_iter().filter_map(|step| step.cpu_ms).sum();
    let makespan = makespan(order);
    assert!(makespan >= 0.99 * cpu, "{makespan} ms for {cpu} ms of CPU under one lock: {order}");
    let most = (before_ms + busy(steps)) * 1.1 + 30.0;
    assert!(makespan <= most, "{makespan} ms, more than {most} ms: {order}");
}

/// How late the first wait to end was noticed. No model delays that one, so it is what this machine takes, right now,
/// to give a core to a thread that wakes up.
pub fn wake_delay(steps: &[Step]) -> f64 {
    let waits = kind(steps, "wait").into_iter();
    waits.min_by(|a, b| a.finished().total_cmp(&b.finished())).map_or(0.0, Step::lag)
}

/// The order's makespan.
pub fn makespan(order: &Value) -> f64 {
    number(order, "/timings/makespan_ms")
}

/// At most this many of the steps are under way at any moment.
pub fn most_at_once<'a>(steps: impl IntoIterator<Item = &'a Step>) -> usize {
    let spans = steps.into_iter().flat_map(|step| [(step.started(), 1_i32), (step.finished(), -1)]);
    let mut changes: Vec<_> = spans.collect();
    // An end before a start at the same microsecond: one follows the other.
    changes.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    let under_way = changes.iter().scan(0, |now, (_, change)| {
        *now += change;
        Some(*now)
    });
    usize::try_from(under_way.max().unwrap_or(0)).expect("more starts than ends at any moment")
}

/// What the seed's `sum(i * i for i in range(n))` must give.
pub fn closed_form(n: u128) -> String {
    ((n - 1) * n * (2 * n - 1) / 6).to_string()
}

/// Not below a lower bound, and above it by no more than a tenth and 30 ms: the allowance for a shared machine.
pub fn assert_about(actual_ms: f64, law_ms: f64, what: &str) {
    let most = law_ms * 1.1 + 30.0;
    assert!(actual_ms >= law_ms * 0.99 - 1.0, "{what}: {actual_ms} ms, below {law_ms} ms");
    assert!(actual_ms <= most, "{what}: {actual_ms} ms, above {law_ms} ms + 10 % + 30 ms = {most} ms");
}
