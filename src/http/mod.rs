//! The door: parse, call, render. No rules of cooking.
//!
//! Every path is spelled once, beside its handler; [`router`] lists the handlers. It deliberately writes nothing to the
//! store and starts nothing.

pub mod access;
pub mod access_contract;
pub mod accuracy;
pub mod all_events;
pub mod around;
pub mod batch;
pub mod bodies;
pub mod calibrations;
pub mod caller;
pub mod catalog;
pub mod comparison_ask;
pub mod comparison_events;
pub mod comparison_wire;
pub mod comparisons;
mod connection;
pub mod door_contract;
pub mod entry_wire;
mod event_data;
pub mod event_id;
pub mod events;
pub mod forecast_wire;
pub mod forecasts;
pub mod guard;
mod head;
mod headers;
pub mod house;
pub mod house_limits;
pub mod keys;
pub mod live;
mod moment;
pub mod nodes;
pub mod once;
pub mod order_acts;
pub mod order_list;
pub mod orders;
pub mod pages;
pub mod problem;
pub mod pulse;
pub mod rate;
pub mod recommendation_wire;
pub mod report;
pub mod request;
pub mod request_id;
pub mod router;
mod seat;
pub mod server;
mod socket;
pub mod steps;
pub mod timeline;
pub mod tls;
pub mod trace;
pub mod unbroken;
pub mod wire;
mod wire_parts;
mod wire_recipe;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, watch};

use self::unbroken::RunningOn;
use crate::config::Door;
use crate::config_access::RateLimit;
use crate::kitchen::Kitchen;
use crate::lab::comparisons::Comparisons;
use crate::lab::forecasts::Forecasts;
use crate::store::NodeRow;

/// What handlers share; one count to raise per request, not one per field.
#[derive(Clone)]
pub struct AppState(Arc<Shared>);

impl From<Shared> for AppState {
    fn from(shared: Shared) -> Self {
        Self(Arc::new(shared))
    }
}

impl std::ops::Deref for AppState {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

/// The parts of it.
pub struct Shared {
    /// The kitchen.
    pub kitchen: Arc<Kitchen>,
    /// This node, as it was when it started.
    pub me: NodeRow,
    /// The comparisons.
    pub comparisons: Arc<Comparisons>,
    /// Where forecasts are made.
    pub forecasts: Arc<Forecasts>,
    /// Turns true when the service is about to end: streams end then.
    pub closing: watch::Receiver<bool>,
    /// Seats for event streams.
    pub streams: Arc<Semaphore>,
    /// Writes that run on whatever their clients do.
    pub running_on: RunningOn,
    /// How the door is set, for `GET /limits`.
    pub door: Door,
    /// How many writes a client may send, for the same.
    pub rate: Option<RateLimit>,
    /// How long a grant of this node lasts without renewal, for the same; `None` if nobody else could take over.
    pub lease: Option<Duration>,
}

impl Shared {
    /// Whether the service is about to end.
    #[must_use]
    pub fn is_closing(&self) -> bool {
        *self.closing.borrow()
    }

    /// Waits for this, but not beyond the end of the service; `None` then.
    pub async fn before_closing<T>(&self, wait: impl Future<Output = T>) -> Option<T> {
        let mut closing = self.closing.clone();
        tokio::select! {
            // What has ended is told as ended, even in the last moment.
            biased;
            done = wait => Some(done),
            _ = closing.wait_for(|closing| *closing) => None,
        }
    }
}
