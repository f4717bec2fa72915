//! The life of an order under everything that can go wrong between nodes: two claimants that crash and pause, messages that
//! are late, lost, doubled and overtaken, leases that run out on the living, runs that fail and are tried again, cancels and
//! deadlines at any moment.
//!
//! Seeded and on one thread: a schedule that fails prints its seed and fails again. It deliberately knows only
//! [`Life::after`], as every store does; a million schedules take three seconds, and `PASTA_FASTA_SCHEDULES` sets another number.

use std::collections::{BTreeMap, BTreeSet};

use pasta_fasta::domain::draw;
use pasta_fasta::domain::life::{Happening, Life, RUNS, Status};

/// Orders of one schedule; few, so that they meet.
const ORDERS: usize = 4;
/// Things that happen in one schedule before everything calms down.
const STEPS: u64 = 80;

/// Whether this draw is the one in so many.
fn one_in(n: usize, draw: usize) -> bool {
    draw.is_multiple_of(n)
}

#[derive(Default)]
struct World {
    orders: Vec<Life>,
    /// Runs that a node believes it has: order and attempt. A paused node keeps its belief beyond its lease.
    believed: BTreeSet<(usize, u32)>,
    /// Ends on their way to the store.
    under_way: Vec<(usize, Happening)>,
    ended_by: BTreeMap<usize, u32>,
    granted: BTreeMap<usize, u32>,
    seen: Seen,
}

/// What happened in all schedules together; each must have, or the test proves nothing.
#[derive(Debug, Default)]
struct Seen {
    stale_ends_refused: u64,
    doubled_ends_refused: u64,
    lost_and_claimed_again: u64,
    lost_too_often: u64,
    canceled_waiting: u64,
    canceled_running: u64,
    canceled_when_lost: u64,
    expired: u64,
    failed_and_tried_again: u64,
    failed_too_often: u64,
    failed_when_canceled: u64,
    expired_between_tries: u64,
}

impl World {
    /// Applies what happens and holds the result to the invariants.
    fn happen(&mut self, order: usize, what: Happening) -> bool {
        let before = self.orders[order];
        let Some(after) = before.after(what) else { return false };
        assert!(!before.status.is_done() || after == before, "{before:?} is over, and then {what:?} made it {after:?}");
        assert!(after.lost <= RUNS && after.failed <= after.max_attempts, "{after:?} had more runs than it may");
        assert!(after.attempt >= before.attempt && (after.cancel_requested || !before.cancel_requested));
        match what {
            Happening::Claim => {
                let last = self.granted.insert(order, after.attempt).unwrap_or(0);
                assert_eq!(after.attempt, last + 1, "attempts rise one by one");
                assert!(!before.cancel_requested, "a canceled order was taken up");
                self.seen.lost_and_claimed_again += u64::from(last > 0);
            }
            Happening::Broke { attempt } if after.status == Status::Queued => {
                assert_eq!(Some(&attempt), self.granted.get(&order), "only the latest run fails");
                assert!(!after.cancel_requested, "a canceled order is tried again");
                assert_eq!((after.failed, after.lost), (before.failed + 1, before.lost), "one failure is one failure");
                self.seen.failed_and_tried_again += 1;
            }
            Happening::End { attempt, .. } | Happening::Broke { attempt } => {
                assert_eq!(Some(&attempt), self.granted.get(&order), "only the latest run ends");
                if matches!(what, Happening::Broke { .. }) {
                    let is_last = after.failed == after.max_attempts;
                    assert!(is_last || after.cancel_requested, "an order failed with tries left");
                    self.seen.failed_too_often += u64::from(is_last && after.max_attempts > 1);
                    self.seen.failed_when_canceled += u64::from(!is_last);
                }
                assert_eq!(self.ended_by.insert(order, attempt), None, "an order ended twice");
            }
            Happening::Cancel if before.status == Status::Queued => self.seen.canceled_waiting += 1,
            Happening::Cancel => self.seen.canceled_running += 1,
            Happening::Expire if before.failed > 0 => {
                assert_eq!(after.status, Status::Failed, "an order that had begun expired");
                self.seen.expired_between_tries += 1;
            }
            Happening::Expire => {
                assert_eq!(before.attempt, 0, "an order that had begun expired");
                self.seen.expired += 1;
            }
            Happening::Lost { .. } => {
                assert_eq!(after.failed, before.failed, "a lost run counts as a failure");
                self.seen.lost_too_often += u64::from(after.status == Status::Failed);
                self.seen.canceled_when_lost += u64::from(after.status == Status::Canceled);
            }
        }
        true
    }

    fn deliver(&mut self, (order, end): (usize, Happening)) {
        let before = self.orders[order];
        let (Happening::End { attempt, .. } | Happening::Broke { attempt }) = end else { return };
        if self.happen(order, end) {
            self.set(order, end);
        } else if before.status.is_done() && self.ended_by.get(&order) == Some(&attempt) {
            self.seen.doubled_ends_refused += 1;
        } else {
            self.seen.stale_ends_refused += 1;
        }
    }

    fn set(&mut self, order: usize, what: Happening) {
        self.orders[order] = self.orders[order].after(what).expect("it was possible a moment ago");
    }

    fn try_to(&mut self, order: usize, what: Happening) {
        if self.happen(order, what) {
            self.set(order, what);
        }
    }

    fn step(&mut self, draw: u64) {
        let order = (draw >> 8) as usize % ORDERS;
        let pick = (draw >> 16) as usize;
        match draw % 16 {
            0..4 => {
                self.try_to(order, Happening::Claim);
                let life = self.orders[order];
                if life.status == Status::Running {
                    self.believed.insert((order, life.attempt));
                }
            }
            // A run is over: its end is on its way, perhaps twice; the node may or may not know that it has said so.
            4..7 if !self.believed.is_empty() => {
                let run = *self.believed.iter().nth(pick % self.believed.len()).expect("one");
                let (order, attempt) = run;
                let ended = |status| Happening::End { attempt, status };
                let end = match pick % 4 {
                    0 => ended(Status::Succeeded),
                    1 => ended(Status::Failed),
                    2 => ended(Status::Canceled),
                    _ => Happening::Broke { attempt },
                };
                self.under_way.push((order, end));
                if !one_in(4, pick) {
                    self.believed.remove(&run);
                }
            }
            7..10 if !self.under_way.is_empty() => {
                let at = pick % self.under_way.len();
                let message = self.under_way[at];
                // Delivered and kept, delivered, or lost.
                if !one_in(5, pick) {
                    self.under_way.swap_remove(at);
                }
                if !one_in(7, pick) {
                    self.deliver(message);
                }
            }
            // The lease of a run ran out: its node is dead, or only slow and will still report.
            10 | 11 => {
                let attempt = self.orders[order].attempt.saturating_sub(one_in(3, pick).into());
                self.try_to(order, Happening::Lost { attempt });
            }
            // A node crashes: it forgets what it ran; what it sent is still on its way.
            12 => self.believed.clear(),
            13 | 14 if one_in(3, pick) => self.try_to(order, Happening::Cancel),
            15 if one_in(3, pick) => self.try_to(order, Happening::Expire),
            _ => {}
        }
    }

    /// No more faults: whatever is left comes to an end.
    fn calm_down(&mut self) {
        for message in std::mem::take(&mut self.under_way) {
            self.deliver(message);
        }
        for order in 0..ORDERS {
            while !self.orders[order].status.is_done() {
                let Life { status, attempt, .. } = self.orders[order];
                let what = match status {
                    Status::Queued => Happening::Claim,
                    _ => Happening::End { attempt, status: Status::Succeeded },
                };
                assert!(self.happen(order, what), "stuck: {:?}", self.orders[order]);
                self.set(order, what);
            }
        }
    }
}

#[test]
fn no_schedule_of_crashes_delays_and_doubles_breaks_the_life_of_an_order() {
    let asked = std::env::var("PASTA_FASTA_SCHEDULES").ok();
    let schedules: u64 = asked.map_or(1_000_000, |n| n.parse().expect("a number of schedules"));
    let mut seen = Seen::default();
    for seed in 0..schedules {
        let orders = (1..=ORDERS as u32).map(|max_attempts| Life { max_attempts, ..Life::NEW }).collect();
        let mut world = World { orders, seen, ..World::default() };
        let run = std::panic::AssertUnwindSafe(|| {
            (0..STEPS).for_each(|step| world.step(draw::mix(draw::mix(seed) ^ step)));
            world.calm_down();
        });
        if let Err(broken) = std::panic::catch_unwind(run) {
            eprintln!("broken by the schedule of seed {seed}");
            std::panic::resume_unwind(broken);
        }
        seen = world.seen;
    }
    let Seen { stale_ends_refused, doubled_ends_refused, lost_and_claimed_again, lost_too_often, .. } = seen;
    let Seen { canceled_waiting, canceled_running, canceled_when_lost, expired, .. } = seen;
    let Seen { failed_and_tried_again, failed_too_often, failed_when_canceled, expired_between_tries, .. } = seen;
    let tries = [failed_and_tried_again, failed_too_often, failed_when_canceled, expired_between_tries];
    let faults = [stale_ends_refused, doubled_ends_refused, lost_and_claimed_again, lost_too_often];
    let wishes = [canceled_waiting, canceled_running, canceled_when_lost, expired];
    assert!(faults.iter().chain(&wishes).chain(&tries).all(|count| *count > 0), "some of it never happened: {seen:?}");
}
