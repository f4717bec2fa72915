//! The chain of steps that decided the makespan, and what the makespan would be without each reason on it.
//!
//! It deliberately computes every "without" by playing the order back ([`super::graph`]), never by subtracting: a reason
//! on the chain may be replaced by another beside it.

use serde::Serialize;
use utoipa::ToSchema;

use super::super::phases::{PHASES, Parts, Phase};
use super::graph::Graph;
use super::playback::{Chain, Without};
use super::{ms, ratio, signed_ms};
use crate::domain::Ns;
use crate::domain::recipe::StepRef;
use crate::domain::spec::Spec;

/// Steps of the chain that are named; more say nothing more.
const NAMED: usize = 100;

/// The steps that decided the makespan: each began when the one before it was over. Its times add up to the makespan.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Chain)]
pub struct ChainView {
    /// Number of its steps.
    #[schema(minimum = 0, maximum = 10_000)]
    pub length: u32,
    /// Its steps, the first hundred.
    #[schema(max_items = 100)]
    pub steps: Vec<StepName>,
    /// Before the first of its dishes arrived.
    pub arrival_ms: f64,
    /// From the end of one step to the start of the next: starting threads and processes, waking them, other orders.
    pub hand_over_ms: f64,
    /// Waits as asked.
    pub wait_ms: f64,
    /// Ends of waits not noticed.
    pub lag_ms: f64,
    /// CPU, also of steps of other dishes that kept the worker.
    pub cpu_ms: f64,
    /// Waiting for a core.
    pub core_wait_ms: f64,
    /// Waiting for the GIL.
    pub gil_wait_ms: f64,
    /// Waiting for equipment.
    pub equipment_wait_ms: f64,
    /// Handing over data.
    pub exchange_ms: f64,
    /// Between two pieces of CPU steps on a loop, beyond what the loop did for other steps meanwhile.
    pub yielded_ms: f64,
    /// What no term explains.
    pub residual_ms: f64,
}

/// A step.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = StepName)]
pub struct StepName {
    /// Number of its dish, from 1.
    #[schema(minimum = 1, maximum = 3_000_000)]
    pub dish: u32,
    /// Its name.
    pub step: String,
}

/// The makespan with one reason gone.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[schema(as = Without)]
pub struct WithoutView {
    /// `wait`, `lag`, `cpu`, `core_wait`, `gil_wait`, `equipment_wait`, `exchange`, `yielded`, `hand_over`, or `sharing`: a worker for
    /// each step.
    pub term: &'static str,
    /// What it would be.
    pub makespan_ms: f64,
    /// What that saves.
    pub saved_ms: f64,
}

/// Name of what is taken away.
pub(super) fn name(without: Without) -> &'static str {
    match without {
        Without::Sharing => "sharing",
        Without::Phase(Phase::Queue) => "hand_over",
        Without::Phase(phase) => phase.name(),
    }
}

/// Everything that can be taken away.
fn reasons() -> impl Iterator<Item = Without> {
    Phase::ALL[..PHASES - 1].iter().map(|phase| Without::Phase(*phase)).chain([Without::Sharing])
}

/// The makespan without each reason that matters, the one that saves most first. However little is waited for, the
/// cores still have `cpu` to do: `floor`.
pub(super) fn without(graph: &Graph, makespan: Ns, floor: Ns) -> Vec<WithoutView> {
    let views = reasons().map(|reason| {
        let floor = if reason == Without::Phase(Phase::Cpu) { 0 } else { floor };
        let left = graph.makespan(Some(reason)).max(floor).min(makespan);
        WithoutView { term: name(reason), makespan_ms: ms(left), saved_ms: ms(makespan - left) }
    });
    let mut views: Vec<_> = views.filter(|view| view.saved_ms > 0.0).collect();
    views.sort_by(|a, b| b.saved_ms.total_cmp(&a.saved_ms));
    views
}

impl ChainView {
    pub(super) fn of(spec: &Spec, chain: &Chain) -> Self {
        let named = |at: &StepRef| StepName { dish: at.dish, step: spec.step(*at).name.to_string() };
        let part = |phase: Phase| signed_ms(chain.parts.get(phase));
        Self {
            length: chain.steps.len() as u32,
            steps: chain.steps.iter().take(NAMED).map(named).collect(),
            arrival_ms: ms(chain.arrival),
            hand_over_ms: part(Phase::Queue),
            wait_ms: part(Phase::Wait),
            lag_ms: part(Phase::Lag),
            cpu_ms: part(Phase::Cpu),
            core_wait_ms: part(Phase::Core),
            gil_wait_ms: part(Phase::Gil),
            equipment_wait_ms: part(Phase::Equipment),
            exchange_ms: part(Phase::Exchange),
            yielded_ms: part(Phase::Yielded),
            residual_ms: part(Phase::Rest),
        }
    }

    /// Its terms by name, those that every order has first.
    pub(super) fn terms(&self) -> [(&'static str, f64); 11] {
        [
            ("wait", self.wait_ms),
            ("cpu", self.cpu_ms),
            ("core_wait", self.core_wait_ms),
            ("hand_over", self.hand_over_ms),
            ("lag", self.lag_ms),
            ("gil_wait", self.gil_wait_ms),
            ("equipment_wait", self.equipment_wait_ms),
            ("exchange", self.exchange_ms),
            ("yielded", self.yielded_ms),
            ("arrival", self.arrival_ms),
            ("residual", self.residual_ms),
        ]
    }

    /// Part of the makespan that a term is.
    pub(super) fn share(ms: f64, makespan_ms: f64) -> f64 {
        ratio(ms, makespan_ms)
    }
}

/// What is neither wait nor CPU: the overhead of a chain, or of steps.
pub(super) fn overhead(parts: &Parts) -> Ns {
    let asked = [Phase::Wait, Phase::Cpu];
    let beyond = Phase::ALL.into_iter().filter(|phase| !asked.contains(phase));
    beyond.map(|phase| parts.get(phase)).sum::<i64>().max(0) as Ns
}
