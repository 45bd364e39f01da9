-- name: newest
-- The newest execution, undo or redo.
SELECT id, kind, execution_id FROM (
    SELECT execution_id AS id, 'execution' AS kind, execution_id, requested_at FROM {executions}
    UNION ALL
    SELECT undo_id, CASE WHEN of_undo IS NULL THEN 'undo' ELSE 'redo' END, execution_id, requested_at FROM {undos}
) job
WHERE kind = ANY(%(kinds)s)
ORDER BY requested_at DESC, id DESC LIMIT 1

-- name: candidates
-- Executions and undos whose id begins or ends with some text, a few at most.
SELECT id, kind, execution_id FROM (
    SELECT execution_id AS id, 'execution' AS kind, execution_id, requested_at FROM {executions}
    UNION ALL
    SELECT undo_id, CASE WHEN of_undo IS NULL THEN 'undo' ELSE 'redo' END, execution_id, requested_at FROM {undos}
) job
WHERE id::text LIKE %(given)s || '%%' OR id::text LIKE '%%' || %(given)s
ORDER BY requested_at DESC, id DESC LIMIT %(limit)s

-- name: request
-- What a request said that its events must not hold.
SELECT body FROM {schema}.request_bodies WHERE owner = %(id)s

-- name: undos
-- The undos of an execution, and their redos, oldest first.
SELECT u.*, b.body -> 'columns' AS columns, b.body -> 'batches' AS only_batches,
    coalesce((b.body ->> 'by_keys')::boolean, false) AS by_keys,
    k.body AS contact_body, clock_timestamp() AS now
FROM {undos} u LEFT JOIN {schema}.request_bodies b ON b.owner = u.undo_id
LEFT JOIN {schema}.actor_contacts k ON k.digest = u.contact
WHERE u.execution_id = %(id)s ORDER BY u.requested_at

-- name: undo
SELECT u.*, b.body -> 'columns' AS columns, b.body -> 'batches' AS only_batches,
    coalesce((b.body ->> 'by_keys')::boolean, false) AS by_keys,
    k.body AS contact_body, clock_timestamp() AS now
FROM {undos} u LEFT JOIN {schema}.request_bodies b ON b.owner = u.undo_id
LEFT JOIN {schema}.actor_contacts k ON k.digest = u.contact
WHERE u.undo_id = %(id)s

-- name: redone_under
-- The undo that the redo under a key applied again, if that redo is of this execution.
SELECT u.of_undo FROM {schema}.command_keys k JOIN {undos} u ON u.undo_id = k.command_id
WHERE k.key = %(key)s AND u.execution_id = %(execution_id)s AND u.of_undo IS NOT NULL

-- name: outcomes
-- How many records were not changed, by reason; those of the execution itself, or those of one undo.
SELECT outcome, reason, sqlstate, sum(records)::bigint AS records
FROM {schema}.record_outcomes
WHERE execution_id = %(execution_id)s AND undo_id IS NOT DISTINCT FROM %(undo_id)s::uuid
GROUP BY outcome, reason, sqlstate ORDER BY records DESC, outcome, reason

-- name: waiting
-- The units of a job that met a fault and are to be tried again.
SELECT count(*) AS units, max(attempts) AS attempts, max(last_error) AS error
FROM {work_queue} WHERE job_id = %(id)s AND attempts > 0

-- name: size
-- The bytes that everything in the ledger's schema takes on disk, indexes included.
SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0)::bigint AS bytes
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = %(schema_name)s AND c.relkind IN ('r', 'm')
