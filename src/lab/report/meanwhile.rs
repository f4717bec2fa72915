//! What event loops did in a stretch of time: what a step of theirs that was not kept by itself really waited for.
//!
//! Only loops that do the CPU steps themselves are looked at: nobody else does something in the middle of a step. It
//! deliberately knows how much of each kind of time was in a stretch, not which step's.

use std::collections::HashMap;

use super::super::lanes;
use super::super::phases::Parts;
use crate::domain::Ns;
use crate::domain::record::StepRecord;
use crate::domain::spec::Spec;
use crate::model::Shape;

/// A stretch in which a step kept its loop.
struct Did {
    from: Ns,
    to: Ns,
    /// What was done before it.
    before: Parts,
    own: Parts,
}

/// What each loop did.
#[derive(Default)]
pub(super) struct Meanwhile {
    loops: HashMap<u32, Vec<Did>>,
}

impl Meanwhile {
    /// Of steps that ran on loops, with their parts.
    pub(super) fn of(spec: &Spec, shape: Shape, ran: &[&StepRecord], parts: &[Parts]) -> Self {
        let mut loops: HashMap<u32, Vec<Did>> = HashMap::new();
        for ((record, parts), stretches) in ran.iter().zip(parts).zip(lanes::of(spec, shape, ran)) {
            let kept = lanes::kept_parts(parts, true);
            let whole: Ns = stretches.iter().map(|(from, to)| to - from).sum();
            for &(from, to) in stretches.iter().filter(|(from, to)| from < to) {
                let own = share(&kept, to - from, whole);
                loops.entry(record.worker.tid).or_default().push(Did { from, to, before: Parts::default(), own });
            }
        }
        for did in loops.values_mut() {
            did.sort_unstable_by_key(|did| did.from);
            let mut sum = Parts::default();
            for did in did {
                did.before = sum;
                sum.add(&did.own);
            }
        }
        Self { loops }
    }

    /// What this loop did between these two: nothing, if it is none.
    pub(super) fn between(&self, tid: u32, from: Ns, to: Ns) -> Parts {
        let Some(did) = self.loops.get(&tid).filter(|_| from < to) else { return Parts::default() };
        let until = |at: Ns| {
            let Some(last) = did[..did.partition_point(|did| did.from < at)].last() else { return Parts::default() };
            let mut sum = last.before;
            sum.add(&share(&last.own, at.min(last.to) - last.from, last.to - last.from));
            sum
        };
        until(to).minus(&until(from))
    }
}

/// So much of the whole.
fn share(parts: &Parts, part: Ns, whole: Ns) -> Parts {
    let of = |ns: i64| (i128::from(ns) * i128::from(part) / i128::from(whole.max(1))) as i64;
    Parts(parts.0.map(of))
}
