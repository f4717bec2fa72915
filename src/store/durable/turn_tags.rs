//! The turn of an order among all that wait in the database, so that clients take turns there as they do in a node's
//! memory: self-clocked fair queueing (Golestani, A self-clocked fair queueing scheme for broadband applications, 1994)
//! with every order of the same size.
//!
//! A client's next order comes one turn after its last one, but never before the lowest turn that waits. It deliberately
//! knows only what this node accepted; nodes meet at the lowest turn.

use std::collections::HashMap;

use super::super::backend::{Lane, Waiting};
use crate::domain::client::Client;

/// Clients remembered; beyond it those whose turn has come are forgotten, which costs them nothing.
const CLIENTS: usize = 10_000;

#[derive(Debug, Default)]
pub(super) struct TurnTags {
    /// The lowest turn that waits.
    floor: i64,
    last: HashMap<Client, i64>,
    /// Lanes in which orders wait for any node.
    waiting: Vec<Waiting>,
}

impl TurnTags {
    /// The turn of this client's next order.
    pub(super) fn next(&mut self, client: &Client) -> i64 {
        if self.last.len() > CLIENTS {
            let floor = self.floor;
            self.last.retain(|_, last| *last > floor);
        }
        let floor = self.floor;
        let last = self.last.entry(client.clone()).or_insert(floor);
        *last = floor.max(*last) + 1;
        *last
    }

    /// What waits now.
    pub(super) fn seen(&mut self, waiting: Vec<Waiting>) {
        if let Some(lowest) = waiting.iter().map(|lane| lane.turn).min() {
            self.floor = self.floor.max(lowest);
        }
        self.waiting = waiting;
    }

    /// Whether anything waits for any node.
    pub(super) fn is_anybody_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// An order was written that waits for any node.
    pub(super) fn added(&mut self, lane: Lane, turn: i64) {
        if !self.has_line(lane) {
            self.waiting.push(Waiting { lane, turn });
        }
    }

    /// Whether orders of this lane wait for any node: a new one must not overtake them.
    pub(super) fn has_line(&self, lane: Lane) -> bool {
        self.waiting.iter().any(|waiting| waiting.lane == lane)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quiet_client_comes_before_what_a_noisy_one_has_in_line() {
        let (mut tags, noisy, quiet) = (TurnTags::default(), Client::key("noisy"), Client::key("quiet"));
        let line: Vec<_> = (0..1_000).map(|_| tags.next(&noisy)).collect();
        assert!(line.is_sorted() && line[999] == 1_000);
        tags.seen(vec![Waiting { lane: Lane(1), turn: 11 }]);
        assert_eq!(tags.next(&quiet), 12);
        assert_eq!(tags.next(&noisy), 1_001);
        assert!(tags.has_line(Lane(1)) && !tags.has_line(Lane(2)));
    }
}
