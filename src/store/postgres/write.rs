//! Orders on their way in, along and out: batches as arrays, answers one by one.
//!
//! It deliberately holds no state but the connections: whatever is here can be asked again.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use tokio_postgres::types::Json;
use uuid::Uuid;

use super::line::Line;
use super::moves::{Moment, Move, To};
use super::new_rows::NewRows;
use super::rows::{KEPT_COLUMNS, Kept};
use super::{House, sql};
use crate::domain::id::OrderId;
use crate::domain::job::Attempt;
use crate::store::backend::{Appended, Change, Down, Group, Stopped, What};
use crate::store::packed::{self, FORMAT};
use crate::store::{DeleteAnswer, Fence};

/// How often a decision is taken anew because its order changed meanwhile. Each change is somebody's progress.
const TRIES: usize = 8;

impl House {
    pub(super) async fn append(&self, groups: Vec<Group>) -> Result<Vec<Appended>, Down> {
        let mut answers = vec![None; groups.len()];
        for _ in 0..TRIES {
            let open = |answers: &[Option<Appended>]| (0..groups.len()).filter(|nth| answers[*nth].is_none()).collect();
            let new: Vec<usize> = open(&answers);
            let written = self.insert(new.iter().map(|nth| &groups[*nth])).await?;
            for nth in new {
                let first = groups[nth].entries.first().map(|entry| entry.job.id.0);
                if first.is_some_and(|first| written.contains(&first)) {
                    answers[nth] = Some(Appended::Fresh);
                }
            }
            // What was not written was here before; unless it has just been deleted, and then it is written now.
            let left: Vec<usize> = open(&answers);
            if !left.is_empty() {
                self.before(&groups, &left, &mut answers).await?;
            }
            if answers.iter().all(Option::is_some) {
                return Ok(answers.into_iter().flatten().collect());
            }
        }
        Err(Down::Away)
    }

    /// The first orders of those groups that are written now.
    async fn insert(&self, groups: impl Iterator<Item = &Group>) -> Result<HashSet<Uuid>, Down> {
        let mut rows = NewRows::default();
        groups.for_each(|group| rows.push(group, &self.names));
        if rows.id.is_empty() {
            return Ok(HashSet::new());
        }
        let NewRows { id, first, owner, model, labels, lane, turn, threads, children, held, expires, bytes, .. } =
            &rows;
        let NewRows { once_key, once_fingerprint, once_ids, body, .. } = &rows;
        let written = self
            .appends
            .ask(
                sql::APPEND,
                &[
                    &&*self.node,
                    &self.lease_us,
                    id,
                    first,
                    owner,
                    model,
                    labels,
                    lane,
                    turn,
                    threads,
                    children,
                    held,
                    expires,
                    bytes,
                    once_key,
                    once_fingerprint,
                    once_ids,
                    body,
                    &FORMAT,
                ],
            )
            .await?;
        Ok(written.iter().map(|row| row.get(0)).collect())
    }

    async fn before(&self, groups: &[Group], left: &[usize], answers: &mut [Option<Appended>]) -> Result<(), Down> {
        let nth: Vec<i32> = left.iter().map(|nth| *nth as i32).collect();
        let first_of = |nth: usize| groups[nth].entries.first().map(|entry| entry.job.id.0);
        let first: Vec<Option<Uuid>> = left.iter().map(|nth| first_of(*nth)).collect();
        let once = |nth: &usize| groups[*nth].once.as_ref();
        let owner: Vec<Option<&str>> = left.iter().map(|nth| once(nth).map(|once| once.owner.as_str())).collect();
        let key: Vec<Option<&str>> = left.iter().map(|nth| once(nth).map(|once| &*once.key)).collect();
        for row in self.appends.ask(sql::BEFORE, &[&nth, &first, &owner, &key]).await? {
            let nth = row.get::<_, i32>(0) as usize;
            let (id, fingerprint): (Uuid, Option<Uuid>) = (row.get(1), row.get(2));
            let ids = packed::split_ids(row.get::<_, Option<&[u8]>>(3).unwrap_or_default());
            answers[nth] = Some(match once(&nth) {
                _ if Some(id) == first_of(nth) => Appended::Fresh,
                Some(once) if fingerprint == Some(once.fingerprint) => Appended::Before(ids),
                _ => Appended::KeyReused,
            });
        }
        for nth in left.iter().filter(|nth| groups[**nth].entries.is_empty()) {
            answers[*nth].get_or_insert(Appended::Fresh);
        }
        Ok(())
    }

    pub(super) async fn settle(&self, changes: Vec<Change>) -> Result<Vec<bool>, Down> {
        let told = changes.iter().filter_map(|change| Move::told(change, &self.node)).collect();
        let mut good = self.moved(&self.settles, told).await?;
        for _ in 0..TRIES {
            let mut back = HashMap::new();
            for change in changes.iter().filter(|change| !good.contains(&change.fence.id.0)) {
                if let What::Returned { attempt, turn } = &change.what {
                    back.insert(change.fence.id, (change.fence, attempt, *turn));
                }
            }
            let moves = self.given_back(back).await?;
            if moves.is_empty() {
                break;
            }
            good.extend(self.moved(&self.settles, moves).await?);
        }
        Ok(changes.iter().map(|change| good.contains(&change.fence.id.0)).collect())
    }

    /// What becomes of orders this node gives back, of those it still holds.
    async fn given_back(&self, back: HashMap<OrderId, (Fence, &Option<Attempt>, i64)>) -> Result<Vec<Move>, Down> {
        if back.is_empty() {
            return Ok(Vec::new());
        }
        let found = self.find(&self.settles, back.keys().map(|id| id.0).collect()).await?;
        let mut moves = Vec::new();
        for (kept, moment) in found {
            let Some((fence, attempt, turn)) = back.get(&kept.job.id) else { continue };
            let is_mine = kept.overlay.is_held && kept.overlay.node.as_ref() == Some(&self.node);
            if is_mine && kept.overlay.grant == fence.attempt {
                moves.push(moment.again(kept, (*attempt).clone(), Some(*turn)));
            }
        }
        Ok(moves)
    }

    /// Orders of these ids that are here, and the moment they were read.
    pub(super) async fn find(&self, line: &Line, ids: Vec<Uuid>) -> Result<Vec<(Kept, Moment)>, Down> {
        let rows = line.ask(sql::FIND, &[&ids]).await?;
        rows.iter().map(|row| Ok((Kept::read(row)?, self.moment(row.get(KEPT_COLUMNS))))).collect()
    }

    /// Moves orders; says which were.
    pub(super) async fn moved(&self, line: &Line, moves: Vec<Move>) -> Result<HashSet<Uuid>, Down> {
        if moves.is_empty() {
            return Ok(HashSet::new());
        }
        let all = |take: fn(&Move) -> Option<i64>| moves.iter().map(take).collect::<Vec<_>>();
        let ids: Vec<Uuid> = moves.iter().map(|m| m.fence.id.0).collect();
        let attempts: Vec<i32> = moves.iter().map(|m| m.fence.attempt.cast_signed()).collect();
        let holders: Vec<Option<&str>> = moves.iter().map(|m| m.holder.as_deref()).collect();
        let asked: Vec<Option<bool>> = moves.iter().map(|m| m.asked).collect();
        let late: Vec<bool> = moves.iter().map(|m| m.is_late).collect();
        let status: Vec<i16> = moves.iter().map(|m| m.to.status()).collect();
        let started = all(|m| if let To::Begun { started_us, .. } = m.to { Some(started_us) } else { None });
        let queue = all(|m| if let To::Begun { queue_ns, .. } = m.to { Some(queue_ns) } else { None });
        let turns = all(|m| if let To::Line { turn, .. } = m.to { turn } else { None });
        let history: Vec<Option<Json<&[Attempt]>>> = moves.iter().map(|m| m.to.history()).collect();
        let cancels: Vec<bool> = moves.iter().map(|m| matches!(m.to, To::End { cancels: true, .. })).collect();
        let body: Vec<Option<&[u8]>> = moves.iter().map(|m| m.to.body()).collect();
        let moved = line
            .ask(
                sql::SETTLE,
                &[
                    &&*self.node,
                    &ids,
                    &attempts,
                    &holders,
                    &asked,
                    &late,
                    &status,
                    &started,
                    &queue,
                    &turns,
                    &history,
                    &cancels,
                    &body,
                    &FORMAT,
                ],
            )
            .await?;
        Ok(moved.iter().map(|row| row.get(0)).collect())
    }

    pub(super) async fn cancel(&self, id: OrderId) -> Result<Stopped, Down> {
        for _ in 0..TRIES {
            let line = self.reader();
            let Some((kept, moment)) = self.find(line, vec![id.0]).await?.pop() else { return Ok(Stopped::Absent) };
            let overlay = &kept.overlay;
            if overlay.status.is_done() {
                return Ok(Stopped::Ended(Box::new(kept.now())));
            }
            if let Some(node) = overlay.node.clone() {
                let attempt = overlay.grant.cast_signed();
                if let Some(row) = line.ask(sql::ASK, &[&id.0, &attempt, &&*node]).await?.first() {
                    return Ok(Stopped::Asked(Box::new(Kept::read(row)?.now())));
                }
                continue;
            }
            let end = moment.canceled(kept);
            let job = end.ended();
            if self.moved(line, vec![end]).await?.contains(&id.0)
                && let Some(job) = job
            {
                return Ok(Stopped::Now(Box::new(job)));
            }
        }
        Err(Down::Away)
    }

    pub(super) async fn delete(&self, id: OrderId) -> Result<DeleteAnswer, Down> {
        let said = self.reader().ask(sql::DELETE, &[&id.0, &&*self.node]).await?;
        Ok(match said.first().map(|row| (row.get(0), row.get(1))) {
            Some((true, _)) => DeleteAnswer::Deleted,
            Some((false, true)) => DeleteAnswer::Active,
            _ => DeleteAnswer::Absent,
        })
    }
}

impl To {
    fn status(&self) -> i16 {
        match self {
            Self::Line { .. } => 0,
            Self::Begun { .. } => 1,
            Self::End { status, .. } => *status as i16,
        }
    }

    fn history(&self) -> Option<Json<&[Attempt]>> {
        match self {
            Self::Line { attempts, .. } if !attempts.is_empty() => Some(Json(attempts)),
            _ => None,
        }
    }

    fn body(&self) -> Option<&[u8]> {
        if let Self::End { packed, .. } = self { Some(packed) } else { None }
    }
}

impl House {
    pub(super) fn moment(&self, now_us: i64) -> Moment {
        // Relaxed: a number on its own.
        Moment { now_us, retention_us: self.retention_us.load(std::sync::atomic::Ordering::Relaxed) }
    }

    /// A connection for whoever waits for one order or a page; any will do.
    pub(super) fn reader(&self) -> &Arc<Line> {
        let nth = self.turn.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        &self.readers[nth % self.readers.len()]
    }
}
