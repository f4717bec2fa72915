-- What a node lets others know of a run that lasts: how far it is, and the events of its steps. Written every quarter of a
-- second for runs older than that, and only if something has happened; most orders are over by then and never come here.
--
-- No foreign key to orders: its trigger would run for every order that is forgotten, and hardly any has a row here. Nor does
-- the statement that ends an order delete them: it would look here for every order. Tidying up does, about a second after the
-- run is over, whether it ended or was lost (src/store/postgres/live.rs). Rows that are still there meanwhile mislead nobody:
-- whoever looks names the attempt, and asks only about an order that runs.
--
-- Not UNLOGGED: after a crash the node goes on behind what it had written, and a hole would silence every stream until the end.

CREATE TABLE order_progress (
    -- One row an order, of its latest attempt that was published: rewritten, so it does not grow with the run.
    order_id uuid PRIMARY KEY,
    -- Which run it is: a node that lost its grant writes under a number nobody asks for.
    attempt integer NOT NULL,
    -- Steps and dishes that are over. Integers: an order has three million at most.
    steps_done integer NOT NULL,
    dishes_done integer NOT NULL,
    -- Number of the last event below. Kept here, so that whoever comes back with an id is answered without reading events.
    last_seq integer NOT NULL
)
-- Mostly free pages, no column but the key in an index: a rewritten row stays on its page.
WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);

-- Only ever added to while a run lasts. Orders above 10,000 steps announce none, so an order has 20,000 events at most, some
-- 200 KB.
CREATE TABLE order_events (
    order_id uuid NOT NULL,
    attempt integer NOT NULL,
    -- Numbers of the first and the last event in it, without a gap between them, nor between two rows. The last one is not in
    -- the key: whoever repeats what may have been written before may have more to say, and then replaces the row.
    first_seq integer NOT NULL,
    last_seq integer NOT NULL,
    -- Layout of the events, as that of orders: another version passes by what it cannot read.
    format smallint NOT NULL,
    -- Up to 512 events, packed: a row each would cost ten times its bytes.
    events bytea NOT NULL,
    PRIMARY KEY (order_id, attempt, first_seq)
)
WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000,
      autovacuum_vacuum_insert_scale_factor = 0.1);
