-- Record locks: the view of those that are held or awaited, and what says which key sets they are made of.

-- The batch's records are those that others had locked when it was planned: it is over as it begins.
ALTER TABLE {schema}.key_sets ADD COLUMN locked boolean NOT NULL DEFAULT false;

-- One row a lock that is held, or that its owner (an execution or an undo) waits for. A row goes with the end of its
-- owner. `place` is the position of the lock's first event: who came first.
CREATE TABLE {schema}.view_locks_g1 (
    owner_id uuid PRIMARY KEY,
    version bigint NOT NULL,
    status text NOT NULL,
    execution_id uuid NOT NULL,
    undo_id uuid,
    -- Under whose id its key sets lie.
    keys_of uuid NOT NULL,
    table_name text NOT NULL,
    records bigint NOT NULL,
    actor text NOT NULL,
    waits_for uuid[] NOT NULL,
    place bigint NOT NULL,
    since timestamptz NOT NULL
) WITH (fillfactor = 70);
CREATE INDEX view_locks_g1_table ON {schema}.view_locks_g1 (table_name);

INSERT INTO {schema}.projections (name, generation) VALUES ('locks', 1);

-- Takes the turn in which the locks on one table are decided, until the end of the transaction, and says whether
-- there is any on it. Each statement of a volatile function has a snapshot of its own: so it sees what those did
-- whose turn it was before, all in one round trip.
CREATE FUNCTION {schema}.take_turn(relation oid, named text) RETURNS boolean
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    live text;
    found boolean;
BEGIN
    PERFORM pg_catalog.pg_advisory_xact_lock(
        pg_catalog.hashtextextended({schema_text} || '.locks.' || relation::text, 0));
    SELECT pg_catalog.format('{schema}.view_locks_g%s', generation) INTO STRICT live
        FROM {schema}.projections WHERE name = 'locks';
    EXECUTE 'SELECT EXISTS (SELECT FROM ' || live || ' WHERE table_name = $1)' INTO found USING named;
    RETURN found;
END
$$;
