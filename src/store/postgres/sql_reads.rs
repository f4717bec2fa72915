//! Statements that only look. What nodes share orders by is in `sql.rs`.
//!
//! They deliberately lock nothing.

/// The packed body of an ended order.
pub(super) const BODY: &str = "SELECT format, body FROM orders WHERE id = $1 AND status >= 2";

/// A page of a list, and one more: at most so many rows are looked at, the youngest first.
pub(super) const LIST: &str = concat!(
    "
SELECT ",
    kept!(),
    "
  FROM (SELECT * FROM orders WHERE id > $1 AND id < $2 ORDER BY id DESC LIMIT $3) AS o
 WHERE ($4::int2[] IS NULL OR o.status = ANY($4)) AND ($5::text IS NULL OR o.model = $5)
   AND ($6::text IS NULL OR o.owner = $6) AND ($7::jsonb IS NULL OR o.labels @> $7)
 ORDER BY o.id DESC LIMIT $8"
);

/// The last row such a page looked at, and whether there is one behind it.
pub(super) const LIST_END: &str = "SELECT id FROM orders WHERE id > $1 AND id < $2 ORDER BY id DESC OFFSET $3 LIMIT 2";

/// The counts of this moment.
pub(super) const COUNTS: &str = "
SELECT sum(queued)::int8, sum(running)::int8, sum(succeeded)::int8, sum(failed)::int8, sum(canceled)::int8,
       sum(expired)::int8, sum(kept)::int8, sum(active_bytes)::int8, sum(ended_bytes)::int8
  FROM tally";

/// Nodes heard of lately.
pub(super) const NODES: &str = "
SELECT node, version, (extract(epoch FROM started) * 1000000)::int8, (extract(epoch FROM seen) * 1000000)::int8,
       models, cores, threads, children,
       (SELECT count(*) FROM orders o WHERE o.node = n.node AND o.node IS NOT NULL AND o.status < 2)
  FROM nodes n WHERE seen > clock_timestamp() - interval '1 hour' ORDER BY node";

/// Now.
pub(super) const NOW: &str = concat!("SELECT ", now_us!());
