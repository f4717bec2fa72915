//! The life of orders under everything that can go wrong between clients, two nodes and a store: nodes that crash, pause and wake up
//! behind their leases, messages that are late, lost, doubled and overtaken, requests that are sent again, runs that fail and are
//! tried again, cancels and deadlines at any moment.
//!
//! Seeded and on one thread: a schedule that fails prints its seed and fails again. Held to the invariants I2 (one order per key), I3 (one end),
//! I6 (no order is uncounted) and I7 (nobody but the holder of the latest run ends it). The store here is as small as one can be: it
//! deliberately knows only [`Life::after`], as every store does, and that an order and its key are one write; that the real ones keep
//! it so is the matter of `store_contract.rs`, and the numbers of events of `events.rs`. A million schedules take a few seconds, and
//! `PASTA_FASTA_SCHEDULES` sets another number.

use pasta_fasta::domain::draw;
use pasta_fasta::domain::life::{Happening, Life, RUNS, Status};

/// Keys of one schedule, and so orders at most; few, so that they meet.
const KEYS: usize = 4;
/// The nodes.
const NODES: [&str; 2] = ["north", "south"];
/// Things that happen in one schedule before everything calms down.
const STEPS: u64 = 96;

/// Whether this draw is the one in so many.
fn one_in(n: usize, draw: usize) -> bool {
    draw.is_multiple_of(n)
}

/// What is on its way: it may be late, lost, doubled, and come in any order.
#[derive(Clone, Copy, Debug)]
enum Message {
    /// A client asks for the order of its key.
    Ask { key: usize },
    /// It is told which order that is.
    Accepted { key: usize, order: usize },
    /// A node reports the end of a run.
    Over { node: usize, order: usize, end: Happening },
}

#[derive(Default)]
struct Node {
    /// Asleep: it does nothing, and knows nothing of the leases it loses.
    is_paused: bool,
    /// Runs that it believes it has: order and attempt.
    believed: Vec<(usize, u32)>,
}

/// An order in the store.
struct Order {
    life: Life,
    /// Whose its latest run is, and its number.
    granted: Option<(usize, u32)>,
    ends: u32,
}

#[derive(Default)]
struct World {
    orders: Vec<Order>,
    /// The order of each key, written with it.
    by_key: [Option<usize>; KEYS],
    /// How many orders are in each state, counted as they move.
    counts: [usize; Status::ALL.len()],
    /// What each client knows.
    told: [Option<usize>; KEYS],
    nodes: [Node; NODES.len()],
    under_way: Vec<Message>,
    seen: Seen,
}

/// What happened in all schedules together; each must have, or the test proves nothing.
#[derive(Debug, Default)]
struct Seen {
    asked_again: u64,
    ends_of_another_node_refused: u64,
    woke_up_without_its_lease: u64,
    stale_ends_refused: u64,
    doubled_ends_refused: u64,
    lost_and_claimed_again: u64,
    claimed_by_the_other: u64,
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
    /// What cannot happen does not; what can is held to the invariants. `by` is the node that says so.
    fn happen(&mut self, order: usize, what: Happening, by: Option<usize>) -> bool {
        let Order { life: before, granted, ends } = &mut self.orders[order];
        let Some(after) = before.after(what) else { return false };
        let name = by.map_or("the store", |node| NODES[node]);
        assert!(
            !before.status.is_done() || after == *before,
            "{before:?} is over, then {name}'s {what:?} made it {after:?}"
        );
        assert!(after.lost <= RUNS && after.failed <= after.max_attempts, "{after:?} had more runs than it may");
        assert!(after.attempt >= before.attempt && (after.cancel_requested || !before.cancel_requested));
        let seen = &mut self.seen;
        match what {
            Happening::Claim => {
                let node = by.expect("only nodes claim");
                let (last_node, last) = granted.replace((node, after.attempt)).unwrap_or((node, 0));
                assert_eq!(after.attempt, last + 1, "attempts rise one by one");
                assert!(!before.cancel_requested, "a canceled order was taken up");
                seen.lost_and_claimed_again += u64::from(last > 0);
                seen.claimed_by_the_other += u64::from(last_node != node);
            }
            Happening::End { attempt, .. } | Happening::Broke { attempt } => {
                assert_eq!(by.map(|node| (node, attempt)), *granted, "only who has the latest run ends it, not {name}");
                if matches!(what, Happening::Broke { .. }) {
                    let is_last = after.failed == after.max_attempts;
                    let is_again = after.status == Status::Queued;
                    assert_eq!(
                        (after.failed, after.lost),
                        (before.failed + 1, before.lost),
                        "one failure is one failure"
                    );
                    assert_eq!(is_again, !is_last && !after.cancel_requested, "{before:?} became {after:?}");
                    seen.failed_and_tried_again += u64::from(is_again);
                    seen.failed_too_often += u64::from(is_last && after.max_attempts > 1);
                    seen.failed_when_canceled += u64::from(!is_last && !is_again);
                }
            }
            Happening::Cancel if before.status == Status::Queued => seen.canceled_waiting += 1,
            Happening::Cancel => seen.canceled_running += 1,
            Happening::Expire if before.failed > 0 => {
                assert_eq!(after.status, Status::Failed, "an order that had begun expired");
                seen.expired_between_tries += 1;
            }
            Happening::Expire => {
                assert_eq!(before.attempt, 0, "an order that had begun expired");
                seen.expired += 1;
            }
            Happening::Lost { .. } => {
                assert_eq!(after.failed, before.failed, "a lost run counts as a failure");
                seen.lost_too_often += u64::from(after.status == Status::Failed);
                seen.canceled_when_lost += u64::from(after.status == Status::Canceled);
            }
        }
        *ends += u32::from(!before.status.is_done() && after.status.is_done());
        assert!(*ends <= 1, "an order ended twice");
        self.counts[before.status as usize] -= 1;
        self.counts[after.status as usize] += 1;
        *before = after;
        self.conserves();
        true
    }

    /// Every accepted order is in exactly one state, and counted there.
    fn conserves(&self) {
        let mut counted = [0; Status::ALL.len()];
        self.orders.iter().for_each(|order| counted[order.life.status as usize] += 1);
        assert_eq!(counted, self.counts, "orders were counted twice or not at all");
    }

    fn deliver(&mut self, message: Message) {
        match message {
            Message::Ask { key } => {
                self.seen.asked_again += u64::from(self.by_key[key].is_some());
                let order = *self.by_key[key].get_or_insert_with(|| {
                    let life = Life { max_attempts: key as u32 + 1, ..Life::NEW };
                    self.orders.push(Order { life, granted: None, ends: 0 });
                    self.counts[Status::Queued as usize] += 1;
                    self.orders.len() - 1
                });
                self.under_way.push(Message::Accepted { key, order });
            }
            Message::Accepted { key, order } => {
                assert_eq!(*self.told[key].get_or_insert(order), order, "a key brought about two orders");
            }
            Message::Over { node, order, end } => {
                let (Happening::End { attempt, .. } | Happening::Broke { attempt }) = end else { return };
                let Order { life, granted, .. } = &self.orders[order];
                let (is_done, is_his) = (life.status.is_done(), *granted == Some((node, attempt)));
                if !self.happen(order, end, Some(node)) {
                    self.seen.doubled_ends_refused += u64::from(is_done && is_his);
                    self.seen.stale_ends_refused += u64::from(!is_his);
                    let other = self.orders[order].granted.is_some_and(|(holder, _)| holder != node);
                    self.seen.ends_of_another_node_refused += u64::from(other);
                }
            }
        }
    }

    fn step(&mut self, draw: u64) {
        let (order, node, pick) =
            ((draw >> 8) as usize % KEYS, (draw >> 12) as usize % NODES.len(), (draw >> 16) as usize);
        match draw % 20 {
            // A client that has no answer yet asks, again and again.
            0..3 if self.told[order].is_none() => self.under_way.push(Message::Ask { key: order }),
            3..7 if !self.under_way.is_empty() => {
                let at = pick % self.under_way.len();
                let message = self.under_way[at];
                // Delivered and kept, delivered, or lost.
                if !one_in(5, pick / 8) {
                    self.under_way.swap_remove(at);
                }
                if !one_in(7, pick / 8) {
                    self.deliver(message);
                }
            }
            // A node crashes: it forgets what it ran, and begins anew; what it sent is still on its way.
            7 if one_in(2, pick) => self.nodes[node] = Node::default(),
            8 => self.pause(node),
            // The rest happens to orders that are there, or by nodes that are awake.
            9..12 => self.works(node, pick),
            _ if order >= self.orders.len() => {}
            12..16 if !self.nodes[node].is_paused => self.claim(order, node),
            // The lease of a run ran out: its node is dead, asleep, or only slow and will still report.
            16 | 17 => {
                let attempt = self.orders[order].life.attempt.saturating_sub(one_in(3, pick).into());
                self.happen(order, Happening::Lost { attempt }, None);
            }
            18 if one_in(3, pick) => _ = self.happen(order, Happening::Cancel, None),
            19 if one_in(3, pick) => _ = self.happen(order, Happening::Expire, None),
            _ => {}
        }
    }

    /// A node asks for an order, and believes that it has the run if it gets one.
    fn claim(&mut self, order: usize, node: usize) {
        if self.happen(order, Happening::Claim, Some(node)) {
            self.nodes[node].believed.push((order, self.orders[order].life.attempt));
        }
    }

    /// A node falls asleep, or wakes up and believes what it believed.
    fn pause(&mut self, node: usize) {
        let Node { is_paused, believed } = &mut self.nodes[node];
        *is_paused = !*is_paused;
        let is_lost = |(order, attempt): &(usize, u32)| self.orders[*order].granted != Some((node, *attempt));
        self.seen.woke_up_without_its_lease += u64::from(!*is_paused && believed.iter().any(is_lost));
    }

    /// A run of a node is over: its end is on its way, perhaps twice; the node may or may not know that it has said so.
    fn works(&mut self, node: usize, pick: usize) {
        let Node { is_paused, believed } = &mut self.nodes[node];
        if *is_paused || believed.is_empty() {
            return;
        }
        let at = pick % believed.len();
        let (order, attempt) = believed[at];
        let ended = |status| Happening::End { attempt, status };
        let end = match pick / 4 % 4 {
            0 => ended(Status::Succeeded),
            1 => ended(Status::Failed),
            2 => ended(Status::Canceled),
            _ => Happening::Broke { attempt },
        };
        if !one_in(4, pick / 16) {
            believed.swap_remove(at);
        }
        self.under_way.push(Message::Over { node, order, end });
    }

    /// No more faults: whoever has no answer asks once more, and whatever is left comes to an end.
    fn calm_down(&mut self) {
        self.under_way.extend((0..KEYS).filter(|key| self.told[*key].is_none()).map(|key| Message::Ask { key }));
        while let Some(message) = self.under_way.pop() {
            self.deliver(message);
        }
        assert!(self.told == self.by_key && self.orders.len() == KEYS, "one order for each key: {:?}", self.by_key);
        for order in 0..KEYS {
            while !self.orders[order].life.status.is_done() {
                let Life { status, attempt, .. } = self.orders[order].life;
                let (what, by) = match (status, self.orders[order].granted) {
                    (Status::Running, Some((node, _))) => (Happening::End { attempt, status: Status::Succeeded }, node),
                    _ => (Happening::Claim, 0),
                };
                assert!(self.happen(order, what, Some(by)), "stuck: {:?}", self.orders[order].life);
            }
        }
        assert!(self.orders.iter().all(|order| order.ends == 1), "an order did not end");
    }
}

#[test]
fn no_schedule_of_crashes_delays_and_doubles_breaks_the_life_of_an_order() {
    let asked = std::env::var("PASTA_FASTA_SCHEDULES").ok();
    let schedules: u64 = asked.map_or(1_000_000, |n| n.parse().expect("a number of schedules"));
    let mut seen = Seen::default();
    for seed in 0..schedules {
        let mut world = World { seen, ..World::default() };
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
    let said = format!("{seen:?}");
    assert!(!said.contains(": 0"), "some of it never happened: {said}");
}
