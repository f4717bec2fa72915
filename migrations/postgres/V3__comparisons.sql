-- Comparisons of all nodes. Each is measured by the node it was placed at, and read, listed and stopped by any. A few a day, tens
-- of kilobytes each, read whole.

CREATE TABLE comparisons (
    -- Its id sorts by birth.
    id uuid PRIMARY KEY,
    -- Whose it is.
    owner text NOT NULL,
    -- Which run of which node measures it, or did: nobody else writes how it stands.
    session text NOT NULL,
    -- As that of orders.
    status smallint NOT NULL CHECK (status BETWEEN 0 AND 5),
    -- Somebody wants it stopped: told to who measures it when he next writes.
    cancel_requested boolean NOT NULL DEFAULT false,
    -- When it was last written, by the database's clock. One that has not ended and was not written for a lease is lost. Being lost
    -- is read off this, not written: nobody has to look for what was lost.
    seen timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- As it is answered to clients, and what the laboratory notes beside it: JSON, so that a later version reads what an
    -- earlier one wrote. Not jsonb: nothing in it is ever searched for, and jsonb refuses names with a zero in them.
    answer text NOT NULL,
    notes text NOT NULL
)
-- Rewritten about once a second while it is measured: the texts are beside the row, which finds room on its page.
WITH (fillfactor = 50);

-- The list of one client.
CREATE INDEX comparisons_owner ON comparisons (owner, id);
