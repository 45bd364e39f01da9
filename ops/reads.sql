-- name: execution
SELECT *, clock_timestamp() AS now FROM {executions} WHERE execution_id = %(id)s

-- name: undo
SELECT *, clock_timestamp() AS now FROM {undos} WHERE undo_id = %(id)s

-- name: undos_of
SELECT undo_id FROM {undos} WHERE execution_id = %(id)s ORDER BY requested_at

-- name: excepted
SELECT DISTINCT name FROM {batches} b JOIN {schema}.stored_events e ON e.originator_id = b.batch_id
CROSS JOIN LATERAL jsonb_array_elements_text(convert_from(e.state, 'UTF8')::jsonb -> 'excepted') AS x (name)
WHERE e.topic = 'batch.compensated' AND convert_from(e.state, 'UTF8')::jsonb ->> 'undo_id' = %(undo_id)s::text
    AND b.execution_id = (SELECT execution_id FROM {undos} WHERE undo_id = %(undo_id)s)
ORDER BY name

-- name: executions
-- The newest first.
SELECT *, clock_timestamp() AS now FROM {executions}
WHERE (%(status)s::text IS NULL OR status = %(status)s) AND (%(actor)s::text IS NULL OR actor = %(actor)s)
    AND (%(table)s::text IS NULL OR table_name = %(table)s)
ORDER BY requested_at DESC LIMIT %(limit)s

-- name: outcomes
-- Records that were not changed, in the order in which they were met. One row a reason, columns as arrays.
SELECT o.outcome, o.reason, o.sqlstate, o.constraint_name, o.message, o.records, o.columns, o.keys,
    o.recorded, o.current, b.number
FROM {schema}.record_outcomes o JOIN {batches} b ON b.batch_id = o.batch_id
WHERE o.outcome = %(outcome)s AND (%(execution_id)s::uuid IS NULL OR (o.execution_id = %(execution_id)s AND o.undo_id IS NULL))
    AND (%(undo_id)s::uuid IS NULL OR o.undo_id = %(undo_id)s)
ORDER BY b.number, o.owner, o.part

-- name: changes
SELECT s.kind, s.columns, s.keys, s.before, s.after, b.number
FROM {schema}.change_sets s JOIN {batches} b ON b.batch_id = s.batch_id
WHERE b.execution_id = %(execution_id)s AND s.direction = 'do'
ORDER BY b.number, s.part
