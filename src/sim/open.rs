//! The opening: from a plan to hosts with their staff, each at the moment it comes to be.
//!
//! It deliberately starts nothing that the plan does not have.

use super::engine::Sim;
use super::gil::Gil;
use super::host::Host;
use super::path::Term;
use super::plan::{Crew, Inside};
use super::tools::Tools;
use crate::domain::Ns;
use crate::domain::line::Line;
use crate::domain::spec::Spec;

/// Times the GIL changes hands, at most: beyond, its interval is stretched, which moves no makespan and makes the waits
/// for it coarser.
const SWITCHES: u64 = 1_000_000;

impl Sim<'_> {
    /// Processes that each have equipment and a lock of their own.
    pub(super) fn kitchens(&self) -> u32 {
        match self.plan.crew {
            Crew::Kitchens { count, .. } => count.max(1),
            _ => 1,
        }
    }

    /// Hosts: kitchens that take shares, else the one process.
    fn shares(&self) -> u32 {
        match self.plan.crew {
            Crew::Kitchens { inside: Inside::Steps, .. } => 1,
            Crew::Kitchens { count, .. } => count.max(1).min(self.spec.window()).max(1),
            _ => 1,
        }
    }

    /// The part of `total` that a share has.
    fn part(total: u32, share: u32, shares: u32) -> u32 {
        total / shares + u32::from(share < total % shares)
    }

    /// Dishes in progress at once in a share, if that is limited.
    pub(super) fn share_window(&self, share: u32) -> Option<u32> {
        self.spec.max_in_flight.map(|window| Self::part(window, share, self.shares()).max(1))
    }

    /// Opens everything at the beginning of the run. `held` is the CPU time that needs the GIL.
    pub(super) fn open(&mut self, held: Ns) {
        let shares = self.shares();
        let by_steps = matches!(self.plan.crew, Crew::Kitchens { inside: Inside::Steps, .. });
        self.tools = Tools::new(&self.spec.recipe, shares, self.spec.steps_total());
        let interval = self.plan.gil.map(|interval| interval.max(held / SWITCHES).max(1));
        for share in 0..shares {
            let dishes = Self::part(self.spec.dishes, share, shares);
            let gil = interval.filter(|_| !by_steps).map(Gil::new);
            let line = self.line(share, shares, dishes);
            let window = match self.plan.crew {
                Crew::Sequential => 1,
                _ => self.share_window(share).unwrap_or(dishes).min(dishes),
            };
            self.hosts.push(Host { dishes, window, gil, line, ..Host::default() });
        }
        // The clock of kitchens that are up starts when they are.
        let is_up = matches!(self.plan.crew, Crew::Kitchens { up: true, .. });
        self.now = if is_up { 0 } else { self.costs.begin };
        self.books.total.add(Term::Overhead, self.now);
        self.cores.advance(self.now);
        match self.plan.crew {
            Crew::Sequential => self.open_pool(0, 1, false),
            Crew::Loop { assistants } => self.open_desk(0, self.spec.max_in_flight, assistants),
            Crew::Pool { threads, at_once } => self.open_pool(0, threads, at_once),
            Crew::ThreadPerStep => self.open_each(0),
            Crew::Kitchens { count, one_use, inside, up } => self.open_brigade(count.max(1), one_use, inside, up),
        }
    }

    /// The line of a share, where steps are taken one by one.
    fn line(&self, share: u32, shares: u32, dishes: u32) -> Option<Line> {
        let own =
            Spec { first_dish: self.spec.dish(share), stride: self.spec.stride * shares, dishes, ..self.spec.clone() };
        match self.plan.crew {
            Crew::Loop { .. } | Crew::Kitchens { inside: Inside::Loop, .. } => None,
            Crew::Sequential => Some(Line::new(&Spec { max_in_flight: Some(1), ..own })),
            _ => Some(Line::new(&Spec { max_in_flight: self.share_window(share), ..own })),
        }
    }
}
