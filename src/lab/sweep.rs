//! A sweep: each way of scaling a model, doubled while it still helps.
//!
//! One run of each size decides which is the best of its family; only those are then repeated and compared. It takes
//! half of the budget and no more. It deliberately trusts no single run for the verdict.

use std::time::Duration;

use super::entry::Entry;
use super::line_up::{self, Family};
use super::measure::Measuring;
use super::plan;
use super::verdict;
use crate::domain::spec::Spec;

/// How much better a larger count must be for a sweep to go on.
const STILL_HELPS: f64 = 0.97;
/// Share of the budget that one run may take.
const SHARE: u32 = 8;

impl Measuring<'_> {
    /// Tries growing members of each family, once each, while they help; answers the best of each.
    pub(super) async fn sweep(&self) -> Result<Vec<Entry>, String> {
        let dishes = self.sweep_dishes();
        let mut best_of_each = Vec::new();
        for (family, left) in Family::ALL.into_iter().zip((1..=Family::ALL.len() as u32).rev()) {
            // What the families before did not use is for those that come.
            let share = self.sweep_left() / left;
            best_of_each.extend(self.best_of(family, dishes, share).await?);
        }
        if best_of_each.is_empty() {
            return Err("no member of any family fits the budget; raise budget_ms or ask for fewer dishes".to_owned());
        }
        Ok(best_of_each)
    }

    /// Time that is left of the sweep's half.
    fn sweep_left(&self) -> Duration {
        self.left().saturating_sub(self.plan.budget / 2)
    }

    fn expected(&self, spec: &Spec, dishes: u32) -> f64 {
        plan::expected(&Spec { dishes, ..spec.clone() }, self.machine)
    }

    fn members(&self, family: Family, dishes: u32) -> Vec<Entry> {
        let cores = self.house.kitchen.config.staff.cores as u64;
        let sizes = line_up::sizes(cores, family.largest(dishes));
        sizes.into_iter().map_while(|size| self.house.entry(&self.plan.work, &family.member(size)).ok()).collect()
    }

    /// So many dishes that the fastest of all can cook them in half a run's share.
    fn sweep_dishes(&self) -> u32 {
        let dishes = self.plan.work.dishes.unwrap_or(1).min(u64::from(u32::MAX)) as u32;
        let all: Vec<_> = Family::ALL.into_iter().flat_map(|family| self.members(family, dishes)).collect();
        let fastest = |dishes: u32| all.iter().map(|e| self.expected(&e.spec, dishes)).fold(f64::INFINITY, f64::min);
        plan::fitting(dishes, plan::round(self.machine.house), self.plan.budget / (2 * SHARE), fastest)
    }

    async fn best_of(&self, family: Family, dishes: u32, share: Duration) -> Result<Option<Entry>, String> {
        let until = self.left().saturating_sub(share);
        let mut best: Option<(f64, Entry)> = None;
        for mut entry in self.members(family, dishes) {
            let left = self.left().saturating_sub(until);
            let at_most = left.min(self.plan.budget / SHARE);
            // What takes too long is too small to be a candidate: try the next size.
            if self.expected(&entry.spec, dishes) > at_most.as_secs_f64() {
                continue;
            }
            let run = self.run_once(&mut entry, dishes, left).await?;
            self.tell(&entry, run);
            entry.runs.extend(run);
            let score = verdict::score(&entry, self.plan.objective);
            if best.as_ref().is_some_and(|(before, _)| score >= before * STILL_HELPS) {
                break;
            }
            if score.is_finite() {
                let fresh = Entry::new(entry.name, entry.spec);
                best = Some((score, fresh));
            }
        }
        Ok(best.map(|(_, entry)| entry))
    }
}
