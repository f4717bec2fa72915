//! What really kept a worker, and when: the one notion that reports, the playback of an order and traces share.
//!
//! A thread that stands and waits is kept by its step from start to end. An event loop is not: it turns during a `wait` and an
//! `exchange`, and during CPU work that waits for equipment or lets it turn between two pieces (`yield_every_ms`). It
//! deliberately guesses no length, only places: how long the pieces of a step kept its loop is measured, where each of them lay
//! is not. They are laid as a loop without a pause lays them, the step that ended first before the others.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use super::phases::{PHASES, Parts, Phase};
use crate::domain::Ns;
use crate::domain::recipe::Work;
use crate::domain::record::StepRecord;
use crate::domain::spec::Spec;
use crate::model::Shape;

/// How a step kept its worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    /// From then on, to its end.
    pub from: Ns,
    /// For so long of that time.
    pub time: Ns,
    /// At most so often.
    pub pieces: u64,
}

impl Kept {
    /// `None`: its worker could do something else all the time.
    #[must_use]
    pub fn of(spec: &Spec, shape: Shape, record: &StepRecord) -> Option<Self> {
        let whole = Self { from: record.started, time: record.finished - record.started, pieces: 1 };
        if !is_on_loop(spec, shape, record) {
            return Some(whole);
        }
        if matches!(spec.work(record.at), Work::Wait(_) | Work::Exchange { .. }) {
            return None;
        }
        let terms = record.terms;
        let from = (record.started + terms.equipment_wait).min(record.finished);
        let every = spec.step(record.at).yield_every.filter(|_| terms.yielded > 0);
        let pieces = every.map_or(1, |every| u128::from(terms.cpu).div_ceil(every.as_nanos().max(1)) as u64);
        Some(Self { from, time: (record.finished - from).saturating_sub(terms.yielded), pieces: pieces.max(1) })
    }

    /// Its longest stretch: the mean of its pieces, for one by one they are not recorded.
    #[must_use]
    pub fn slice(&self) -> Ns {
        self.time / self.pieces
    }
}

/// Whether a step was on an event loop, which turns while it waits; else on a thread, which stands.
#[must_use]
pub fn is_on_loop(spec: &Spec, shape: Shape, record: &StepRecord) -> bool {
    let turns = matches!(spec.work(record.at), Work::Wait(_) | Work::Exchange { .. });
    shape.waits_free && (turns || shape.turns)
}

/// The parts of a step in which it kept its worker: they add up to the time it did.
#[must_use]
pub fn kept_parts(parts: &Parts, is_on_loop: bool) -> Parts {
    let is_free = |phase: Phase| match phase {
        Phase::Queue => true,
        Phase::Equipment | Phase::Yielded => is_on_loop,
        _ => false,
    };
    let mut kept = *parts;
    Phase::ALL.into_iter().filter(|phase| is_free(*phase)).for_each(|phase| kept.0[phase as usize] = 0);
    kept
}

/// A stretch of time.
pub type Stretch = (Ns, Ns);

/// When each of the steps kept its worker, in the order of `records`: no two of them at the same time on one thread.
///
/// One that cannot have been there (a step whose kitchen died is written down by others) has no stretch.
#[must_use]
pub fn of(spec: &Spec, shape: Shape, records: &[&StepRecord]) -> Vec<Vec<Stretch>> {
    let mut stretches = vec![Vec::new(); records.len()];
    let mut workers: HashMap<u32, Vec<(usize, Kept)>> = HashMap::new();
    for (i, record) in records.iter().enumerate() {
        if let Some(kept) = Kept::of(spec, shape, record) {
            workers.entry(record.worker.tid).or_default().push((i, kept));
        }
    }
    for mut steps in workers.into_values() {
        steps.sort_by_key(|(i, kept)| (kept.from, records[*i].finished));
        let (mut whole, mut cut, mut busy_until) = (Vec::new(), Vec::new(), 0);
        for (i, kept) in steps {
            let end = records[i].finished;
            if kept.from + kept.time < end {
                cut.push(Cut { step: i, from: kept.from, left: kept.time, end });
            } else if kept.from >= busy_until {
                whole.push((kept.from, end));
                stretches[i].push((kept.from, end));
                busy_until = end;
            }
        }
        lay(&whole, cut, &mut stretches);
    }
    stretches
}

/// A step in pieces that are still to be laid.
struct Cut {
    step: usize,
    from: Ns,
    left: Ns,
    end: Ns,
}

/// Lays pieces into the time between whole steps, whichever must end first before the others. If there is a way to lay all of
/// them, as there was, this is one (earliest deadline first: Dertouzos 1974).
fn lay(whole: &[Stretch], cut: Vec<Cut>, stretches: &mut [Vec<Stretch>]) {
    let mut left: Vec<Ns> = cut.iter().map(|cut| cut.left).collect();
    let mut open: BinaryHeap<Reverse<(Ns, usize)>> = BinaryHeap::new();
    let (mut at, mut next, mut whole) = (0, 0, whole.iter().filter(|(from, to)| from < to).peekable());
    loop {
        while let Some(cut) = cut.get(next).filter(|cut| cut.from <= at) {
            open.push(Reverse((cut.end, next)));
            next += 1;
        }
        if let Some((_, to)) = whole.next_if(|(from, _)| *from <= at) {
            at = at.max(*to);
            continue;
        }
        let begins = cut.get(next).map_or(Ns::MAX, |cut| cut.from);
        let Some(Reverse((end, nth))) = open.peek().copied() else {
            if begins == Ns::MAX {
                return;
            }
            at = begins;
            continue;
        };
        let until = (at + left[nth]).min(end).min(begins).min(whole.peek().map_or(Ns::MAX, |(from, _)| *from));
        if until > at {
            let laid = &mut stretches[cut[nth].step];
            match laid.last_mut().filter(|last| last.1 == at) {
                Some(last) => last.1 = until,
                None => laid.push((at, until)),
            }
            left[nth] -= until - at;
            at = until;
        }
        if left[nth] == 0 || at >= end {
            open.pop();
        }
    }
}

/// Parts laid one after another over these stretches: kind, from, to. What is left of a stretch is unexplained.
pub fn laid_over(parts: &Parts, stretches: &[Stretch]) -> Vec<(Phase, Ns, Ns)> {
    let mut laid = Vec::new();
    let mut left: [Ns; PHASES] = parts.0.map(|part| part.max(0) as Ns);
    left[Phase::Rest as usize] = 0;
    for &(mut at, to) in stretches {
        for phase in Phase::ALL {
            let length = left[phase as usize].min(to - at);
            if length > 0 {
                laid.push((phase, at, at + length));
                left[phase as usize] -= length;
                at += length;
            }
        }
    }
    laid
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_laid_around_whole_steps_and_no_two_at_the_same_time() {
        // Two steps in pieces, begun at 0 and 5, around whole ones from 10 to 14 and from 20 to 26.
        let cut = vec![Cut { step: 0, from: 0, left: 12, end: 30 }, Cut { step: 1, from: 5, left: 7, end: 19 }];
        let mut stretches = vec![Vec::new(); 2];
        lay(&[(10, 14), (20, 26)], cut, &mut stretches);
        assert_eq!(stretches, [vec![(0, 5), (16, 20), (26, 29)], vec![(5, 10), (14, 16)]]);
    }

    #[test]
    fn what_cannot_have_been_there_ends_where_its_step_does() {
        let mut stretches = vec![Vec::new()];
        lay(&[(2, 8)], vec![Cut { step: 0, from: 0, left: 9, end: 10 }], &mut stretches);
        assert_eq!(stretches, [vec![(0, 2), (8, 10)]]);
    }

    #[test]
    fn parts_run_on_from_one_stretch_to_the_next() {
        let mut parts = Parts::default();
        (parts.0[Phase::Core as usize], parts.0[Phase::Cpu as usize], parts.0[Phase::Rest as usize]) = (3, 6, 1);
        let laid = laid_over(&parts, &[(0, 5), (8, 13)]);
        assert_eq!(laid, [(Phase::Core, 0, 3), (Phase::Cpu, 3, 5), (Phase::Cpu, 8, 12)]);
    }
}
