//! What the workers of an order did: how many, how busy, how much at the same time, and what kept its loops.
//!
//! It deliberately judges nothing: what the time should have been is in [`super::bounds`].

use std::collections::{BTreeSet, HashSet};

use super::bounds::{self, Demands};
use super::build::{Facts, Ran};
use super::{LagView, OverlapView, ProfileRow, Quantiles, chain, ms, ratio};
use crate::domain::Ns;
use crate::domain::ticks::Ticks;
use crate::lab::lanes::{self, Kept};
use crate::lab::phases::Parts;

/// Rows of a profile after the first; more steps at once count as so many (chosen: what one screen shows).
const PROFILE_ROWS: usize = 64;

impl Facts<'_> {
    /// What kept the workers besides work, and the time they stood idle beside it, spread over those that worked.
    pub(super) fn overhead_per_worker(&self) -> Ns {
        let mut sum = Parts::default();
        for ((record, parts), _) in self.kept() {
            sum.add(&lanes::kept_parts(parts, lanes::is_on_loop(self.spec, self.shape, record)));
        }
        let queued = self.ran.iter().map(|(record, _)| (record.ready, record.started));
        let idle = bounds::idle(queued, self.lanes.iter().flatten().copied(), self.chefs());
        (chain::overhead(&sum) + idle) / u64::from(self.chefs())
    }

    /// Workers that had a step to keep them.
    pub(super) fn chefs(&self) -> u32 {
        (self.kept().map(|((record, _), _)| record.worker).collect::<HashSet<_>>().len() as u32).max(1)
    }

    pub(super) fn overlap(&self, demands: &Demands) -> OverlapView {
        let makespan = self.summary.makespan as f64;
        let used = self.summary.bill.as_ref().map_or(demands.cpu, |bill| bill.sum.cpu);
        let all = !self.summary.sampled;
        let profile = all.then(|| self.profile());
        let busy = profile.iter().flatten().filter(|row| row.running > 0).map(|row| row.ms).sum::<f64>();
        let chefs = self.chefs();
        let in_hand: u64 = self.kept().map(|(_, kept)| kept.time).sum();
        OverlapView {
            speedup: ratio((demands.cpu + demands.wait) as f64, makespan),
            cpu_speedup: all.then(|| ratio(ms(demands.cpu), busy)),
            cores_busy: ratio(demands.cpu as f64, makespan),
            core_utilisation: ratio(used as f64, self.machine.cores * makespan),
            chefs: all.then_some(chefs),
            chef_utilisation: all.then(|| ratio(in_hand as f64, f64::from(chefs) * makespan)),
            profile,
        }
    }

    /// How long so many CPU steps kept a worker.
    fn profile(&self) -> Vec<ProfileRow> {
        let computing = self.ran.iter().zip(&self.lanes).filter(|(ran, _)| self.spec.step(ran.0.at).work.is_cpu());
        let stretches = computing.flat_map(|(_, stretches)| stretches);
        let mut changes: Vec<(Ns, i32)> = stretches.flat_map(|(from, to)| [(*from, 1), (*to, -1)]).collect();
        // An end before a start of the same moment.
        changes.sort_unstable();
        let mut times = vec![0_u64];
        let (mut at, mut running) = (0, 0_usize);
        for (when, change) in changes.into_iter().chain([(self.summary.makespan, 0)]) {
            let row = running.min(PROFILE_ROWS);
            if times.len() <= row {
                times.resize(row + 1, 0);
            }
            times[row] += when.saturating_sub(at);
            at = at.max(when);
            running = running.saturating_add_signed(change as isize);
        }
        times.iter().zip(0..).map(|(time, running)| ProfileRow { running, ms: ms(*time) }).collect()
    }

    pub(super) fn lag(&self) -> Option<LagView> {
        let lags: Vec<u64> = self.ran.iter().filter_map(|(record, _)| record.lag(self.spec)).collect();
        let exact = ms(self.summary.totals.lag_max);
        let wait_ms = Quantiles { max: exact, ..Quantiles::of(lags)? };
        let on_loop = |(record, _): &&Ran<'_>| lanes::is_on_loop(self.spec, self.shape, record);
        let loops: BTreeSet<u32> = self.ran.iter().filter(on_loop).map(|(record, _)| record.worker.tid).collect();
        let slices: Vec<Kept> =
            self.kept().filter(|((record, _), _)| loops.contains(&record.worker.tid)).map(|(_, kept)| kept).collect();
        let kept = slices.iter().map(|kept| kept.time).sum::<u64>() as f64;
        let has_loop = !loops.is_empty();
        let complete = has_loop && !self.summary.sampled;
        let ticker = self.summary.bill.as_ref().and_then(|bill| bill.sum.loop_lag);
        let ticked = |percent| ticker.and_then(|ticks: Ticks| ticks.percentile(percent)).map(ms);
        Some(LagView {
            wait_ms,
            ticker_max_ms: ticker.map(|ticks| ms(ticks.max)),
            ticker_p50_ms: ticked(50),
            ticker_p95_ms: ticked(95),
            longest_slice_ms: has_loop.then(|| ms(slices.iter().map(Kept::slice).max().unwrap_or(0))),
            loop_utilisation: complete.then(|| ratio(kept, loops.len() as f64 * self.summary.makespan as f64)),
        })
    }

    /// The steps that kept a worker.
    fn kept(&self) -> impl Iterator<Item = (&Ran<'_>, Kept)> {
        self.ran.iter().filter_map(|ran| Some((ran, Kept::of(self.spec, self.shape, ran.0)?)))
    }
}
