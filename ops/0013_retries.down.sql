DO $$
DECLARE
    found regclass;
BEGIN
    FOR found IN
        SELECT i.indexrelid FROM pg_catalog.pg_index AS i
        JOIN pg_catalog.pg_class AS c ON c.oid = i.indrelid
        JOIN pg_catalog.pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
        WHERE c.relnamespace = {schema_text}::regnamespace AND i.indnatts = 1
            AND c.relname ~ '^view_(executions|undos)_g[0-9]+$' AND a.attname IN ('retry_of', 'of_undo')
    LOOP
        EXECUTE pg_catalog.format('DROP INDEX %s', found);
    END LOOP;
END
$$;
