//! What is recorded of an ended order: its steps, and the events they were announced with.
//!
//! Read outside the lock, since the largest order has ten thousand records. It deliberately keeps nothing.

use std::sync::Arc;

use super::Memory;
use super::slots::Body;
use crate::domain::id::OrderId;
use crate::domain::live::{StepEvent, Window};
use crate::domain::record::StepRecord;
use crate::store::packed;

impl Memory {
    pub(in crate::store) fn steps_now(&self, id: OrderId) -> Option<Arc<Vec<StepRecord>>> {
        Some(Arc::new(packed::records(&self.ended_bytes(id)?)?))
    }

    pub(in crate::store) fn told_now(&self, id: OrderId, after: u32, at_most: usize) -> Option<Vec<StepEvent>> {
        let mut window = Window::new(after, at_most);
        packed::each_record(&self.ended_bytes(id)?, |record| window.add(&record))?;
        Some(window.into_events())
    }

    fn ended_bytes(&self, id: OrderId) -> Option<Box<[u8]>> {
        match &self.inner().orders.get(&id)?.body {
            Body::Active(_) => None,
            Body::Ended(bytes) => Some(bytes.clone()),
        }
    }
}
