//! `sequential`, the baseline: one thread, one step after another, a wait is sat out.
//!
//! Waits wait on the thread, work burns on it, cancel is heard by either within 100 ms, the overhead is one hand-over to
//! a thread of the house's pool per order.

use std::sync::Arc;

use super::line_run::{After, LineRun};
use super::pool::Task;
use super::run::Run;
use super::staff::Staff;
use super::{Demand, HoldsPlace, HouseSize, Model, ModelInfo, Shape};
use crate::domain::spec::Spec;

/// The model.
#[derive(Debug)]
pub struct Sequential;

static INFO: ModelInfo = ModelInfo {
    name: "sequential",
    summary: "Baseline: one thread, one step after another; a wait is sat out.",
    options: &[],
    holds_place: HoldsPlace::UntilEnded,
    contains_faults: false,
};

impl Model for Sequential {
    fn info(&self) -> &'static ModelInfo {
        &INFO
    }

    fn demand(&self, _spec: &Spec) -> Demand {
        Demand::default()
    }

    fn shape(&self, _spec: &Spec, _house: HouseSize) -> Shape {
        Shape { workers: 1, computing: 1, waits_free: false, turns: false }
    }

    fn is_alone(&self) -> bool {
        true
    }

    fn start(&self, run: Arc<Run>, staff: &Arc<Staff>) {
        staff.pool().push(Task::Job(Box::new(move |lane| cook(LineRun::dish_by_dish(run), lane))));
    }
}

fn cook(line: LineRun, lane: usize) {
    loop {
        let (_, next_arrival) = line.arrive_due();
        let Some(taken) = line.take() else {
            if let Some(due) = next_arrival
                && !line.run.cancel.sleep_until(line.run.start() + due)
            {
                continue;
            }
            line.close();
            return;
        };
        let step = line.run.do_step(lane, taken.at, taken.ready);
        if line.settle(lane, taken.at, step) == After::Over {
            return;
        }
    }
}
