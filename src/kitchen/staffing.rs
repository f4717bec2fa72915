//! The house's budget of staff that orders may have of their own, and who has the house to himself.
//!
//! It deliberately knows no cores: those are shared by the kernel, and the wait for them is measured.

use std::sync::PoisonError;

use super::Kitchen;
use crate::domain::resolve::Violation;
use crate::domain::spec::Spec;
use crate::model::{self, Demand};
use crate::store::Room;

/// Who has what.
#[derive(Debug)]
pub(super) struct Staffing {
    budget: Demand,
    used: Room,
    reserved: bool,
}

impl Staffing {
    pub(super) fn new(budget: Demand) -> Self {
        Self { budget, used: Room::default(), reserved: false }
    }

    /// What is free.
    pub(super) fn free(&self) -> Room {
        Room {
            threads: self.budget.threads.saturating_sub(self.used.threads),
            children: self.budget.children.saturating_sub(self.used.children),
        }
    }

    pub(super) fn lease(&mut self, room: Room) {
        self.used.threads += room.threads;
        self.used.children += room.children;
    }

    pub(super) fn is_reserved(&self) -> bool {
        self.reserved
    }

    pub(super) fn reserve(&mut self, reserved: bool) {
        self.reserved = reserved;
    }
}

impl Kitchen {
    /// Gives staff back and starts who waited for it.
    pub(super) fn release(&self, room: Room) {
        if room != Room::default() {
            let mut staffing = self.staffing.lock().unwrap_or_else(PoisonError::into_inner);
            staffing.used.threads -= room.threads;
            staffing.used.children -= room.children;
            drop(staffing);
            self.pump();
        }
    }
}

/// Refuses an order that the whole budget could not staff.
pub(super) fn check(spec: &Spec, budget: Demand) -> Result<(), Violation> {
    let demand = model::demand(spec);
    let (asked, limit, what) = if demand.threads > budget.threads {
        (demand.threads, budget.threads, "threads")
    } else if demand.children > budget.children {
        (demand.children, budget.children, "child processes")
    } else {
        return Ok(());
    };
    let detail =
        format!("needs {asked} {what} of its own at once, the house has {limit}; lower dishes or max_in_flight");
    Err(Violation::new("/setup", detail))
}
