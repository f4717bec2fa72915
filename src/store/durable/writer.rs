//! Group commit: whatever came in while the last group was being written is the next one.
//!
//! Two tasks, one for what comes in and one for what became of orders. The lines they read are not bounded here: one holds
//! at most what connections wait for, the other what this node holds. It deliberately adds no delay: an idle database
//! is asked at once.

use std::collections::HashMap;
use std::sync::Weak;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use super::super::backend::{Appended, Change, Down, Entry, Group, Lane, What};
use super::super::memory::weight;
use super::super::shares::Load;
use super::super::{NewJob, Once};
use super::holdings::Held;
use super::{House, locked};
use crate::domain::client::Client;
use crate::domain::id::OrderId;
use crate::domain::job::Job;

/// Orders of one group, and changes: what a database writes in a few milliseconds.
const TOGETHER: usize = 512;
/// Time between two tries to write what must be written, the first and the longest.
const AGAIN: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// A submission on its way.
pub(super) struct Append {
    pub(super) batch: Vec<NewJob>,
    pub(super) once: Option<Once>,
    pub(super) load: Load,
    pub(super) done: oneshot::Sender<Result<Appended, Down>>,
}

/// A change on its way; answered whether its fence was good, unless it only notes that a run has begun.
pub(super) struct Settle {
    pub(super) change: Change,
    pub(super) done: Option<oneshot::Sender<bool>>,
}

/// What comes to the one who writes changes.
pub(super) enum Line {
    /// A change.
    Change(Settle),
    /// Everything before this has been written when it is answered.
    Flush(oneshot::Sender<()>),
}

/// Writes submissions for as long as there are any.
pub(super) async fn append(house: Weak<House>, mut line: mpsc::UnboundedReceiver<Append>) {
    while let Some(first) = line.recv().await {
        let Some(house) = house.upgrade() else { return };
        let mut orders = first.batch.len();
        let mut group = vec![first];
        while orders < TOGETHER
            && let Ok(next) = line.try_recv()
        {
            orders += next.batch.len();
            group.push(next);
        }
        // Who has been told meanwhile that the store is away must not find the order in it later.
        let (group, late): (Vec<_>, Vec<_>) = group.into_iter().partition(|append| !append.done.is_closed());
        late.into_iter().for_each(|append| house.refuse(append, Down::Away));
        if group.is_empty() {
            continue;
        }
        let groups: Vec<_> = group.iter().map(|append| house.group(append)).collect();
        let held: Vec<Vec<bool>> = groups.iter().map(|g| g.entries.iter().map(|e| e.held).collect()).collect();
        let said = house.backend.append(groups).await;
        house.heard(&said);
        match said {
            Ok(appended) => {
                for ((append, appended), held) in group.into_iter().zip(appended).zip(held) {
                    house.appended(append, appended, &held);
                }
            }
            Err(down) => group.into_iter().for_each(|append| house.refuse(append, down)),
        }
    }
}

/// Writes changes for as long as there are any; never gives one up.
pub(super) async fn settle(house: Weak<House>, mut line: mpsc::UnboundedReceiver<Line>) {
    let (mut left, mut flushes): (Vec<Settle>, Vec<oneshot::Sender<()>>) = (Vec::new(), Vec::new());
    loop {
        let mut next = if left.is_empty() { line.recv().await } else { line.try_recv().ok() };
        let Some(house) = house.upgrade() else { return };
        if next.is_none() && left.is_empty() {
            return;
        }
        while let Some(told) = next.take() {
            match told {
                Line::Change(change) => left.push(change),
                Line::Flush(done) => flushes.push(done),
            }
            if left.len() < TOGETHER {
                next = line.try_recv().ok();
            }
        }
        house.write(&mut left).await;
        if left.is_empty() {
            for done in flushes.drain(..) {
                // Whoever waited may be gone.
                let _ = done.send(());
            }
        }
    }
}

impl House {
    /// Writes of each order one change, until it is written; what is left is to be written next.
    async fn write(&self, left: &mut Vec<Settle>) {
        let (batch, later) = one_of_each(std::mem::take(left));
        *left = later;
        if batch.is_empty() {
            return;
        }
        let changes: Vec<_> = batch.iter().map(|settle| settle.change.clone()).collect();
        let mut pause = AGAIN.0;
        let good = loop {
            let said = self.backend.settle(changes.clone()).await;
            self.heard(&said);
            match said {
                Ok(good) => break good,
                Err(_) => tokio::time::sleep(pause).await,
            }
            pause = (pause * 2).min(AGAIN.1);
        };
        for (Settle { change, done }, is_good) in batch.into_iter().zip(good) {
            self.settled(change.fence.id, &change.what, is_good);
            // Whoever asked may be gone; it is written all the same.
            let _ = done.map(|done| done.send(is_good));
        }
    }
}

/// Of each order one change now. Its begin is not worth writing when its end is here too.
fn one_of_each(all: Vec<Settle>) -> (Vec<Settle>, Vec<Settle>) {
    let mut at: HashMap<OrderId, usize> = HashMap::with_capacity(all.len());
    let (mut batch, mut later): (Vec<Settle>, Vec<Settle>) = (Vec::with_capacity(all.len()), Vec::new());
    for settle in all {
        match at.get(&settle.change.fence.id) {
            None => {
                at.insert(settle.change.fence.id, batch.len());
                batch.push(settle);
            }
            Some(i) if matches!(batch[*i].change.what, What::Begun { .. }) => {
                batch[*i] = settle;
            }
            Some(_) => later.push(settle),
        }
    }
    (batch, later)
}

impl House {
    /// A submission as the backend writes it: what could begin here is held from the start.
    fn group(&self, append: &Append) -> Group {
        let entry = |new: &NewJob| {
            let lane = Lane::of(&new.job, new.needs, new.alone);
            let mut tags = locked(&self.tags);
            let turn = tags.next(&new.job.owner);
            let may_hold = !self.backend.is_shared()
                || (!self.is_closed() && (new.alone || !tags.has_line(lane)))
                    && locked(&self.holdings).has_hand(lane, new.needs, &self.me.hands);
            if may_hold {
                let held = Held::new(1, lane, new.needs, new.job.owner.clone(), load(&new.job));
                locked(&self.holdings).add(new.job.id, held);
            }
            Entry { job: new.job.clone(), needs: new.needs, lane, turn, held: may_hold }
        };
        Group { entries: append.batch.iter().map(entry).collect(), once: append.once.clone() }
    }

    /// A submission was written, or was here before.
    fn appended(&self, append: Append, appended: Appended, held: &[bool]) {
        let is_fresh = appended == Appended::Fresh;
        if !is_fresh {
            self.unhold(&append);
        }
        let mut is_elsewhere = false;
        for (new, is_held) in append.batch.into_iter().zip(held).filter(|_| is_fresh) {
            if *is_held {
                self.adopt(new);
            } else {
                let lane = Lane::of(&new.job, new.needs, new.alone);
                locked(&self.tags).added(lane, 0);
                is_elsewhere = true;
            }
        }
        if is_elsewhere {
            self.hungry.notify_one();
        }
        if append.done.send(Ok(appended)).is_err() && is_fresh {
            // Whoever asked is gone; the order is here.
            self.tell(|news| news.is_fresh = true);
        }
    }

    fn refuse(&self, append: Append, down: Down) {
        self.unhold(&append);
        let _ = append.done.send(Err(down));
    }

    fn unhold(&self, append: &Append) {
        let mut holdings = locked(&self.holdings);
        append.batch.iter().for_each(|new| drop(holdings.let_go(new.job.id)));
        drop(holdings);
        if let Some(owner) = append.batch.first().map(|new| &new.job.owner) {
            self.give_back(owner, append.load);
        }
    }

    pub(super) fn give_back(&self, owner: &Client, load: Load) {
        locked(&self.shares).give_back(owner, load);
    }
}

/// What an order occupies.
pub(super) fn load(job: &Job) -> Load {
    Load { orders: 1, bytes: weight(job) }
}
