//! pasta-fasta: a concurrency laboratory behind an HTTP job API.
//!
//! Rooms in reading order: [`domain`] is plain data; [`model`] runs steps; [`store`] remembers; [`kitchen`] admits,
//! starts, stops and writes; [`sim`] foresees; [`lab`] compares and draws; [`http`] is the door; [`app`] connects them.
//! [`clock`] alone reads clocks, [`metrics`] counts, [`config`] and its kin hold every setting, [`cli`] is the command line.

pub mod app;
pub mod app_store;
pub mod cli;
pub mod clock;
pub mod config;
pub mod config_access;
pub mod config_lab;
pub mod config_store;
pub mod domain;
pub mod http;
pub mod kitchen;
pub mod lab;
pub mod metrics;
pub mod model;
pub mod sim;
pub mod store;
pub mod telemetry;
