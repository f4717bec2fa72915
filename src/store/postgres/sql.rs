//! All statements by which nodes share orders, each one transaction by itself: what it says happens, or nothing does.
//!
//! Batches come as arrays, one element an order. Every write names its fence, times are the database's, and a transition is
//! written together with what it does to the tally. They deliberately decide nothing that [`crate::domain::life`] decides:
//! that is done between a look ([`FIND`], [`DUE`]) and a [`SETTLE`] that takes effect only if nothing has changed since.

/// Columns of an order as `rows.rs` reads them.
macro_rules! kept {
    () => {
        "o.id, o.status, o.attempt, o.node, o.started_us, o.queue_ns, o.cancel_requested, o.history, o.lane, o.threads, \
         o.children, o.format, o.body"
    };
}

/// Now, microseconds since 1970.
macro_rules! now_us {
    () => {
        "(extract(epoch FROM clock_timestamp()) * 1000000)::int8"
    };
}

/// Whether any other node may want to hear something: one alone is not rung for. `$node` is this one.
macro_rules! others {
    ($node:literal) => {
        concat!(
            "EXISTS (SELECT FROM nodes WHERE node <> ",
            $node,
            " AND seen > clock_timestamp() - interval '1 minute')"
        )
    };
}

/// The channel of hints. A payload is a sign, the name of a node, a line break, and ids of 32 digits. The sign of orders that have
/// ended is the number of their status.
pub(super) const LISTEN: &str = "LISTEN pasta_fasta";

/// What every session does first. Waiting for standbys may be stricter than `on`, never laxer. All statements walk
/// an index in its order, whatever the planner thinks of a table it has not analyzed lately: it has been seen to sort a million
/// rows for a page of a hundred.
pub(super) const SESSION: &str = "\
SELECT set_config('synchronous_commit', 'on', false)
 WHERE current_setting('synchronous_commit') IN ('off', 'local', 'remote_write');
SET enable_seqscan = off; SET enable_bitmapscan = off; SET jit = off;";

/// Writes groups of orders: the first of a group if neither it nor its key is here, and the others only with their first.
/// Says the first ones that are written now.
pub(super) const APPEND: &str = concat!(
    "
WITH told AS (
    SELECT *, CASE WHEN held THEN $1 END AS node,
           CASE WHEN held THEN clock_timestamp() + $2::int8 * interval '1 microsecond' END AS lease_until,
           clock_timestamp() + expires_us * interval '1 microsecond' AS expires_at
      FROM unnest($3::uuid[], $4::uuid[], $5::text[], $6::text[], $7::jsonb[], $8::int2[], $9::int8[], $10::int4[],
                  $11::int4[], $12::bool[], $13::int8[], $14::int8[], $15::text[], $16::uuid[], $17::bytea[], $18::bytea[])
        AS t(id, first, owner, model, labels, lane, turn, threads, children, held, expires_us, bytes, once_key,
             once_fingerprint, once_ids, body)
), firsts AS (
    INSERT INTO orders (id, owner, status, model, labels, lane, turn, threads, children, attempt, node, lease_until,
                        expires_at, bytes, once_key, once_fingerprint, once_ids, format, body)
    SELECT id, owner, 0, model, labels, lane, turn, threads, children, held::int, node, lease_until,
           expires_at, bytes, once_key, once_fingerprint, once_ids, $19::int2, body
      FROM told WHERE id = first
    ON CONFLICT DO NOTHING
    RETURNING id
), others AS (
    INSERT INTO orders (id, owner, status, model, labels, lane, turn, threads, children, attempt, node, lease_until,
                        expires_at, bytes, format, body)
    SELECT id, owner, 0, model, labels, lane, turn, threads, children, held::int, node, lease_until,
           expires_at, bytes, $19::int2, body
      FROM told WHERE id <> first AND first IN (SELECT id FROM firsts)
    RETURNING id
), written AS (
    SELECT count(*) AS orders, sum(bytes) AS bytes, bool_or(NOT held) AS waits
      FROM told WHERE first IN (SELECT id FROM firsts)
), counted AS (
    UPDATE tally SET queued = queued + w.orders, active_bytes = active_bytes + w.bytes
      FROM written w WHERE shard = pg_backend_pid() % 64 AND w.orders > 0
), rung AS (
    SELECT pg_notify('pasta_fasta', 'q' || $1) FROM written WHERE waits AND ",
    others!("$1"),
    "
)
SELECT firsts.id FROM firsts LEFT JOIN rung ON true"
);

/// The groups that are here already, by the first of their orders or by their key.
pub(super) const BEFORE: &str = "
SELECT t.nth, o.id, o.once_fingerprint, o.once_ids
  FROM unnest($1::int4[], $2::uuid[], $3::text[], $4::text[]) AS t(nth, first, owner, once_key)
  JOIN orders o ON o.id = t.first
UNION ALL
SELECT t.nth, o.id, o.once_fingerprint, o.once_ids
  FROM unnest($1::int4[], $2::uuid[], $3::text[], $4::text[]) AS t(nth, first, owner, once_key)
  JOIN orders o ON o.owner = t.owner AND o.once_key = t.once_key AND o.once_key IS NOT NULL";

/// Moves active orders: to running, back into the line, or to their end. `holder` is who must hold it (NULL: nobody), `asked`
/// whether a cancel must have been asked for (NULL: no matter), `late` that its lease must have run out. Says which were
/// moved, and which had been moved to this end before.
pub(super) const SETTLE: &str = concat!(
    "
WITH told AS (
    SELECT * FROM unnest($2::uuid[], $3::int4[], $4::text[], $5::bool[], $6::bool[], $7::int2[], $8::int8[], $9::int8[],
                         $10::int8[], $11::jsonb[], $12::bool[], $13::bytea[])
        AS t(id, attempt, holder, asked, late, status, started_us, queue_ns, turn, history, cancel, body)
), found AS MATERIALIZED (
    SELECT o.id, o.status AS was, o.bytes AS had, t.status, t.started_us, t.queue_ns, t.turn, t.history, t.cancel, t.body
      FROM told t JOIN orders o ON o.id = t.id
     WHERE o.status < 2 AND o.attempt = t.attempt AND o.node IS NOT DISTINCT FROM t.holder
       AND o.cancel_requested = coalesce(t.asked, o.cancel_requested)
       AND (NOT t.late OR o.lease_until < clock_timestamp()) ORDER BY o.id FOR UPDATE OF o
), begun AS (
    UPDATE orders o SET status = 1, started_us = f.started_us, queue_ns = f.queue_ns
      FROM found f WHERE o.id = f.id AND f.status = 1
), returned AS (
    UPDATE orders o SET status = 0, node = NULL, lease_until = NULL, started_us = NULL, queue_ns = 0,
                        turn = coalesce(f.turn, o.turn), history = f.history
      FROM found f WHERE o.id = f.id AND f.status = 0
), ended AS (
    UPDATE orders o SET status = f.status, lease_until = NULL, ended_at = clock_timestamp(), bytes = length(f.body),
                        cancel_requested = o.cancel_requested OR f.cancel, format = $14, body = f.body
      FROM found f WHERE o.id = f.id AND f.status >= 2
), sums AS (
    SELECT count(*) AS moved,
           count(*) FILTER (WHERE status = 0) - count(*) FILTER (WHERE was = 0) AS queued,
           count(*) FILTER (WHERE status = 1) - count(*) FILTER (WHERE was = 1) AS running,
           count(*) FILTER (WHERE status = 2) AS succeeded, count(*) FILTER (WHERE status = 3) AS failed,
           count(*) FILTER (WHERE status = 4) AS canceled, count(*) FILTER (WHERE status = 5) AS expired,
           count(*) FILTER (WHERE status >= 2) AS kept,
           coalesce(sum(had) FILTER (WHERE status >= 2), 0) AS freed,
           coalesce(sum(length(body)) FILTER (WHERE status >= 2), 0) AS filled
      FROM found
), counted AS (
    UPDATE tally t SET queued = t.queued + s.queued, running = t.running + s.running,
                       succeeded = t.succeeded + s.succeeded, failed = t.failed + s.failed,
                       canceled = t.canceled + s.canceled, expired = t.expired + s.expired, kept = t.kept + s.kept,
                       active_bytes = t.active_bytes - s.freed, ended_bytes = t.ended_bytes + s.filled
      FROM sums s WHERE t.shard = pg_backend_pid() % 64 AND s.moved > 0
), said AS (
    SELECT 'q' || $1 AS what FROM found WHERE status = 0
    UNION
    SELECT status::text || $1 || E'\\n' || string_agg(replace(id::text, '-', ''), '')
      FROM (SELECT id, status, row_number() OVER (PARTITION BY status) / 200 AS part FROM found WHERE status >= 2) AS e
     GROUP BY status, part
), rung AS (
    SELECT count(pg_notify('pasta_fasta', what)) FROM said WHERE ",
    others!("$1"),
    "
)
SELECT found.id FROM found CROSS JOIN rung
UNION ALL
SELECT o.id FROM told t JOIN orders o ON o.id = t.id
 WHERE t.status >= 2 AND o.status = t.status AND o.attempt = t.attempt AND o.node = t.holder"
);

/// Takes up orders that wait for any node, of each lane the first so many; of those with staff of their own only as far as
/// the room reaches. Two nodes at once pass by what the other has just locked, and each by what a later version wrote.
pub(super) const TAKE: &str = concat!(
    "
WITH want AS (
    SELECT * FROM unnest($1::int2[], $2::int4[]) AS w(lane, most) WHERE lane <> 1001
), waiting AS MATERIALIZED (
    SELECT o.* FROM want w CROSS JOIN LATERAL (
        SELECT id, lane, turn, threads, children FROM orders
         WHERE status = 0 AND node IS NULL AND lane = w.lane AND format <= $7
         ORDER BY turn, id LIMIT w.most FOR UPDATE SKIP LOCKED
    ) AS o
), line AS (
    SELECT id, lane, sum(threads) OVER upto AS threads, sum(children) OVER upto AS children
      FROM waiting WINDOW upto AS (PARTITION BY lane ORDER BY turn, id)
), taken AS (
    UPDATE orders o SET attempt = o.attempt + 1, node = $5, started_us = NULL, queue_ns = 0,
                        lease_until = clock_timestamp() + $6::int8 * interval '1 microsecond'
      FROM line
     WHERE o.id = line.id AND (line.lane <> 1000 OR line.threads <= $3 AND line.children <= $4)
    RETURNING ",
    kept!(),
    ", o.turn, (extract(epoch FROM clock_timestamp() - o.accepted_at) * 1000000)::int8 AS waited_us
)
SELECT * FROM taken ORDER BY lane, turn, id"
);

/// Renews exactly these grants, and says that this node lives. Says those that were renewed, and what is to be stopped.
/// Orders are locked in the order of their ids, here and where they are moved: else the two wait for each other for a second.
pub(super) const RENEW: &str = "
WITH held AS MATERIALIZED (
    SELECT o.id FROM unnest($3::uuid[], $4::int4[]) AS h(id, attempt) JOIN orders o ON o.id = h.id
     WHERE o.attempt = h.attempt AND o.node = $1 AND o.status < 2 ORDER BY o.id FOR NO KEY UPDATE OF o
), alive AS (
    INSERT INTO nodes (node, version, started, seen, models, cores, threads, children)
    VALUES ($1, $5, to_timestamp($6::int8 / 1000000.0), clock_timestamp(), $7, $8, $9, $10)
    ON CONFLICT (node) DO UPDATE SET version = excluded.version, started = excluded.started, seen = excluded.seen,
           models = excluded.models, cores = excluded.cores, threads = excluded.threads, children = excluded.children
)
UPDATE orders o SET lease_until = clock_timestamp() + $2::int8 * interval '1 microsecond'
  FROM held h WHERE o.id = h.id
RETURNING o.id, o.attempt, o.cancel_requested";

/// Orders whose holder has not renewed in time, and orders nobody may begin any more, of those this version can read.
pub(super) const DUE: &str = concat!(
    "
(SELECT ",
    kept!(),
    ", ",
    now_us!(),
    " AS now_us
   FROM orders o WHERE status < 2 AND node IS NOT NULL AND lease_until < clock_timestamp()
                   AND format <= $2 LIMIT $1)
UNION ALL
(SELECT ",
    kept!(),
    ", ",
    now_us!(),
    "
   FROM orders o WHERE status = 0 AND node IS NULL AND expires_at IS NOT NULL AND history IS NULL
                   AND expires_at <= clock_timestamp() AND format <= $2 LIMIT $1)"
);

/// Forgets ended orders, first what ended first, and nodes not heard of for an hour. What is too much is computed from one
/// snapshot of rows and tally, so two nodes at it compute the same; the lock only spares them waiting for each other.
pub(super) const FORGET: &str = "
WITH mine AS MATERIALIZED (
    SELECT pg_try_advisory_xact_lock(7305806148091633007) AS is_mine
), oldest AS (
    SELECT id, bytes, ended_at, row_number() OVER upto AS nth, sum(bytes) OVER upto AS upto
      FROM (SELECT id, bytes, ended_at FROM orders WHERE ended_at IS NOT NULL ORDER BY ended_at, id LIMIT $4) AS o
    WINDOW upto AS (ORDER BY ended_at, id)
), house AS (
    SELECT sum(kept)::int8 AS kept, sum(ended_bytes)::int8 AS bytes FROM tally
), gone AS (
    DELETE FROM orders USING oldest o, house h
     WHERE orders.id = o.id AND (SELECT is_mine FROM mine)
       AND (o.ended_at <= clock_timestamp() - $1::int8 * interval '1 microsecond'
            OR h.kept - o.nth >= $2::int8 OR h.bytes - o.upto + o.bytes > $3::int8)
    RETURNING orders.bytes
), sums AS (
    SELECT count(*) AS orders, sum(bytes) AS bytes FROM gone
), counted AS (
    UPDATE tally SET kept = kept - s.orders, ended_bytes = ended_bytes - s.bytes
      FROM sums s WHERE shard = pg_backend_pid() % 64 AND s.orders > 0
), silent AS (
    DELETE FROM nodes WHERE seen < clock_timestamp() - interval '1 hour'
)
SELECT orders FROM sums";

/// Orders of these ids, and now.
pub(super) const FIND: &str =
    concat!("SELECT ", kept!(), ", ", now_us!(), " AS now_us FROM orders o WHERE o.id = ANY($1)");

/// Asks the holder of this grant to stop, and rings for him.
pub(super) const ASK: &str =
    concat!(
    "UPDATE orders o SET cancel_requested = true WHERE o.id = $1 AND o.attempt = $2 AND o.node = $3 AND o.status < 2
     RETURNING ", kept!(), ", pg_notify('pasta_fasta', 'c' || o.node)"
);

/// Forgets one ended order. Says whether it did, and whether the order was here.
pub(super) const DELETE: &str = concat!(
    "
WITH gone AS (
    DELETE FROM orders WHERE id = $1 AND status >= 2 RETURNING id, bytes
), counted AS (
    UPDATE tally SET kept = kept - 1, ended_bytes = ended_bytes - gone.bytes
      FROM gone WHERE shard = pg_backend_pid() % 64
), rung AS (
    SELECT count(pg_notify('pasta_fasta', 'd' || $2 || E'\\n' || replace(id::text, '-', ''))) FROM gone WHERE ",
    others!("$2"),
    "
)
SELECT EXISTS (SELECT FROM gone), EXISTS (SELECT FROM orders WHERE id = $1) FROM rung"
);
