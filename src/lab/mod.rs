//! The laboratory: comparisons of models on the same work, and pictures of what happened.
//!
//! It reads the store and asks the kitchen; it deliberately writes neither.

pub mod comparison;
pub mod comparisons;
pub mod entry;
pub mod line_up;
pub mod phases;
pub mod plan;
pub mod probe;
pub mod report;
pub mod statistics;
mod sweep;
pub mod timeline;
pub mod trace;
