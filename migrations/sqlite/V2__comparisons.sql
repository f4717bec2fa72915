-- Comparisons: what they came to is kept when the service ends, as orders are. A few a day, tens of kilobytes each, read whole.

CREATE TABLE comparisons (
    -- The 16 bytes of its id: it sorts by birth, so pages of a list are at the end of the index.
    id BLOB NOT NULL UNIQUE,
    -- Whose it is.
    owner TEXT NOT NULL,
    -- Which run of the service measures it, or did: one that has not ended under another run never will.
    session TEXT NOT NULL,
    -- As that of orders.
    status INTEGER NOT NULL CHECK (status BETWEEN 0 AND 5),
    -- Somebody wants it stopped.
    cancel_requested INTEGER NOT NULL DEFAULT 0,
    -- When it was last written, microseconds since 1970.
    seen_us INTEGER NOT NULL,
    -- As it is answered to clients, and what the laboratory notes beside it: JSON, so that a later version reads what an
    -- earlier one wrote. Text, not columns: nothing in it is ever searched for.
    answer TEXT NOT NULL,
    notes TEXT NOT NULL
) STRICT;

-- The list of one client.
CREATE INDEX comparisons_owner ON comparisons (owner, id);
