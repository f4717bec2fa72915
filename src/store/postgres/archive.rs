//! Comparisons in the database, with the statements for them (`migrations/postgres/V3__comparisons.sql`).
//!
//! It deliberately hands none to another node: one whose node is gone is lost, which its row says by its age.

use std::sync::Arc;
use std::time::Duration;

use tokio_postgres::Row;
use uuid::Uuid;

use super::line::Param;
use super::{House, Postgres, rows};
use crate::domain::client::Client;
use crate::domain::id::OrderId;
use crate::domain::limits;
use crate::store::archive::{Archive, Filed, Filing, Shelf};
use crate::store::backend::{Down, Said};

/// Longest time between two writings of how a comparison stands: followers at other nodes are told that late.
const BEAT: Duration = Duration::from_secs(1);
/// Writings of one lease: some may be lost.
const BEATS: u32 = 5;

/// Columns as [`read`] reads them; `$1` is the lease.
macro_rules! filed {
    () => {
        "c.id, c.owner, c.status, c.cancel_requested, (extract(epoch FROM c.seen) * 1000000)::int8, \
         c.status < 2 AND c.seen < clock_timestamp() - $1::int8 * interval '1 microsecond', c.answer, c.notes"
    };
}

/// Writes a new one, and forgets the oldest that are over if more are kept than should be. The answer that never came may have
/// been good: saying it again changes nothing.
const OPEN: &str = "
WITH old AS (
    DELETE FROM comparisons WHERE id IN (
        SELECT id FROM comparisons
         WHERE status > 1 OR seen < clock_timestamp() - $1::int8 * interval '1 microsecond'
         ORDER BY id LIMIT greatest(0, (SELECT count(*) FROM comparisons) + 1 - $8::int8))
)
INSERT INTO comparisons (session, id, owner, status, cancel_requested, answer, notes)
VALUES ($2, $3, $4, $5, $6, $7, $9) ON CONFLICT DO NOTHING";

/// Writes how one of this session stands, if nobody has taken it for lost meanwhile.
const FILE: &str = "
UPDATE comparisons SET status = $4, cancel_requested = cancel_requested OR $5, seen = clock_timestamp(), answer = $6, notes = $7
 WHERE id = $3 AND session = $2
   AND (status = $4 AND status > 1
        OR status < 2 AND seen >= clock_timestamp() - $1::int8 * interval '1 microsecond')
RETURNING cancel_requested";

const FIND: &str = concat!("SELECT ", filed!(), " FROM comparisons c WHERE id = $2");

const PAGE: &str = concat!("SELECT ", filed!(), " FROM comparisons c WHERE id < $2 ORDER BY id DESC LIMIT $3");

const PAGE_OF: &str =
    concat!("SELECT ", filed!(), " FROM comparisons c WHERE id < $2 AND owner = $4 ORDER BY id DESC LIMIT $3");

const NOTES: &str = "SELECT notes FROM comparisons WHERE id < $1 ORDER BY id DESC LIMIT $2";

const NOTES_OF: &str = "SELECT notes FROM comparisons WHERE id < $1 AND owner = $3 ORDER BY id DESC LIMIT $2";

const WISH: &str = concat!(
    "WITH c AS (UPDATE comparisons SET cancel_requested = cancel_requested OR status < 2 WHERE id = $2 RETURNING *) SELECT ",
    filed!(),
    " FROM c"
);

const DISCARD: &str = "
WITH gone AS (
    DELETE FROM comparisons
     WHERE id = $2 AND (status > 1 OR seen < clock_timestamp() - $1::int8 * interval '1 microsecond') RETURNING id
)
SELECT EXISTS (SELECT FROM gone) FROM comparisons WHERE id = $2";

fn read(row: &Row) -> Result<Filed, tokio_postgres::Error> {
    Ok(Filed {
        id: OrderId(row.try_get(0)?),
        owner: Client::stored(row.try_get(1)?),
        status: rows::status(row.try_get(2)?),
        cancel_requested: row.try_get(3)?,
        seen_us: row.try_get(4)?,
        is_lost: row.try_get(5)?,
        answer: row.try_get::<_, &str>(6)?.into(),
        notes: row.try_get::<_, &str>(7)?.into(),
    })
}

impl House {
    async fn filings(&self, text: &'static str, params: &[Param<'_>]) -> Result<Vec<Filed>, Down> {
        let found = self.reader().ask(text, params).await?;
        found.iter().map(|row| read(row).map_err(|_| rows::unreadable(row))).collect()
    }

    async fn file(&self, filed: Filed) -> Result<Filing, Down> {
        let (status, Filed { id, cancel_requested, answer, notes, .. }) = (filed.status as i16, filed);
        let params: [Param<'_>; 7] =
            [&self.lease_us, &self.session, &id.0, &status, &cancel_requested, &&*answer, &&*notes];
        let kept = self.reader().ask(FILE, &params).await?;
        Ok(kept.first().map_or(Filing::Refused, |row| Filing::Kept { cancel_requested: row.get(0) }))
    }

    async fn open(&self, new: Filed) -> Result<(), Down> {
        let (status, most) = (new.status as i16, limits::COMPARISONS as i64);
        let Filed { id, owner, cancel_requested, answer, notes, .. } = new;
        let params: [Param<'_>; 9] = [
            &self.lease_us,
            &self.session,
            &id.0,
            &owner.as_str(),
            &status,
            &cancel_requested,
            &&*answer,
            &most,
            &&*notes,
        ];
        self.reader().ask(OPEN, &params).await.map(drop)
    }

    async fn shelf(&self, shelf: Shelf) -> Result<Vec<Filed>, Down> {
        let (before, limit) = bounds(&shelf);
        match shelf.owner {
            None => self.filings(PAGE, &[&self.lease_us, &before, &limit]).await,
            Some(owner) => self.filings(PAGE_OF, &[&self.lease_us, &before, &limit, &owner.as_str()]).await,
        }
    }

    async fn notes(&self, shelf: Shelf) -> Result<Vec<Arc<str>>, Down> {
        let (before, limit) = bounds(&shelf);
        let found = match &shelf.owner {
            None => self.reader().ask(NOTES, &[&before, &limit]).await?,
            Some(owner) => self.reader().ask(NOTES_OF, &[&before, &limit, &owner.as_str()]).await?,
        };
        Ok(found.iter().map(|row| row.get::<_, &str>(0).into()).collect())
    }
}

fn bounds(shelf: &Shelf) -> (Uuid, i64) {
    (shelf.before.map_or(Uuid::max(), |id| id.0), i64::try_from(shelf.limit).unwrap_or(i64::MAX))
}

impl Archive for Postgres {
    fn beat(&self) -> Option<Duration> {
        Some(BEAT.min(self.0.lease / BEATS))
    }

    fn open(&self, filed: Filed) -> Said<()> {
        self.say(|house| async move { house.open(filed).await })
    }

    fn file(&self, filed: Filed) -> Said<Filing> {
        self.say(|house| async move { house.file(filed).await })
    }

    fn filed(&self, id: OrderId) -> Said<Option<Filed>> {
        self.say(move |house| async move { Ok(house.filings(FIND, &[&house.lease_us, &id.0]).await?.pop()) })
    }

    fn shelf(&self, shelf: Shelf) -> Said<Vec<Filed>> {
        self.say(|house| async move { house.shelf(shelf).await })
    }

    fn notes(&self, shelf: Shelf) -> Said<Vec<Arc<str>>> {
        self.say(|house| async move { house.notes(shelf).await })
    }

    fn wish_stopped(&self, id: OrderId) -> Said<Option<Filed>> {
        self.say(move |house| async move { Ok(house.filings(WISH, &[&house.lease_us, &id.0]).await?.pop()) })
    }

    fn discard(&self, id: OrderId) -> Said<Option<bool>> {
        self.say(move |house| async move {
            let said = house.reader().ask(DISCARD, &[&house.lease_us, &id.0]).await?;
            Ok(said.first().map(|row| row.get(0)))
        })
    }
}
