-- name: take_slot
-- Takes one of the places at which batches of a job may be at work. It is held until the end of the transaction, whatever
-- ends it: a worker that dies leaves none behind.
SELECT FROM generate_series(1, %(slots)s) AS slot
WHERE pg_try_advisory_xact_lock(hashtextextended(%(schema)s || '.slot.' || %(job)s || '.' || slot, 0)) LIMIT 1

-- name: end_waits_early
-- Lets a wait for a lock end before the time of the statement or of the transaction does, and under its own SQLSTATE: so
-- a time-out says that the statement is slow, and not that somebody else holds a row.
SELECT set_config('lock_timeout', greatest(1, ceil(wanted.ms))::bigint::text, true)
FROM (SELECT least(
            nullif(extract(epoch FROM current_setting('statement_timeout')::interval), 0),
            nullif(extract(epoch FROM current_setting('transaction_timeout', true)::interval), 0)) * 500 AS ms,
        extract(epoch FROM current_setting('lock_timeout')::interval) * 1000 AS present) AS wanted
WHERE wanted.ms > 0 AND (wanted.present = 0 OR wanted.present > wanted.ms)

-- name: keep
-- After a batch: how fast such a batch is, as a moving average that at most halves or doubles from one look to the next,
-- and when the rate allows the next one. The rate counts from when the batch was taken up, which is the start of this
-- transaction; and one batch books no longer than `longest`, since it may have been cut before there was this rate.
INSERT INTO {schema}.paces AS p (job_id, next_at, records_per_second)
SELECT e.execution_id,
    coalesce(now() + make_interval(secs => least(%(records)s / e.rate, greatest(%(longest)s, 1 / e.rate))), '-infinity'),
    %(first)s::float8 * least(2, greatest(%(lowest)s::float8, sqrt(%(measured)s::float8 / %(first)s::float8)))
FROM {executions} e WHERE e.execution_id = %(job)s
ON CONFLICT (job_id) DO UPDATE SET
    next_at = CASE WHEN excluded.next_at = '-infinity' THEN excluded.next_at
        ELSE greatest(p.next_at, now()) + (excluded.next_at - now()) END,
    records_per_second = coalesce(
        p.records_per_second * least(2, greatest(%(lowest)s, sqrt(%(measured)s / p.records_per_second))),
        excluded.records_per_second),
    held_because = CASE WHEN %(unheld)s THEN NULL ELSE p.held_because END,
    probe_error = CASE WHEN %(unheld)s THEN NULL ELSE p.probe_error END,
    updated_at = clock_timestamp()

-- name: retune
-- What was booked at the old rate, at the new one; never longer than it was.
UPDATE {schema}.paces SET updated_at = clock_timestamp(),
    next_at = CASE WHEN next_at <= clock_timestamp() OR %(old)s::float8 IS NULL OR %(new)s::float8 IS NULL THEN '-infinity'
        ELSE clock_timestamp() + (next_at - clock_timestamp()) * least(1, %(old)s::float8 / %(new)s::float8) END
WHERE job_id = %(job)s

-- name: hold_back
-- Says why a job is held back, or that it is not, or that its probe failed. None of it outlives the job.
INSERT INTO {schema}.paces AS p (job_id, held_because, probe_error)
SELECT e.execution_id, %(reason)s, %(error)s FROM {executions} e WHERE e.execution_id = %(job)s AND e.ended_at IS NULL
ON CONFLICT (job_id) DO UPDATE SET
    held_because = excluded.held_because, probe_error = excluded.probe_error, updated_at = clock_timestamp()

-- name: let_go
-- The same for a job that nothing is to be said of, which most have no row for.
UPDATE {schema}.paces SET held_because = NULL, probe_error = NULL, updated_at = clock_timestamp()
WHERE job_id = %(job)s AND (held_because IS NOT NULL OR probe_error IS NOT NULL)

-- name: forget
DELETE FROM {schema}.paces WHERE job_id = %(job)s

-- name: split
-- Cuts a key set into parts, in key order and in the server. The text of an array of scalars is the same whatever their
-- type, so it is cut as an array of texts.
WITH whole AS MATERIALIZED (SELECT * FROM {schema}.key_sets WHERE owner = %(batch_id)s),
parsed AS MATERIALIZED (SELECT u.n, u.k::text[] AS keys FROM whole, unnest(whole.keys) WITH ORDINALITY AS u (k, n)),
bounds AS (
    SELECT p.id, (p.n - 1) * %(size)s + 1 AS lo, least(p.n * %(size)s, whole.records) AS hi
    FROM whole, unnest(%(parts)s::uuid[]) WITH ORDINALITY AS p (id, n)
)
INSERT INTO {schema}.key_sets (owner, execution_id, number, records, salt, keys, first_key, last_key, split_from)
SELECT b.id, whole.execution_id, whole.number, b.hi - b.lo + 1, {schema}.salt(), cut.keys, cut.first_key, cut.last_key, whole.owner
FROM whole, bounds b, LATERAL (
    SELECT array_agg(k.keys[b.lo:b.hi]::text ORDER BY k.n) AS keys, array_agg(k.keys[b.lo] ORDER BY k.n) AS first_key,
        array_agg(k.keys[b.hi] ORDER BY k.n) AS last_key
    FROM parsed k
) AS cut
RETURNING owner, number, records, {schema}.digest(salt, keys) AS digest

-- name: put_off
-- The parts of a batch that met a fault are tried a little later, each at a moment of its own, as second attempts.
UPDATE {work_queue} SET attempts = 1, last_error = %(error)s,
    available_at = clock_timestamp() + random() * make_interval(secs => %(longest)s)
WHERE unit_id = ANY(%(parts)s)
