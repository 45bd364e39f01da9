-- name: parked_among
SELECT originator_id FROM {schema}.parked_streams
WHERE projection = %(projection)s AND originator_id = ANY(%(streams)s)

-- name: park
INSERT INTO {schema}.parked_streams (projection, originator_id, position, error)
VALUES (%(projection)s, %(stream)s, %(position)s, %(error)s)
ON CONFLICT DO NOTHING

-- name: parked
SELECT originator_id, position, error, parked_at FROM {schema}.parked_streams
WHERE projection = %(projection)s ORDER BY position

-- name: unpark
DELETE FROM {schema}.parked_streams WHERE projection = %(projection)s

-- name: rebuild_lock
-- One rebuild of a projection at a time.
SELECT pg_try_advisory_xact_lock(hashtextextended({schema_text} || '.rebuild.' || %(projection)s, 0)) AS free

-- name: create_like
CREATE TABLE {next} (LIKE {live} INCLUDING ALL)

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
