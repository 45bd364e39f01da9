DO $$
DECLARE
    relation regclass;
BEGIN
    FOR relation IN
        SELECT c.oid FROM pg_catalog.pg_class AS c
        WHERE c.relnamespace = {schema_text}::regnamespace AND c.relkind = 'r'
            AND c.relname ~ '^view_(executions|undos|audit)_g[0-9]+$'
    LOOP
        EXECUTE pg_catalog.format('ALTER TABLE %s DROP COLUMN issuer, DROP COLUMN on_behalf_of, DROP COLUMN contact',
            relation);
    END LOOP;
END
$$;
DROP TABLE {schema}.actor_contacts;
DROP INDEX {schema}.command_inbox_rejected;
