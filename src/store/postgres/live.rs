//! What nodes let each other know of runs that last, with the statements for it (`migrations/postgres/V2__live.sql`).
//!
//! It deliberately rings for nobody: whoever follows an order of another node looks twice a second, and a hint for each look
//! would cost every commit more than it saves one reader.

use uuid::Uuid;

use super::{House, rows};
use crate::domain::live::{Live, StepEvent};
use crate::store::Fence;
use crate::store::backend::{Down, Published};
use crate::store::packed::FORMAT;

/// Events of one row, some 6 KiB. A look reads two rows, so it costs the same at the beginning of a run and at its end.
const CHUNK: usize = 512;

/// Writes how far runs are and what happened in them, of those whose grant is good.
const PUBLISH: &str = "
WITH good AS MATERIALIZED (
    SELECT t.* FROM unnest($2::uuid[], $3::int4[], $4::int4[], $5::int4[], $6::int4[])
                      AS t(id, attempt, steps_done, dishes_done, last_seq)
      JOIN orders o ON o.id = t.id
     WHERE o.attempt = t.attempt AND o.node = $1 AND o.status < 2
), far AS (
    INSERT INTO order_progress AS p (order_id, attempt, steps_done, dishes_done, last_seq)
    SELECT id, attempt, steps_done, dishes_done, last_seq FROM good
    ON CONFLICT (order_id) DO UPDATE SET attempt = excluded.attempt, steps_done = excluded.steps_done,
           dishes_done = excluded.dishes_done, last_seq = excluded.last_seq
     WHERE p.attempt <= excluded.attempt
), happened AS (
    INSERT INTO order_events (order_id, attempt, first_seq, last_seq, format, events)
    SELECT good.id, good.attempt, e.first_seq, e.last_seq, $11::int2, e.events
      FROM unnest($7::uuid[], $8::int4[], $9::int4[], $10::bytea[]) AS e(id, first_seq, last_seq, events)
      JOIN good ON good.id = e.id
    ON CONFLICT (order_id, attempt, first_seq) DO UPDATE SET last_seq = excluded.last_seq, events = excluded.events
)
SELECT id FROM good";

/// How far a run is, and the first of its events after a number.
const PUBLISHED: &str = "
SELECT p.steps_done, p.dishes_done, p.last_seq, e.events
  FROM order_progress p LEFT JOIN LATERAL (
    SELECT first_seq, events FROM order_events
     WHERE order_id = p.order_id AND attempt = p.attempt AND last_seq > $3 AND format = $4
     ORDER BY first_seq LIMIT 2
  ) AS e ON true
 WHERE p.order_id = $1 AND p.attempt = $2
 ORDER BY e.first_seq";

/// Forgets what was published of runs that are over. Looks at orders one by one, by their key: there are few here.
const UNPUBLISH: &str = "
WITH gone AS (
    DELETE FROM order_progress p
     WHERE (SELECT o.status < 2 AND o.attempt = p.attempt FROM orders o WHERE o.id = p.order_id) IS NOT TRUE
    RETURNING order_id, attempt
)
DELETE FROM order_events e USING gone g WHERE e.order_id = g.order_id AND e.attempt <= g.attempt";

impl House {
    pub(super) async fn publish(&self, runs: Vec<Published>) -> Result<Vec<bool>, Down> {
        if runs.is_empty() {
            return Ok(Vec::new());
        }
        let number = |n: u64| i32::try_from(n).unwrap_or(i32::MAX);
        let column = |of: fn(&Published) -> u64| runs.iter().map(|run| number(of(run))).collect::<Vec<_>>();
        let ids: Vec<Uuid> = runs.iter().map(|run| run.fence.id.0).collect();
        let attempts = column(|run| run.fence.attempt.into());
        let (steps, dishes) = (column(|run| run.live.steps_done), column(|run| run.live.dishes_done.into()));
        let last = column(|run| run.live.last_seq.into());
        let mut chunks = Chunks::default();
        runs.iter().for_each(|run| chunks.push(run));
        let Chunks { id, first_seq, last_seq, events } = &chunks;
        let params: [super::line::Param<'_>; 11] =
            [&&*self.node, &ids, &attempts, &steps, &dishes, &last, id, first_seq, last_seq, events, &FORMAT];
        let good = self.reader().ask(PUBLISH, &params).await?;
        let good: std::collections::HashSet<Uuid> = good.iter().map(|row| row.get(0)).collect();
        Ok(ids.iter().map(|id| good.contains(id)).collect())
    }

    pub(super) async fn published(&self, run: Fence, after: u32) -> Result<Option<Live>, Down> {
        let (attempt, after) = (run.attempt.cast_signed(), i32::try_from(after).unwrap_or(i32::MAX));
        let found = self.reader().ask(PUBLISHED, &[&run.id.0, &attempt, &after, &FORMAT]).await?;
        let Some(first) = found.first() else { return Ok(None) };
        let number = |at: usize| first.get::<_, i32>(at).unsigned_abs();
        let mut events: Vec<StepEvent> = Vec::new();
        for row in &found {
            let Some(packed) = row.get::<_, Option<&[u8]>>(3) else { continue };
            let chunk: Vec<StepEvent> = postcard::from_bytes(packed).map_err(|_| rows::unreadable(row))?;
            events.extend(chunk.into_iter().filter(|event| event.seq.cast_signed() > after));
        }
        // Whatever was lost on the way, nothing is told behind a gap.
        let next = after.max(1).unsigned_abs() + 1;
        let whole = events.iter().zip(next..).take_while(|(event, seq)| event.seq == *seq).count();
        events.truncate(whole);
        Ok(Some(Live { steps_done: number(0).into(), dishes_done: number(1), last_seq: number(2), events }))
    }

    pub(super) async fn unpublish(&self) -> Result<(), Down> {
        self.takes.ask(UNPUBLISH, &[]).await.map(drop)
    }
}

/// Events of all runs, a row each of up to [`CHUNK`].
#[derive(Default)]
struct Chunks {
    id: Vec<Uuid>,
    first_seq: Vec<i32>,
    last_seq: Vec<i32>,
    events: Vec<Vec<u8>>,
}

impl Chunks {
    fn push(&mut self, run: &Published) {
        for chunk in run.live.events.chunks(CHUNK) {
            let (Some(first), Some(last)) = (chunk.first(), chunk.last()) else { continue };
            self.id.push(run.fence.id.0);
            self.first_seq.push(first.seq.cast_signed());
            self.last_seq.push(last.seq.cast_signed());
            self.events.push(postcard::to_stdvec(chunk).expect("plain data can be written"));
        }
    }
}
