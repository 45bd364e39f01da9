-- name: take_turn
-- One request of an actor at a time, until the end of the transaction: what is counted is what will be so.
SELECT pg_advisory_xact_lock(hashtextextended(%(schema)s || '.limits:' || %(actor)s || coalesce(' ' || %(issuer)s::text, ''), 0))

-- name: usage
-- What counts against an actor's limits, and from when on it does not. A statement of its own: its snapshot is younger
-- than the lock. `statement_timestamp()` is the same clock, and lets an index be used.
SELECT
    (SELECT count(*) FROM {executions}
        WHERE actor = %(actor)s AND issuer IS NOT DISTINCT FROM %(issuer)s::text AND ended_at IS NULL AND (%(action)s::text IS NULL OR action = %(action)s)) AS under_way,
    -- The one that has to be older than a minute before there is room again.
    (SELECT requested_at + interval '1 minute' FROM {executions}
        WHERE actor = %(actor)s AND issuer IS NOT DISTINCT FROM %(issuer)s::text AND requested_at > statement_timestamp() - interval '1 minute'
            AND (%(action)s::text IS NULL OR action = %(action)s)
        ORDER BY requested_at DESC OFFSET %(per_minute)s::int - 1 LIMIT 1) AS rate_until,
    (SELECT max(ended_at) + make_interval(secs => %(cooldown_seconds)s::float8) FROM {executions}
        WHERE actor = %(actor)s AND issuer IS NOT DISTINCT FROM %(issuer)s::text AND ended_at > statement_timestamp() - make_interval(secs => %(cooldown_seconds)s::float8)
            AND total >= %(cooldown_records)s AND (%(action)s::text IS NULL OR action = %(action)s)) AS cooldown_until
