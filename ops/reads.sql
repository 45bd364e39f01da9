-- name: execution
-- Of one that was closed, batches that nobody did are closed too: `batches_left` says how many.
-- How long it was paused is in its own short stream: a pause lasts until whatever comes next, but for another pace.
SELECT e.*, k.body AS contact_body, p.held_because, p.probe_error, l.waits_for, clock_timestamp() AS now, s.paused_seconds,
    CASE WHEN e.status IN ('cancelled', 'failed', 'rolling_back', 'rolled_back') THEN (
        SELECT count(*) FROM {batches} b
        WHERE b.execution_id = e.execution_id AND b.status <> 'split' AND b.records > b.applied + b.failed + b.skipped
    ) END AS batches_left
FROM {executions} e LEFT JOIN {schema}.paces p ON p.job_id = e.execution_id AND e.ended_at IS NULL
LEFT JOIN {locks} l ON l.owner_id = e.execution_id
LEFT JOIN {schema}.actor_contacts k ON k.digest = e.contact
CROSS JOIN LATERAL (
    SELECT sum(extract(epoch FROM coalesce(n.recorded_at, clock_timestamp()) - v.recorded_at))::float8 AS paused_seconds
    FROM {schema}.stored_events v CROSS JOIN LATERAL (
        SELECT min(w.recorded_at) AS recorded_at FROM {schema}.stored_events w
        WHERE w.originator_id = v.originator_id AND w.originator_version > v.originator_version
            AND w.topic <> 'execution.retuned') n
    WHERE v.originator_id = e.execution_id AND v.topic = 'execution.paused'
) s
WHERE e.execution_id = %(id)s

-- name: undo
SELECT *, clock_timestamp() AS now FROM {undos} WHERE undo_id = %(id)s

-- name: undos_of
SELECT undo_id FROM {undos} WHERE execution_id = %(id)s ORDER BY requested_at

-- name: standing
-- Of each undo of some executions: how many records are taken back by it at the moment. Whatever takes an undo back
-- does again what it undid, what takes that back undoes it again, and so on.
WITH RECURSIVE turns AS (
    SELECT undo_id AS root, undo_id, execution_id, applied, 1 AS sign FROM {undos}
    WHERE execution_id = ANY(%(ids)s) AND of_undo IS NULL
    UNION ALL
    SELECT t.root, r.undo_id, r.execution_id, r.applied, -t.sign
    FROM {undos} r JOIN turns t ON t.undo_id = r.of_undo AND t.execution_id = r.execution_id
)
SELECT execution_id, root AS undo_id, sum(applied * sign)::bigint AS records FROM turns
GROUP BY execution_id, root ORDER BY root

-- name: excepted
SELECT DISTINCT name FROM {batches} b JOIN {schema}.stored_events e ON e.originator_id = b.batch_id
CROSS JOIN LATERAL jsonb_array_elements_text(convert_from(e.state, 'UTF8')::jsonb -> 'excepted') AS x (name)
WHERE e.topic = 'batch.compensated' AND convert_from(e.state, 'UTF8')::jsonb ->> 'undo_id' = %(undo_id)s::text
    AND b.execution_id = (SELECT execution_id FROM {undos} WHERE undo_id = %(undo_id)s)
ORDER BY name

-- name: reached
-- How many rows of each table foreign keys took along: with an execution, or with one undo of it.
SELECT r.key AS table, sum(r.value::bigint)::bigint AS records
FROM {batches} b JOIN {schema}.stored_events e ON e.originator_id = b.batch_id
CROSS JOIN LATERAL (SELECT convert_from(e.state, 'UTF8')::jsonb AS body) s
CROSS JOIN LATERAL jsonb_each_text(s.body -> 'reached') r
WHERE b.execution_id = %(execution_id)s AND e.topic IN ('batch.completed', 'batch.compensated')
    AND s.body ->> 'undo_id' IS NOT DISTINCT FROM %(undo_id)s::text
GROUP BY r.key ORDER BY r.key

-- name: children
-- What became of the rows that had gone along, by table, in one undo.
SELECT r.key AS table, sum((r.value ->> 'applied')::bigint)::bigint AS applied,
    sum((r.value ->> 'failed')::bigint)::bigint AS failed, sum((r.value ->> 'skipped')::bigint)::bigint AS skipped
FROM {batches} b JOIN {schema}.stored_events e ON e.originator_id = b.batch_id
CROSS JOIN LATERAL (SELECT convert_from(e.state, 'UTF8')::jsonb AS body) s
CROSS JOIN LATERAL jsonb_each(s.body -> 'children') r
WHERE b.execution_id = %(execution_id)s AND e.topic = 'batch.compensated' AND s.body ->> 'undo_id' = %(undo_id)s::text
GROUP BY r.key ORDER BY r.key

-- name: executions
-- The newest first. `batches_left` as above, of those that are listed alone.
SELECT e.*, k.body AS contact_body, clock_timestamp() AS now,
    CASE WHEN e.status IN ('cancelled', 'failed', 'rolling_back', 'rolled_back') THEN (
        SELECT count(*) FROM {batches} b
        WHERE b.execution_id = e.execution_id AND b.status <> 'split' AND b.records > b.applied + b.failed + b.skipped
    ) END AS batches_left
FROM (
    SELECT * FROM {executions}
    WHERE (%(status)s::text IS NULL OR status = %(status)s) AND (%(actor)s::text IS NULL OR actor = %(actor)s)
        AND (%(table)s::text IS NULL OR table_name = %(table)s)
    ORDER BY requested_at DESC LIMIT %(limit)s
) e LEFT JOIN {schema}.actor_contacts k ON k.digest = e.contact ORDER BY e.requested_at DESC

-- name: table_known
-- Whether a table has executions under that very name, wherever it is by now.
SELECT 1 AS known FROM {executions} WHERE table_name = %(table)s LIMIT 1

-- name: outcomes
-- Records that were not changed, in the order in which they were met. One row a reason, columns as arrays.
-- Children come with the name of their table.
SELECT o.outcome, o.reason, o.sqlstate, o.constraint_name, o.message, o.records, o.columns, o.keys,
    o.recorded, o.current, o.child_table, b.number
FROM {schema}.record_outcomes o JOIN {batches} b ON b.batch_id = o.batch_id
WHERE o.outcome = %(outcome)s AND (%(execution_id)s::uuid IS NULL OR (o.execution_id = %(execution_id)s AND o.undo_id IS NULL))
    AND (%(undo_id)s::uuid IS NULL OR o.undo_id = %(undo_id)s)
ORDER BY b.number, o.owner, o.part

-- name: not_processed
-- Records that nobody took up, with the state of the execution that kept them from it. Of a batch with an effect,
-- those at the positions `done` were.
SELECT k.keys, b.number, coalesce(b.error, e.status) AS reason,
    ARRAY(SELECT r.position FROM {schema}.effect_results r WHERE r.owner = b.batch_id) AS done
FROM {executions} e JOIN {batches} b ON b.execution_id = e.execution_id JOIN {schema}.key_sets k ON k.owner = b.batch_id
WHERE e.execution_id = %(execution_id)s AND b.status <> 'split' AND b.records > b.applied + b.failed + b.skipped
    AND e.status IN ('cancelled', 'failed', 'rolling_back', 'rolled_back')
ORDER BY b.number, k.owner

-- name: effects
-- What came of each record of an effect, in the order of the plan.
SELECT r.key, b.number, r.outcome, r.reason, r.message, r.result, r.idempotency_key, r.recorded_at
FROM {batches} b JOIN {schema}.effect_results r ON r.owner = b.batch_id
WHERE b.execution_id = %(execution_id)s
ORDER BY b.number, r.owner, r.position

-- name: changes
-- Children come after the records that they went along with.
SELECT s.kind, s.columns, s.keys, s.before, s.after, b.number, coalesce(s.child_table, b.table_name) AS table
FROM {schema}.change_sets s JOIN {batches} b ON b.batch_id = s.batch_id
WHERE b.execution_id = %(execution_id)s AND s.direction = 'do'
ORDER BY b.number, b.batch_id, s.part

-- name: audit
SELECT a.*, k.body AS contact_body FROM {audit} a LEFT JOIN {schema}.actor_contacts k ON k.digest = a.contact
WHERE position > %(after)s AND (%(execution_id)s::uuid IS NULL OR execution_id = %(execution_id)s)
    AND (%(actor)s::text IS NULL OR actor = %(actor)s)
ORDER BY position LIMIT %(limit)s

-- name: newest_of_audit
-- The newest entries, in the order in which they happened.
SELECT * FROM (
    SELECT a.*, k.body AS contact_body FROM {audit} a LEFT JOIN {schema}.actor_contacts k ON k.digest = a.contact
    WHERE (%(execution_id)s::uuid IS NULL OR execution_id = %(execution_id)s)
        AND (%(actor)s::text IS NULL OR actor = %(actor)s)
    ORDER BY position DESC LIMIT %(limit)s
) newest ORDER BY position

-- name: holding
-- The change sets of batches whose range of keys holds a key, with what is known of who asked and why.
-- The range is looked at first, in the server's own order of the key's type; the key itself afterwards. The CASE
-- keeps the server from reading the keys of other tables as values of that type. Of children there is no range.
SELECT s.owner, s.part, s.direction, s.kind, s.columns, s.types, b.execution_id, b.number, s.undo_id, e.action,
    coalesce(u.actor, e.actor) AS actor, r.body ->> 'reason' AS reason, v.recorded_at, v.notification_id AS position
FROM {batches} b
JOIN {executions} e ON e.execution_id = b.execution_id
JOIN {schema}.key_sets k ON k.owner = b.batch_id
JOIN {schema}.change_sets s ON s.batch_id = b.batch_id
LEFT JOIN {undos} u ON u.undo_id = s.undo_id
JOIN {schema}.stored_events v ON v.originator_id = s.batch_id AND v.originator_version = s.batch_version
LEFT JOIN {schema}.request_bodies r ON r.owner = coalesce(s.undo_id, b.execution_id)
LEFT JOIN {schema}.request_bodies a ON a.owner = b.execution_id
WHERE (s.child_table = %(table)s
        OR CASE WHEN b.table_name = %(table)s AND s.child_table IS NULL THEN {in_range} ELSE false END)
    AND (%(context)s::jsonb IS NULL OR a.body -> 'context' = %(context)s::jsonb)
ORDER BY v.notification_id, s.part

-- name: images_of_key
-- One record's before and after in one part of a change set.
SELECT {before} AS before, {after} AS after
FROM {schema}.change_sets s CROSS JOIN LATERAL unnest({arrays}) AS u ({names})
WHERE s.owner = %(owner)s AND s.part = %(part)s AND {same_key}

-- name: open_units
-- How much is to be done in some queues, whoever works on it at the moment: units, but for those of executions that are
-- paused, or wait for records; rollbacks, whose undo may not be asked for yet; and commands that are to be taken in. What
-- only those can do who know other actions than these is theirs.
SELECT (
    SELECT count(*) FROM {work_queue} w JOIN {executions} e ON e.execution_id = w.execution_id
    LEFT JOIN {undos} u ON u.undo_id = w.undo_id
    WHERE (%(queues)s::text[] IS NULL OR coalesce(u.queue, e.queue) = ANY(%(queues)s))
        AND (e.action = ANY(%(actions)s::text[]) OR w.undo_id IS NOT NULL AND EXISTS (
            SELECT FROM {batches} k WHERE k.batch_id = w.batch_id AND k.epoch = 0))
        AND (w.undo_id IS NOT NULL OR e.status <> 'paused')
        AND NOT (w.kind = 'plan' AND EXISTS (
            SELECT FROM {locks} l JOIN {locks} o ON o.owner_id = ANY(l.waits_for) WHERE l.owner_id = w.execution_id))
) + (
    -- Moves of chains that can be made now, or that met a fault of the database and are tried again in a moment. A limit,
    -- or another's undo, may be in the way for ever; and so may what is left aside for longer.
    SELECT count(*) FROM {chain_queue} c
    WHERE c.status <> 'paused' AND c.available_at <= clock_timestamp() + CASE
        WHEN c.last_error ~ '^[0-9A-Z]{{5}}$' THEN interval '10 seconds' ELSE interval '0' END AND (c.awaits IS NULL
        OR EXISTS (SELECT FROM {executions} e WHERE e.execution_id = c.awaits AND e.ended_at IS NOT NULL)
        OR EXISTS (SELECT FROM {undos} u WHERE u.undo_id = c.awaits AND u.ended_at IS NOT NULL))
) + (
    SELECT count(*) FROM {executions} e
    WHERE e.ended_at IS NULL AND e.status = 'rolling_back' AND e.action = ANY(%(actions)s::text[])
        AND (%(queues)s::text[] IS NULL OR e.queue = ANY(%(queues)s))
) + (
    SELECT count(*) FROM {schema}.command_inbox i WHERE i.rejected_at IS NULL
        AND (i.command ->> 'action' IS NULL OR i.command ->> 'action' = ANY(%(actions)s::text[]))
        AND (i.error IS DISTINCT FROM 'unknown_action' OR i.available_at <= clock_timestamp())
) AS units
