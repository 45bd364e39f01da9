-- Takes the view of locks away; their events stay. Executions that wait for records cannot go on without it.
DELETE FROM {schema}.projections WHERE name = 'locks';
DELETE FROM {schema}.parked_streams WHERE projection = 'locks';
DO $$
DECLARE view text;
BEGIN
    FOR view IN
        SELECT oid::regclass::text FROM pg_class
        WHERE relnamespace = '{schema}'::regnamespace AND relkind = 'r' AND relname ~ '^view_locks_g'
    LOOP
        EXECUTE 'DROP TABLE ' || view;
    END LOOP;
END
$$;
DROP FUNCTION {schema}.take_turn(oid, text);
ALTER TABLE {schema}.key_sets DROP COLUMN locked;
