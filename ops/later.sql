-- name: table
SELECT table_name AS table FROM {executions} WHERE execution_id = %(execution_id)s

-- name: moved
-- Whether an execution, or one undo of it, moved any record to another key.
SELECT EXISTS (
    SELECT FROM {schema}.change_sets s JOIN {batches} b ON b.batch_id = s.batch_id
    CROSS JOIN LATERAL unnest(%(key)s::text[]) WITH ORDINALITY AS k (name, place)
    WHERE b.execution_id = %(execution_id)s AND s.undo_id IS NOT DISTINCT FROM %(undo_id)s AND s.child_table IS NULL
        AND s.after[array_position(s.columns, k.name)] <> s.keys[k.place]) AS moved

-- name: later
-- Which other executions, and undos of theirs, wrote to the same records afterwards. The records have been the
-- execution's own until its end, so what wrote to one after its first batch did so after its change of that record.
-- The keys of both sides are looked for among each other in sets; IS TRUE keeps it from becoming a join, which the
-- planner would do as a nested loop.
WITH own AS MATERIALIZED (
    SELECT s.columns, s.keys, s.after, v.notification_id AS position
    FROM {schema}.change_sets s JOIN {batches} b ON b.batch_id = s.batch_id
    JOIN {schema}.stored_events v ON v.originator_id = s.batch_id AND v.originator_version = s.batch_version
    WHERE b.execution_id = %(execution_id)s AND s.undo_id IS NOT DISTINCT FROM %(undo_id)s AND s.child_table IS NULL
),
since AS MATERIALIZED (
    SELECT b.batch_id, b.execution_id, s.undo_id, s.direction, s.keys, v.notification_id AS position, v.recorded_at
    FROM {batches} b JOIN {schema}.change_sets s ON s.batch_id = b.batch_id
    JOIN {schema}.stored_events v ON v.originator_id = s.batch_id AND v.originator_version = s.batch_version
    WHERE b.table_name = %(table)s AND b.execution_id <> %(execution_id)s AND s.child_table IS NULL
        AND v.notification_id > (SELECT min(position) FROM own)
        -- Where rows belong to tenants, one is not told what others do.
        AND (NOT %(secured)s OR (SELECT body -> 'context' FROM {schema}.request_bodies WHERE owner = b.execution_id)
            = (SELECT body -> 'context' FROM {schema}.request_bodies WHERE owner = %(execution_id)s))
),
near AS MATERIALIZED (SELECT * FROM since s WHERE {near}),
written AS (
    SELECT n.execution_id, n.undo_id, n.direction, count(DISTINCT ({key_names})) AS records,
        max(n.recorded_at) AS recorded_at, max(n.position) AS position
    FROM near n CROSS JOIN LATERAL unnest({arrays}) AS w ({key_names})
    WHERE (({others}) IN (SELECT {key} FROM own s CROSS JOIN LATERAL unnest({places}) AS u ({key_names}))) IS TRUE
    GROUP BY n.execution_id, n.undo_id, n.direction
)
SELECT w.execution_id, w.undo_id, w.direction, e.action, coalesce(u.actor, e.actor) AS actor, w.recorded_at, w.records
FROM written w JOIN {executions} e ON e.execution_id = w.execution_id LEFT JOIN {undos} u ON u.undo_id = w.undo_id
ORDER BY w.position

-- name: near
-- Whether a batch's keys, in their range, may be among those of a batch of the execution.
(SELECT bool_or(({k_first}) <= ({o_last}) AND ({o_first}) <= ({k_last}))
    FROM {schema}.key_sets k CROSS JOIN {schema}.key_sets o
    WHERE k.owner = s.batch_id AND o.execution_id = %(execution_id)s)
