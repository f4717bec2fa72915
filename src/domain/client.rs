//! Who asks: the name of an API key, or an address.
//!
//! It deliberately knows no secret and no permission; it is what quotas, turns and ownership are counted by.

use std::net::IpAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// A client, as the house tells them apart.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Client(Arc<str>);

impl Client {
    /// The holder of the API key of this name.
    #[must_use]
    pub fn key(name: &str) -> Self {
        Self(format!("key:{name}").into())
    }

    /// Whoever is at this address. An IPv6 network of 64 bits is one client: it is what one host is usually given.
    #[must_use]
    pub fn address(ip: IpAddr) -> Self {
        match ip.to_canonical() {
            IpAddr::V4(ip) => Self(ip.to_string().into()),
            IpAddr::V6(ip) if ip.is_loopback() => Self(ip.to_string().into()),
            IpAddr::V6(ip) => {
                let [a, b, c, d, ..] = ip.segments();
                Self(format!("{a:x}:{b:x}:{c:x}:{d:x}::/64").into())
            }
        }
    }

    /// The house itself: comparisons, orders without a server.
    #[must_use]
    pub fn house() -> Self {
        Self("house".into())
    }

    /// The client whose text ([`Self::as_str`]) a store has kept.
    #[must_use]
    pub fn stored(text: &str) -> Self {
        Self(text.into())
    }

    /// As text, at most 68 bytes.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
