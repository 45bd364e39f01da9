-- Takes the views of schedules away; their events stay.
DELETE FROM {schema}.projections WHERE name IN ('schedule_queue', 'schedules');
DELETE FROM {schema}.parked_streams WHERE projection IN ('schedule_queue', 'schedules');
DO $$
DECLARE view text;
BEGIN
    FOR view IN
        SELECT oid::regclass::text FROM pg_class
        WHERE relnamespace = '{schema}'::regnamespace AND relkind = 'r' AND relname ~ '^view_schedule(s|_runs)_g'
    LOOP
        EXECUTE 'DROP TABLE ' || view;
    END LOOP;
END
$$;
DROP TABLE {schema}.schedule_queue;
