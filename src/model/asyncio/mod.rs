//! `asyncio`: real async tasks on a real tokio event loop on one OS thread.
//!
//! A wait frees the chef; a CPU step or a blocking wait keeps the loop, unless assistants take it (`to_thread`). Cancel
//! drops what waits and is heard by what computes. Overhead: one channel send per order, none per dish but its future.

mod chef;
mod house;
mod ticker;
mod turning;
mod turns;

use std::sync::Arc;

pub use house::HouseChef;
pub use ticker::Lag;

use super::gil::{self, Gil};
use super::run::Run;
use super::staff::Staff;
use super::{Demand, HoldsPlace, HouseSize, Model, ModelInfo, Shape};
use crate::domain::job::ErrorKind;
use crate::domain::limits;
use crate::domain::options::OptionInfo;
use crate::domain::spec::{Choice, Spec};

/// The model.
#[derive(Debug)]
pub struct Asyncio;

static INFO: ModelInfo = ModelInfo {
    name: "asyncio",
    summary: "Async tasks on one event loop on one thread: waits overlap, a CPU step blocks the loop.",
    options: &[
        OptionInfo {
            name: "chef",
            summary: "house: the shared event loop; own: a loop of one's own",
            words: &["house", "own"],
            counts: None,
            default: Choice::Word(0),
        },
        OptionInfo {
            name: "assistants",
            summary: "threads that take CPU steps and blocking waits off the loop: 0 for none, a number for a pool of \
                      one's own, house for the shared pool (the seed's to_thread)",
            words: &["house"],
            counts: Some(0..=limits::ASSISTANTS),
            default: Choice::Count(0),
        },
        gil::OPTION,
        gil::INTERVAL_OPTION,
    ],
    holds_place: HoldsPlace::UntilBegun,
    contains_faults: false,
};

const CHEF: usize = 0;
const ASSISTANTS: usize = 1;
const GIL: usize = 2;
const SWITCH_INTERVAL: usize = 3;

impl Model for Asyncio {
    fn info(&self) -> &'static ModelInfo {
        &INFO
    }

    fn demand(&self, spec: &Spec) -> Demand {
        let assistants = match spec.setup.0[ASSISTANTS] {
            Choice::Count(n) => n,
            _ => 0,
        };
        Demand { threads: assistants + u32::from(has_own_chef(spec)), children: 0 }
    }

    fn shape(&self, spec: &Spec, house: HouseSize) -> Shape {
        let workers = match spec.setup.0[ASSISTANTS] {
            Choice::Count(n) => n.max(1),
            _ => house.pool,
        };
        let computing = if self.gil(spec).is_some() { 1 } else { workers };
        Shape { workers, computing, waits_free: true, turns: is_alone(spec) }
    }

    /// A chef without assistants has nobody to compete with.
    fn gil(&self, spec: &Spec) -> Option<Arc<Gil>> {
        if is_alone(spec) { None } else { gil::of(spec, GIL, SWITCH_INTERVAL) }
    }

    fn start(&self, run: Arc<Run>, staff: &Arc<Staff>) {
        let house_pool = matches!(run.spec.setup.0[ASSISTANTS], Choice::Word(_)).then(|| staff.pool().clone());
        if !has_own_chef(&run.spec) {
            staff.chef().take(run, house_pool);
            return;
        }
        let (own, meter) = (run.clone(), staff.meter());
        let spawned =
            std::thread::Builder::new().name("own-chef".to_owned()).spawn(move || house::own(own, house_pool, meter));
        if let Err(error) = spawned {
            run.fail(ErrorKind::Spawn, format!("cannot start a thread: {error}"), None);
            run.finish();
        }
    }
}

/// Whether the loop does everything itself.
fn is_alone(spec: &Spec) -> bool {
    spec.setup.0[ASSISTANTS] == Choice::Count(0)
}

fn has_own_chef(spec: &Spec) -> bool {
    spec.setup.0[CHEF] != Choice::Word(0)
}
