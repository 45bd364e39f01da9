-- name: owner
-- Whether there is a schema demo, and the remark that tells ours from one of the user's own.
SELECT obj_description(oid, 'pg_namespace') AS remark FROM pg_namespace WHERE nspname = 'demo'

-- name: drop
DROP SCHEMA IF EXISTS demo CASCADE

-- name: create
CREATE SCHEMA demo

-- name: mark
COMMENT ON SCHEMA demo IS 'made by action-ledger demo'

-- name: table
CREATE TABLE demo.places (
    geonameid bigint PRIMARY KEY,
    name text NOT NULL,
    country text NOT NULL,
    admin1 text,
    population bigint NOT NULL,
    latitude double precision NOT NULL,
    longitude double precision NOT NULL,
    timezone text,
    alternate_names text[] NOT NULL,
    status text NOT NULL DEFAULT 'listed',
    score bigint NOT NULL DEFAULT 0,
    archived_at timestamptz,
    archive_reason text
)

-- name: copy
COPY demo.places (geonameid, name, country, admin1, population, latitude, longitude, timezone, alternate_names)
FROM STDIN

-- name: index
CREATE INDEX places_country ON demo.places (country, population)

-- name: analyze
ANALYZE demo.places

-- name: keep
-- The places as they are before anything is done, to compare with at the end.
CREATE TABLE demo.original AS TABLE demo.places

-- name: archived
-- A few places that the first execution archived, large ones, whose names people know.
SELECT geonameid, name FROM demo.places WHERE archived_at IS NOT NULL ORDER BY population DESC, geonameid LIMIT 4

-- name: reviewed
SELECT geonameid, name FROM demo.places WHERE status = 'reviewed' ORDER BY population DESC LIMIT 1

-- name: by_hand_kept
UPDATE demo.places SET archived_at = NULL, archive_reason = NULL WHERE geonameid = %(id)s

-- name: by_hand_reason
UPDATE demo.places SET archive_reason = 'asked for by its mayor' WHERE geonameid = %(id)s

-- name: by_hand_gone
DELETE FROM demo.places WHERE geonameid = %(id)s

-- name: by_hand_renamed
UPDATE demo.places SET name = name || ' (twinned)' WHERE geonameid = %(id)s

-- name: by_hand_score
UPDATE demo.places SET score = -1 WHERE geonameid = %(id)s

-- name: checksums
-- Every column of every row that no hand touched, before and after, in one number each.
SELECT
    (SELECT count(*) FROM demo.places p WHERE geonameid <> ALL(%(touched)s)) AS places,
    (SELECT md5(string_agg(md5(p::text), '' ORDER BY geonameid)) FROM demo.original p
        WHERE geonameid <> ALL(%(touched)s)) AS original,
    (SELECT md5(string_agg(md5(p::text), '' ORDER BY geonameid)) FROM demo.places p
        WHERE geonameid <> ALL(%(touched)s)) AS now
