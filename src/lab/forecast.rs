//! From an order to its forecast: what its model and setup mean for the simulator, on a machine whose costs were measured.
//!
//! Pure and fast. It deliberately has no figure of its own: costs are the calibration's, the order of events is
//! [`crate::sim`]'s.

use super::calibration::Calibration;
use super::plan::Machine;
use crate::domain::spec::{Choice, Isolation, Spec};
use crate::model::{self, HouseSize};
use crate::sim::{self, Channel, Crew, Forecast, Inside, Plan};

/// What this order would do on so many cores of this machine.
#[must_use]
pub fn of(spec: &Spec, calibration: &Calibration, cores: f64) -> Forecast {
    on(spec, calibration, Machine { cores, house: calibration.house })
}

/// The same for a machine whose house has staff of another size.
#[must_use]
pub fn on(spec: &Spec, calibration: &Calibration, machine: Machine) -> Forecast {
    sim::run(spec, plan(spec, machine.house), &calibration.costs, &calibration.supply(machine.cores))
}

/// What is chosen for an option, by the name it has in its model's table.
fn chosen(spec: &Spec, name: &str) -> Option<Choice> {
    let options = model::get(spec.model).info().options;
    options.iter().position(|option| option.name == name).map(|i| spec.setup.0[i])
}

/// The word chosen for an option.
fn word(spec: &Spec, name: &str) -> Option<&'static str> {
    let options = model::get(spec.model).info().options;
    let i = options.iter().position(|option| option.name == name)?;
    match spec.setup.0[i] {
        Choice::Word(word) => options[i].words.get(usize::from(word)).copied(),
        _ => None,
    }
}

/// What the simulator has to know of an order's model and setup.
#[must_use]
pub fn plan(spec: &Spec, house: HouseSize) -> Plan {
    let crew = match model::get(spec.model).info().name {
        "asyncio" => asyncio(spec, house),
        "multithreading" => multithreading(spec, house),
        "multiprocessing" => multiprocessing(spec, house),
        // What is neither of them is foreseen as the baseline.
        _ => Crew::Sequential,
    };
    let gil = match (chosen(spec, "gil"), chosen(spec, "switch_interval_us")) {
        // A loop alone has nobody to share it with.
        _ if crew == (Crew::Loop { assistants: 0 }) => None,
        (Some(Choice::Truth(true)), Some(Choice::Count(us))) => Some(u64::from(us) * 1_000),
        _ => None,
    };
    let channel = match (crew, word(spec, "channel")) {
        (Crew::Kitchens { inside: Inside::Steps, .. }, Some("shared_memory")) => Channel::Memory,
        (Crew::Kitchens { inside: Inside::Steps, .. }, _) => Channel::Pipe,
        // Chefs inside one kitchen hand things over in its memory.
        _ => Channel::Move,
    };
    Plan { crew, gil, channel }
}

fn asyncio(spec: &Spec, house: HouseSize) -> Crew {
    let assistants = match chosen(spec, "assistants") {
        Some(Choice::Count(n)) => n,
        Some(Choice::Word(_)) => house.pool,
        _ => 0,
    };
    Crew::Loop { assistants }
}

fn steps(spec: &Spec) -> u32 {
    spec.steps_total().min(u64::from(u32::MAX)) as u32
}

fn multithreading(spec: &Spec, house: HouseSize) -> Crew {
    match chosen(spec, "chefs") {
        Some(Choice::Count(n)) => Crew::Pool { threads: n.min(steps(spec)), at_once: true },
        _ if word(spec, "chefs") == Some("per_step") => Crew::ThreadPerStep,
        _ => Crew::Pool { threads: house.pool, at_once: false },
    }
}

fn multiprocessing(spec: &Spec, house: HouseSize) -> Crew {
    let inside = match word(spec, "inside") {
        Some("asyncio") => Inside::Loop,
        Some("threads") => Inside::Pool(house.pool),
        _ => Inside::Steps,
    };
    let units = if inside == Inside::Steps { steps(spec) } else { spec.dishes };
    let prewarmed = word(spec, "start") == Some("prewarmed");
    let (count, one_use, up) = match chosen(spec, "kitchens") {
        Some(Choice::Count(n)) => (n, false, prewarmed),
        _ if word(spec, "kitchens") == Some("per_step") => {
            (model::get(spec.model).demand(spec).children, true, prewarmed)
        }
        // The house's own are up, unless the order has a house to itself that was opened for it.
        _ => (house.kitchens, false, spec.isolation == Isolation::House),
    };
    Crew::Kitchens { count: count.min(units), one_use, inside, up }
}
