//! Forecasts of a whole line-up: each entry simulated, best first, with the point where processes begin to pay.
//!
//! It deliberately cooks nothing, and keeps nothing: whoever asks again gets the same answer.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, oneshot};

use super::calibrate::calibrate;
use super::calibration::{Calibration, Calibrations};
use super::comparison::LineUp;
use super::feasible::Limits;
use super::forecast;
use super::line_up::{self, Candidate, Family};
use super::objective::Objective;
use super::plan::Machine;
use crate::domain::ask::OrderAsk;
use crate::domain::limits;
use crate::domain::resolve::Violation;
use crate::domain::spec::Spec;
use crate::kitchen::Kitchen;
use crate::model::tune::{self, Staffed};
use crate::sim::Forecast;

/// Forecasts made at once; each is one thread that computes.
const AT_ONCE: usize = 2;

/// What is asked.
#[derive(Clone, Debug)]
pub struct Question {
    /// The order, without its model.
    pub work: OrderAsk,
    /// Who is foreseen.
    pub line_up: LineUp,
    /// Cores of another machine; this one's if absent.
    pub cores: Option<u32>,
    /// What is best.
    pub objective: Objective,
}

/// One entry's forecast.
#[derive(Clone, Debug)]
pub struct Entry {
    /// What it is called.
    pub name: String,
    /// The order.
    pub spec: Spec,
    /// What it would do.
    pub forecast: Forecast,
    /// The limit it breaks.
    pub breaks: Option<String>,
}

/// The answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The machine it is about.
    pub machine: Machine,
    /// What it was foreseen with.
    pub calibration: Calibration,
    /// What was best.
    pub objective: Objective,
    /// Best first, those that are feasible before the others.
    pub entries: Vec<Entry>,
    /// Milliseconds of CPU of a dish from which on a process for it pays, against one chef: the start of a process divided
    /// among one core less than there are; none on one core.
    pub crossover_ms: Option<f64>,
}

/// Where forecasts are made.
pub struct Forecasts {
    kitchen: Arc<Kitchen>,
    /// What this machine costs.
    pub calibrations: Calibrations,
    limits: Limits,
    turns: Arc<Semaphore>,
    calibrating: tokio::sync::Mutex<()>,
}

impl Forecasts {
    /// With the costs that are kept in this folder, or assumed ones.
    #[must_use]
    pub fn new(kitchen: Arc<Kitchen>, folder: Option<PathBuf>) -> Arc<Self> {
        let calibrations = Calibrations::new(kitchen.staff.house(), folder);
        let limits = Limits::read(kitchen.config.budget);
        Arc::new(Self {
            kitchen,
            calibrations,
            limits,
            turns: Arc::new(Semaphore::new(AT_ONCE)),
            calibrating: tokio::sync::Mutex::default(),
        })
    }

    /// Measures this machine, one at a time; forecasts rest on it from now on. Without an end within `at_most` (once the house
    /// is empty) nothing changes.
    pub async fn calibrate(&self, at_most: Duration) -> Result<Calibration, String> {
        let _turn = self.calibrating.try_lock().map_err(|_| "a calibration is being made".to_owned())?;
        let calibration = calibrate(&self.kitchen, self.calibrations.last(), at_most).await?;
        self.calibrations.replace(&calibration);
        Ok(calibration)
    }

    /// The orders of a question, or what is wrong with it. `bad` is what was wrong before.
    pub fn orders(&self, question: &Question, mut bad: Vec<Violation>) -> Result<Vec<Spec>, Vec<Violation>> {
        let dishes = question.work.dishes.unwrap_or(1);
        if !(1..=limits::FORECAST_DISHES).contains(&dishes) {
            bad.push(Violation::new("/work/dishes", format!("must be from 1 to {}", limits::FORECAST_DISHES)));
        }
        let mut specs = Vec::new();
        let dishes = dishes.min(limits::FORECAST_DISHES) as u32;
        for (i, candidate) in self.candidates(question, dishes).iter().enumerate() {
            match self.resolve(&question.work, candidate, dishes) {
                Ok(spec) => specs.push(spec),
                Err(found) => bad.extend(line_up::relocate(found, i)),
            }
        }
        let steps: u64 = specs.iter().map(Spec::steps_total).sum();
        if steps > limits::FORECAST_STEPS {
            let detail = format!("at most {} steps are simulated, these entries have {steps}", limits::FORECAST_STEPS);
            bad.push(Violation::new("/work/dishes", detail));
        }
        let mut seen = std::collections::HashSet::new();
        bad.retain(|violation| seen.insert(violation.pointer.clone()));
        if bad.is_empty() { Ok(specs) } else { Err(bad) }
    }

    fn candidates(&self, question: &Question, dishes: u32) -> Vec<Candidate> {
        let own = self.kitchen.config.staff.cores as u64;
        let cores = question.cores.map_or(own, u64::from);
        match &question.line_up {
            LineUp::Of(candidates) => candidates.clone(),
            LineUp::Default => line_up::default(cores),
            LineUp::Sweep => {
                let members = |family: Family| {
                    let sizes = line_up::sizes(cores, family.largest(dishes));
                    // A family of one has one member, whatever the cores.
                    let sizes = if family == Family::Asyncio { vec![0] } else { sizes };
                    sizes.into_iter().map(move |size| family.member(size))
                };
                Family::ALL.into_iter().flat_map(members).collect()
            }
        }
    }

    /// An order above the limits of real orders is one dish of it, multiplied.
    fn resolve(&self, work: &OrderAsk, candidate: &Candidate, dishes: u32) -> Result<Spec, Vec<Violation>> {
        let ask = OrderAsk {
            model: Some(candidate.model.clone()),
            setup: Some(candidate.setup.clone()),
            isolation: Some("kitchen".to_owned()),
            seed: Some(work.seed.unwrap_or(1)),
            dishes: Some(1),
            ..work.clone()
        };
        Ok(Spec { dishes, ..self.kitchen.resolve(ask)? })
    }

    /// Simulates them, on a thread of its own; others wait for their turn meanwhile.
    pub async fn foresee(self: &Arc<Self>, question: Question, specs: Vec<Spec>) -> Option<Answer> {
        let turn = self.turns.clone().acquire_owned().await.ok()?;
        let (me, (reply, answer)) = (self.clone(), oneshot::channel());
        let simulate = move || {
            tune::burner(Staffed::Own);
            let _ = reply.send(me.answer(&question, specs));
            drop(turn);
        };
        std::thread::Builder::new().name("forecast".to_owned()).spawn(simulate).ok()?;
        answer.await.ok()
    }

    fn answer(&self, question: &Question, specs: Vec<Spec>) -> Answer {
        let here = self.calibrations.last();
        let calibration = question.cores.map_or_else(|| here.clone(), |cores| here.elsewhere(cores));
        let machine = calibration.machine();
        let entry = |spec: Spec| {
            let forecast = forecast::on(&spec, &calibration, machine);
            let breaks = self.limits.broken_by(&spec, &forecast);
            Entry { name: line_up::name(&spec), spec, forecast, breaks }
        };
        let mut entries: Vec<_> = specs.into_iter().map(entry).collect();
        let figure = |f: &Forecast| {
            question.objective.of([f.makespan, f.mean_dish, f.p95_dish, f.peak_memory_bytes].map(|n| n as f64))
        };
        let order = |a: &Entry, b: &Entry| {
            let by_figure = || figure(&a.forecast).total_cmp(&figure(&b.forecast));
            a.breaks.is_some().cmp(&b.breaks.is_some()).then_with(by_figure)
        };
        entries.sort_by(order);
        if question.line_up == LineUp::Sweep {
            // The best of each way of scaling, as a comparison shows it.
            let mut seen = std::collections::HashSet::new();
            entries.retain(|entry| seen.insert(family(&entry.spec)));
        }
        let start_ms = (calibration.costs.spawn + calibration.costs.spawn_issue) as f64 / 1e6;
        let crossover_ms = (machine.cores > 1.05).then(|| start_ms / (machine.cores - 1.0));
        Answer { machine, calibration, objective: question.objective, entries, crossover_ms }
    }
}

/// What two members of a family have in common: their name without numbers.
fn family(spec: &Spec) -> String {
    line_up::name(spec).chars().filter(|c| !c.is_ascii_digit()).collect()
}
