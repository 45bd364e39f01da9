DO $$
DECLARE
    index regclass;
BEGIN
    FOR index IN
        SELECT x.indexrelid FROM pg_catalog.pg_index AS x JOIN pg_catalog.pg_class AS c ON c.oid = x.indrelid
        JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.oid AND a.attnum = x.indkey[0]
        WHERE c.relnamespace = {schema_text}::regnamespace AND c.relname ~ '^view_executions_g[0-9]+$'
            AND a.attname = 'actor' AND x.indnatts = 2
    LOOP
        EXECUTE pg_catalog.format('DROP INDEX %s', index);
    END LOOP;
END
$$;
