-- name: claim
-- Takes one open unit of work and its row lock, which is the lease: it goes with the transaction.
-- A unit that met a fault lets the others go first, so that a few that cannot get on do not hold up the rest;
-- after ten seconds it has its old place again, so that it is not forgotten while ever new work comes in.
SELECT w.unit_id, w.kind, w.job_id, w.execution_id, w.undo_id, w.batch_id, w.records, w.attempts + 1 AS attempt,
    b.number, b.version AS batch_version, b.epoch, w.leased_by,
    e.action, e.table_name, e.batch_size, e.planning, e.status,
    coalesce(u.actor, e.actor) AS actor, coalesce(u.queue, e.queue) AS queue,
    coalesce(u.correlation_id, e.correlation_id) AS correlation_id,
    coalesce(u.traceparent, e.traceparent) AS traceparent,
    u.policy, u.of_undo
FROM {work_queue} w
JOIN {executions} e ON e.execution_id = w.execution_id
LEFT JOIN {batches} b ON b.batch_id = w.batch_id
LEFT JOIN {undos} u ON u.undo_id = w.undo_id
WHERE (%(job)s::uuid IS NULL OR w.job_id = %(job)s
        OR (w.execution_id = %(job)s AND w.undo_id IS NOT NULL AND e.status = 'rolling_back'))
    AND (%(queues)s::text[] IS NULL OR coalesce(u.queue, e.queue) = ANY(%(queues)s))
    AND w.available_at <= clock_timestamp()
    AND (w.undo_id IS NOT NULL OR e.status IN ('requested', 'running'))
    AND (w.leased_until IS NULL OR w.leased_until < clock_timestamp())
    AND (e.action = ANY(%(actions)s::text[]) OR (w.undo_id IS NOT NULL AND b.epoch = 0))
    AND NOT (w.serial AND EXISTS (
        SELECT FROM {work_queue} p WHERE p.job_id = w.job_id AND p.ordinal < w.ordinal))
ORDER BY coalesce(u.priority, e.priority) DESC,
    w.attempts > 0 AND w.available_at > clock_timestamp() - interval '10 seconds',
    w.job_id, w.ordinal
LIMIT 1
FOR UPDATE OF w SKIP LOCKED

-- name: postpone
-- After a fault that passes: later, and with a note of what it was. Unless another has taken it up meanwhile.
UPDATE {work_queue} SET attempts = attempts + 1, last_error = %(error)s,
    available_at = clock_timestamp() + make_interval(secs => %(delay)s)
WHERE unit_id = (SELECT unit_id FROM {work_queue} WHERE unit_id = %(unit_id)s FOR UPDATE SKIP LOCKED)

-- name: standing
-- What is to be done of a job, now: of an execution that is paused, nothing is.
SELECT CASE
    WHEN e.status = 'rolling_back' THEN 'rolling_back'
    WHEN e.status IN ('failed', 'cancelled', 'rolled_back')
        AND EXISTS (SELECT FROM {work_queue} w WHERE w.job_id = wanted.job) THEN 'closed'
    WHEN e.status IS DISTINCT FROM 'paused' AND EXISTS (SELECT FROM {work_queue} w WHERE w.job_id = wanted.job) THEN 'open'
    ELSE 'done'
END AS standing
FROM (VALUES (%(job)s::uuid)) AS wanted (job) LEFT JOIN {executions} e ON e.execution_id = wanted.job

-- name: execution
SELECT * FROM {executions} WHERE execution_id = %(execution_id)s

-- name: undo
SELECT * FROM {undos} WHERE undo_id = %(undo_id)s

-- name: systemic_failure
-- The error of the first batch that could not be applied at all, if there is one.
SELECT error FROM {batches} WHERE execution_id = %(execution_id)s AND status = 'failed' ORDER BY number LIMIT 1

-- name: batches
-- The streams of an execution's batches, as they stand.
SELECT batch_id, number, status, version FROM {batches} WHERE execution_id = %(execution_id)s ORDER BY number

-- name: hold
SELECT FROM {work_queue} WHERE unit_id = %(unit_id)s AND (leased_until IS NULL OR leased_until < clock_timestamp())
FOR UPDATE SKIP LOCKED

-- name: take_place
-- Takes the place of a command's body; gives no row when a command has it. Waits for one that is about to.
INSERT INTO {schema}.request_bodies (owner, salt, body) VALUES (%(command_id)s, '', '{{}}')
ON CONFLICT DO NOTHING RETURNING owner

-- name: open_units
-- Open units of an execution that nobody works on, to be taken off the queue. Never waits, so the append lock may be
-- held. One that has a lease is its holder's until that has run out.
SELECT w.unit_id, w.kind, w.batch_id, w.records, b.number, b.version, b.status, b.epoch
FROM {work_queue} w LEFT JOIN {batches} b ON b.batch_id = w.batch_id
WHERE w.execution_id = %(execution_id)s AND w.undo_id IS NULL
    AND (w.leased_until IS NULL OR w.leased_until < clock_timestamp())
ORDER BY w.ordinal LIMIT %(limit)s
FOR UPDATE OF w SKIP LOCKED

-- name: closed_with_units
-- Executions that are closed, and of which units are still on the queue. A lease is its holder's until it has run out.
SELECT DISTINCT w.execution_id FROM {work_queue} w JOIN {executions} e ON e.execution_id = w.execution_id
WHERE w.undo_id IS NULL AND e.status IN ('failed', 'cancelled', 'rolling_back', 'rolled_back')
    AND (w.leased_until IS NULL OR w.leased_until < clock_timestamp())
    AND (%(execution_id)s::uuid IS NULL OR w.execution_id = %(execution_id)s)

-- name: rolling_back
-- Executions that are being rolled back, and whose undo is not there yet or has ended without them. What a batch has
-- done outside of the database is to be taken back too: so its lease must have come to its end.
SELECT e.execution_id FROM {executions} e
WHERE e.ended_at IS NULL AND e.status = 'rolling_back'
    AND NOT EXISTS (SELECT FROM {work_queue} w
        WHERE w.execution_id = e.execution_id AND w.undo_id IS NULL AND w.leased_by IS NOT NULL)
    AND (%(execution_id)s::uuid IS NULL OR e.execution_id = %(execution_id)s)

-- name: without_units
-- Jobs that have not ended although nothing of them is on the queue.
SELECT e.execution_id, NULL::uuid AS undo_id FROM {executions} e
WHERE e.ended_at IS NULL AND e.status <> 'rolling_back'
    AND NOT EXISTS (SELECT FROM {work_queue} w WHERE w.job_id = e.execution_id)
UNION ALL
SELECT u.execution_id, u.undo_id FROM {undos} u
WHERE u.ended_at IS NULL AND NOT EXISTS (SELECT FROM {work_queue} w WHERE w.job_id = u.undo_id)

-- name: forget_paces
-- What workers knew of the pace of jobs that have ended.
DELETE FROM {schema}.paces p USING {executions} e WHERE e.execution_id = p.job_id AND e.ended_at IS NOT NULL
