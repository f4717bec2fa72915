//! What an order would occupy: bytes per dish, thread and process, as a calibration measures them.
//!
//! It deliberately counts what is there at the peak, as `VmHWM` does, and shares nothing between processes, as it does
//! not either.

use super::costs::Costs;
use super::plan::{Crew, Inside, Plan};
use crate::domain::spec::Spec;

/// Bytes at the peak, given the most threads or processes that were alive at once.
pub(super) fn peak(spec: &Spec, plan: &Plan, costs: &Costs, alive: u32) -> u64 {
    let (dishes, alive) = (u64::from(spec.dishes), u64::from(alive));
    let books = dishes * costs.dish_bytes;
    let tasks = u64::from(spec.window()) * costs.task_bytes;
    let own = costs.process_bytes + books;
    match plan.crew {
        Crew::Loop { .. } => own + tasks + alive * costs.thread_bytes,
        Crew::Sequential | Crew::Pool { .. } | Crew::ThreadPerStep => own + alive * costs.thread_bytes,
        Crew::Kitchens { inside: Inside::Steps, .. } => own + alive * costs.kitchen_bytes,
        Crew::Kitchens { inside: Inside::Loop, .. } => own + alive * costs.process_bytes + tasks + books,
        Crew::Kitchens { inside: Inside::Pool(threads), .. } => {
            own + alive * (costs.process_bytes + u64::from(threads) * costs.thread_bytes) + books
        }
    }
}
