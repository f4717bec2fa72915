//! Who has the GIL, who waits for it, and when its holder is asked to let go: CPython's protocol as a state machine.
//!
//! After `take_gil` and `drop_gil` of `Python/ceval_gil.c`: whoever has waited a switch interval in which the lock did not
//! change hands asks the holder to drop it, and who dropped it on request does not get it back before another had it. One
//! thing is a model: those who wait are served first come, first served, where CPython leaves the choice to the kernel's
//! condition variables. Threads follow it ([`crate::model::gil`]); the simulation has a simpler queue of its own
//! (`src/sim/gil.rs`), in which nobody comes back before others have woken up. It deliberately reads no clock.

use std::collections::VecDeque;

use super::Ns;

/// Somebody who waits.
#[derive(Debug)]
struct Waiter<T> {
    who: T,
    /// When the current round of waiting began; `None` until another has had the lock, for who was asked to drop it.
    since: Option<Ns>,
}

/// The lock.
#[derive(Debug)]
pub struct Gil<T> {
    interval: Ns,
    holder: Option<T>,
    /// Who had it last, or has it.
    last: Option<T>,
    queue: VecDeque<Waiter<T>>,
    switched: Ns,
    switches: u64,
    due: Option<Ns>,
    asked: bool,
}

impl<T: Clone + PartialEq> Gil<T> {
    /// A free lock. `interval` is Python's `sys.setswitchinterval`.
    #[must_use]
    pub fn new(interval: Ns) -> Self {
        let queue = VecDeque::new();
        Self { interval, holder: None, last: None, queue, switched: 0, switches: 0, due: None, asked: false }
    }

    /// Wants it. Answers whether the caller has it now; otherwise it waits at the end of the queue.
    ///
    /// A free lock goes to whoever comes first, also past those who wait and have not yet woken up; but not back to
    /// somebody who was asked to drop it.
    pub fn ask(&mut self, who: &T, now: Ns) -> bool {
        let dropped = self.asked && self.last.as_ref() == Some(who) && self.holder.is_none() && !self.queue.is_empty();
        if self.holder.is_none() && !dropped {
            self.took(who, now);
            return true;
        }
        self.queue.push_back(Waiter { who: who.clone(), since: (!dropped).then_some(now) });
        if !dropped {
            let round = now + self.interval;
            self.due = Some(self.due.map_or(round, |due| due.min(round)));
        }
        false
    }

    /// The first of the queue, woken up, takes it if it is free.
    pub fn take(&mut self, who: &T, now: Ns) -> bool {
        if self.holder.is_some() || self.queue.front().is_none_or(|first| first.who != *who) {
            return false;
        }
        self.queue.pop_front();
        self.took(who, now);
        true
    }

    fn took(&mut self, who: &T, now: Ns) {
        if self.last.as_ref() != Some(who) {
            self.last = Some(who.clone());
            self.switched = now;
            self.switches += 1;
            for waiter in &mut self.queue {
                waiter.since.get_or_insert(now);
            }
        }
        self.holder = Some(who.clone());
        self.asked = false;
        self.due = self.next_due(now);
    }

    /// The first moment from `now` on at which somebody's round of waiting ends that began after the last switch.
    fn next_due(&self, now: Ns) -> Option<Ns> {
        let earliest = now.max(self.switched + self.interval);
        let end = |since: Ns| since + earliest.saturating_sub(since).div_ceil(self.interval).max(1) * self.interval;
        self.queue.iter().filter_map(|waiter| waiter.since).map(end).min()
    }

    /// The holder lets go. Answers who is to be woken up.
    pub fn leave(&mut self) -> Option<&T> {
        self.holder = None;
        self.queue.front().map(|first| &first.who)
    }

    /// Somebody waits no longer. Answers who is to be woken up instead.
    pub fn forget(&mut self, who: &T) -> Option<&T> {
        self.queue.retain(|waiter| waiter.who != *who);
        if self.holder.is_some() { None } else { self.queue.front().map(|first| &first.who) }
    }

    /// When the holder is to be asked to let go, unless something happens before.
    #[must_use]
    pub fn due(&self) -> Option<Ns> {
        self.due
    }

    /// Asks the holder to let go if that is due; answers whether it is asked.
    pub fn expire(&mut self, now: Ns) -> bool {
        if self.due.is_some_and(|due| due <= now) {
            self.due = None;
            self.asked = self.holder.is_some();
        }
        self.asked
    }

    /// Whether the holder has been asked to let go.
    #[must_use]
    pub fn is_asked(&self) -> bool {
        self.asked
    }

    /// Those who wait, first come first.
    pub fn waiting(&self) -> impl DoubleEndedIterator<Item = &T> {
        self.queue.iter().map(|waiter| &waiter.who)
    }

    /// How often it has gone from one to another.
    #[must_use]
    pub fn switches(&self) -> u64 {
        self.switches
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Ns = 5;

    /// Asks the holder when that is due, lets it drop the lock and the first in the queue have it; answers when.
    fn switch(gil: &mut Gil<char>, holder: char) -> Ns {
        let due = gil.due().unwrap();
        assert!(!gil.is_asked() && gil.expire(due), "{gil:?}");
        let first = *gil.leave().unwrap();
        assert!(!gil.ask(&holder, due), "who was asked must not have it back: {gil:?}");
        assert!(gil.take(&first, due));
        due
    }

    #[test]
    fn burners_have_it_in_turn_for_an_interval_each() {
        let mut gil = Gil::new(INTERVAL);
        assert!(gil.ask(&'a', 0) && !gil.ask(&'b', 1) && !gil.ask(&'c', 2));
        let times: Vec<_> = ['a', 'b', 'c', 'a'].into_iter().map(|holder| switch(&mut gil, holder)).collect();
        assert_eq!(times, [6, 11, 16, 21]);
        assert_eq!(gil.switches(), 5);
    }

    #[test]
    fn who_comes_back_from_a_wait_waits_an_interval_for_each_burner() {
        let mut gil = Gil::new(INTERVAL);
        assert!(gil.ask(&'a', 0) && !gil.ask(&'b', 0) && !gil.ask(&'t', 2));
        switch(&mut gil, 'a');
        let woken = switch(&mut gil, 'b');
        assert_eq!(woken, 10, "{gil:?}");
        // It lets go by itself: the first of the queue has it, and nobody has been waiting a whole interval since.
        assert_eq!(gil.leave(), Some(&'a'));
        assert!(gil.take(&'a', 11));
        assert_eq!(gil.due(), Some(20), "b's rounds end at 15 and 20, and the one from 10 to 15 saw a switch");
    }

    #[test]
    fn a_switch_in_between_starts_the_interval_again() {
        let mut gil = Gil::new(INTERVAL);
        assert!(gil.ask(&'a', 0) && !gil.ask(&'b', 1) && !gil.ask(&'c', 3));
        assert_eq!(gil.leave(), Some(&'b'));
        assert!(gil.take(&'b', 4));
        assert_eq!(gil.due(), Some(13), "c's first round, 3 to 8, saw a switch; its second ends at 13");
        assert!(!gil.expire(12) && gil.expire(13));
    }

    #[test]
    fn a_free_lock_goes_to_whoever_comes_first_and_the_queue_keeps_its_order() {
        let mut gil = Gil::new(INTERVAL);
        assert!(gil.ask(&'a', 0) && !gil.ask(&'b', 1));
        assert_eq!(gil.leave(), Some(&'b'));
        assert!(gil.ask(&'a', 2), "it let go by itself and is back before b woke up");
        assert_eq!(gil.switches(), 1);
        assert!(!gil.take(&'b', 3));
        assert_eq!(gil.due(), Some(6), "nothing has changed hands, so b's round goes on");
        assert_eq!(gil.leave(), Some(&'b'));
        assert_eq!(gil.forget(&'b'), None);
        assert!(gil.ask(&'c', 4));
    }

    #[test]
    fn with_nobody_left_to_have_it_the_dropper_goes_on() {
        let mut gil = Gil::new(INTERVAL);
        assert!(gil.ask(&'a', 0) && !gil.ask(&'b', 0) && gil.expire(5));
        gil.forget(&'b');
        assert_eq!(gil.leave(), None);
        assert!(gil.ask(&'a', 5) && !gil.is_asked());
    }
}
