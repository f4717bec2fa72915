//! The order of work: which step may start next. Pure: the executors of all models share it.
//!
//! Dishes start in order; steps that become ready queue up behind those that were ready before (FIFO). A failed step
//! fails its dish: what has not started of it never does. It deliberately reads no clock and runs nothing.

use std::collections::VecDeque;

use super::Ns;
use super::recipe::StepRef;
use super::spec::Spec;

#[derive(Clone, Copy, Debug, Default)]
struct Dish {
    done: u128,
    running: u8,
    failed: bool,
}

/// The steps of an order that are ready, running and done.
#[derive(Debug)]
pub struct Line {
    before: Box<[u128]>,
    first_dish: u32,
    stride: u32,
    dishes: u32,
    /// Dishes in progress at once, at most.
    window: u32,
    /// Dishes whose first steps are ready from the start: the window, or none if dishes arrive by the clock.
    initial: u32,
    /// Dishes that have arrived, and how many of those have begun: only if dishes arrive by the clock.
    arrived: u32,
    admitted: u32,
    /// Of those, how many were handed out. The rest stand in no queue: this number stands for them.
    begun: u32,
    /// Dishes over; each lets one dish beyond the window begin.
    ended: u32,
    running: u32,
    closed: bool,
    /// First steps of the dish begun last.
    first: VecDeque<(StepRef, Ns)>,
    /// Steps that became ready later, in that order.
    ready: VecDeque<(StepRef, Ns)>,
    state: Vec<Dish>,
}

impl Line {
    /// The line of an order, nothing begun.
    #[must_use]
    pub fn new(spec: &Spec) -> Self {
        let before = (0..spec.recipe.steps.len()).map(|i| spec.recipe.before(i, spec.step_order)).collect();
        Self {
            before,
            first_dish: spec.first_dish,
            stride: spec.stride,
            dishes: spec.dishes,
            window: spec.window(),
            initial: if spec.arrivals.is_some() { 0 } else { spec.window() },
            arrived: 0,
            admitted: 0,
            begun: 0,
            ended: 0,
            running: 0,
            closed: false,
            first: VecDeque::new(),
            ready: VecDeque::new(),
            state: Vec::new(),
        }
    }

    /// Takes the step that has been ready longest, and since when; its executor must report it with [`Self::done`].
    pub fn next(&mut self) -> Option<(StepRef, Ns)> {
        while !self.closed {
            if self.first.is_empty() && self.begun < self.initial {
                let dish = self.begin(self.begun, 0);
                self.begun += 1;
                self.first.extend(dish);
            }
            let (at, since) = self.first.pop_front().or_else(|| self.ready.pop_front())?;
            let dish = &mut self.state[((at.dish - self.first_dish) / self.stride) as usize];
            if !dish.failed {
                dish.running += 1;
                self.running += 1;
                return Some((at, since));
            }
        }
        None
    }

    /// Whether [`Self::next`] would look at a step.
    #[must_use]
    pub fn has_next(&self) -> bool {
        !self.closed && (self.begun < self.initial || !self.first.is_empty() || !self.ready.is_empty())
    }

    /// The first steps of the dish at this position.
    fn begin(&mut self, position: u32, now: Ns) -> Vec<(StepRef, Ns)> {
        if self.state.len() <= position as usize {
            self.state.resize_with(position as usize + 1, Dish::default);
        }
        let dish = self.first_dish + position * self.stride;
        let roots = self.before.iter().enumerate().filter(|(_, before)| **before == 0);
        roots.map(|(i, _)| (StepRef { dish, step: i as u16 }, now)).collect()
    }

    /// Reports that a step [`Self::next`] gave is over at `now`, an offset of the run. Answers whether its dish is over, and how.
    pub fn done(&mut self, at: StepRef, succeeded: bool, now: Ns) -> Option<DishEnd> {
        let dish = &mut self.state[((at.dish - self.first_dish) / self.stride) as usize];
        dish.running -= 1;
        self.running -= 1;
        dish.failed |= !succeeded;
        dish.done |= 1 << at.step;
        if !dish.failed {
            for (i, before) in self.before.iter().enumerate() {
                let waits_for_this = before >> at.step & 1 == 1;
                if waits_for_this && before & !dish.done == 0 {
                    self.ready.push_back((StepRef { dish: at.dish, step: i as u16 }, now));
                }
            }
        }
        let complete = dish.done.count_ones() as usize == self.before.len();
        if dish.running == 0 && (dish.failed || complete) {
            let end = DishEnd { succeeded: !dish.failed };
            let beyond = self.initial + self.ended;
            self.ended += 1;
            if self.initial == 0 {
                self.admit(now);
            } else if beyond < self.dishes {
                let next = self.begin(beyond, now);
                self.ready.extend(next);
            }
            return Some(end);
        }
        None
    }

    /// The next dish has arrived, then.
    pub fn arrive(&mut self, then: Ns) {
        self.arrived += 1;
        self.admit(then);
    }

    /// Dishes that have arrived so far, where dishes arrive by the clock.
    #[must_use]
    pub fn arrived(&self) -> u32 {
        self.arrived
    }

    /// Lets dishes that have arrived begin while there is room in the window.
    fn admit(&mut self, now: Ns) {
        while self.admitted < self.arrived.min(self.window.saturating_add(self.ended)) {
            let dish = self.begin(self.admitted, now);
            self.admitted += 1;
            self.ready.extend(dish);
        }
    }

    /// Gives out no further step (cancel, timeout).
    pub fn close(&mut self) {
        self.closed = true;
    }

    /// Whether nothing is running and nothing will.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.running == 0 && (self.closed || self.ended == self.dishes)
    }
}

/// How a dish ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DishEnd {
    /// All its steps succeeded.
    pub succeeded: bool,
}

#[cfg(test)]
mod tests {
    use super::super::arrivals::{Arrivals, Process};
    use super::super::menu;
    use super::*;

    fn drain(line: &mut Line, width: usize) -> Vec<(u32, u16)> {
        let (mut running, mut seen) = (VecDeque::new(), Vec::new());
        while !line.is_over() {
            while running.len() < width
                && let Some((at, _)) = line.next()
            {
                seen.push((at.dish, at.step));
                running.push_back(at);
            }
            let oldest = running.pop_front().unwrap();
            line.done(oldest, true, 7);
        }
        seen
    }

    #[test]
    fn steps_that_became_ready_later_queue_behind_dishes_that_were_ready_before() {
        let spec = menu::example("pasta-fasta", 3);
        let seen = drain(&mut Line::new(&spec), 1);
        assert_eq!(seen, [(1, 0), (2, 0), (3, 0), (1, 1), (2, 1), (3, 1), (1, 2), (2, 2), (3, 2)]);
    }

    #[test]
    fn a_window_lets_the_next_dish_begin_when_one_is_over() {
        let spec = Spec { max_in_flight: Some(2), ..menu::example("pasta-fasta", 4) };
        let seen = drain(&mut Line::new(&spec), 8);
        assert_eq!(&seen[..2], [(1, 0), (2, 0)]);
        let third = seen.iter().position(|s| s.0 == 3).unwrap();
        assert!(seen[..third].contains(&(1, 2)), "dish 3 began before dish 1 was over: {seen:?}");
        assert_eq!(seen.len(), 12);
    }

    #[test]
    fn dishes_that_arrive_by_the_clock_queue_up_as_they_come_and_keep_to_the_window() {
        let arrivals = Some(Box::new(Arrivals::new(10, Process::Uniform)));
        let mut line = Line::new(&Spec { max_in_flight: Some(2), arrivals, ..menu::example("chopping", 3) });
        let chop = |dish| StepRef { dish, step: 0 };
        assert!(!line.has_next() && !line.is_over());
        line.arrive(0);
        line.arrive(100);
        line.arrive(200);
        assert_eq!([line.next(), line.next(), line.next()], [Some((chop(1), 0)), Some((chop(2), 100)), None]);
        line.done(chop(1), true, 250);
        assert_eq!(line.next(), Some((chop(3), 250)));
        line.done(chop(2), true, 260);
        line.done(chop(3), true, 300);
        assert!(line.is_over());
    }

    #[test]
    fn a_failed_step_skips_the_rest_of_its_dish_alone() {
        let mut line = Line::new(&menu::example("pasta-fasta", 2));
        let (a, b) = (line.next().unwrap().0, line.next().unwrap().0);
        assert_eq!(line.done(a, false, 5), Some(DishEnd { succeeded: false }));
        assert_eq!(line.done(b, true, 6), None);
        assert_eq!(line.next(), Some((StepRef { dish: 2, step: 1 }, 6)));
        assert!(!line.has_next() && !line.is_over());
    }
}
