//! What a node does by itself: it notes which runs have begun, takes up what waits for anybody, and hears what others say.
//!
//! Hints make it fast, looking now and then makes it true. It deliberately cooks nothing: the kitchen is told that there
//! is something to claim.

use std::sync::Weak;
use std::time::Duration;

use super::super::backend::{Change, Down, Lane, Taken, Tidied, Want, What};
use super::super::memory::OVERHEAD_BYTES;
use super::super::shares::Load;
use super::super::{Fence, NewJob};
use super::holdings::Held;
use super::writer::{Line, Settle, load};
use super::{House, locked};
use crate::clock;
use crate::domain::draw;

/// Time between two looks at which runs have begun.
const NOTE: Duration = Duration::from_millis(100);
/// Longest time between two looks at what waits, hint or no hint.
const LOOK: Duration = Duration::from_millis(1_500);
/// Part of it by which looks are spread, so that nodes do not look all at once.
const JITTER: f64 = 0.3;
/// Time between two tries to hear hints again.
const DEAF: Duration = Duration::from_millis(500);

/// Writes down, again and again, which runs have begun and last; and forgets what ended a while ago.
pub(super) async fn note_begun(house: Weak<House>) {
    loop {
        tokio::time::sleep(NOTE).await;
        let Some(house) = house.upgrade() else { return };
        let begun = locked(&house.holdings).unnoted(Some(clock::now()));
        house.note(begun);
        house.desk.sweep_now(clock::wall_us());
    }
}

/// Takes up what waits for anybody, as long as there are hands for it.
pub(super) async fn take_up(house: Weak<House>) {
    let mut looks = 0_u64;
    loop {
        let Some(now) = house.upgrade() else { return };
        if !now.is_closed() {
            // What was being taken when the service began to close is given back by `close`.
            let _ = now.look().await;
        }
        drop(now);
        looks += 1;
        let spread = 1.0 - JITTER * (draw::mix(looks) >> 11) as f64 / (1_u64 << 53) as f64;
        // The house itself is not held meanwhile: its end must not wait for this.
        let Some(hungry) = house.upgrade().map(|house| house.hungry.clone()) else { return };
        let _ = tokio::time::timeout(LOOK.mul_f64(spread), hungry.notified()).await;
    }
}

/// Takes back what was given back for another try, where nobody else can take it up.
pub(super) async fn take_back(house: Weak<House>) {
    loop {
        let Some(hungry) = house.upgrade().map(|house| house.hungry.clone()) else { return };
        // Now and then only to see whether the house still stands.
        if tokio::time::timeout(LOOK, hungry.notified()).await.is_err() {
            continue;
        }
        let Some(now) = house.upgrade() else { return };
        if !now.is_closed() && now.take().await.is_err() {
            drop(now);
            tokio::time::sleep(DEAF).await;
            hungry.notify_one();
        }
    }
}

/// Hears what others say, for as long as the house stands.
pub(super) async fn hear(house: Weak<House>) {
    loop {
        let Some(now) = house.upgrade() else { return };
        let hint = now.backend.hint();
        drop(now);
        match tokio::time::timeout(Duration::from_secs(5), hint).await {
            Ok(hint) => {
                let Some(house) = house.upgrade() else { return };
                house.hear(hint);
            }
            Err(_) => tokio::time::sleep(DEAF).await,
        }
    }
}

impl House {
    /// Lets it be written that these runs have begun.
    pub(super) fn note(&self, begun: Vec<super::holdings::Begun>) {
        for run in begun {
            let what = What::Begun { started_us: run.started_us, queue_ns: run.queue_ns };
            // Without the writer there is nobody left to note it for.
            let change = Change { fence: run.fence, what };
            let _ = self.settles.send(Line::Change(Settle { change, done: None }));
        }
    }

    /// Tidies up, and takes up what waits if there are hands.
    async fn look(&self) -> Result<(), Down> {
        if self.is_due() {
            let said = self.backend.tidy(self.bounds, clock::wall_us()).await;
            self.heard(&said);
            self.tidied(said?);
        }
        if locked(&self.tags).is_anybody_waiting() {
            self.take().await?;
        }
        Ok(())
    }

    /// Takes up orders.
    pub(super) async fn take(&self) -> Result<(), Down> {
        let want = match self.backend.is_shared() {
            true => locked(&self.holdings).want(&self.me.hands),
            false => Want::all(self.me.hands.len()),
        };
        if want.lanes.is_empty() {
            return Ok(());
        }
        let taken = self.backend.take(want).await?;
        let is_any = !taken.is_empty();
        taken.into_iter().for_each(|taken| self.grant(taken));
        if is_any {
            self.tell(|news| news.is_fresh = true);
        }
        Ok(())
    }

    fn grant(&self, taken: Taken) {
        let Taken { mut job, needs, lane, fence: Fence { id, attempt }, waited } = taken;
        // A grant becomes an attempt when its run begins, and the next run has the number of the grant.
        job.attempt = attempt - 1;
        if !self.backend.is_shared() {
            locked(&self.shares).put(&job.owner, load(&job));
        }
        locked(&self.holdings).add(id, Held::new(attempt, lane, needs, job.owner.clone(), load(&job)));
        let accepted = clock::now().saturating_sub(clock::ns(waited));
        let is_resting = job.next_attempt_us().is_some();
        self.adopt(NewJob { job, accepted, needs, alone: lane == Lane::ALONE });
        if is_resting {
            locked(&self.holdings).rest(id);
        }
    }

    /// An order is written as this node's, and waits here.
    pub(super) fn adopt(&self, mut new: NewJob) {
        locked(&self.holdings).written(new.job.id);
        new.job.history.get_or_insert_with(Box::default).node = Some(self.me.node.clone());
        self.desk.adopt(new);
    }

    /// What tidying up found.
    pub(super) fn tidied(&self, tidied: Tidied) {
        if self.backend.is_shared() {
            let counted = |(owner, orders, bytes): (_, u64, u64)| {
                let (orders, bytes) = (orders as usize, bytes as usize);
                (owner, Load { orders, bytes: bytes + orders * OVERHEAD_BYTES })
            };
            locked(&self.shares).recount(tidied.shares.into_iter().map(counted));
        }
        locked(&self.tags).seen(tidied.waiting);
        if tidied.unreadable > 0 {
            self.tell(|news| news.unreadable += tidied.unreadable);
        }
        if !tidied.ended.is_empty() {
            self.tell(|news| news.ended.extend(tidied.ended));
        }
    }
}
