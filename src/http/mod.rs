//! The door: parse, call, render. No rules of cooking.
//!
//! Every path is spelled once, beside its handler; [`router`] lists the handlers. It deliberately writes nothing to the
//! store and starts nothing.

pub mod access;
pub mod access_contract;
pub mod around;
pub mod batch;
pub mod caller;
pub mod catalog;
pub mod comparison_wire;
pub mod comparisons;
pub mod events;
pub mod house;
pub mod keys;
pub mod order_list;
pub mod orders;
pub mod pages;
pub mod problem;
pub mod rate;
pub mod request;
pub mod router;
pub mod server;
pub mod steps;
pub mod timeline;
pub mod tls;
pub mod wire;
mod wire_parts;

use std::sync::Arc;

use tokio::sync::watch;

use crate::kitchen::Kitchen;
use crate::lab::comparisons::Comparisons;

/// What handlers share.
#[derive(Clone)]
pub struct AppState {
    /// The kitchen.
    pub kitchen: Arc<Kitchen>,
    /// The comparisons.
    pub comparisons: Arc<Comparisons>,
    /// Turns true when the service is about to end: streams end then.
    pub closing: watch::Receiver<bool>,
}

impl AppState {
    /// Whether the service is about to end.
    #[must_use]
    pub fn is_closing(&self) -> bool {
        *self.closing.borrow()
    }
}
