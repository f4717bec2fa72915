//! An order played back as it ran, or with one of the reasons gone: how long it would have taken, and what decided that.
//!
//! Played back unchanged this gives the measured times exactly; played back without one kind of time it gives the makespan of
//! the same schedule without it. It deliberately keeps every worker's order: what another schedule would do is the
//! simulator's business.

use super::super::phases::{Parts, Phase};
use super::graph::{Graph, Node};
use crate::domain::Ns;
use crate::domain::recipe::StepRef;

/// What is taken away when an order is played back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Without {
    /// One kind of time; of the queue, the handing over.
    Phase(Phase),
    /// Every wait for a worker: a chef for each step.
    Sharing,
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
    /// The makespan when it is played back without this, or as it was.
    pub(super) fn makespan(&self, without: Option<Without>) -> Ns {
        let mut ends: Vec<Ns> = Vec::with_capacity(self.nodes.len());
        for node in &self.nodes {
            let sharing = without == Some(Without::Sharing);
            let shared = node.before_on_worker.filter(|_| !sharing);
            let gates = node.after.iter().chain(&shared).map(|n| ends[*n as usize]);
            let gap = if sharing { 0 } else { length(&node.own, without, &[Phase::Queue]) };
            let before = if sharing { 0 } else { length(&node.others_before, without, &Phase::ALL) };
            let start = gates.fold(node.arrived, Ns::max).saturating_add_signed(gap + before);
            ends.push(node.end(start, without, &ends));
        }
        ends.into_iter().max().unwrap_or(0)
    }

    /// The chain that decided the makespan: its times add up to it.
    pub(super) fn chain(&self) -> Chain {
        let mut chain = Chain::default();
        let mut next = self.nodes.len().checked_sub(1);
        while let Some((node, at)) = next.map(|i| (&self.nodes[i], self.steps[i])) {
            chain.steps.push(at);
            chain.parts.add(&node.others);
            if let Some(keeper) = node.noticed_after {
                chain.parts.0[Phase::Lag as usize] += node.own.get(Phase::Lag);
                next = Some(keeper as usize);
                continue;
            }
            chain.parts.add(&node.own);
            chain.parts.add(&node.others_before);
            let gate = node.gates().max_by_key(|n| self.nodes[*n as usize].finished);
            next = gate.map(|n| n as usize).filter(|n| self.nodes[*n].finished >= node.arrived);
            if next.is_none() {
                chain.arrival = node.arrived;
            }
        }
        chain.steps.reverse();
        chain
    }
}

impl Node {
    /// When it is over, if it starts then and the nodes before it end so.
    fn end(&self, start: Ns, without: Option<Without>, ends: &[Ns]) -> Ns {
        let is_shared = without != Some(Without::Sharing);
        let equipped = start.saturating_add_signed(length(&self.own, without, &[Phase::Equipment]));
        let resumed_after = self.resumed_after.filter(|_| is_shared);
        let resumed = resumed_after.map_or(equipped, |n| equipped.max(ends[n as usize]));
        let is_noticed_late = is_shared && without != Some(Without::Phase(Phase::Lag));
        let others = length(&self.others, without, &Phase::ALL);
        if let Some(keeper) = self.noticed_after.filter(|_| is_noticed_late) {
            let due = resumed.saturating_add_signed(length(&self.own, without, &[Phase::Wait]));
            return due.max(ends[keeper as usize]).saturating_add_signed(self.own.get(Phase::Lag) + others);
        }
        let others = if if self.is_wait { is_noticed_late } else { is_shared } { others } else { 0 };
        let lag = if self.noticed_after.is_some() { 0 } else { length(&self.own, without, &[Phase::Lag]) };
        let rest = &Phase::ALL[Phase::Gil as usize..];
        let own = length(&self.own, without, &[Phase::Wait]) + lag + length(&self.own, without, rest);
        resumed.saturating_add_signed(own + others)
    }
}

/// How long these kinds of time are together, without what is taken away.
fn length(parts: &Parts, without: Option<Without>, phases: &[Phase]) -> i64 {
    let stays = |phase: &&Phase| without != Some(Without::Phase(**phase));
    phases.iter().filter(stays).map(|phase| parts.get(*phase)).sum()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::domain::menu;
    use crate::domain::record::{Outcome, StepRecord, Terms, Worker};
    use crate::domain::spec::Spec;
    use crate::model::Shape;

    const MS: Ns = 1_000_000;
    const LOOP: Shape = Shape { workers: 1, computing: 1, waits_free: true, turns: true };

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
        let graph = Graph::of(&spec, &two_dishes_on_a_loop(), LOOP);
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
        let graph = Graph::of(&spec, &two_dishes_on_a_loop(), LOOP);
        let without = |without: Without| graph.makespan(Some(without)) / MS;
        assert_eq!(without(Without::Phase(Phase::Core)), 703);
        assert_eq!(without(Without::Phase(Phase::Queue)), 711);
        // The lag of the second wait goes with the work that kept the loop, and what waited for that is on the loop too.
        assert_eq!(without(Without::Phase(Phase::Cpu)), 313);
        assert_eq!(without(Without::Sharing), 511, "a chef for each: the first dish's own time, its late chef aside");
    }

    /// The same, and both first steps let the loop turn halfway: 1, 2, 1, 2.
    fn two_dishes_in_pieces() -> (Spec, Vec<StepRecord>) {
        let mut spec = menu::example("pasta-fasta", 2);
        Arc::make_mut(&mut spec.recipe).steps[1].yield_every = Some(Duration::from_millis(50));
        let record = |dish, step, (ready, started, finished): (Ns, Ns, Ns), cpu: Ns, yielded: Ns| StepRecord {
            worker: Worker { pid: 1, tid: 1 },
            ready: ready * MS,
            started: started * MS,
            finished: finished * MS,
            terms: Terms { cpu: cpu * MS, yielded: yielded * MS, ..Terms::default() },
            ..StepRecord::unrun(StepRef { dish, step }, Outcome::Succeeded)
        };
        let records = vec![
            record(1, 0, (0, 0, 300), 0, 0),
            record(2, 0, (0, 0, 300), 0, 0),
            record(1, 1, (300, 300, 450), 100, 50),
            record(2, 1, (300, 350, 500), 100, 50),
            record(1, 2, (450, 500, 600), 100, 0),
            record(2, 2, (500, 600, 700), 100, 0),
        ];
        (spec, records)
    }

    #[test]
    fn what_a_loop_does_between_two_pieces_is_charged_to_whoever_it_did_it_for() {
        let (spec, records) = two_dishes_in_pieces();
        let graph = Graph::of(&spec, &records, LOOP);
        assert_eq!(graph.makespan(None), 700 * MS);
        let chain = graph.chain();
        let part = |phase: Phase| chain.parts.get(phase) / MS as i64;
        assert_eq!((part(Phase::Wait), part(Phase::Cpu), part(Phase::Yielded), part(Phase::Queue)), (300, 400, 0, 0));
        let without = |without: Without| graph.makespan(Some(without)) / MS;
        assert_eq!(without(Without::Phase(Phase::Yielded)), 700, "the loop was never idle");
        assert_eq!(without(Without::Phase(Phase::Cpu)), 300);
        assert_eq!(without(Without::Sharing), 500);
    }

    #[test]
    fn who_has_equipment_on_a_loop_goes_on_when_the_loop_is_free() {
        // The second dish's step waits for equipment from 300 to 400, while the loop is kept by the first dish's.
        let (spec, mut records) = two_dishes_in_pieces();
        records.truncate(2);
        let step = |dish, finished: Ns, equipment_wait: Ns| StepRecord {
            worker: Worker { pid: 1, tid: 1 },
            ready: 300 * MS,
            started: 300 * MS,
            finished: finished * MS,
            terms: Terms { cpu: 100 * MS, equipment_wait: equipment_wait * MS, ..Terms::default() },
            ..StepRecord::unrun(StepRef { dish, step: 1 }, Outcome::Succeeded)
        };
        records.extend([step(1, 400, 0), step(2, 500, 100)]);
        let graph = Graph::of(&spec, &records, LOOP);
        assert_eq!(graph.makespan(None), 500 * MS);
        assert_eq!(graph.makespan(Some(Without::Phase(Phase::Equipment))), 500 * MS, "the loop is where it was");
        assert_eq!(graph.makespan(Some(Without::Sharing)), 500 * MS);
    }
}
