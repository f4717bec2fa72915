-- Orders of one service, in one file. Times are microseconds since 1970, as everywhere in the house; SQLite has no type of
-- its own for them. STRICT, because without it a column takes values of every type.

CREATE TABLE orders (
    -- The 16 bytes of the order's id: it sorts by birth, so new rows and pages of a list are at the end of the index.
    -- A rowid table, not WITHOUT ROWID: rows are far longer than the twentieth of a page up to which that pays.
    id BLOB NOT NULL UNIQUE,
    -- Whose it is: for lists, shares and keys.
    owner TEXT NOT NULL,
    -- 0 queued, 1 running, 2 succeeded, 3 failed, 4 canceled, 5 expired. A number, because every partial index below names
    -- it and every transition writes it.
    status INTEGER NOT NULL CHECK (status BETWEEN 0 AND 5),
    -- Name of its model, for lists. Not the number: a later version may number its models otherwise.
    model TEXT NOT NULL,
    -- Labels as a JSON array of pairs; NULL if there are none, which is the rule and then costs nothing.
    labels TEXT,
    -- Where it waits (the number of its model, 1000 staffed, 1001 alone), and its place there.
    lane INTEGER NOT NULL,
    turn INTEGER NOT NULL,
    -- Staff of its own that it needs.
    threads INTEGER NOT NULL,
    children INTEGER NOT NULL,
    -- Number of the latest grant; never goes down. With id and node it is the fence of every later write.
    attempt INTEGER NOT NULL,
    -- Who holds it, or held it last; NULL while it waits for anybody. Leases are not needed: nobody else opens this file.
    node TEXT,
    -- When its latest run began, and how long it had waited then (nanoseconds). Zero stands for no time: NULL says that.
    started_us INTEGER,
    queue_ns INTEGER NOT NULL DEFAULT 0,
    -- Somebody wants it stopped: must survive the service, or a canceled order would run once more.
    cancel_requested INTEGER NOT NULL DEFAULT 0,
    -- Runs that did not come to their end, as JSON; NULL if there are none. Only read and written whole, five at most.
    history TEXT,
    -- From when on it may not begin any more; NULL if it always may.
    expires_us INTEGER,
    -- When it ended; NULL while it is active. Decides what is forgotten first.
    ended_us INTEGER,
    -- What it counts against the bounds of the house: the weight of its spec while active, its packed bytes afterwards. Kept
    -- here, so that giving it back takes off what was put on, whatever later versions weigh.
    bytes INTEGER NOT NULL,
    -- What makes a request take effect once: in the row of the first order of its group, so that key and orders are written
    -- and forgotten together. The other orders of the group are listed as 16 bytes each.
    once_key TEXT,
    once_fingerprint BLOB,
    once_ids BLOB,
    -- Layout of the body, and the order itself, packed. Last, so that a look at the columns before does not read it.
    format INTEGER NOT NULL,
    body BLOB NOT NULL
) STRICT;

-- The line: who waits for any node, by lane and turn.
CREATE INDEX orders_waiting ON orders (lane, turn, id) WHERE status = 0 AND node IS NULL;
-- All that have not ended: what is taken up at start, and what each client holds, without a look at the rows.
CREATE INDEX orders_active ON orders (owner, bytes) WHERE status < 2;
-- Start deadlines of those that wait.
CREATE INDEX orders_expiring ON orders (expires_us) WHERE status = 0 AND node IS NULL AND expires_us IS NOT NULL;
-- What ended first is forgotten first.
CREATE INDEX orders_ended ON orders (ended_us) WHERE ended_us IS NOT NULL;
-- One group per client and key.
CREATE UNIQUE INDEX orders_once ON orders (owner, once_key) WHERE once_key IS NOT NULL;

-- Counts, written with the transitions they count: asking a million rows would take a second.
CREATE TABLE tally (
    -- There is one row.
    one INTEGER PRIMARY KEY CHECK (one = 1),
    -- Orders waiting and running now; the others ever since, also those that are forgotten. Their sum is all that were accepted.
    queued INTEGER NOT NULL DEFAULT 0,
    running INTEGER NOT NULL DEFAULT 0,
    succeeded INTEGER NOT NULL DEFAULT 0,
    failed INTEGER NOT NULL DEFAULT 0,
    canceled INTEGER NOT NULL DEFAULT 0,
    expired INTEGER NOT NULL DEFAULT 0,
    -- Ended orders still here.
    kept INTEGER NOT NULL DEFAULT 0,
    -- Sums of `bytes` over active and over ended orders.
    active_bytes INTEGER NOT NULL DEFAULT 0,
    ended_bytes INTEGER NOT NULL DEFAULT 0
) STRICT;
INSERT INTO tally (one) VALUES (1);
