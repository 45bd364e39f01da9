-- Takes the view of exports and what the workers keep of them away; their events and their files stay.
DELETE FROM {schema}.projections WHERE name = 'exports';
DELETE FROM {schema}.parked_streams WHERE projection = 'exports';
DO $$
DECLARE
    relation regclass;
BEGIN
    FOR relation IN
        SELECT c.oid FROM pg_catalog.pg_class AS c
        WHERE c.relnamespace = {schema_text}::regnamespace AND c.relkind = 'r' AND c.relname ~ '^view_executions_g[0-9]+$'
    LOOP
        EXECUTE pg_catalog.format('ALTER TABLE %s DROP COLUMN exporting', relation);
    END LOOP;
    FOR relation IN
        SELECT c.oid FROM pg_catalog.pg_class AS c
        WHERE c.relnamespace = {schema_text}::regnamespace AND c.relkind = 'r' AND c.relname ~ '^view_exports_g[0-9]+$'
    LOOP
        EXECUTE pg_catalog.format('DROP TABLE %s', relation);
    END LOOP;
END
$$;
DROP TABLE {schema}.export_parts;
DROP TABLE {schema}.export_files;
DELETE FROM {schema}.work_queue WHERE kind = 'export';
ALTER TABLE {schema}.work_queue DROP CONSTRAINT work_queue_kind_check;
ALTER TABLE {schema}.work_queue ADD CONSTRAINT work_queue_kind_check CHECK (kind IN ('plan', 'batch', 'compensation'));
