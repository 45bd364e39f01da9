DROP TABLE {schema}.paces;
ALTER TABLE {schema}.work_queue DROP COLUMN leased_by, DROP COLUMN leased_until;
ALTER TABLE {schema}.key_sets DROP COLUMN split_from;
DO $$
DECLARE
    relation regclass;
BEGIN
    FOR relation IN
        SELECT c.oid FROM pg_catalog.pg_class AS c
        WHERE c.relnamespace = {schema_text}::regnamespace AND c.relkind = 'r' AND c.relname ~ '^view_executions_g[0-9]+$'
    LOOP
        EXECUTE pg_catalog.format('ALTER TABLE %s'
            ' DROP COLUMN on_failure, DROP COLUMN max_failures, DROP COLUMN max_failure_ratio,'
            ' DROP COLUMN rate, DROP COLUMN concurrency, DROP COLUMN retry_of', relation);
        EXECUTE pg_catalog.format('DROP INDEX {schema}.%I',
            (SELECT i.relname FROM pg_catalog.pg_index AS x JOIN pg_catalog.pg_class AS i ON i.oid = x.indexrelid
             WHERE x.indrelid = relation AND x.indpred IS NOT NULL));
    END LOOP;
    FOR relation IN
        SELECT c.oid FROM pg_catalog.pg_class AS c
        WHERE c.relnamespace = {schema_text}::regnamespace AND c.relkind = 'r' AND c.relname ~ '^view_batches_g[0-9]+$'
    LOOP
        -- The parts of a batch that was split had its number: in the view they get numbers of their own.
        EXECUTE pg_catalog.format('UPDATE %1$s AS b SET number = part.number FROM ('
            ' SELECT batch_id, (SELECT max(a.number) FROM %1$s AS a WHERE a.execution_id = s.execution_id)'
            ' + row_number() OVER (PARTITION BY execution_id ORDER BY number, batch_id) AS number'
            ' FROM %1$s AS s WHERE split_from IS NOT NULL) AS part WHERE part.batch_id = b.batch_id', relation);
        EXECUTE pg_catalog.format('DROP INDEX {schema}.%I',
            (SELECT i.relname FROM pg_catalog.pg_index AS x JOIN pg_catalog.pg_class AS i ON i.oid = x.indexrelid
             WHERE x.indrelid = relation AND x.indnatts = 2));
        EXECUTE pg_catalog.format('CREATE UNIQUE INDEX %I ON %s (execution_id, number)',
            (SELECT relname FROM pg_catalog.pg_class WHERE oid = relation) || '_number', relation);
        EXECUTE pg_catalog.format('ALTER TABLE %s DROP COLUMN epoch, DROP COLUMN split_from', relation);
    END LOOP;
END
$$;
