//! Who has the GIL, who waits for it, and when its holder is asked to let go: CPython's protocol as a state machine.
//!
//! After `take_gil` and `drop_gil` of `Python/ceval_gil.c`: whoever has waited a switch interval in which the lock did not
//! change hands asks the holder to drop it, and who dropped it on request does not get it back before another had it. One
//! thing is a model: those who wait are served first come, first served, where CPython leaves the choice to the kernel's
//! condition variables. Threads follow it (`src/model/gil.rs`) and so does the simulation (`src/sim/gil.rs`), a million
//! waiters at a time. It deliberately reads no clock.

use std::collections::{BTreeMap, VecDeque};

use super::Ns;
use super::record::GilUse;

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
    /// How many rounds of waiting end at which point of the interval: the next of them is found without a look at all.
    phases: BTreeMap<Ns, u32>,
    switched: Ns,
    /// When its holder had it.
    since: Ns,
    used: GilUse,
    due: Option<Ns>,
    asked: bool,
}

impl<T: Clone + PartialEq> Gil<T> {
    /// A free lock. `interval` is Python's `sys.setswitchinterval`.
    #[must_use]
    pub fn new(interval: Ns) -> Self {
        Self {
            interval,
            holder: None,
            last: None,
            queue: VecDeque::new(),
            phases: BTreeMap::new(),
            switched: 0,
            since: 0,
            used: GilUse::default(),
            due: None,
            asked: false,
        }
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
            self.begins(now);
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
        let first = self.queue.pop_front();
        self.ends(first.and_then(|waiter| waiter.since));
        self.took(who, now);
        true
    }

    fn took(&mut self, who: &T, now: Ns) {
        if self.last.as_ref() != Some(who) {
            self.last = Some(who.clone());
            self.switched = now;
            self.used.switches += 1;
            self.used.forced += u64::from(self.asked);
            // Nobody stands behind whoever was asked to drop it: until it is taken, others who come take it.
            if let Some(dropped) = self.queue.back_mut().filter(|waiter| waiter.since.is_none()) {
                dropped.since = Some(now);
                self.begins(now);
            }
        }
        self.holder = Some(who.clone());
        self.since = now;
        self.asked = false;
        self.due = self.next_due(now);
    }

    /// The first moment after `now` at which somebody's round of waiting ends that began after the last switch.
    fn next_due(&self, now: Ns) -> Option<Ns> {
        let earliest = (now + 1).max(self.switched + self.interval);
        let at = earliest % self.interval;
        let (next, _) = self.phases.range(at..).next().or_else(|| self.phases.first_key_value())?;
        Some(earliest + (next + self.interval - at) % self.interval)
    }

    /// Somebody's rounds of waiting begin.
    fn begins(&mut self, at: Ns) {
        *self.phases.entry(at % self.interval).or_default() += 1;
    }

    /// Somebody's rounds of waiting, if they had begun, end.
    fn ends(&mut self, since: Option<Ns>) {
        let Some(phase) = since.map(|since| since % self.interval) else { return };
        if let Some(many @ 2..) = self.phases.get_mut(&phase) {
            *many -= 1;
        } else {
            self.phases.remove(&phase);
        }
    }

    /// The holder lets go. Answers who is to be woken up.
    pub fn leave(&mut self, now: Ns) -> Option<&T> {
        if self.holder.take().is_some() {
            self.used.held += now.saturating_sub(self.since);
        }
        self.queue.front().map(|first| &first.who)
    }

    /// Somebody waits no longer. Answers who is to be woken up instead.
    pub fn forget(&mut self, who: &T) -> Option<&T> {
        let place = self.queue.iter().position(|waiter| waiter.who == *who);
        let gone = place.and_then(|place| self.queue.remove(place));
        self.ends(gone.and_then(|waiter| waiter.since));
        if self.holder.is_some() { None } else { self.queue.front().map(|first| &first.who) }
    }

    /// Who has it.
    #[must_use]
    pub fn holder(&self) -> Option<&T> {
        self.holder.as_ref()
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

    /// What has become of it until now.
    #[must_use]
    pub fn used(&self, now: Ns) -> GilUse {
        let holding = if self.holder.is_some() { now.saturating_sub(self.since) } else { 0 };
        GilUse { held: self.used.held + holding, ..self.used }
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
        let first = *gil.leave(due).unwrap();
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
        let used = gil.used(23);
        assert_eq!(
            (used.switches, used.forced, used.held),
            (5, 4, 23),
            "the first had it free, and somebody always had it"
        );
    }

    #[test]
    fn who_comes_back_from_a_wait_waits_an_interval_for_each_burner() {
        let mut gil = Gil::new(INTERVAL);
        assert!(gil.ask(&'a', 0) && !gil.ask(&'b', 0) && !gil.ask(&'t', 2));
        switch(&mut gil, 'a');
        let woken = switch(&mut gil, 'b');
        assert_eq!(woken, 10, "{gil:?}");
        // It lets go by itself: the first of the queue has it, and nobody has been waiting a whole interval since.
        assert_eq!(gil.leave(11), Some(&'a'));
        assert!(gil.take(&'a', 11));
        assert_eq!(gil.due(), Some(20), "b's rounds end at 15 and 20, and the one from 10 to 15 saw a switch");
    }

    #[test]
    fn a_switch_in_between_starts_the_interval_again() {
        let mut gil = Gil::new(INTERVAL);
        assert!(gil.ask(&'a', 0) && !gil.ask(&'b', 1) && !gil.ask(&'c', 3));
        assert_eq!(gil.leave(4), Some(&'b'));
        assert!(gil.take(&'b', 4));
        assert_eq!(gil.due(), Some(13), "c's first round, 3 to 8, saw a switch; its second ends at 13");
        assert!(!gil.expire(12) && gil.expire(13));
    }

    #[test]
    fn a_free_lock_goes_to_whoever_comes_first_and_the_queue_keeps_its_order() {
        let mut gil = Gil::new(INTERVAL);
        assert!(gil.ask(&'a', 0) && !gil.ask(&'b', 1));
        assert_eq!(gil.leave(2), Some(&'b'));
        assert!(gil.ask(&'a', 2), "it let go by itself and is back before b woke up");
        assert_eq!(gil.used(2).switches, 1);
        assert!(!gil.take(&'b', 3));
        assert_eq!(gil.due(), Some(6), "nothing has changed hands, so b's round goes on");
        assert_eq!(gil.leave(3), Some(&'b'));
        assert_eq!(gil.forget(&'b'), None);
        assert!(gil.ask(&'c', 4));
    }

    #[test]
    fn with_nobody_left_to_have_it_the_dropper_goes_on() {
        let mut gil = Gil::new(INTERVAL);
        assert!(gil.ask(&'a', 0) && !gil.ask(&'b', 0) && gil.expire(5));
        gil.forget(&'b');
        assert_eq!(gil.leave(5), None);
        assert!(gil.ask(&'a', 5) && !gil.is_asked());
    }

    /// The same moment as [`Gil::next_due`], by a look at all who wait.
    fn looked_up(gil: &Gil<u64>, now: Ns) -> Option<Ns> {
        let earliest = (now + 1).max(gil.switched + INTERVAL);
        let end = |since: Ns| since + earliest.saturating_sub(since).div_ceil(INTERVAL).max(1) * INTERVAL;
        gil.queue.iter().filter_map(|waiter| waiter.since).map(end).min()
    }

    #[test]
    fn in_any_schedule_nobody_is_passed_over_and_the_next_moment_is_the_one_found_by_looking_at_all() {
        for seed in 0..2_000 {
            let mut gil = Gil::new(INTERVAL);
            let (mut now, mut waits) = (0, Vec::new());
            for turn in 0..60 {
                let draw = |of: u64| crate::domain::draw::bits(seed, turn, 0) % of;
                now += draw(4);
                let (due, who) = (gil.due().filter(|due| *due <= now), draw(7 * 5) / 5);
                if due.is_some() && gil.expire(now) {
                    let holder = *gil.holder().unwrap();
                    assert_eq!(gil.leave(now).copied(), waits.first().copied());
                    assert!(!gil.ask(&holder, now), "asked to drop it, and has it back: {gil:?}");
                    waits.push(holder);
                } else if gil.holder() == Some(&who) {
                    assert_eq!(gil.leave(now).copied(), waits.first().copied());
                } else if waits.contains(&who) {
                    let first_and_free = gil.holder().is_none() && waits[0] == who;
                    assert_eq!(gil.take(&who, now), first_and_free, "{gil:?}");
                    waits.retain(|waiter| !(first_and_free && *waiter == who));
                } else if !gil.ask(&who, now) {
                    waits.push(who);
                }
                assert!(gil.waiting().eq(&waits), "{gil:?}, not {waits:?}");
                assert_eq!(gil.next_due(now), looked_up(&gil, now), "{gil:?} at {now}");
            }
        }
    }
}
