//! How good forecasts were: the errors of all comparisons that are kept, by model.
//!
//! It deliberately leaves nothing out: an entry counts as soon as it has been measured.

use super::comparison::Comparison;
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

/// One row for each model, and one for all.
#[must_use]
pub fn rows<'a>(comparisons: impl Iterator<Item = &'a Comparison>) -> Vec<Row> {
    let entries = comparisons.flat_map(|comparison| &comparison.entries);
    let errors: Vec<_> = entries
        .filter_map(|entry| Some((model::get(entry.spec.model).info().name, entry.forecasts?.errors()?)))
        .collect();
    let row = |model: Option<&'static str>| {
        let mine: Vec<_> = errors.iter().filter(|(name, _)| model.is_none_or(|model| model == *name)).collect();
        let before: Vec<_> = mine.iter().map(|(_, (before, _))| *before).collect();
        let refit: Vec<_> = mine.iter().filter_map(|(_, (_, refit))| *refit).collect();
        Row { model, before: Errors::of(&before), refit: Errors::of(&refit) }
    };
    let models = model::ALL.iter().map(|model| row(Some(model.info().name)));
    models.chain([row(None)]).collect()
}
