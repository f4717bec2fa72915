-- Orders of all nodes that share this database. Every time that decides something is the database's own (timestamptz,
-- clock_timestamp()): a node whose clock is wrong decides nothing by it.

CREATE TABLE orders (
    -- The order's id, made by the node that accepted it. It sorts by birth, so new rows go to the end of the index and a
    -- page of a list is a range of it.
    id uuid PRIMARY KEY,
    -- Whose it is: for lists, shares and keys.
    owner text NOT NULL,
    -- 0 queued, 1 running, 2 succeeded, 3 failed, 4 canceled, 5 expired. A number of two bytes: every partial index below
    -- names it. Not an enum: a new state would need a migration before the first node that knows it.
    status smallint NOT NULL CHECK (status BETWEEN 0 AND 5),
    -- Name of its model, for lists. Not the number: another version may number its models otherwise.
    model text NOT NULL,
    -- Labels as ["key=value", ..]; NULL if there are none, which is the rule and then costs a bit. What text of Postgres
    -- cannot hold is escaped (src/store/postgres/rows.rs). Not indexed: a label filter looks at a bounded range of ids.
    labels jsonb,
    -- Where it waits (the number of its model, 1000 staffed, 1001 alone), and its place there.
    lane smallint NOT NULL,
    turn bigint NOT NULL,
    -- Staff of its own that it needs.
    threads integer NOT NULL,
    children integer NOT NULL,
    -- Number of the latest grant; never goes down. With id and node it is the fence of every later write.
    attempt integer NOT NULL,
    -- Who holds it, or held it when it ended; NULL while it waits for anybody.
    node text,
    -- Until when that grant is good without a renewal. In no index, neither as a column nor in a condition: a renewal then
    -- changes nothing that is indexed, and stays on the page of the row (a HOT update).
    lease_until timestamptz,
    -- When its latest run began, by the node that runs it (microseconds since 1970), and how long it had waited
    -- (nanoseconds). They are told to clients and decide nothing, so they stay as the node said them.
    started_us bigint,
    queue_ns bigint NOT NULL DEFAULT 0,
    -- Somebody wants it stopped: told to its holder with the next renewal, and to whoever would take it up after him.
    cancel_requested boolean NOT NULL DEFAULT false,
    -- Runs that did not come to their end; NULL if there are none. Only read and written whole, five at most.
    history jsonb,
    -- Accepted; what is left of its waiting when another node takes it up is counted from here.
    accepted_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- From when on it may not begin any more; NULL if it always may.
    expires_at timestamptz,
    -- When its end was written; NULL while it is active. Decides what is forgotten first.
    ended_at timestamptz,
    -- What it counts against the bounds of the house: the weight of its spec while active, its packed bytes afterwards. Kept
    -- here, so that giving it back takes off what was put on, whatever later versions weigh.
    bytes bigint NOT NULL,
    -- What makes a request take effect once: in the row of the first order of its group, so that key and orders are written
    -- and forgotten together. The orders of the group are listed as 16 bytes each.
    once_key text,
    once_fingerprint uuid,
    once_ids bytea,
    -- Layout of the body, and the order itself, packed. Last, so that a look at the columns before does not pass over it.
    format smallint NOT NULL,
    body bytea NOT NULL
)
-- A fifth of each page is left free, so that a renewal, and the mark of a cancel, find room on the page of their row.
WITH (fillfactor = 80,
      -- A queue is a table of young dead rows: clean up after 2 % of the rows and 1,000, not after 20 %.
      autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000,
      autovacuum_vacuum_insert_scale_factor = 0.1, autovacuum_analyze_scale_factor = 0.05);
-- The body is packed already: compressing it again costs time and saves little.
ALTER TABLE orders ALTER COLUMN body SET STORAGE EXTERNAL;

-- All indexes but the first and the last two are partial on what is active: a million ended rows add nothing to them.
-- The line: who waits for any node, by lane and turn.
CREATE INDEX orders_waiting ON orders (lane, turn, id) WHERE status = 0 AND node IS NULL;
-- Who is held, by whom: for leases that ran out, and how many each node has.
CREATE INDEX orders_held ON orders (node) WHERE status < 2 AND node IS NOT NULL;
-- What each client holds.
CREATE INDEX orders_active ON orders (owner) WHERE status < 2;
-- Start deadlines of those that wait.
CREATE INDEX orders_expiring ON orders (expires_at)
    WHERE status = 0 AND node IS NULL AND expires_at IS NOT NULL AND history IS NULL;
-- What ended first is forgotten first.
CREATE INDEX orders_ended ON orders (ended_at, id) WHERE ended_at IS NOT NULL;
-- One group per client and key.
CREATE UNIQUE INDEX orders_once ON orders (owner, once_key) WHERE once_key IS NOT NULL;

-- Counts, written with the transitions they count: asking a million rows would take a second. The truth is the sum over all
-- rows; each connection adds to the row of its process, so that writers do not wait for each other. A single row may be
-- negative: an order can come in by one connection and end by another.
CREATE TABLE tally (
    shard smallint PRIMARY KEY,
    -- Orders waiting and running now; the others ever since, also those that are forgotten. Their sum is all ever accepted.
    queued bigint NOT NULL DEFAULT 0,
    running bigint NOT NULL DEFAULT 0,
    succeeded bigint NOT NULL DEFAULT 0,
    failed bigint NOT NULL DEFAULT 0,
    canceled bigint NOT NULL DEFAULT 0,
    expired bigint NOT NULL DEFAULT 0,
    -- Ended orders still here.
    kept bigint NOT NULL DEFAULT 0,
    -- Sums of `bytes` over active and over ended orders.
    active_bytes bigint NOT NULL DEFAULT 0,
    ended_bytes bigint NOT NULL DEFAULT 0
)
-- Some 5 KiB of rows, updated at every commit: mostly free pages, so that updates stay on their page.
WITH (fillfactor = 20);
-- 64: with four writers per node, two of a dozen nodes rarely meet in one row, and reading all of them is still one page or two.
INSERT INTO tally (shard) SELECT generate_series(0, 63);

-- Who shares this database. One row a node, written with every renewal of its leases.
CREATE TABLE nodes (
    node text PRIMARY KEY,
    version text NOT NULL,
    -- Both by the database's clock.
    started timestamptz NOT NULL,
    seen timestamptz NOT NULL,
    -- Names of the models it offers.
    models text[] NOT NULL,
    -- Cores, and staff that orders may have of their own.
    cores integer NOT NULL,
    threads integer NOT NULL,
    children integer NOT NULL
)
WITH (fillfactor = 50);
