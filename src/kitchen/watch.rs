//! Who waits for the end of an order.
//!
//! It deliberately holds nothing for orders that nobody watches: the end of an order costs one load then.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

use crate::domain::id::OrderId;

#[derive(Default)]
pub(super) struct Watchers {
    count: AtomicUsize,
    map: Mutex<HashMap<OrderId, (usize, Arc<Notify>)>>,
}

/// One who waits. Dropping it ends the wait.
pub struct Watched<'a> {
    watchers: &'a Watchers,
    id: OrderId,
    notify: Arc<Notify>,
}

impl Watchers {
    pub(super) fn watch(&self, id: OrderId) -> Watched<'_> {
        // Counted before the caller looks at the order, and read after the order has ended: one of the two sees it.
        self.count.fetch_add(1, Ordering::SeqCst);
        let mut map = self.map.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = map.entry(id).or_default();
        entry.0 += 1;
        Watched { watchers: self, id, notify: entry.1.clone() }
    }

    pub(super) fn notify(&self, id: OrderId) {
        if self.count.load(Ordering::SeqCst) > 0 {
            let map = self.map.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some((_, notify)) = map.get(&id) {
                notify.notify_waiters();
            }
        }
    }
}

impl Watched<'_> {
    /// The announcement. It is heard from the call of `enable` on; look at the order after that.
    pub fn ended(&self) -> tokio::sync::futures::Notified<'_> {
        self.notify.notified()
    }
}

impl Drop for Watched<'_> {
    fn drop(&mut self) {
        let mut map = self.watchers.map.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = map.get_mut(&self.id) {
            entry.0 -= 1;
            if entry.0 == 0 {
                map.remove(&self.id);
            }
        }
        self.watchers.count.fetch_sub(1, Ordering::SeqCst);
    }
}
