-- name: claim
-- Takes one open unit of work and its row lock, which is the lease: it goes with the transaction.
-- A unit that met a fault lets the others go first, so that a few that cannot get on do not hold up the rest;
-- after ten seconds it has its old place again, so that it is not forgotten while ever new work comes in.
-- The jobs are put in order first, of one priority by when the database says that they were asked for, and the units of
-- each are looked at in its turn, until one is free: the queue may be long, and a row that was locked on the way would
-- be kept from others.
WITH RECURSIVE {jobs},
ready AS (
    SELECT j.job_id, f.tried_lately, coalesce(u.priority, e.priority) AS priority,
        e.action, e.table_name, e.batch_size, e.planning, e.status,
        coalesce(u.actor, e.actor) AS actor, coalesce(u.queue, e.queue) AS queue,
        coalesce(u.correlation_id, e.correlation_id) AS correlation_id,
        coalesce(u.traceparent, e.traceparent) AS traceparent,
        u.policy, u.of_undo, e.action = ANY(%(actions)s::text[]) AS is_known,
        e.rate, e.concurrency, p.records_per_second AS speed, p.job_id IS NOT NULL AS paced,
        e.rate IS NULL OR p.next_at IS NULL OR p.next_at <= clock_timestamp() AS is_due
    FROM job j
    JOIN {executions} e ON e.execution_id = j.execution_id
    LEFT JOIN {undos} u ON u.undo_id = j.undo_id
    LEFT JOIN {schema}.paces p ON p.job_id = j.job_id
    CROSS JOIN (VALUES (false), (true)) AS f (tried_lately)
    WHERE (j.undo_id IS NOT NULL OR e.status IN ('requested', 'running'))
        AND (%(queues)s::text[] IS NULL OR coalesce(u.queue, e.queue) = ANY(%(queues)s))
        AND j.job_id <> ALL(%(without)s::uuid[])
    ORDER BY array_position(%(queues)s::text[], coalesce(u.queue, e.queue)), coalesce(u.priority, e.priority) DESC,
        f.tried_lately, coalesce(u.requested_at, e.requested_at), j.job_id
)
SELECT c.*, b.number, b.version AS batch_version, b.epoch
FROM (
    SELECT w.unit_id, w.kind, w.job_id, w.execution_id, w.undo_id, w.batch_id, w.records, w.attempts + 1 AS attempt,
        w.faults, w.leased_by, r.action, r.table_name, r.batch_size, r.planning, r.status, r.actor, r.queue, r.correlation_id, r.traceparent,
        r.policy, r.of_undo, r.rate, r.concurrency, r.speed, r.paced
    FROM ready r CROSS JOIN LATERAL (
        SELECT w.* FROM {work_queue} w
        WHERE w.job_id = r.job_id
            AND (w.attempts > 0 AND w.available_at > clock_timestamp() - interval '10 seconds') = r.tried_lately
            AND w.available_at <= clock_timestamp()
            AND (w.kind <> 'batch' OR r.is_due)
            AND (w.leased_until IS NULL OR w.leased_until < clock_timestamp())
            -- What was done in the database is taken back without its action.
            AND (r.is_known OR w.undo_id IS NOT NULL AND EXISTS (
                SELECT FROM {batches} k WHERE k.batch_id = w.batch_id AND k.epoch = 0))
            -- Who waits for records is looked at when those that come first are done with them.
            AND NOT (w.kind = 'plan' AND EXISTS (
                SELECT FROM {locks} l JOIN {locks} o ON o.owner_id = ANY(l.waits_for) WHERE l.owner_id = w.execution_id))
            AND NOT (w.serial AND EXISTS (
                SELECT FROM {work_queue} o WHERE o.job_id = w.job_id AND o.ordinal < w.ordinal))
        ORDER BY w.ordinal, w.unit_id LIMIT 1 FOR UPDATE SKIP LOCKED
    ) AS w
    LIMIT 1
) AS c LEFT JOIN {batches} b ON b.batch_id = c.batch_id

-- name: any_job
-- Every job that has units on the queue, from one to the next by the index.
queued AS (
    (SELECT w.job_id, w.execution_id, w.undo_id FROM {work_queue} w ORDER BY w.job_id LIMIT 1)
    UNION ALL
    SELECT n.* FROM queued q CROSS JOIN LATERAL (
        SELECT w.job_id, w.execution_id, w.undo_id FROM {work_queue} w WHERE w.job_id > q.job_id ORDER BY w.job_id LIMIT 1
    ) AS n
),
job AS (SELECT * FROM queued)

-- name: one_job
-- One job, and the undo by which it is being rolled back.
job AS (
    SELECT e.execution_id AS job_id, e.execution_id, NULL::uuid AS undo_id FROM {executions} e WHERE e.execution_id = %(job)s
    UNION ALL
    SELECT u.undo_id, u.execution_id, u.undo_id FROM {undos} u JOIN {executions} e ON e.execution_id = u.execution_id
    WHERE u.undo_id = %(job)s OR (u.execution_id = %(job)s AND e.status = 'rolling_back')
)

-- name: postpone
-- After a fault that passes: later, and with a note of what it was. Unless another has taken it up meanwhile.
UPDATE {work_queue} SET attempts = attempts + 1, faults = faults + %(own)s::int, last_error = %(error)s,
    available_at = clock_timestamp() + make_interval(secs => %(delay)s)
WHERE unit_id = (SELECT unit_id FROM {work_queue} WHERE unit_id = %(unit_id)s FOR UPDATE SKIP LOCKED)

-- name: standing
-- What is to be done of a job, now: of an execution that is paused, nothing is. Unknown is one of which all units want an
-- action that is not among those given, and none is under a lease.
SELECT coalesce(e.action, x.action) AS action, CASE
    WHEN e.status = 'rolling_back' THEN 'rolling_back'
    WHEN e.status IN ('failed', 'cancelled', 'rolled_back')
        AND EXISTS (SELECT FROM {work_queue} w WHERE w.job_id = wanted.job) THEN 'closed'
    WHEN e.status <> 'paused' AND EXISTS (
        SELECT FROM {locks} l JOIN {locks} o ON o.owner_id = ANY(l.waits_for) WHERE l.owner_id = wanted.job) THEN 'waiting'
    WHEN e.status IS NOT DISTINCT FROM 'paused' OR NOT EXISTS (SELECT FROM {work_queue} w WHERE w.job_id = wanted.job) THEN 'done'
    WHEN coalesce(e.action, x.action) = ANY(%(actions)s::text[]) OR EXISTS (
        SELECT FROM {work_queue} w LEFT JOIN {batches} b ON b.batch_id = w.batch_id WHERE w.job_id = wanted.job
            AND (w.leased_until > clock_timestamp() OR w.undo_id IS NOT NULL AND b.epoch = 0)) THEN 'open'
    ELSE 'unknown'
END AS standing
FROM (VALUES (%(job)s::uuid)) AS wanted (job) LEFT JOIN {executions} e ON e.execution_id = wanted.job
    LEFT JOIN {undos} u ON u.undo_id = wanted.job LEFT JOIN {executions} x ON x.execution_id = u.execution_id

-- name: outlook
-- What one who waits wants to know, of all queues: whether anything could be done now, or became so since the last
-- look, and when the next unit that was put off comes due. No joins: it is asked every few seconds.
SELECT extract(epoch FROM clock_timestamp())::float8 AS at,
    coalesce(bool_or(available_at <= clock_timestamp()), false) AS due,
    coalesce(bool_or(available_at > to_timestamp(%(since)s) AND available_at <= clock_timestamp()), false) AS fresh,
    extract(epoch FROM min(available_at) FILTER (WHERE available_at > clock_timestamp())
        - clock_timestamp())::float8 AS due_in,
    (SELECT coalesce(max(notification_id), 0) FROM {schema}.stored_events) AS head
FROM (
    SELECT greatest(w.available_at, w.leased_until, p.next_at) AS available_at
    FROM {schema}.work_queue w LEFT JOIN {schema}.paces p ON p.job_id = w.job_id
    UNION ALL
    SELECT greatest(q.due_at, q.available_at) FROM {schema}.schedule_queue q WHERE q.status = 'active'
    UNION ALL
    SELECT c.available_at FROM {schema}.chain_queue c WHERE c.attempts > 0 AND c.status <> 'paused'
    UNION ALL
    SELECT i.available_at FROM {schema}.command_inbox i WHERE i.rejected_at IS NULL
) AS unit

-- name: execution
-- An execution, with its lock.
SELECT e.*, l.version AS lock_version, l.status AS lock_status
FROM {executions} e LEFT JOIN {locks} l ON l.owner_id = e.execution_id WHERE e.execution_id = %(execution_id)s

-- name: undo
-- An undo, with its lock.
SELECT u.*, l.version AS lock_version, l.status AS lock_status
FROM {undos} u LEFT JOIN {locks} l ON l.owner_id = u.undo_id WHERE u.undo_id = %(undo_id)s

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

-- name: findings
-- What is to be mended, of one execution or of all, and how. In one statement, since every worker asks again and again.
--   close: it is closed, and units of it are still on the queue. A lease is its holder's until it has run out.
--   roll_back: its undo is to be asked for. What a batch has done outside of the database is to be taken back too, so
--       no lease may be at work.
--   clear_parts: parts of a file may lie beside it, and nobody works on it any more.
--   settle: nothing of the job is on the queue, and it has not ended.
SELECT DISTINCT 'close' AS finding, w.execution_id, NULL::uuid AS undo_id
FROM {work_queue} w JOIN {executions} e ON e.execution_id = w.execution_id
WHERE w.undo_id IS NULL AND e.status IN ('failed', 'cancelled', 'rolling_back', 'rolled_back')
    AND (w.leased_until IS NULL OR w.leased_until < clock_timestamp())
    AND (%(execution_id)s::uuid IS NULL OR w.execution_id = %(execution_id)s)
UNION ALL
SELECT 'roll_back', e.execution_id, NULL FROM {executions} e
WHERE e.ended_at IS NULL AND e.status = 'rolling_back'
    AND NOT EXISTS (SELECT FROM {work_queue} w LEFT JOIN {batches} b ON b.batch_id = w.batch_id
        WHERE w.execution_id = e.execution_id AND w.undo_id IS NULL AND (w.leased_by IS NOT NULL OR b.epoch > 0))
    AND (%(execution_id)s::uuid IS NULL OR e.execution_id = %(execution_id)s)
UNION ALL
SELECT 'settle', e.execution_id, NULL FROM {executions} e
WHERE e.ended_at IS NULL AND e.status <> 'rolling_back' AND %(execution_id)s::uuid IS NULL
    AND NOT EXISTS (SELECT FROM {work_queue} w WHERE w.job_id = e.execution_id)
UNION ALL
SELECT 'settle', u.execution_id, u.undo_id FROM {undos} u
WHERE u.ended_at IS NULL AND %(execution_id)s::uuid IS NULL
    AND NOT EXISTS (SELECT FROM {work_queue} w WHERE w.job_id = u.undo_id)
UNION ALL
SELECT 'clear_parts', f.execution_id, NULL FROM {schema}.export_files f JOIN {executions} e ON e.execution_id = f.execution_id
WHERE f.staged AND e.ended_at IS NOT NULL
    AND NOT EXISTS (SELECT FROM {work_queue} w WHERE w.execution_id = f.execution_id)
    AND (%(execution_id)s::uuid IS NULL OR f.execution_id = %(execution_id)s)
