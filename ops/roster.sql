-- name: beat
-- A worker says that it is there. Touches its own row alone, which nobody else locks while it lives; makes it
-- anew where it is gone.
INSERT INTO {schema}.workers AS w
    (worker_id, name, host, pid, version, queues, concurrency, state, lease_seconds, units_done, units, started_at)
VALUES (%(worker_id)s, %(name)s, %(host)s, %(pid)s, %(version)s, %(queues)s::text[], %(concurrency)s, %(state)s,
    %(lease_seconds)s, %(units_done)s, %(units)s::jsonb, clock_timestamp() - make_interval(secs => %(age)s))
ON CONFLICT (worker_id) DO UPDATE SET state = excluded.state, units_done = excluded.units_done,
    units = excluded.units, heartbeat_at = clock_timestamp()

-- name: leave
DELETE FROM {schema}.workers WHERE worker_id = %(worker_id)s

-- name: forget
-- Takes away the rows of workers that were lost long ago; one that others are just taking away is left to them.
DELETE FROM {schema}.workers WHERE worker_id IN (
    SELECT worker_id FROM {schema}.workers
    WHERE heartbeat_at < clock_timestamp() - make_interval(secs => %(after)s) FOR UPDATE SKIP LOCKED)

-- name: workers
-- Who is there, by the clock of the server: alive with a heartbeat within two lease periods.
SELECT worker_id AS id, name, host, pid, version, queues, concurrency,
    heartbeat_at > clock_timestamp() - make_interval(secs => 2 * lease_seconds) AS alive,
    state, units_done, units, started_at, heartbeat_at
FROM {schema}.workers ORDER BY started_at, worker_id
