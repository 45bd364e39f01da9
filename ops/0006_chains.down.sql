-- Takes the views of chains and the deliveries of hooks away; their events stay.
DELETE FROM {schema}.projections WHERE name IN ('chain_queue', 'chains', 'hook_deliveries');
DELETE FROM {schema}.parked_streams WHERE projection IN ('chain_queue', 'chains', 'hook_deliveries');
DELETE FROM {schema}.notification_tracking WHERE application_name ~ '^hook_deliveries[.]g[0-9]+$';
DO $$
DECLARE view text;
BEGIN
    FOR view IN
        SELECT oid::regclass::text FROM pg_class
        WHERE relnamespace = '{schema}'::regnamespace AND relkind = 'r' AND relname ~ '^view_chain(s|_steps)_g'
    LOOP
        EXECUTE 'DROP TABLE ' || view;
    END LOOP;
END
$$;
DROP TABLE {schema}.chain_queue, {schema}.hook_deliveries;
