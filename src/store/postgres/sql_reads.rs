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

/// What a node asks about once a second, idle or not: what each client holds, what waits, and whether there is anything to
/// tidy up at all: what is published of runs that are over, orders without a living holder or past their deadline, and ended ones to forget.
/// What waits is asked lane by lane, the first of each: counting a hundred thousand would take longer than all the rest.
/// And how commits wait for standbys, how many there are, and whether anything is synced. A standby replays what it is sent: a
/// backup does not, and a logical subscriber is no copy. Whose role may not see what a receiver does counts it.
pub(super) const LOOK: &str = "
WITH RECURSIVE first AS (
    (SELECT lane, turn FROM orders WHERE status = 0 AND node IS NULL AND format <= $4 ORDER BY lane, turn LIMIT 1)
    UNION ALL
    SELECT next.* FROM first CROSS JOIN LATERAL (SELECT lane, turn FROM orders
     WHERE status = 0 AND node IS NULL AND lane > first.lane AND format <= $4 ORDER BY lane, turn LIMIT 1) AS next
)
SELECT 's' AS what, owner, 0::int2 AS lane, count(*) AS orders, sum(bytes)::int8 AS number
  FROM orders WHERE status < 2 GROUP BY owner
UNION ALL
SELECT 'w', '', lane, 0, turn FROM first
UNION ALL
SELECT 'd', '', 0::int2, 1, 0
 WHERE EXISTS (SELECT FROM orders WHERE status < 2 AND node IS NOT NULL AND lease_until < clock_timestamp()
                                    AND format <= $4)
    OR EXISTS (SELECT FROM orders WHERE status = 0 AND node IS NULL AND expires_at IS NOT NULL AND history IS NULL
                                    AND expires_at <= clock_timestamp() AND format <= $4)
UNION ALL
SELECT 'l', '', 0::int2, 1, 0
 WHERE EXISTS (SELECT FROM order_progress p
                WHERE (SELECT o.status < 2 AND o.attempt = p.attempt FROM orders o WHERE o.id = p.order_id) IS NOT TRUE)
UNION ALL
SELECT 'f', '', 0::int2, 1, 0 FROM (SELECT sum(kept)::int8 AS kept, sum(ended_bytes)::int8 AS bytes FROM tally) AS t
 WHERE t.kept > $2::int8 OR t.bytes > $3::int8
    OR (SELECT min(ended_at) FROM orders WHERE ended_at IS NOT NULL) <= clock_timestamp() - $1::int8 * interval '1 microsecond'
    OR EXISTS (SELECT FROM nodes WHERE seen < clock_timestamp() - interval '1 hour')
UNION ALL
SELECT 'p', current_setting('synchronous_standby_names'), 0::int2, count(*), (current_setting('fsync') = 'on')::int::int8
  FROM pg_stat_replication r
 WHERE (r.state IS NULL OR r.state IN ('catchup', 'streaming') AND r.replay_lsn IS NOT NULL)
   AND NOT EXISTS (SELECT FROM pg_replication_slots s WHERE s.active_pid = r.pid AND s.slot_type = 'logical')";

/// Now.
pub(super) const NOW: &str = concat!("SELECT ", now_us!());
