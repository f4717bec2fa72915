//! `multiprocessing`: child processes, this binary re-executed, each a kitchen with its own address space.
//!
//! A wait occupies its kitchen and work burns in it; with `inside` a kitchen takes whole dishes and runs them on its own
//! loop or threads. Cancel ends the kitchens that work for the order (a process cannot be asked). Overhead: a process
//! start per kitchen, two pipe messages per step.

mod bounds;
mod brigade;
pub mod child;
mod confine;
mod death;
mod frames;
#[doc(hidden)]
pub mod fuzzing;
mod hands;
mod kitchen;
mod lending;
mod oom;
mod pass;
mod post;
mod ring;
mod shares;
mod ticket;
mod trouble;
mod watch;

use std::sync::Arc;

pub use brigade::Brigade;
pub use pass::Pass;

use self::shares::Shares;
use self::ticket::Ticket;
use super::gil;
use super::line_run::LineRun;
use super::run::Run;
use super::staff::Staff;
use super::tune::Staffed;
use super::{Demand, HoldsPlace, HouseSize, Model, ModelInfo, Shape};
use crate::domain::limits;
use crate::domain::options::OptionInfo;
use crate::domain::spec::{Choice, Isolation, ModelId, Setup, Spec};

/// Descriptors that staff of its own needs of the process that has it, at most.
#[must_use]
pub fn descriptors(staff: Demand) -> u64 {
    bounds::descriptors(staff.threads.into(), staff.children.into())
}

/// The model.
#[derive(Debug)]
pub struct Multiprocessing;

static INFO: ModelInfo = ModelInfo {
    name: "multiprocessing",
    summary: "Child processes, each a kitchen of its own: true parallelism, start and message costs.",
    options: &[
        OptionInfo {
            name: "kitchens",
            summary: "house: the shared pool of one process per core; a number: processes of one's own; per_step: a \
                      process for each step (or dish, with inside), as the seed does",
            words: &["house", "per_step"],
            counts: Some(1..=limits::CHILDREN),
            default: Choice::Word(0),
        },
        OptionInfo {
            name: "inside",
            summary: "steps: a kitchen takes the next ready step; asyncio, threads: it takes whole dishes and runs them \
                      on its own loop or threads, as uvicorn and gunicorn workers do",
            words: &["steps", "asyncio", "threads"],
            counts: None,
            default: Choice::Word(0),
        },
        OptionInfo {
            name: "start",
            summary: "spawn: kitchens start while the clock runs; prewarmed: they are up before it starts",
            words: &["spawn", "prewarmed"],
            counts: None,
            default: Choice::Word(0),
        },
        gil::OPTION,
        gil::INTERVAL_OPTION,
        OptionInfo {
            name: "channel",
            summary: "what an exchange between kitchens goes through; chefs inside one kitchen hand things over in its \
                      own memory",
            words: &["pipe", "shared_memory"],
            counts: None,
            default: Choice::Word(0),
        },
    ],
    holds_place: HoldsPlace::UntilEnded,
    contains_faults: true,
};

const KITCHENS: usize = 0;
const INSIDE: usize = 1;
const START: usize = 2;
const CHANNEL: usize = 5;

impl Model for Multiprocessing {
    fn info(&self) -> &'static ModelInfo {
        &INFO
    }

    fn demand(&self, spec: &Spec) -> Demand {
        let children = match spec.setup.0[KITCHENS] {
            Choice::Count(n) => n,
            Choice::Word(0) => 0,
            _ => spec.window().saturating_mul(if inside(spec).is_some() { 1 } else { spec.width() }),
        };
        Demand { threads: 0, children }
    }

    fn shape(&self, spec: &Spec, house: HouseSize) -> Shape {
        let kitchens = match spec.setup.0[KITCHENS] {
            Choice::Count(n) => n,
            Choice::Word(0) => house.kitchens,
            _ => self.demand(spec).children,
        };
        match inside(spec) {
            None => Shape { workers: kitchens, computing: kitchens, waits_free: false, turns: false },
            Some(inner) => {
                let each = super::get(inner.model).shape(&inner, house);
                let all = |each: u32| kitchens.saturating_mul(each);
                Shape { workers: all(each.workers), computing: all(each.computing), ..each }
            }
        }
    }

    fn start(&self, run: Arc<Run>, staff: &Arc<Staff>) {
        let spec = &run.spec;
        let units = match inside(spec) {
            None => spec.steps_total() as usize,
            Some(_) => spec.dishes as usize,
        };
        let (size, brigade) = match spec.setup.0[KITCHENS] {
            Choice::Word(0) => (staff.config.cores, staff.brigade().clone()),
            Choice::Count(n) => {
                let size = (n as usize).min(units);
                (size, Brigade::new(staff.pass().clone(), size, false, Staffed::Own))
            }
            _ => {
                let size = (self.demand(spec).children as usize).min(units);
                (size, Brigade::new(staff.pass().clone(), size, true, Staffed::Own))
            }
        };
        let ticket = match inside(spec) {
            None => Ticket::Line(Arc::new(LineRun::new(run.clone()))),
            Some(inner) => Ticket::Shares(Shares::new(run.clone(), &inner, size as u32)),
        };
        let own = spec.setup.0[KITCHENS] != Choice::Word(0);
        let prewarm = own && spec.setup.0[START] != Choice::Word(0);
        launch(&run, &brigade, ticket, own, prewarm.then_some(size));
    }
}

/// Cooks a whole order in a kitchen of its own, whatever its model.
pub fn isolate(run: Arc<Run>, staff: &Arc<Staff>) {
    let brigade = Brigade::new(staff.pass().clone(), 1, true, Staffed::Own);
    let inner = Spec { isolation: Isolation::House, ..(*run.spec).clone() };
    let ticket = Ticket::Shares(Shares::new(run.clone(), &inner, 1));
    // The clock starts when the kitchen is up: what isolation costs is not what the model costs.
    launch(&run, &brigade, ticket, true, Some(1));
}

fn launch(run: &Arc<Run>, brigade: &Arc<Brigade>, ticket: Ticket, own: bool, prewarm: Option<usize>) {
    // Before the wish to stop is listened to: it may have been uttered already, and then the run is over right there.
    if own {
        let brigade = brigade.clone();
        run.on_over(move || brigade.close());
    }
    let (stop, stopped) = (brigade.clone(), Arc::downgrade(run));
    let hook = ticket.again();
    run.cancel.on_request(move || {
        hook.close();
        if let Some(run) = stopped.upgrade() {
            stop.stop(&run);
        }
    });
    match prewarm {
        None => brigade.push(ticket),
        Some(n) => brigade.prewarm(n, ticket),
    }
}

/// The order as each kitchen sees it, if kitchens take whole dishes.
fn inside(spec: &Spec) -> Option<Spec> {
    let model = match spec.setup.0[INSIDE] {
        Choice::Word(1) => "asyncio",
        Choice::Word(2) => "multithreading",
        _ => return None,
    };
    let id = super::ALL.iter().position(|m| m.info().name == model)?;
    let mut setup = Setup([Choice::Word(0); crate::domain::spec::OPTIONS]);
    for (slot, option) in setup.0.iter_mut().zip(super::ALL[id].info().options) {
        // What both models have (the GIL) holds inside, too.
        let same = INFO.options.iter().position(|ours| ours.name == option.name);
        *slot = same.map_or(option.default, |at| spec.setup.0[at]);
    }
    Some(Spec { model: ModelId(id as u8), setup, isolation: Isolation::House, ..spec.clone() })
}
