//! How good forecasts were: the errors of all comparisons that are kept, by model.
//!
//! It deliberately leaves nothing out: an entry counts as soon as it has been measured.

use serde::{Deserialize, Serialize};

use super::statistics;
use crate::model;

/// Errors of one kind of forecast, percent of what was measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Errors {
    /// Entries.
    pub n: usize,
    /// Mean of the absolute errors (MAPE).
    pub mean_absolute_percent: f64,
    /// Mean of the errors; above zero: foreseen too long.
    pub bias_percent: f64,
    /// 95th percentile of the absolute errors.
    pub p95_absolute_percent: f64,
}

impl Errors {
    /// Of these; `None` of nothing.
    #[must_use]
    pub fn of(percents: &[f64]) -> Option<Self> {
        let n = percents.len();
        let absolute: Vec<_> = percents.iter().map(|error| error.abs()).collect();
        let mean = |values: &[f64]| values.iter().sum::<f64>() / n as f64;
        let p95_absolute_percent = statistics::quantile(&absolute, 0.95)?;
        Some(Self { n, mean_absolute_percent: mean(&absolute), bias_percent: mean(percents), p95_absolute_percent })
    }
}

/// The forecasts of a model beside what was measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Row {
    /// The model; `None` for all of them together.
    pub model: Option<&'static str>,
    /// Made before the runs.
    pub before: Option<Errors>,
    /// Made afterwards with measured demands.
    pub refit: Option<Errors>,
}

/// How far the forecasts of one entry's makespan went wrong, percent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Error {
    /// Name of its model.
    pub model: Box<str>,
    /// Made before the runs.
    pub before: f64,
    /// Made afterwards with measured demands.
    pub refit: Option<f64>,
}

/// One row for each model, and one for all.
#[must_use]
pub fn rows(errors: &[Error]) -> Vec<Row> {
    let row = |model: Option<&'static str>| {
        let mine = || errors.iter().filter(|error| model.is_none_or(|model| model == &*error.model));
        let before: Vec<_> = mine().map(|error| error.before).collect();
        let refit: Vec<_> = mine().filter_map(|error| error.refit).collect();
        Row { model, before: Errors::of(&before), refit: Errors::of(&refit) }
    };
    let models = model::ALL.iter().map(|model| row(Some(model.info().name)));
    models.chain([row(None)]).collect()
}
