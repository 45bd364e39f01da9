-- Limits: what an actor asked for lately is found without a look at everything else.
DO $$
DECLARE
    relation regclass;
BEGIN
    FOR relation IN
        SELECT c.oid FROM pg_catalog.pg_class AS c
        WHERE c.relnamespace = {schema_text}::regnamespace AND c.relkind = 'r' AND c.relname ~ '^view_executions_g[0-9]+$'
    LOOP
        EXECUTE pg_catalog.format('CREATE INDEX ON %s (actor, requested_at)', relation);
        EXECUTE pg_catalog.format('CREATE INDEX ON %s (actor, ended_at)', relation);
    END LOOP;
END
$$;
