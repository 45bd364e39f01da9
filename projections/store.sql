-- name: pin
-- The session settings under which images are captured, parsed and compared: text written under another
-- DateStyle comes back as another day, and NULL in an array may be a text. For this transaction only.
-- Nothing is compiled (jit): that takes longer than the statements here do.
SELECT
    set_config('DateStyle', 'ISO', true),
    set_config('IntervalStyle', 'postgres', true),
    set_config('TimeZone', 'UTC', true),
    set_config('extra_float_digits', '1', true),
    set_config('bytea_output', 'hex', true),
    set_config('lc_monetary', 'C', true),
    set_config('xmloption', 'content', true),
    set_config('array_nulls', 'on', true),
    set_config('standard_conforming_strings', 'on', true),
    set_config('quote_all_identifiers', 'off', true),
    set_config('jit', 'off', true),
    set_config('search_path', %(search_path)s, true),
    set_config('idle_in_transaction_session_timeout',
        coalesce(%(silence)s, current_setting('idle_in_transaction_session_timeout')), true),
    set_config('statement_timeout', CASE
        WHEN current_setting('statement_timeout')::interval
            BETWEEN interval '1 ms' AND %(limit)s::int * interval '1 ms' THEN current_setting('statement_timeout')
        ELSE coalesce(%(limit)s::int::text, current_setting('statement_timeout')) END, true)

-- name: announce
-- Tells those who listen that there is new work, or that a job has ended and followers have something to read.
SELECT pg_notify(%(channel)s, %(payload)s)

-- name: generations
-- Which generation of its tables stands for each projection.
SELECT name, generation FROM {schema}.projections

-- name: events
-- Events in the ledger's order, in blocks.
SELECT originator_id, originator_version, topic, state, notification_id, recorded_at
FROM {schema}.stored_events
WHERE notification_id > %(after)s AND notification_id <= %(upto)s
ORDER BY notification_id
LIMIT %(limit)s

-- name: head
-- The newest position.
SELECT coalesce(max(notification_id), 0) AS position FROM {schema}.stored_events

-- name: stream
-- The events of one stream, with their positions and times.
SELECT originator_id, originator_version, topic, state, notification_id, recorded_at
FROM {schema}.stored_events
WHERE originator_id = %(id)s
ORDER BY originator_version

-- name: own_role
-- The role that the session has by itself.
SELECT current_setting('role') AS role

-- name: set_local
-- Settings for this transaction only, one of which may be the role. A value is never read as SQL.
SELECT set_config(s.name, s.value, true) FROM unnest(%(names)s::text[], %(values)s::text[]) AS s (name, value)
