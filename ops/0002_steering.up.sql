-- Steering, policies for failures, pace, splits, leases: what the views, the queue and the key sets need for them.

-- The views have generations: the columns are added to each that there is. The defaults are what the events of
-- before mean, so that a view is equal to its rebuild.
DO $$
DECLARE
    relation regclass;
BEGIN
    FOR relation IN
        SELECT c.oid FROM pg_catalog.pg_class AS c
        WHERE c.relnamespace = {schema_text}::regnamespace AND c.relkind = 'r' AND c.relname ~ '^view_executions_g[0-9]+$'
    LOOP
        EXECUTE pg_catalog.format('ALTER TABLE %s'
            ' ADD COLUMN on_failure text NOT NULL DEFAULT ''continue'','
            ' ADD COLUMN max_failures bigint,'
            ' ADD COLUMN max_failure_ratio double precision,'
            ' ADD COLUMN rate double precision,'
            ' ADD COLUMN concurrency integer,'
            ' ADD COLUMN retry_of uuid', relation);
        EXECUTE pg_catalog.format('CREATE INDEX ON %s (status) WHERE ended_at IS NULL', relation);
    END LOOP;
    FOR relation IN
        SELECT c.oid FROM pg_catalog.pg_class AS c
        WHERE c.relnamespace = {schema_text}::regnamespace AND c.relkind = 'r' AND c.relname ~ '^view_batches_g[0-9]+$'
    LOOP
        EXECUTE pg_catalog.format('ALTER TABLE %s'
            ' ADD COLUMN epoch integer NOT NULL DEFAULT 0,'
            ' ADD COLUMN split_from uuid', relation);
        -- The parts of a batch that was split keep its number.
        EXECUTE pg_catalog.format('DROP INDEX {schema}.%I',
            (SELECT i.relname FROM pg_catalog.pg_index AS x JOIN pg_catalog.pg_class AS i ON i.oid = x.indexrelid
             WHERE x.indrelid = relation AND x.indnatts = 2));
        EXECUTE pg_catalog.format('CREATE INDEX %I ON %s (execution_id, number)',
            (SELECT relname FROM pg_catalog.pg_class WHERE oid = relation) || '_number', relation);
    END LOOP;
END
$$;

-- The keys of a batch that was split off another: they were planned with that one.
ALTER TABLE {schema}.key_sets ADD COLUMN split_from uuid;

-- Kept by the workers, not by events: who holds the lease of a unit with effects outside of the database, and
-- until when by the database's clock.
ALTER TABLE {schema}.work_queue
    ADD COLUMN leased_by text,
    ADD COLUMN leased_until timestamptz;

-- Kept by the workers: how fast an execution goes, and when its next batch may be taken up. A row goes with its job.
CREATE TABLE {schema}.paces (
    job_id uuid PRIMARY KEY,
    next_at timestamptz NOT NULL DEFAULT '-infinity',
    records_per_second double precision,
    held_because text,
    -- That the probe which may hold an execution back could not be asked, and by what kind of error.
    probe_error text,
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp()
) WITH (fillfactor = 50);
