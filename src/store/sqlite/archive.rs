//! Comparisons in the file of orders (`migrations/sqlite/V2__comparisons.sql`).
//!
//! It deliberately takes nothing up again: a comparison that another run of the service did not end is lost.

use std::sync::Arc;
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, Row, params};
use uuid::Uuid;

use super::{Sqlite, rows};
use crate::clock;
use crate::domain::client::Client;
use crate::domain::id::OrderId;
use crate::domain::limits;
use crate::store::archive::{Archive, Filed, Filing, Shelf};
use crate::store::backend::Said;

/// Columns as [`read`] reads them; `?1` is this run of the service.
const FILED: &str = "id, owner, status, cancel_requested, seen_us, status < 2 AND session <> ?1, answer, notes";

const OPEN: &str = "INSERT INTO comparisons (session, id, owner, status, cancel_requested, seen_us, answer, notes) \
                    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";

/// Forgets the oldest that are over, if more are kept than should be.
const BOUND: &str = "DELETE FROM comparisons WHERE id IN (SELECT id FROM comparisons WHERE status > 1 OR session <> ?1 \
                     ORDER BY id LIMIT max(0, (SELECT count(*) FROM comparisons) - ?2))";

const FILE: &str = "UPDATE comparisons SET status = ?3, cancel_requested = max(cancel_requested, ?4), seen_us = ?5, \
                    answer = ?6, notes = ?7 WHERE id = ?2 AND session = ?1 AND (status < 2 OR status = ?3) \
                    RETURNING cancel_requested";

fn read(row: &Row<'_>) -> rusqlite::Result<Filed> {
    Ok(Filed {
        id: OrderId(row.get::<_, Uuid>(0)?),
        owner: Client::stored(row.get_ref(1)?.as_str()?),
        status: rows::status(row, 2)?,
        cancel_requested: row.get(3)?,
        seen_us: row.get(4)?,
        is_lost: row.get(5)?,
        answer: row.get_ref(6)?.as_str()?.into(),
        notes: row.get_ref(7)?.as_str()?.into(),
    })
}

fn find(db: &Connection, session: &str, id: OrderId) -> rusqlite::Result<Option<Filed>> {
    db.prepare_cached(&format!("SELECT {FILED} FROM comparisons WHERE id = ?2"))?
        .query_row(params![session, id.0], read)
        .optional()
}

/// A page, each row read like this.
fn page<T>(
    db: &Connection,
    session: &str,
    shelf: &Shelf,
    read: fn(&Row<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<Vec<T>> {
    let whose = if shelf.owner.is_some() { "owner = ?4 AND" } else { "?4 IS NULL AND" };
    let text = format!("SELECT {FILED} FROM comparisons WHERE {whose} id < ?2 ORDER BY id DESC LIMIT ?3");
    let (before, owner) = (shelf.before.map_or(Uuid::max(), |id| id.0), shelf.owner.as_ref().map(Client::as_str));
    let mut statement = db.prepare_cached(&text)?;
    let found = statement.query_map(params![session, before, shelf.limit as i64, owner], read)?;
    found.collect()
}

impl Archive for Sqlite {
    fn beat(&self) -> Option<Duration> {
        None
    }

    fn open(&self, new: Filed) -> Said<()> {
        let session = self.session();
        self.writer.write(move |tx| {
            let status = new.status as i64;
            tx.prepare_cached(OPEN)?.execute(params![
                session,
                new.id.0,
                new.owner.as_str(),
                status,
                new.cancel_requested,
                new.seen_us,
                &*new.answer,
                &*new.notes
            ])?;
            tx.prepare_cached(BOUND)?.execute(params![session, limits::COMPARISONS as i64]).map(drop)
        })
    }

    fn file(&self, filed: Filed) -> Said<Filing> {
        let session = self.session();
        self.writer.write(move |tx| {
            let (status, now_us) = (filed.status as i64, clock::wall_us());
            let params =
                params![session, filed.id.0, status, filed.cancel_requested, now_us, &*filed.answer, &*filed.notes];
            let kept = tx.prepare_cached(FILE)?.query_row(params, |row| row.get(0)).optional()?;
            Ok(kept.map_or(Filing::Refused, |cancel_requested| Filing::Kept { cancel_requested }))
        })
    }

    fn filed(&self, id: OrderId) -> Said<Option<Filed>> {
        let session = self.session();
        self.reader().read(move |db| find(db, &session, id))
    }

    fn shelf(&self, shelf: Shelf) -> Said<Vec<Filed>> {
        let session = self.session();
        self.reader().read(move |db| page(db, &session, &shelf, read))
    }

    fn notes(&self, shelf: Shelf) -> Said<Vec<Arc<str>>> {
        let session = self.session();
        self.reader().read(move |db| page(db, &session, &shelf, |row| Ok(row.get_ref(7)?.as_str()?.into())))
    }

    fn wish_stopped(&self, id: OrderId) -> Said<Option<Filed>> {
        let session = self.session();
        self.writer.write(move |tx| {
            let wish = "UPDATE comparisons SET cancel_requested = 1 WHERE id = ?2 AND session = ?1 AND status < 2";
            tx.prepare_cached(wish)?.execute(params![session, id.0])?;
            find(tx, &session, id)
        })
    }

    fn discard(&self, id: OrderId) -> Said<Option<bool>> {
        let session = self.session();
        self.writer.write(move |tx| {
            let Some(filed) = find(tx, &session, id)? else { return Ok(None) };
            if filed.is_over() {
                tx.prepare_cached("DELETE FROM comparisons WHERE id = ?1")?.execute([id.0])?;
            }
            Ok(Some(filed.is_over()))
        })
    }
}
