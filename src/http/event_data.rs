//! What the events of an order say, beside the order itself.
//!
//! It deliberately knows nothing of streams: who tells what when is in [`super::events`].

use serde::Serialize;

use super::wire::{At, Done, OrderErrorView, ms};
use crate::domain::job::{Broken, Job};
use crate::domain::live::StepEvent;
use crate::domain::narration;
use crate::domain::record::Outcome;

/// A step begins or is over.
#[derive(Serialize)]
pub(super) struct StepData<'a> {
    dish: u32,
    step: &'a str,
    kind: &'static str,
    at_ms: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<&'static str>,
    narration: String,
}

impl<'a> StepData<'a> {
    pub(super) fn new(job: &'a Job, event: &StepEvent) -> Self {
        let (at, step) = (event.at, job.spec.step(event.at));
        let narration = match event.outcome {
            None => narration::start(at.dish, &step.name, step.work),
            Some(outcome) => narration::end(at.dish, &step.name, outcome),
        };
        Self {
            dish: at.dish,
            step: &step.name,
            kind: step.work.kind(),
            at_ms: ms(event.offset),
            outcome: event.outcome.map(Outcome::name),
            narration,
        }
    }
}

/// How far an order is.
#[derive(Serialize)]
pub(super) struct ProgressData {
    steps_done: u64,
    steps_total: u64,
    dishes_done: u32,
    dishes_total: u32,
}

impl ProgressData {
    pub(super) fn new(job: &Job, (steps_done, dishes_done): Done) -> Self {
        Self { steps_done, steps_total: job.spec.steps_total(), dishes_done, dishes_total: job.spec.dishes }
    }
}

/// An attempt failed, and another follows.
#[derive(Serialize)]
pub(super) struct RetryingData<'a> {
    pub(super) attempt: u32,
    wait_ms: u64,
    next_attempt_at: At,
    #[serde(skip_serializing_if = "Option::is_none")]
    traceparent: Option<String>,
    error: OrderErrorView<'a>,
}

impl<'a> RetryingData<'a> {
    /// Of all failed attempts after this one.
    pub(super) fn after(job: &'a Job, told: u32) -> impl Iterator<Item = Self> {
        let failed = (1..).zip(job.attempts().iter().filter(|attempt| attempt.why == Broken::Failed));
        failed.filter(move |(_, attempt)| attempt.attempt > told).filter_map(|(nth, failed)| {
            let wait = job.spec.retry_wait(nth);
            Some(Self {
                attempt: failed.attempt,
                wait_ms: wait.as_millis() as u64,
                next_attempt_at: At(failed.ended_us.saturating_add(wait.as_micros() as i64)),
                traceparent: job.spec.traceparent.map(|trace| trace.to_string()),
                error: OrderErrorView::new(job, failed.error.as_ref()?),
            })
        })
    }
}
