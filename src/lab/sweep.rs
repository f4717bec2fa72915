//! A sweep: each way of scaling a model, doubled while it still helps.
//!
//! One run of each size decides which is the best of its family; only those are then repeated and compared. It
//! deliberately trusts no single run for the verdict.

use super::comparison::Plan;
use super::comparisons::Comparisons;
use super::entry::Entry;
use super::line_up::{self, Family};
use super::plan;
use crate::domain::id::OrderId;
use crate::kitchen::Alone;

/// How much better a larger count must be for a sweep to go on.
const STILL_HELPS: f64 = 0.97;

impl Comparisons {
    /// Tries growing members of each family, once each, while they help; answers the best of each.
    pub(super) async fn sweep(
        &self,
        id: OrderId,
        plan: &Plan,
        alone: &Alone<'_>,
        cores: f64,
    ) -> Result<Vec<Entry>, String> {
        let house = self.kitchen.config.staff.cores as u64;
        let mut best_of_each = Vec::new();
        for family in Family::ALL {
            let mut best: Option<(f64, Entry)> = None;
            let dishes = plan.work.dishes.unwrap_or(1).min(u64::from(u32::MAX)) as u32;
            for size in line_up::sizes(house, family.largest(dishes)) {
                let Ok(mut entry) = self.entry(&plan.work, &family.member(size)) else { break };
                let expected = plan::expected(&entry.spec, self.machine(cores));
                // What would take a share of the budget alone is too small to be a candidate: try the next size.
                if expected > plan.budget.as_secs_f64() / 8.0 {
                    continue;
                }
                self.run_entry(id, &mut entry, alone, dishes).await?;
                let Some(figure) = entry.runs.first().map(|f| plan.objective.of(f)) else { break };
                entry.runs.clear();
                let helps = best.as_ref().is_none_or(|(before, _)| figure < before * STILL_HELPS);
                if !helps {
                    break;
                }
                best = Some((figure, entry));
            }
            best_of_each.extend(best.map(|(_, entry)| entry));
        }
        if best_of_each.is_empty() {
            return Err("no member of any family fits the budget; raise budget_ms or ask for fewer dishes".to_owned());
        }
        Ok(best_of_each)
    }
}
