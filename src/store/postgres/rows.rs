//! Rows of the database as orders, and orders as the arrays statements are told.
//!
//! It deliberately decides nothing; `fate.rs` does.

use std::sync::Arc;

use tokio_postgres::Row;
use tokio_postgres::types::Json;

use crate::domain::job::{Attempt, Job, Status};
use crate::store::backend::{Down, Lane};
use crate::store::{Overlay, Room, packed};

/// An order that is here, active or ended.
pub(super) struct Kept {
    /// As it was packed.
    pub(super) job: Job,
    /// What stands above that while it is active.
    pub(super) overlay: Overlay,
    pub(super) lane: Lane,
    pub(super) needs: Room,
}

/// How many columns [`Kept::read`] reads.
pub(super) const KEPT_COLUMNS: usize = 13;

impl Kept {
    /// A row whose first columns are those of `kept!` in `sql.rs`.
    pub(super) fn read(row: &Row) -> Result<Self, Down> {
        let (format, body) = read_body(row, 11)?;
        let job = packed::job_of(format, body).ok_or_else(|| unreadable(row))?;
        Self::above(row, job).map_err(|error| {
            tracing::error!(%error, "a row of the order store cannot be read");
            Down::Away
        })
    }

    fn above(row: &Row, job: Job) -> Result<Self, tokio_postgres::Error> {
        let number = |at: usize| row.try_get::<_, i32>(at).map(i32::cast_unsigned);
        let status = status(row.try_get(1)?);
        let node: Option<Arc<str>> = row.try_get::<_, Option<&str>>(3)?.map(Into::into);
        let history: Option<Json<Vec<Attempt>>> = row.try_get(7)?;
        let overlay = Overlay {
            status,
            grant: number(2)?,
            is_held: node.is_some() && !status.is_done(),
            started_us: row.try_get(4)?,
            queue_ns: row.try_get::<_, i64>(5)?.unsigned_abs(),
            cancel_requested: row.try_get(6)?,
            node,
            attempts: history.map(|Json(attempts)| attempts).unwrap_or_default(),
        };
        let needs = Room { threads: number(9)?, children: number(10)? };
        Ok(Self { job, overlay, lane: Lane(row.try_get(8)?), needs })
    }

    /// The order as it is now.
    pub(super) fn now(self) -> Job {
        self.overlay.onto(self.job)
    }
}

pub(super) fn status(number: i16) -> Status {
    // The column's check knows no other number.
    usize::try_from(number).ok().and_then(|n| Status::ALL.get(n)).copied().unwrap_or(Status::Failed)
}

/// The bytes of an order: two columns, the format and the body.
pub(super) fn read_body(row: &Row, at: usize) -> Result<(i16, &[u8]), Down> {
    match (row.try_get(at), row.try_get(at + 1)) {
        (Ok(format), Ok(body)) => Ok((format, body)),
        _ => Err(unreadable(row)),
    }
}

pub(super) fn unreadable(row: &Row) -> Down {
    let id = row.try_get::<_, uuid::Uuid>(0).ok().map(|id| crate::domain::id::OrderId(id).to_string());
    tracing::error!(id, "an order in the store was written by a later version, or is damaged");
    Down::Away
}

/// One label as text of the column: text of Postgres has no zero byte, and a key may hold the sign that ends it.
pub(super) fn label(key: &str, value: &str) -> String {
    let escaped = |text: &str| text.replace('\\', "\\\\").replace('\0', "\\0");
    format!("{}={}", escaped(key).replace('=', "\\e"), escaped(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_labels_are_the_same_text_only_if_they_are_the_same() {
        let parts = ["", "a", "=", "\\", "\\e", "\0", "\\0", "a=b"];
        let all: Vec<_> = parts.iter().flat_map(|k| parts.iter().map(move |v| label(k, v))).collect();
        let distinct: std::collections::HashSet<_> = all.iter().collect();
        assert_eq!(distinct.len(), all.len());
        assert!(all.iter().all(|text| !text.contains('\0')));
    }
}
