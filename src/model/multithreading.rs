//! `multithreading`: OS threads of a blocking pool, in one kitchen.
//!
//! A wait waits on its thread and occupies it; work burns there, on as many cores as there are. Cancel is heard by the
//! thread in the middle of either. Overhead: a wake-up per hand-over in a pool, a thread start per step with `per_step`.

use std::sync::{Arc, mpsc};

use super::gil::{self, Gil};
use super::line_run::{LineRun, Taken};
use super::pool::{Pool, Task};
use super::run::{Run, Stepped};
use super::staff::Staff;
use super::tune::{self, Staffed};
use super::{Demand, HoldsPlace, HouseSize, Model, ModelInfo, Shape};
use crate::domain::job::ErrorKind;
use crate::domain::limits;
use crate::domain::options::OptionInfo;
use crate::domain::record::Outcome;
use crate::domain::spec::{Choice, Spec};

/// The model.
#[derive(Debug)]
pub struct Multithreading;

static INFO: ModelInfo = ModelInfo {
    name: "multithreading",
    summary: "OS threads of a blocking pool: a wait occupies its thread, CPU steps use every core.",
    options: &[
        OptionInfo {
            name: "chefs",
            summary: "house: the shared pool of min(32, cores + 4) threads; a number: a pool of one's own; per_step: a \
                      thread for each step, as the seed does",
            words: &["house", "per_step"],
            counts: Some(1..=limits::THREADS),
            default: Choice::Word(0),
        },
        gil::OPTION,
        gil::INTERVAL_OPTION,
    ],
    holds_place: HoldsPlace::UntilEnded,
    contains_faults: false,
};

const CHEFS: usize = 0;
const GIL: usize = 1;
const SWITCH_INTERVAL: usize = 2;

impl Model for Multithreading {
    fn info(&self) -> &'static ModelInfo {
        &INFO
    }

    fn demand(&self, spec: &Spec) -> Demand {
        let threads = match spec.setup.0[CHEFS] {
            Choice::Count(n) => n,
            Choice::Word(0) => 0,
            _ => spec.window().saturating_mul(spec.width()),
        };
        Demand { threads, children: 0 }
    }

    fn shape(&self, spec: &Spec, house: HouseSize) -> Shape {
        let workers = match spec.setup.0[CHEFS] {
            Choice::Count(n) => n,
            Choice::Word(0) => house.pool,
            _ => self.demand(spec).threads,
        };
        Shape {
            workers,
            computing: if self.gil(spec).is_some() { 1 } else { workers },
            waits_free: false,
            turns: false,
        }
    }

    fn gil(&self, spec: &Spec) -> Option<Arc<Gil>> {
        gil::of(spec, GIL, SWITCH_INTERVAL)
    }

    fn start(&self, run: Arc<Run>, staff: &Arc<Staff>) {
        let choice = run.spec.setup.0[CHEFS];
        let steps = run.spec.steps_total() as usize;
        let line = Arc::new(LineRun::new(run.clone()));
        let pool = match choice {
            Choice::Word(0) => staff.pool().clone(),
            Choice::Count(n) => Pool::full((n as usize).min(steps), "chef"),
            _ => return thread_per_step(line),
        };
        let hook = line.clone();
        if let Choice::Count(_) = choice {
            run.on_over({
                let pool = Arc::downgrade(&pool);
                move || {
                    if let Some(pool) = pool.upgrade() {
                        pool.close();
                    }
                }
            });
        }
        run.cancel.on_request(move || {
            hook.close();
        });
        pool.push(Task::Line(line.clone()));
        line.attend(move |line| pool.push(Task::Line(line)));
    }
}

/// A thread for each step, started as soon as the step is ready. The first starter is a thread of its own.
fn thread_per_step(line: Arc<LineRun>) {
    let hook = line.clone();
    line.run.cancel.on_request(move || {
        hook.close();
    });
    let starter = line.clone();
    let start = move || {
        start_ready(&starter);
        starter.attend(|line| start_ready(&line));
    };
    let spawned = std::thread::Builder::new().name("chef-starter".to_owned()).spawn(start);
    if let Err(error) = spawned {
        line.run.fail(ErrorKind::Spawn, format!("cannot start a thread: {error}"), None);
        line.close();
    }
}

/// Starts a thread for each step that is ready now. Under a GIL the starter needs the lock, too, and each start costs two
/// hand-overs, as `Thread.start` does: the new thread must have the lock to say that it has begun, and only then does the
/// starter queue for it again.
fn start_ready(line: &Arc<LineRun>) {
    let run = &line.run;
    while let Some(taken) = line.take() {
        gil::enter(run.gil.as_ref(), &run.cancel);
        let (begun, heard) = mpsc::channel();
        let chef = line.clone();
        let lane = usize::from(taken.at.step) + taken.at.dish as usize;
        let builder = std::thread::Builder::new().name("chef".to_owned()).stack_size(128 * 1024);
        if let Err(error) = builder.spawn(move || cook(&chef, lane, taken, begun)) {
            run.fail(ErrorKind::Spawn, format!("cannot start a thread: {error}"), Some(taken.at));
            let finished = run.elapsed();
            line.settle(lane, taken.at, Stepped { outcome: Outcome::Failed, finished });
        } else if run.gil.is_some() {
            gil::leave();
            // It says so by letting go of its end.
            let _ = heard.recv();
        }
    }
}

fn cook(line: &Arc<LineRun>, lane: usize, taken: Taken, begun: mpsc::Sender<()>) {
    tune::burner(Staffed::Own);
    gil::enter(line.run.gil.as_ref(), &line.run.cancel);
    drop(begun);
    let step = line.run.do_step(lane, taken.at, taken.ready);
    line.settle(lane, taken.at, step);
    start_ready(line);
}
