-- Takes the whole store away, events included.
DO $$
DECLARE view text;
BEGIN
    FOR view IN
        SELECT oid::regclass::text FROM pg_class
        WHERE relnamespace = '{schema}'::regnamespace AND relkind = 'r' AND relname ~ '^view_'
    LOOP
        EXECUTE 'DROP TABLE ' || view;
    END LOOP;
END
$$;
DROP TABLE {schema}.work_queue;
DROP TABLE {schema}.parked_streams;
DROP TABLE {schema}.projections;
DROP FUNCTION {schema}.change_digest({schema}.change_sets);
DROP FUNCTION {schema}.outcome_digest({schema}.record_outcomes);
DROP TABLE {schema}.record_outcomes;
DROP TABLE {schema}.change_sets;
DROP TABLE {schema}.key_sets;
DROP TABLE {schema}.request_bodies;
DROP TABLE {schema}.notification_tracking;
DROP TABLE {schema}.stored_events;
DROP FUNCTION {schema}.refuse_change();
DROP FUNCTION {schema}.new_id();
DROP FUNCTION {schema}.salt();
DROP FUNCTION {schema}.digest(bytea, text[]);
DROP TYPE {schema}.stored_event_uuid;
