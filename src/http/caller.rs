//! Who a request comes from, for handlers.
//!
//! [`super::around`] puts it into every request before the router sees it. It deliberately decides nothing but what the
//! caller may see.

use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

use super::AppState;
use super::keys::Pass;
use super::pulse::Pulse;
use crate::domain::client::Client;

/// Who asks.
#[derive(Clone, Debug)]
pub struct Caller {
    /// As quotas and turns are counted.
    pub client: Client,
    /// Whether it sees the orders of others.
    pub sees_all: bool,
    /// What it was let in by.
    pub pass: Pass,
    /// The connection it asks on.
    pub(super) pulse: Arc<Pulse>,
}

impl Caller {
    /// Somebody at this address, on a house without access control: everybody sees everything.
    #[must_use]
    pub fn at(ip: IpAddr, pulse: Arc<Pulse>) -> Self {
        Self { client: Client::address(ip), sees_all: true, pass: Pass::default(), pulse }
    }

    /// Holds the answer back for this, but neither beyond the end of the service nor when the connection is needed for others;
    /// `None` then.
    pub async fn hold<T>(&self, app: &AppState, wait: impl Future<Output = T>) -> Option<T> {
        self.pulse.hold();
        let wait = async {
            tokio::select! {
                biased;
                done = wait => Some(done),
                () = self.pulse.told() => None,
            }
        };
        app.before_closing(wait).await.flatten()
    }

    /// Whose orders alone it sees, if not everybody's.
    #[must_use]
    pub fn confined_to(self) -> Option<Client> {
        (!self.sees_all).then_some(self.client)
    }

    /// Whether it sees what this client placed.
    #[must_use]
    pub fn sees(&self, owner: &Client) -> bool {
        self.sees_all || self.client == *owner
    }
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let caller = parts.extensions.get::<Self>().cloned();
        // Never absent behind `Around`; a nobody who sees only what nobody placed is the safe answer.
        let nobody = || Self { sees_all: false, ..Self::at(IpAddr::V4(Ipv4Addr::UNSPECIFIED), Arc::default()) };
        Ok(caller.unwrap_or_else(nobody))
    }
}
