//! Looks at orders, counts and nodes.
//!
//! It deliberately looks at a bounded number of rows for a page: a filter that matches rarely gets short pages with a cursor.

use tokio_postgres::Row;
use tokio_postgres::types::Json;
use uuid::Uuid;

use super::rows::{self, Kept};
use super::{House, sql_reads};
use crate::domain::id::OrderId;
use crate::domain::job::Job;
use crate::domain::record::StepRecord;
use crate::store::backend::Down;
use crate::store::{Capacity, Counts, NodeRow, Page, Query, packed};

/// Rows looked at for one page: some milliseconds.
const SCAN: i64 = 5_000;

impl House {
    pub(super) async fn get(&self, id: OrderId) -> Result<Option<Box<Job>>, Down> {
        let found = self.find(self.reader(), vec![id.0]).await?.pop();
        Ok(found.map(|(kept, _)| Box::new(kept.now())))
    }

    pub(super) async fn steps(&self, id: OrderId) -> Result<Option<Vec<StepRecord>>, Down> {
        let found = self.reader().ask(sql_reads::BODY, &[&id.0]).await?;
        let Some(row) = found.first() else { return Ok(None) };
        let (format, body) = rows::read_body(row, 0)?;
        packed::records_of(format, body).map(Some).ok_or_else(|| rows::unreadable(row))
    }

    pub(super) async fn list(&self, query: Query) -> Result<Page, Down> {
        let line = self.reader();
        let (after, before) = (query.after.map_or(Uuid::nil(), |id| id.0), query.before.map_or(Uuid::max(), |id| id.0));
        let status = (!query.status.is_empty()).then(|| query.status.iter().map(|s| *s as i16).collect::<Vec<_>>());
        // A model without a name is no order's.
        let model = query.model.map(|model| self.names.get(usize::from(model.0)).copied().unwrap_or("?"));
        let owner = query.owner.as_ref().map(|owner| owner.as_str());
        let labels = query.labels.iter().map(|(key, value)| rows::label(key, value)).collect::<Vec<_>>();
        let labels = (!labels.is_empty()).then_some(Json(labels));
        let is_filtered = status.is_some() || model.is_some() || owner.is_some() || labels.is_some();
        let limit = i64::try_from(query.limit).unwrap_or(SCAN).min(SCAN);
        let one_more = limit + 1;
        // Unfiltered, the one more is looked for behind the last that is looked at.
        let scan = if is_filtered { SCAN } else { one_more };
        let found =
            line.ask(sql_reads::LIST, &[&after, &before, &scan, &status, &model, &owner, &labels, &one_more]).await?;
        let shown = found.iter().take(query.limit).map(|row| Ok(Kept::read(row)?.now()));
        let jobs = shown.collect::<Result<Vec<_>, Down>>()?;
        let mut next = if found.len() > query.limit { jobs.last().map(|job| job.id) } else { None };
        if next.is_none() && is_filtered {
            let end = line.ask(sql_reads::LIST_END, &[&after, &before, &(SCAN - 1)]).await?;
            next = if let [last, _] = &*end { Some(OrderId(last.get(0))) } else { None };
        }
        Ok(Page { jobs, next })
    }

    pub(super) async fn counts(&self) -> Result<Counts, Down> {
        let found = self.reader().ask(sql_reads::COUNTS, &[]).await?;
        let row = found.first().ok_or(Down::Away)?;
        let number = |at: usize| u64::try_from(row.get::<_, i64>(at)).unwrap_or(0);
        let by_status = std::array::from_fn(number);
        let (active_bytes, ended_bytes) = (number(7) as usize, number(8) as usize);
        Ok(Counts { accepted: by_status.iter().sum(), by_status, kept: number(6), active_bytes, ended_bytes })
    }

    pub(super) async fn nodes(&self) -> Result<Vec<NodeRow>, Down> {
        let node = |row: &Row| {
            let number = |at: usize| u32::try_from(row.get::<_, i32>(at)).unwrap_or(0);
            NodeRow {
                node: row.get::<_, &str>(0).into(),
                version: row.get(1),
                started_us: row.get(2),
                seen_us: row.get(3),
                models: row.get(4),
                capacity: Capacity { cores: number(5), threads: number(6), children: number(7) },
                held: u32::try_from(row.get::<_, i64>(8)).unwrap_or(u32::MAX),
            }
        };
        Ok(self.reader().ask(sql_reads::NODES, &[]).await?.iter().map(node).collect())
    }
}
