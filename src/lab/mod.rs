//! The laboratory: comparisons of models on the same work, forecasts of it, and pictures of what happened.
//!
//! It reads the orders and asks the kitchen, and writes down its own comparisons; it deliberately writes no order.

pub mod accuracy;
pub mod calibrate;
pub mod calibration;
mod calibration_file;
mod cgroup;
pub mod comparison;
pub mod comparisons;
mod conclude;
pub mod entry;
pub mod feasible;
pub mod filing;
pub mod forecast;
pub mod forecasts;
pub mod foresee;
pub mod lanes;
mod latencies;
pub mod line_up;
mod measure;
pub mod noise;
pub mod objective;
pub mod phases;
pub mod plan;
pub mod probe;
pub mod recommend;
mod recommend_text;
pub mod report;
pub mod seed_row;
pub mod statistics;
mod sweep;
pub mod timeline;
pub mod trace;
pub mod verdict;
pub mod what_if;
