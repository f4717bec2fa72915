//! Requests that must take effect once: which orders an `Idempotency-Key` brought about.
//!
//! A key is remembered as long as its orders are kept, so it costs nothing beyond them and is never forgotten before. It
//! deliberately compares fingerprints, not bodies.

use std::collections::HashMap;
use std::sync::Arc;

use uuid::Uuid;

use super::super::Once;
use crate::domain::client::Client;
use crate::domain::id::OrderId;

type Key = (Client, Arc<str>);

#[derive(Debug)]
struct Entry {
    fingerprint: Uuid,
    orders: Box<[OrderId]>,
}

/// The keys of all orders that are here.
#[derive(Debug, Default)]
pub(super) struct Keys {
    entries: HashMap<Key, Entry>,
    of_order: HashMap<OrderId, Key>,
}

/// What a key costs beside its text and 16 bytes an order: two map entries and what they point to, roughly.
const OVERHEAD_BYTES: usize = 160;

impl Keys {
    /// The orders this request has brought about before; `Err` if the key belongs to another request.
    pub(super) fn before(&self, once: &Once) -> Option<Result<Vec<OrderId>, ()>> {
        let entry = self.entries.get(&(once.owner.clone(), once.key.clone()))?;
        Some(if entry.fingerprint == once.fingerprint { Ok(entry.orders.to_vec()) } else { Err(()) })
    }

    /// Remembers that a request brought these orders about.
    pub(super) fn remember(&mut self, once: Once, orders: Box<[OrderId]>) {
        let key = (once.owner, once.key);
        self.of_order.extend(orders.iter().map(|id| (*id, key.clone())));
        self.entries.insert(key, Entry { fingerprint: once.fingerprint, orders });
    }

    /// What the key of this order costs.
    pub(super) fn bytes(&self, id: OrderId) -> usize {
        self.of_order.get(&id).map_or(0, |(_, key)| OVERHEAD_BYTES + key.len())
    }

    /// An order is forgotten, and with it the key that brought it about.
    pub(super) fn forget(&mut self, id: OrderId) {
        let Some(key) = self.of_order.remove(&id) else { return };
        // The same key may belong to younger orders by now.
        if self.entries.get(&key).is_some_and(|entry| entry.orders.contains(&id)) {
            self.entries.remove(&key);
        }
    }
}
