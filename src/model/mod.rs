//! How steps are run: one row per concurrency model, and what all of them share.
//!
//! Models differ only in HOW steps run; the work ([`work`]), the books ([`recorder`]) and the order of steps
//! ([`crate::domain::line`]) are the same code for all. A model never sees HTTP, the store or another order.

pub mod asyncio;
pub mod cancel;
pub mod compute;
pub mod counter;
pub mod equipment;
pub mod exchange;
pub mod gil;
pub mod line_run;
pub mod multiprocessing;
pub mod multithreading;
pub mod pool;
pub mod recorder;
pub mod run;
pub mod sequential;
pub mod staff;
pub mod stamp;
pub mod tune;
pub mod work;

use std::sync::Arc;

use crate::domain::options::OptionInfo;
use crate::domain::resolve::ModelRow;
use crate::domain::spec::{Isolation, ModelId, Spec};
use gil::Gil;
use run::Run;
use staff::Staff;

/// What a model says of itself.
#[derive(Debug)]
pub struct ModelInfo {
    /// Name on the wire.
    pub name: &'static str,
    /// One sentence.
    pub summary: &'static str,
    /// What `setup` may say.
    pub options: &'static [OptionInfo],
    /// How long an order cooked by the house's staff holds its place in the line before it.
    pub holds_place: HoldsPlace,
    /// Whether each step runs in a process that may die without harm.
    pub contains_faults: bool,
}

/// When the next order of the same client may be handed to the house's staff of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HoldsPlace {
    /// As soon as this one has begun: a loop holds any number that wait.
    UntilBegun,
    /// When this one has ended: what has begun takes turns with it.
    UntilEnded,
}

/// Own staff an order needs for its whole run, beyond the house's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Demand {
    /// Threads of the service's process.
    pub threads: u32,
    /// Child processes.
    pub children: u32,
}

/// The sizes of the house's own staff.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HouseSize {
    /// Threads of its pool.
    pub pool: u32,
    /// Its kitchens.
    pub kitchens: u32,
}

/// How the steps of an order share workers: what planning needs to know of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Steps that can be in hand at the same time.
    pub workers: u32,
    /// Of these, how many can compute at the same time, cores aside.
    pub computing: u32,
    /// Whether a `wait` leaves its worker free.
    pub waits_free: bool,
    /// Whether that worker does the CPU steps, too, and turns to others while one of them waits for equipment or lets go.
    pub turns: bool,
}

/// A concurrency model.
pub trait Model: Sync {
    /// What it says of itself.
    fn info(&self) -> &'static ModelInfo;

    /// Own staff this order needs.
    fn demand(&self, spec: &Spec) -> Demand;

    /// How this order's steps share workers. Comparisons bound what they extend by it.
    fn shape(&self, spec: &Spec, house: HouseSize) -> Shape;

    /// The lock that the threads of this order compete for in this process, if it asked for one.
    fn gil(&self, _spec: &Spec) -> Option<Arc<Gil>> {
        None
    }

    /// Whether its chef is the only one of the kitchen, with nobody to hand things to.
    fn is_alone(&self) -> bool {
        false
    }

    /// Hands the run to its executor and returns at once. The run's staff is leased; the model must call
    /// [`Run::finish`] when every step it began is recorded, also after a cancel, which it must hear within 100 ms (a
    /// child process: 250 ms).
    fn start(&self, run: Arc<Run>, staff: &Arc<Staff>);
}

/// The models. A new one is a file beside these and a row here.
pub static ALL: &[&dyn Model] =
    &[&sequential::Sequential, &asyncio::Asyncio, &multithreading::Multithreading, &multiprocessing::Multiprocessing];

/// The model of this id.
#[must_use]
pub fn get(id: ModelId) -> &'static dyn Model {
    ALL[usize::from(id.0)]
}

/// The table as far as resolving an order needs it.
#[must_use]
pub fn rows() -> Vec<ModelRow> {
    let row = |(i, model): (usize, &&dyn Model)| {
        let info = model.info();
        ModelRow { id: ModelId(i as u8), name: info.name, options: info.options, contains_faults: info.contains_faults }
    };
    ALL.iter().enumerate().map(row).collect()
}

/// Own staff an order needs, its isolation included.
#[must_use]
pub fn demand(spec: &Spec) -> Demand {
    let inner = get(spec.model).demand(spec);
    match spec.isolation {
        Isolation::House => inner,
        Isolation::Kitchen => Demand { children: inner.children.saturating_add(1), ..inner },
    }
}

/// Starts a run where its order wants it.
pub fn start(run: Arc<Run>, staff: &Arc<Staff>) {
    match run.spec.isolation {
        Isolation::House => get(run.spec.model).start(run, staff),
        Isolation::Kitchen => multiprocessing::isolate(run, staff),
    }
}
