-- Retries of an execution and redos of an undo are looked for by what they are of: in each generation that there is.
DO $$
DECLARE
    view record;
BEGIN
    FOR view IN
        SELECT c.oid::regclass AS relation, CASE substring(c.relname FROM '^view_([a-z]+)_')
            WHEN 'executions' THEN 'retry_of' ELSE 'of_undo' END AS of_which
        FROM pg_catalog.pg_class AS c
        WHERE c.relnamespace = {schema_text}::regnamespace AND c.relkind = 'r'
            AND c.relname ~ '^view_(executions|undos)_g[0-9]+$'
    LOOP
        EXECUTE pg_catalog.format('CREATE INDEX ON %s (%I) WHERE %2$I IS NOT NULL', view.relation, view.of_which);
    END LOOP;
END
$$;
