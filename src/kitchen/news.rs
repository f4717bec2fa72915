//! What the store has to say by itself: orders that came in through another node, wishes that were said there, leases lost.
//!
//! It deliberately asks nothing back: a store without others never says anything.

use std::sync::Weak;

use super::Kitchen;
use crate::model::cancel::Reason;
use crate::store::News;

/// Heeds the store's news as long as the kitchen lives.
pub(super) async fn heed(kitchen: Weak<Kitchen>) {
    loop {
        let Some(now) = kitchen.upgrade() else { return };
        let news = now.store.news();
        drop(now);
        let news = news.await;
        let Some(kitchen) = kitchen.upgrade() else { return };
        kitchen.heed(news);
    }
}

impl Kitchen {
    fn heed(&self, News { is_fresh, cancels, lost, ended, unreadable }: News) {
        self.metrics.unreadable_orders.inc_by(unreadable);
        for (ids, reason) in [(cancels, Reason::Client), (lost, Reason::Lost)] {
            for run in ids.into_iter().filter_map(|id| self.run(id)) {
                run.stop(reason);
            }
        }
        for (id, status) in ended {
            self.journal.write(id, status);
            self.watchers.notify(id);
        }
        if is_fresh {
            self.deadlines.notify_one();
            self.pump();
        }
    }
}
