//! The laboratory: comparisons of models on the same work, forecasts of it, and pictures of what happened.
//!
//! It reads the store and asks the kitchen; it deliberately writes neither.

pub mod calibrate;
pub mod calibration;
pub mod comparison;
pub mod comparisons;
pub mod entry;
pub mod feasible;
pub mod forecast;
pub mod forecasts;
pub mod line_up;
pub mod phases;
pub mod plan;
pub mod probe;
pub mod report;
pub mod statistics;
mod sweep;
pub mod timeline;
pub mod trace;
