//! The store's promises, kept over a database: what is asked of this node's own orders is answered from memory, everything
//! else by the database.
//!
//! It deliberately shows no end that is not written.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::oneshot;

use super::super::backend::{Appended, Down, Published};
use super::super::memory::OVERHEAD_BYTES;
use super::super::shares::{Load, TooMuch};
use super::super::{
    CancelAnswer, Counts, DeleteAnswer, Fence, Fill, Finish, Finished, Here, Lapsed, Later, Lookup, NewJob, News,
    NodeRow, Once, Page, Places, Query, Refused, Reply, Room, Store, Submitted,
};
use super::ends::PATIENCE;
use super::writer::{Append, load};
use super::{Durable, locked};
use crate::domain::Ns;
use crate::domain::client::Client;
use crate::domain::id::OrderId;
use crate::domain::job::{ErrorKind, Job, Status};
use crate::domain::life::Happening;
use crate::domain::live::Live;
use crate::domain::record::StepRecord;

/// How long a client waits for its order to be written before it is told that the store is away: with what comes around it
/// less than the 3 s in which everybody is answered.
const TOLD_IN: Duration = Duration::from_millis(2_500);

impl Store for Durable {
    fn durability(&self) -> &'static str {
        self.0.backend.name()
    }

    fn submit(&self, batch: Vec<NewJob>, once: Option<Once>) -> Reply<Result<Submitted, Refused>> {
        let load = batch.iter().map(|new| load(&new.job)).fold(Load::default(), Load::plus);
        let Some(owner) = batch.first().map(|new| new.job.owner.clone()) else {
            return Reply::now(Ok(Submitted::Fresh));
        };
        let house = self.0.clone();
        let refused = match locked(&house.shares).take(&owner, load, house.room()) {
            Ok(()) => None,
            Err(TooMuch::House) => Some(Refused::Full),
            Err(TooMuch::Client) => Some(Refused::Share),
        };
        let append = |batch, load| {
            let (done, told) = oneshot::channel();
            // Without the writer nobody answers, which is what the receiver sees.
            let _ = house.appends.send(Append { batch, once: once.clone(), load, done });
            told
        };
        let told = match refused {
            None => append(batch, load),
            // There is no room, but it may have been here before.
            Some(_) if once.is_some() => append(Vec::new(), Load::default()),
            Some(refused) => return Reply::now(Err(refused)),
        };
        Reply::later(async move {
            let told = tokio::time::timeout(TOLD_IN, told).await;
            match told.unwrap_or(Ok(Err(Down::Away))).unwrap_or(Err(Down::Away))? {
                Appended::Fresh => refused.map_or(Ok(Submitted::Fresh), Err),
                Appended::Before(ids) => Ok(Submitted::Before(ids)),
                Appended::KeyReused => Err(Refused::KeyReused),
            }
        })
    }

    fn claim(&self, free: Room, alone: bool, place: Places<'_>, now: Ns, now_us: i64) -> Vec<(Job, Room)> {
        let house = &self.0;
        locked(&house.holdings).claiming(free, alone);
        let claimed = house.desk.claim_now(free, alone, place, now, now_us);
        let mut holdings = locked(&house.holdings);
        for (job, _) in &claimed {
            holdings.begin(job.id, now, now_us, job.queue_ns);
        }
        drop(holdings);
        claimed
    }

    fn lapse(&self, now: Ns, now_us: i64) -> Reply<Lapsed> {
        let (late, mut lapsed) = self.0.desk.lapsed(now);
        if late.is_empty() {
            return Reply::now(lapsed);
        }
        let house = self.0.clone();
        Reply::later(async move {
            for mut job in late {
                job.error = Some(job.error_when_late());
                lapsed.jobs.extend(house.end_waiting(job, Happening::Expire, now_us).await);
            }
            lapsed
        })
    }

    fn fill(&self, client: &Client) -> (Fill, Fill) {
        locked(&self.0.shares).fill(client, self.0.room())
    }

    fn finish(&self, finish: Finish) -> Reply<Finished> {
        let house = &self.0;
        let (id, finished_us) = (finish.fence.id, finish.finished_us);
        let is_shutdown = finish.error.as_ref().is_some_and(|error| error.kind == ErrorKind::Shutdown);
        let failed = house.desk.tries_again(&finish, &house.me.node);
        let Some((job, records)) = house.desk.ending(finish, house.bounds.retention_us) else {
            return Reply::now(Finished::Stale);
        };
        let goes_on = is_shutdown && !job.cancel_requested && !locked(&house.holdings).is_alone(id);
        let (good, change) = if let Some(failed) = failed {
            (Finished::Again, house.returned(id, failed))
        } else if goes_on {
            (Finished::Again, house.returned(id, house.shut_down(&job, finished_us)))
        } else {
            (Finished::Written, house.end_of(job, &records))
        };
        let Some(change) = change else {
            // Lost while it ran: whoever holds it now writes its end.
            house.desk.let_go(id);
            locked(&house.holdings).let_go(id);
            return Reply::now(Finished::Stale);
        };
        let told = house.send(change);
        Reply::later(async move { if told.await.unwrap_or(false) { good } else { Finished::Stale } })
    }

    fn request_cancel(&self, id: OrderId, now_us: i64) -> Reply<Result<CancelAnswer, Down>> {
        let house = self.0.clone();
        if let Some(job) = house.desk.withdraw(id) {
            return Reply::later(async move {
                // It will be written in any case; only the answer does not wait for ever.
                let ended = tokio::time::timeout(PATIENCE, house.end_waiting(job, Happening::Cancel, now_us));
                match ended.await.map_err(|_| Down::Away)? {
                    Some(job) => Ok(CancelAnswer::Canceled { job: Box::new(job), now: true }),
                    None => house.cancel_elsewhere(id, now_us).await,
                }
            });
        }
        let running = house.desk.mark_cancel(id);
        Reply::later(async move {
            // Written too, since this node may lose the order before its end is: then whoever takes it up must know.
            let answer = house.cancel_elsewhere(id, now_us).await?;
            Ok(running.map_or(answer, CancelAnswer::Running))
        })
    }

    fn get(&self, id: OrderId) -> Reply<Result<Lookup, Down>> {
        match self.0.desk.get_now(id) {
            found @ Lookup::Found(_) => Reply::now(Ok(found)),
            Lookup::Absent => {
                let said = self.0.backend.get(id);
                Reply::later(async move { Ok(said.await?.map_or(Lookup::Absent, Lookup::Found)) })
            }
        }
    }

    fn steps(&self, id: OrderId) -> Reply<Result<Option<Arc<Vec<StepRecord>>>, Down>> {
        if let Some(records) = self.0.desk.steps_now(id) {
            return Reply::now(Ok(Some(records)));
        }
        if self.0.desk.active(id).is_some() {
            return Reply::now(Ok(None));
        }
        let said = self.0.backend.steps(id);
        Reply::later(async move { Ok(said.await?.map(Arc::new)) })
    }

    fn list(&self, query: Query) -> Reply<Result<Page, Down>> {
        let house = self.0.clone();
        Reply::later(async move {
            house.note_all().await?;
            let mut page = house.backend.list(query).await?;
            for job in &mut page.jobs {
                if let Some(here) = house.desk.active(job.id).filter(|_| !job.status.is_done()) {
                    *job = *here;
                }
            }
            Ok(page)
        })
    }

    fn delete(&self, id: OrderId) -> Reply<Result<DeleteAnswer, Down>> {
        if self.0.desk.active(id).is_some() {
            return Reply::now(Ok(DeleteAnswer::Active));
        }
        let house = self.0.clone();
        Reply::later(async move {
            let answer = house.backend.delete(id).await?;
            // What this node remembered of it.
            house.desk.delete_now(id);
            Ok(answer)
        })
    }

    fn sweep(&self, now_us: i64) -> Reply<()> {
        let house = self.0.clone();
        Reply::later(async move {
            let said = house.backend.tidy(house.bounds, now_us).await;
            house.heard(&said);
            if let Ok(tidied) = said {
                house.tidied(tidied);
            }
            // What the database has forgotten is not remembered here either.
            house.desk.sweep_now(i64::MAX);
        })
    }

    fn counts(&self) -> Reply<Result<Counts, Down>> {
        let house = self.0.clone();
        Reply::later(async move {
            house.note_all().await?;
            let counts = house.backend.counts().await?;
            let active = counts.by_status[Status::Queued as usize] + counts.by_status[Status::Running as usize];
            // With what an order costs beside itself, as its bound has it.
            Ok(Counts { active_bytes: counts.active_bytes + active as usize * OVERHEAD_BYTES, ..counts })
        })
    }

    fn here(&self) -> Here {
        self.0.desk.here_now()
    }

    fn runs_here(&self, id: OrderId) -> bool {
        self.0.desk.runs_here(id)
    }

    fn news(&self) -> Later<News> {
        let house = self.0.clone();
        Box::pin(async move {
            loop {
                house.rung.notified().await;
                let news = std::mem::take(&mut *locked(&house.news));
                if news != News::default() {
                    return news;
                }
            }
        })
    }

    fn close(&self) -> Reply<()> {
        self.0.is_closed.store(true, Ordering::Release);
        if !self.0.backend.is_shared() {
            return Reply::now(());
        }
        let house = self.0.clone();
        Reply::later(async move { house.give_back_all().await })
    }

    fn trouble(&self) -> Option<String> {
        locked(&self.0.down).map(|down| down.to_string())
    }

    fn caveat(&self) -> Option<String> {
        self.0.backend.caveat()
    }

    fn is_shared(&self) -> bool {
        self.0.backend.is_shared()
    }

    fn publish(&self, runs: Vec<Published>) -> Reply<Result<Vec<bool>, Down>> {
        Reply::later(self.0.backend.publish(runs))
    }

    fn published(&self, run: Fence, after: u32) -> Reply<Result<Option<Live>, Down>> {
        // What this node cooks is asked of the kitchen; where there is no other there is nothing to ask.
        if !self.0.backend.is_shared() {
            return Reply::now(Ok(None));
        }
        Reply::later(self.0.backend.published(run, after))
    }

    fn nodes(&self) -> Reply<Result<Vec<NodeRow>, Down>> {
        Reply::later(self.0.backend.nodes())
    }
}
