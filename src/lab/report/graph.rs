//! What waited for what in an order as it really ran.
//!
//! Every step is a node. It began when the last of its predecessors, the step before it on the same worker, or the dish
//! that made room for its own was over, plus a gap in which it was handed over. A wait on a loop ended when it was due, or
//! when the loop was free to notice; a step that waited there for equipment went on when it had it and the loop was free.
//! Time in which a step let its loop turn, or in which steps in pieces had it, is what the loop did meanwhile. What follows
//! from all that is in [`super::playback`]. It deliberately reorders nothing: what another schedule would do is the
//! simulator's business.

use std::collections::HashMap;

use super::super::lanes::{self, Kept};
use super::super::phases::{Parts, Phase};
use super::meanwhile::Meanwhile;
use crate::domain::Ns;
use crate::domain::recipe::{StepRef, Work};
use crate::domain::record::StepRecord;
use crate::domain::spec::Spec;
use crate::model::Shape;

/// A step.
#[derive(Default)]
pub(super) struct Node {
    /// Nodes that had to be over before it began, its predecessor on the worker apart.
    pub(super) after: Vec<u32>,
    /// The node before it on its worker.
    pub(super) before_on_worker: Option<u32>,
    /// The node that kept its loop when it had its equipment.
    pub(super) resumed_after: Option<u32>,
    /// The node that kept the loop when this wait was over.
    pub(super) noticed_after: Option<u32>,
    /// It could not begin before: when its dish arrived.
    pub(super) arrived: Ns,
    pub(super) finished: Ns,
    /// Its own time. In the queue's place is the gap from the end of the last of those to its start; the lag of a wait that was
    /// noticed after another node is from the end of that.
    pub(super) own: Parts,
    /// What its loop did in that gap for steps in pieces.
    pub(super) others_before: Parts,
    /// What its loop did for others while it let it turn; for a wait, when it was due.
    pub(super) others: Parts,
    pub(super) is_wait: bool,
}

/// The steps of an order that ran, in order of their end.
pub(super) struct Graph {
    pub(super) nodes: Vec<Node>,
    pub(super) steps: Vec<StepRef>,
}

impl Graph {
    /// Of all steps of an order whose workers are kept like this.
    pub(super) fn of(spec: &Spec, records: &[StepRecord], shape: Shape) -> Self {
        let mut ran: Vec<_> = records.iter().filter(|record| record.was_run()).collect();
        ran.sort_unstable_by_key(|r| (r.finished, r.at.dish, r.at.step));
        let parts: Vec<Parts> = ran.iter().map(|record| Parts::of(spec, record)).collect();
        let ends: Vec<Ns> = ran.iter().map(|record| record.finished).collect();
        let meanwhile = if shape.turns { Meanwhile::of(spec, shape, &ran, &parts) } else { Meanwhile::default() };
        let mut places: HashMap<StepRef, u32> = HashMap::new();
        let mut kept: HashMap<u32, Vec<u32>> = HashMap::new();
        let mut nodes: Vec<Node> = Vec::with_capacity(ran.len());
        for (i, (record, parts)) in ran.iter().zip(&parts).enumerate() {
            let on_worker = kept.entry(record.worker.tid).or_default();
            let arrived = spec.arrival(record.at.dish).min(record.started);
            let mut after: Vec<u32> = predecessors(spec, record.at).filter_map(|at| places.get(&at).copied()).collect();
            if after.is_empty() && record.ready > arrived {
                // Its dish began when another made room.
                let place = ends[..i].partition_point(|end| *end <= record.ready);
                after.extend(place.checked_sub(1).map(|n| n as u32));
            }
            after.retain(|n| ends[*n as usize] <= record.started);
            // Both lists are in order of their end.
            let last_by = |at: Ns| on_worker[..on_worker.partition_point(|n| ends[*n as usize] <= at)].last().copied();
            let mut node = Node { after, arrived, finished: record.finished, own: *parts, ..Node::default() };
            node.before_on_worker = last_by(record.started);
            let gate = node.gates().map(|n| ends[n as usize]).fold(arrived, Ns::max);
            node.gap(record, gate, &meanwhile);
            if lanes::is_on_loop(spec, shape, record) {
                let equipped = record.started.saturating_add_signed(parts.get(Phase::Equipment));
                let due = equipped.saturating_add_signed(parts.get(Phase::Wait));
                node.is_wait = matches!(spec.work(record.at), Work::Wait(_));
                node.resumed_after = last_by(equipped).filter(|n| ends[*n as usize] > record.started);
                node.noticed_after = last_by(record.finished).filter(|n| node.is_wait && ends[*n as usize] > due);
                let free = node.noticed_after.map_or(due, |n| ends[n as usize]);
                node.turned(record, (equipped, free), Kept::of(spec, shape, record).is_some(), &meanwhile);
            }
            nodes.push(node);
            places.insert(record.at, i as u32);
            if Kept::of(spec, shape, record).is_some() {
                on_worker.push(i as u32);
            }
        }
        Self { nodes, steps: ran.iter().map(|record| record.at).collect() }
    }
}

impl Node {
    /// Nodes that had to be over before it began.
    pub(super) fn gates(&self) -> impl Iterator<Item = u32> {
        self.after.iter().chain(&self.before_on_worker).copied()
    }

    /// It began so long after the last of those was over.
    fn gap(&mut self, record: &StepRecord, gate: Ns, meanwhile: &Meanwhile) {
        self.others_before = meanwhile.between(record.worker.tid, gate, record.started);
        self.own.0[Phase::Queue as usize] = (record.started - gate) as i64 - self.others_before.sum();
    }

    /// It let its loop turn, from when it had its equipment; as a wait, from when its loop was `free` to notice its end.
    fn turned(&mut self, record: &StepRecord, (equipped, free): (Ns, Ns), is_kept: bool, meanwhile: &Meanwhile) {
        let did = |from: Ns| meanwhile.between(record.worker.tid, from, record.finished);
        let phase = match (self.is_wait, is_kept) {
            (true, _) => {
                self.others = did(free);
                Phase::Lag
            }
            (false, false) => {
                self.others = did(equipped);
                Phase::Exchange
            }
            (false, true) if self.own.get(Phase::Yielded) > 0 => {
                self.others = did(equipped).minus(&lanes::kept_parts(&self.own, true));
                Phase::Yielded
            }
            _ => return,
        };
        if self.noticed_after.is_some() {
            self.own.0[Phase::Lag as usize] = (record.finished - free) as i64;
        }
        self.own.0[phase as usize] -= self.others.sum();
    }
}

/// Steps of the same dish that this one waits for.
fn predecessors(spec: &Spec, at: StepRef) -> impl Iterator<Item = StepRef> {
    let before = spec.recipe.before(usize::from(at.step), spec.step_order);
    (0..spec.recipe.steps.len()).filter(move |i| before >> i & 1 == 1).map(move |i| StepRef { step: i as u16, ..at })
}
