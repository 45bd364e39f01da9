-- name: parked_among
SELECT originator_id, position FROM {schema}.parked_streams
WHERE projection = %(projection)s AND originator_id = ANY(%(streams)s)

-- name: park
INSERT INTO {schema}.parked_streams (projection, originator_id, position, error)
VALUES (%(projection)s, %(stream)s, %(position)s, %(error)s)
ON CONFLICT DO NOTHING

-- name: lag
-- Events after a position: positions themselves have gaps.
SELECT count(*) AS events FROM {schema}.stored_events WHERE notification_id > %(position)s

-- name: parked
SELECT originator_id, position, error, parked_at FROM {schema}.parked_streams
WHERE projection = %(projection)s ORDER BY position

-- name: unpark
DELETE FROM {schema}.parked_streams WHERE projection = %(projection)s

-- name: follow_lock
-- One follower of a projection within a block at a time. One that falls silent there is ended by the server.
SELECT set_config('idle_in_transaction_session_timeout', '10s', true),
    pg_advisory_xact_lock(hashtextextended({schema_text} || '.follow.' || %(projection)s, 0))

-- name: rebuild_lock
-- One rebuild of a projection at a time.
SELECT pg_try_advisory_xact_lock(hashtextextended({schema_text} || '.rebuild.' || %(projection)s, 0)) AS free

-- name: create_like
CREATE TABLE {next} (LIKE {live} INCLUDING ALL)

-- name: options
-- Storage options of a table, which LIKE leaves out.
SELECT split_part(o, '=', 1) AS name, split_part(o, '=', 2) AS value
FROM pg_class c CROSS JOIN LATERAL unnest(c.reloptions) AS o WHERE c.oid = {live_text}::regclass

-- name: set_option
ALTER TABLE {next} SET ({name} = {value})

-- name: analyze
ANALYZE {next}

-- name: forget_tracking
-- Tracking records of generations before one.
DELETE FROM {schema}.notification_tracking
WHERE application_name ~ %(pattern)s AND substring(application_name FROM '[0-9]+$')::integer < %(generation)s

-- name: create_shadow
CREATE TEMPORARY TABLE {shadow} (LIKE {live} INCLUDING ALL) ON COMMIT DROP

-- name: drop_old
DROP TABLE IF EXISTS {old}

-- name: switch
UPDATE {schema}.projections SET generation = %(generation)s, switched_at = clock_timestamp()
WHERE name = %(projection)s

-- name: old_generations
-- Tables of generations before the live one.
SELECT c.relname FROM pg_class c WHERE c.relnamespace = {schema_text}::regnamespace AND c.relkind = 'r'
    AND c.relname ~ %(pattern)s

-- name: insert_missing
-- Rows that the events call for and the queue lacks.
INSERT INTO {live} SELECT * FROM {shadow} s ON CONFLICT DO NOTHING

-- name: mend_work_queue
-- Rows that are not as the events have them; what workers know of a unit stays, and so does one at work.
UPDATE {live} l SET kind = s.kind, job_id = s.job_id, execution_id = s.execution_id, undo_id = s.undo_id,
    batch_id = s.batch_id, ordinal = s.ordinal, records = s.records, serial = s.serial
FROM {shadow} s WHERE s.{key} = l.{key} AND l.{key} IN (
    SELECT a.{key} FROM {live} a JOIN {shadow} b USING ({key})
    WHERE (a.kind, a.job_id, a.execution_id, a.undo_id, a.batch_id, a.ordinal, a.records, a.serial)
        IS DISTINCT FROM (b.kind, b.job_id, b.execution_id, b.undo_id, b.batch_id, b.ordinal, b.records, b.serial)
    FOR UPDATE OF a SKIP LOCKED)

-- name: mend_schedule_queue
-- The same for schedules; one that is being fired or steered is left to him who does it.
UPDATE {live} l SET version = s.version, status = s.status, due_at = s.due_at, at_time = s.at_time, cron = s.cron,
    timezone = s.timezone, catch_up = s.catch_up, frozen = s.frozen, actor = s.actor, correlation_id = s.correlation_id
FROM {shadow} s WHERE s.{key} = l.{key} AND l.{key} IN (
    SELECT a.{key} FROM {live} a JOIN {shadow} b USING ({key})
    WHERE (a.version, a.status, a.due_at, a.at_time, a.cron, a.timezone, a.catch_up, a.frozen, a.actor, a.correlation_id)
        IS DISTINCT FROM
        (b.version, b.status, b.due_at, b.at_time, b.cron, b.timezone, b.catch_up, b.frozen, b.actor, b.correlation_id)
    FOR UPDATE OF a SKIP LOCKED)

-- name: mend_chain_queue
-- The same for chains.
UPDATE {live} l SET version = s.version, status = s.status, step = s.step, awaits = s.awaits, actor = s.actor,
    correlation_id = s.correlation_id
FROM {shadow} s WHERE s.{key} = l.{key} AND l.{key} IN (
    SELECT a.{key} FROM {live} a JOIN {shadow} b USING ({key})
    WHERE (a.version, a.status, a.step, a.awaits, a.actor, a.correlation_id)
        IS DISTINCT FROM (b.version, b.status, b.step, b.awaits, b.actor, b.correlation_id)
    FOR UPDATE OF a SKIP LOCKED)

-- name: mend_hook_deliveries
-- The same for deliveries; what was delivered stays so.
UPDATE {live} l SET job_id = s.job_id, kind = s.kind, event = s.event, hook = s.hook, position = s.position,
    happened_at = s.happened_at
FROM {shadow} s WHERE s.{key} = l.{key} AND l.{key} IN (
    SELECT a.{key} FROM {live} a JOIN {shadow} b USING ({key})
    WHERE (a.job_id, a.kind, a.event, a.hook, a.position, a.happened_at)
        IS DISTINCT FROM (b.job_id, b.kind, b.event, b.hook, b.position, b.happened_at)
    FOR UPDATE OF a SKIP LOCKED)

-- name: delete_surplus
-- Rows that no event calls for; one that somebody works on is left to him.
DELETE FROM {live} WHERE {key} IN (
    SELECT l.{key} FROM {live} l WHERE NOT EXISTS (SELECT FROM {shadow} s WHERE s.{key} = l.{key})
    FOR UPDATE SKIP LOCKED)

-- name: count_rows
SELECT count(*) AS rows FROM {live}

-- name: difference
-- The first row in which the live view and the rebuilt one differ, and how many there are.
SELECT {key} AS key, to_jsonb(l) - %(apart)s::text[] AS live, to_jsonb(r) - %(apart)s::text[] AS rebuilt,
    count(*) OVER () AS differing
FROM {live} l FULL JOIN {shadow} r USING ({key})
WHERE to_jsonb(l) - %(apart)s::text[] IS DISTINCT FROM to_jsonb(r) - %(apart)s::text[]
ORDER BY {key} LIMIT 1
