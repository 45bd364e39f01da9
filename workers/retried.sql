-- name: standing_retry
-- The newest retry of the same records that has done something, by itself or by retries of its own, and of which not
-- everything was taken back.
WITH RECURSIVE retry AS (
    SELECT e.execution_id AS top, e.execution_id, e.applied
    FROM {executions} e JOIN {schema}.request_bodies b ON b.owner = e.execution_id
    WHERE e.retry_of = %(of)s AND e.execution_id IS DISTINCT FROM %(but)s::uuid
        AND (%(failed)s AND (b.body #>> '{{selection,failed}}')::boolean
            OR %(not_processed)s AND (b.body #>> '{{selection,not_processed}}')::boolean)
    UNION ALL
    SELECT r.top, e.execution_id, e.applied FROM retry r JOIN {executions} e ON e.retry_of = r.execution_id
),
taken_back AS (
    SELECT u.undo_id, u.execution_id, u.applied, 1 AS sign
    FROM {undos} u JOIN retry r ON r.execution_id = u.execution_id WHERE u.of_undo IS NULL
    UNION ALL
    SELECT u.undo_id, u.execution_id, u.applied, -t.sign FROM taken_back t JOIN {undos} u ON u.of_undo = t.undo_id
)
SELECT r.top AS execution_id FROM retry r
WHERE r.applied > (SELECT coalesce(sum(t.applied * t.sign), 0) FROM taken_back t WHERE t.execution_id = r.execution_id)
ORDER BY r.top DESC LIMIT 1
