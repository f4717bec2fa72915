//! An order as resolved: every default filled in, every limit checked.
//!
//! It crosses process borders (isolated kitchens) and is kept with the order, so it is plain data. It deliberately says
//! nothing of when or whether it runs.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Ns;
use super::arrivals::Arrivals;
use super::draw::{self, Spread};
use super::limits;
use super::recipe::{Recipe, Step, StepOrder, StepRef, Work};
use super::trace::TraceParent;

/// Row of the model table ([`crate::model::ALL`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ModelId(pub u8);

/// The value of one option of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Choice {
    /// One of the option's words, by position.
    Word(u8),
    /// A number of chefs, kitchens or assistants.
    Count(u32),
    /// Yes or no.
    Truth(bool),
}

/// Options of the widest model.
pub const OPTIONS: usize = 6;

/// The options of an order's model, by position in that model's table of options.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setup(pub [Choice; OPTIONS]);

/// Where the order is cooked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum Isolation {
    /// In the service's own process; memory cannot be told apart.
    House,
    /// The whole order in a child process: exact memory, faults contained.
    Kitchen,
}

impl Isolation {
    /// Names on the wire, in the order of the variants.
    pub const NAMES: [&'static str; 2] = ["house", "kitchen"];

    /// Name on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::NAMES[self as usize]
    }
}

/// An order as resolved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spec {
    /// How steps are run.
    pub model: ModelId,
    /// Options of that model.
    pub setup: Setup,
    /// What is cooked.
    pub recipe: Arc<Recipe>,
    /// How many dishes.
    pub dishes: u32,
    /// Number of the first dish: 1, or more for the share of one kitchen among several.
    pub first_dish: u32,
    /// From the number of one dish to the next: 1, or the number of kitchens that share the order.
    pub stride: u32,
    /// Order of the steps within a dish.
    pub step_order: StepOrder,
    /// Where it is cooked.
    pub isolation: Isolation,
    /// Divisor of every wait.
    pub speed: u32,
    /// Fixes every random draw.
    pub seed: u64,
    /// Dishes in progress at once; all if absent.
    pub max_in_flight: Option<u32>,
    /// When dishes are asked for; all at the start if absent.
    pub arrivals: Option<Box<Arrivals>>,
    /// Time after which a run of it fails.
    pub timeout: Option<Duration>,
    /// Time after acceptance by which it must have begun.
    pub expires_in: Option<Duration>,
    /// The client's trace, as W3C Trace Context writes it (`traceparent`), for whoever reports on this order.
    pub traceparent: Option<TraceParent>,
    /// The client's own marks.
    pub labels: Box<[(Box<str>, Box<str>)]>,
    /// Runs it may have as long as they fail: 1 for no other try.
    pub max_attempts: u8,
    /// Time between its first run that failed and the next; see [`Spec::retry_wait`].
    pub first_retry_wait: Duration,
}

/// What a failed run costs that is remembered of an active order, in bytes, roughly.
const ATTEMPT_BYTES: usize = 256;

impl Spec {
    /// Steps of the whole order.
    #[must_use]
    pub fn steps_total(&self) -> u64 {
        u64::from(self.dishes) * self.recipe.steps.len() as u64
    }

    /// The recipe's step behind a reference.
    #[must_use]
    pub fn step(&self, at: StepRef) -> &Step {
        &self.recipe.steps[usize::from(at.step)]
    }

    /// What one step of one dish does: waits drawn, and divided by `speed`.
    #[must_use]
    pub fn work(&self, at: StepRef) -> Work {
        let step = self.step(at);
        let length = |d| match step.spread {
            Spread::Constant => d / self.speed,
            spread => spread.draw(d, draw::bits(self.seed, at.dish, at.step)) / self.speed,
        };
        match step.work {
            Work::Wait(d) => Work::Wait(length(d)),
            Work::BlockingWait(d) => Work::BlockingWait(length(d)),
            other => other,
        }
    }

    /// Time between the run that was the last of so many to fail, and the next: doubled each time, up to a bound.
    #[must_use]
    pub fn retry_wait(&self, failed: u32) -> Duration {
        let doubled = 2_u32.saturating_pow(failed.saturating_sub(1));
        self.first_retry_wait.saturating_mul(doubled).min(Duration::from_millis(limits::RETRY_WAIT_MS))
    }

    /// The order as this attempt cooks it, counted without those that were lost: faults that are over by then do nothing.
    #[must_use]
    pub fn in_attempt(self: &Arc<Self>, attempt: u32) -> Arc<Self> {
        if !self.recipe.steps.iter().any(|s| matches!(s.work, Work::PassingFault { .. })) {
            return self.clone();
        }
        let mut recipe = (*self.recipe).clone();
        recipe.steps.iter_mut().for_each(|step| step.work = step.work.in_attempt(attempt));
        Arc::new(Self { recipe: Arc::new(recipe), ..(**self).clone() })
    }

    /// The number of the dish at this position, from 0.
    #[must_use]
    pub fn dish(&self, position: u32) -> u32 {
        self.first_dish + position * self.stride
    }

    /// The position of the dish with this number, from 0.
    #[must_use]
    pub fn position(&self, dish: u32) -> usize {
        ((dish - self.first_dish) / self.stride) as usize
    }

    /// When a dish is asked for, an offset of the run: its completion time counts from here.
    #[must_use]
    pub fn arrival(&self, dish: u32) -> Ns {
        let last = || self.dish(self.dishes - 1);
        self.arrivals.as_ref().map_or(0, |arrivals| arrivals.of(self.seed, dish, last))
    }

    /// Steps of one dish that may be in progress at the same time, at most.
    #[must_use]
    pub fn width(&self) -> u32 {
        if self.recipe.is_chain(self.step_order) { 1 } else { self.recipe.steps.len() as u32 }
    }

    /// Dishes in progress at the same time, at most.
    #[must_use]
    pub fn window(&self) -> u32 {
        self.max_in_flight.unwrap_or(self.dishes).min(self.dishes)
    }

    /// How often its steps count up the number they share; `None` if none of them does.
    #[must_use]
    pub fn increments(&self) -> Option<u64> {
        let of = |step: &Step| if let Work::Counter { increments, .. } = step.work { Some(increments) } else { None };
        let dish = self.recipe.steps.iter().filter_map(of).map(u64::from).reduce(|a, b| a + b)?;
        Some(dish * u64::from(self.dishes))
    }

    /// Whether a step of this recipe takes its process down.
    #[must_use]
    pub fn has_faults(&self) -> bool {
        self.recipe.steps.iter().any(|s| s.work.is_fault())
    }

    /// Bytes it occupies, roughly; for the house's limits by bytes.
    #[must_use]
    pub fn weight(&self) -> usize {
        let steps: usize = self.recipe.steps.iter().map(|s| size_of::<Step>() + s.name.len() + s.needs.len()).sum();
        let labels: usize = self.labels.iter().map(|(k, v)| 32 + k.len() + v.len()).sum();
        let attempts = usize::from(self.max_attempts).saturating_sub(1) * ATTEMPT_BYTES;
        size_of::<Self>() + steps + labels + attempts
    }
}
