//! Comparisons in memory: the youngest of them, bounded by number and bytes.
//!
//! It deliberately loses them with the process, as the store beside it loses orders; so none is ever lost to others.

use std::collections::BTreeMap;
use std::future::ready;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock;
use crate::domain::id::OrderId;
use crate::domain::limits;
use crate::store::archive::{Archive, Filed, Filing, Shelf};
use crate::store::backend::Said;

/// Comparisons in memory.
#[derive(Default)]
pub struct MemoryArchive(Mutex<BTreeMap<OrderId, Filed>>);

impl MemoryArchive {
    fn kept(&self) -> MutexGuard<'_, BTreeMap<OrderId, Filed>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn look<T>(&self, shelf: &Shelf, at: impl FnMut(&Filed) -> T) -> Vec<T> {
        let kept = self.kept();
        let wanted = |filed: &&Filed| shelf.owner.as_ref().is_none_or(|owner| *owner == filed.owner);
        let older = (Bound::Unbounded, shelf.before.map_or(Bound::Unbounded, Bound::Excluded));
        kept.range(older).rev().map(|(_, filed)| filed).filter(wanted).take(shelf.limit).map(at).collect()
    }
}

fn bytes(filed: &Filed) -> usize {
    filed.answer.len() + filed.notes.len()
}

fn said<T: Send + 'static>(value: T) -> Said<T> {
    Box::pin(ready(Ok(value)))
}

impl Archive for MemoryArchive {
    fn beat(&self) -> Option<Duration> {
        None
    }

    fn open(&self, filed: Filed) -> Said<()> {
        let mut kept = self.kept();
        kept.insert(filed.id, filed);
        let mut sum: usize = kept.values().map(bytes).sum();
        while kept.len() > limits::COMPARISONS_IN_MEMORY || sum > limits::COMPARISON_BYTES_IN_MEMORY {
            let Some(oldest) = kept.values().find(|filed| filed.is_over()).map(|filed| filed.id) else { break };
            sum -= kept.remove(&oldest).as_ref().map_or(0, bytes);
        }
        said(())
    }

    fn file(&self, filed: Filed) -> Said<Filing> {
        let mut kept = self.kept();
        let Some(before) = kept.get_mut(&filed.id) else { return said(Filing::Refused) };
        if before.status.is_done() && before.status != filed.status {
            return said(Filing::Refused);
        }
        let cancel_requested = before.cancel_requested || filed.cancel_requested;
        *before = Filed { cancel_requested, seen_us: clock::wall_us(), ..filed };
        said(Filing::Kept { cancel_requested })
    }

    fn filed(&self, id: OrderId) -> Said<Option<Filed>> {
        said(self.kept().get(&id).cloned())
    }

    fn shelf(&self, shelf: Shelf) -> Said<Vec<Filed>> {
        said(self.look(&shelf, Filed::clone))
    }

    fn notes(&self, shelf: Shelf) -> Said<Vec<Arc<str>>> {
        said(self.look(&shelf, |filed| filed.notes.clone()))
    }

    fn wish_stopped(&self, id: OrderId) -> Said<Option<Filed>> {
        let mut kept = self.kept();
        let found = kept.get_mut(&id).map(|filed| {
            filed.cancel_requested |= !filed.is_over();
            filed.clone()
        });
        said(found)
    }

    fn discard(&self, id: OrderId) -> Said<Option<bool>> {
        let mut kept = self.kept();
        let is_over = kept.get(&id).map(Filed::is_over);
        if is_over == Some(true) {
            kept.remove(&id);
        }
        said(is_over)
    }
}
