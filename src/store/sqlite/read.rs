//! Looks at the file, through connections that never write.
//!
//! It deliberately looks at a bounded number of rows for a page: a filter that matches rarely gets short pages with a cursor.

use rusqlite::{Connection, OptionalExtension, params};
use uuid::Uuid;

use super::rows::{self, KEPT, KEPT_COLUMNS, Kept};
use crate::domain::client::Client;
use crate::domain::id::OrderId;
use crate::domain::record::StepRecord;
use crate::store::backend::{Lane, Renewed, Waiting};
use crate::store::{Fence, Page, Query, packed};

/// Rows looked at for one page: some milliseconds, as a page of the longest orders.
const SCAN: usize = 5_000;

pub(super) fn steps(db: &Connection, id: OrderId) -> rusqlite::Result<Option<Vec<StepRecord>>> {
    let look = "SELECT format, body FROM orders WHERE id = ?1 AND status >= 2";
    let found = |row: &rusqlite::Row<'_>| {
        let (format, bytes) = rows::body(row, 0)?;
        packed::records_of(format, bytes).ok_or_else(|| rows::unreadable(1, "not an order of a known format"))
    };
    db.prepare_cached(look)?.query_row([id.0], found).optional()
}

pub(super) fn list(db: &Connection, query: &Query, names: &[&str]) -> rusqlite::Result<Page> {
    let look =
        format!("SELECT {KEPT}, id, owner, model, labels FROM orders WHERE id > ?1 AND id < ?2 ORDER BY id DESC");
    let (after, before) = (query.after.map_or(Uuid::nil(), |id| id.0), query.before.map_or(Uuid::max(), |id| id.0));
    let mut look = db.prepare_cached(&look)?;
    let mut range = look.query([after, before])?;
    let (mut page, mut last) = (Page::default(), None);
    for _ in 0..SCAN {
        let Some(row) = range.next()? else { return Ok(page) };
        last = Some(OrderId(row.get(KEPT_COLUMNS)?));
        if matches(row, query, names)? {
            page.jobs.push(Kept::read(row)?.now());
            if page.jobs.len() >= query.limit {
                break;
            }
        }
    }
    page.next = range.next()?.and(last);
    Ok(page)
}

/// Whether an order is what the list asked for, by its columns.
fn matches(row: &rusqlite::Row<'_>, query: &Query, names: &[&str]) -> rusqlite::Result<bool> {
    let text = |at: usize| -> rusqlite::Result<&str> { Ok(row.get_ref(KEPT_COLUMNS + at)?.as_str()?) };
    if !query.status.is_empty() && !query.status.contains(&rows::status(row, 0)?) {
        return Ok(false);
    }
    if let Some(owner) = &query.owner
        && owner.as_str() != text(1)?
    {
        return Ok(false);
    }
    if let Some(model) = query.model
        && names.get(usize::from(model.0)).copied() != Some(text(2)?)
    {
        return Ok(false);
    }
    if query.labels.is_empty() {
        return Ok(true);
    }
    let Some(labels) = row.get_ref(KEPT_COLUMNS + 3)?.as_str_or_null()? else { return Ok(false) };
    let labels: Vec<(String, String)> =
        serde_json::from_str(labels).map_err(|error| rows::unreadable(KEPT_COLUMNS + 3, error))?;
    Ok(query.labels.iter().all(|label| labels.contains(label)))
}

pub(super) fn renew(db: &Connection, held: &[Fence], node: &str) -> rusqlite::Result<Renewed> {
    let look = "SELECT cancel_requested FROM orders WHERE id = ?1 AND attempt = ?2 AND node = ?3 AND status < 2";
    let mut look = db.prepare_cached(look)?;
    let mut renewed = Renewed::default();
    for fence in held {
        match look.query_row(params![fence.id.0, fence.attempt, node], |row| row.get(0)).optional()? {
            None => renewed.lost.push(*fence),
            Some(true) => renewed.cancels.push(fence.id),
            Some(false) => {}
        }
    }
    Ok(renewed)
}

/// Orders waiting or running per client, and their bytes.
pub(super) fn shares(db: &Connection) -> rusqlite::Result<Vec<(Client, u64, u64)>> {
    let look = "SELECT owner, count(*), sum(bytes) FROM orders WHERE status < 2 GROUP BY owner";
    let share = |row: &rusqlite::Row<'_>| {
        let number = |at| row.get::<_, i64>(at).map(i64::unsigned_abs);
        Ok((Client::stored(row.get_ref(0)?.as_str()?), number(1)?, number(2)?))
    };
    db.prepare_cached(look)?.query_map([], share)?.collect()
}

/// Orders waiting for any node, per lane.
pub(super) fn waiting(db: &Connection) -> rusqlite::Result<Vec<Waiting>> {
    let look = "SELECT lane, min(turn) FROM orders WHERE status = 0 AND node IS NULL GROUP BY lane";
    let line = |row: &rusqlite::Row<'_>| Ok(Waiting { lane: Lane(row.get(0)?), turn: row.get(1)? });
    db.prepare_cached(look)?.query_map([], line)?.collect()
}
