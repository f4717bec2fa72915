//! What waited for what in an order as it really ran, and how long it would have taken with one of the reasons gone.
//!
//! Every step is a node. It began when the last of its predecessors, the step before it on the same worker, or the dish
//! that made room for its own was over, plus a gap in which it was handed over. A wait on a loop ended when it was due, or
//! when the loop was free to notice. Played back unchanged this gives the measured times exactly; played back without one
//! kind of time it gives the makespan of the same schedule without it. It deliberately reorders nothing: what another
//! schedule would do is the simulator's business.

use std::collections::HashMap;

use super::super::phases::{Parts, Phase};
use crate::domain::Ns;
use crate::domain::recipe::{StepRef, Work};
use crate::domain::record::StepRecord;
use crate::domain::spec::Spec;

/// What is taken away when an order is played back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Without {
    /// One kind of time; of the queue, the handing over.
    Phase(Phase),
    /// Every wait for a worker: a chef for each step.
    Sharing,
}

struct Node {
    at: StepRef,
    /// Nodes that had to be over before it began, its predecessor on the worker apart.
    after: Vec<u32>,
    /// The node before it on its worker.
    before_on_worker: Option<u32>,
    /// The node that kept the loop when this wait was over.
    noticed_after: Option<u32>,
    /// It could not begin before: when its dish arrived.
    arrived: Ns,
    /// From the end of the last of those to its start.
    gap: Ns,
    finished: Ns,
    parts: Parts,
}

/// The steps of an order that ran, in order of their end.
pub(super) struct Graph {
    nodes: Vec<Node>,
}

/// The steps that decided the makespan, from the first to the last, and the time of each kind on the way.
#[derive(Clone, Debug, Default)]
pub(super) struct Chain {
    pub(super) steps: Vec<StepRef>,
    /// The queue's place holds the handing over; waiting for a worker is the worker's own time.
    pub(super) parts: Parts,
    /// Before the first dish of the chain arrived.
    pub(super) arrival: Ns,
}

impl Graph {
    /// Of all steps of an order. `waits_free`: a wait leaves its worker free.
    pub(super) fn of(spec: &Spec, records: &[StepRecord], waits_free: bool) -> Self {
        let mut ran: Vec<_> = records.iter().filter(|record| record.was_run()).collect();
        ran.sort_unstable_by_key(|r| (r.finished, r.at.dish, r.at.step));
        let ends: Vec<Ns> = ran.iter().map(|record| record.finished).collect();
        let mut places: HashMap<StepRef, u32> = HashMap::new();
        let mut kept: HashMap<u32, Vec<u32>> = HashMap::new();
        let mut nodes: Vec<Node> = Vec::with_capacity(ran.len());
        for (i, record) in ran.iter().enumerate() {
            let parts = Parts::of(spec, record);
            let frees_worker = waits_free && matches!(spec.work(record.at), Work::Wait(_));
            let on_worker = kept.entry(record.worker.tid).or_default();
            // Both lists are in order of their end.
            let last_by = |at: Ns| on_worker[..on_worker.partition_point(|n| ends[*n as usize] <= at)].last().copied();
            let due = record.started.saturating_add_signed(parts.get(Phase::Equipment) + parts.get(Phase::Wait));
            let noticed_after = last_by(record.finished).filter(|n| frees_worker && ends[*n as usize] > due);
            let before_on_worker = last_by(record.started);
            let arrived = spec.arrival(record.at.dish).min(record.started);
            let mut after: Vec<u32> = predecessors(spec, record.at).filter_map(|at| places.get(&at).copied()).collect();
            if after.is_empty() && record.ready > arrived {
                // Its dish began when another made room.
                let place = ends[..i].partition_point(|end| *end <= record.ready);
                after.extend(place.checked_sub(1).map(|n| n as u32));
            }
            after.retain(|n| ends[*n as usize] <= record.started);
            let gates = after.iter().chain(&before_on_worker).map(|n| ends[*n as usize]);
            let gap = record.started - gates.fold(arrived, Ns::max);
            let finished = record.finished;
            nodes.push(Node { at: record.at, after, before_on_worker, noticed_after, arrived, gap, finished, parts });
            places.insert(record.at, i as u32);
            if !frees_worker {
                on_worker.push(i as u32);
            }
        }
        Self { nodes }
    }

    /// The makespan when it is played back without this, or as it was.
    pub(super) fn makespan(&self, without: Option<Without>) -> Ns {
        let mut ends: Vec<Ns> = Vec::with_capacity(self.nodes.len());
        for node in &self.nodes {
            let shared = node.before_on_worker.filter(|_| without != Some(Without::Sharing));
            let gates = node.after.iter().chain(&shared).map(|n| ends[*n as usize]);
            let gap =
                if matches!(without, Some(Without::Sharing | Without::Phase(Phase::Queue))) { 0 } else { node.gap };
            let start = gates.fold(node.arrived, Ns::max) + gap;
            ends.push(self.end(node, start, without, &ends));
        }
        ends.into_iter().max().unwrap_or(0)
    }

    fn end(&self, node: &Node, start: Ns, without: Option<Without>, ends: &[Ns]) -> Ns {
        let length = |phase: Phase| if without == Some(Without::Phase(phase)) { 0 } else { node.parts.get(phase) };
        let sum = |phases: &[Phase]| phases.iter().map(|phase| length(*phase)).sum::<i64>();
        let whole = start.saturating_add_signed(sum(&Phase::ALL[1..]));
        let is_noticed_late = !matches!(without, Some(Without::Sharing | Without::Phase(Phase::Lag)));
        match node.noticed_after.filter(|_| is_noticed_late) {
            Some(keeper) => {
                let noticing = node.finished - self.nodes[keeper as usize].finished;
                let due = start.saturating_add_signed(sum(&[Phase::Equipment, Phase::Wait]));
                due.max(ends[keeper as usize]) + noticing
            }
            None if without == Some(Without::Sharing) && node.noticed_after.is_some() => {
                whole.saturating_add_signed(-node.parts.get(Phase::Lag))
            }
            None => whole,
        }
    }

    /// The chain that decided the makespan: its times add up to it.
    pub(super) fn chain(&self) -> Chain {
        let mut chain = Chain::default();
        let mut next = self.nodes.len().checked_sub(1);
        while let Some(node) = next.map(|i| &self.nodes[i]) {
            chain.steps.push(node.at);
            if let Some(keeper) = node.noticed_after {
                let noticing = node.finished - self.nodes[keeper as usize].finished;
                chain.parts.0[Phase::Lag as usize] += noticing as i64;
                next = Some(keeper as usize);
                continue;
            }
            let own = Parts(std::array::from_fn(|i| if i == 0 { node.gap as i64 } else { node.parts.0[i] }));
            chain.parts.add(&own);
            let gate =
                node.after.iter().chain(&node.before_on_worker).max_by_key(|n| self.nodes[**n as usize].finished);
            next = gate.map(|n| *n as usize).filter(|n| self.nodes[*n].finished >= node.arrived);
            if next.is_none() {
                chain.arrival = node.arrived;
            }
        }
        chain.steps.reverse();
        chain
    }
}

/// Steps of the same dish that this one waits for.
fn predecessors(spec: &Spec, at: StepRef) -> impl Iterator<Item = StepRef> {
    let before = spec.recipe.before(usize::from(at.step), spec.step_order);
    (0..spec.recipe.steps.len()).filter(move |i| before >> i & 1 == 1).map(move |i| StepRef { step: i as u16, ..at })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::menu;
    use crate::domain::record::{Outcome, Terms, Worker};

    const MS: Ns = 1_000_000;

    /// Two dishes of the seed's shape on one event loop: both wait 300 ms, the chef does the first one's two steps and
    /// only then notices that the second is ready.
    fn two_dishes_on_a_loop() -> Vec<StepRecord> {
        let record = |dish, step, ready: Ns, started: Ns, finished: Ns, cpu: Ns| StepRecord {
            worker: Worker { pid: 1, tid: 1 },
            ready: ready * MS,
            started: started * MS,
            finished: finished * MS,
            terms: Terms {
                cpu: cpu * MS,
                core_wait: if cpu > 0 { (finished - started - cpu) * MS } else { 0 },
                ..Terms::default()
            },
            ..StepRecord::unrun(StepRef { dish, step }, Outcome::Succeeded)
        };
        vec![
            record(1, 0, 0, 0, 301, 0),
            record(1, 1, 301, 301, 401, 100),
            record(1, 2, 401, 402, 512, 100),
            record(2, 0, 0, 1, 512, 0),
            record(2, 1, 512, 513, 613, 100),
            record(2, 2, 613, 613, 713, 100),
        ]
    }

    #[test]
    fn played_back_as_it_was_it_takes_as_long_as_it_did_and_its_chain_adds_up() {
        let spec = menu::example("pasta-fasta", 2);
        let graph = Graph::of(&spec, &two_dishes_on_a_loop(), true);
        assert_eq!(graph.makespan(None), 713 * MS);
        let chain = graph.chain();
        assert_eq!(chain.parts.0.iter().sum::<i64>() as Ns + chain.arrival, 713 * MS);
        let part = |phase: Phase| chain.parts.get(phase) / MS as i64;
        assert_eq!((part(Phase::Wait), part(Phase::Cpu), part(Phase::Core)), (300, 400, 10));
        assert_eq!(
            (part(Phase::Lag), part(Phase::Queue)),
            (1, 2),
            "the first wait was noticed late, two steps taken up late"
        );
        // The second dish's wait is not on it: it was over long before the chef was free.
        assert_eq!(chain.steps.len(), 5);
    }

    #[test]
    fn without_a_reason_it_takes_what_the_rest_of_the_schedule_takes() {
        let spec = menu::example("pasta-fasta", 2);
        let graph = Graph::of(&spec, &two_dishes_on_a_loop(), true);
        let without = |without: Without| graph.makespan(Some(without)) / MS;
        assert_eq!(without(Without::Phase(Phase::Core)), 703);
        assert_eq!(without(Without::Phase(Phase::Queue)), 711);
        // The lag of the second wait goes with the work that kept the loop, and what waited for that is on the loop too.
        assert_eq!(without(Without::Phase(Phase::Cpu)), 313);
        assert_eq!(without(Without::Sharing), 511, "a chef for each: the first dish's own time, its late chef aside");
    }
}
