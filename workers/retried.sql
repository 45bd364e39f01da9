-- name: standing_retry
-- The newest retry of the same records that has done something, by itself or by retries of its own, and of which not
-- everything was taken back. Records are counted, but for a retry that was taken back, or redone, in some columns of a
-- record only, which counts it each time: of that, the newest image of each column of each record says it.
-- What is left of a retry was left of what it was a retry of: another retry of that may have done it.
WITH RECURSIVE asked AS (
    SELECT %(of)s::uuid AS of, NULL::uuid AS by, %(failed)s::boolean AS failed, %(not_processed)s::boolean AS not_processed
    UNION ALL
    SELECT e.retry_of, e.execution_id, (b.body #>> '{{selection,failed}}')::boolean,
        (b.body #>> '{{selection,not_processed}}')::boolean
    FROM asked a JOIN {executions} e ON e.execution_id = a.of JOIN {schema}.request_bodies b ON b.owner = e.execution_id
    WHERE e.retry_of IS NOT NULL
),
retry AS (
    SELECT e.execution_id AS top, e.execution_id, e.applied
    FROM asked a JOIN {executions} e ON e.retry_of = a.of JOIN {schema}.request_bodies b ON b.owner = e.execution_id
    WHERE e.execution_id IS DISTINCT FROM a.by AND e.execution_id IS DISTINCT FROM %(but)s::uuid
        AND (a.failed AND (b.body #>> '{{selection,failed}}')::boolean
            OR a.not_processed AND (b.body #>> '{{selection,not_processed}}')::boolean)
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
WHERE r.applied > 0 AND CASE WHEN EXISTS (
    SELECT FROM {batches} b JOIN {schema}.change_sets d ON d.batch_id = b.batch_id AND d.direction = 'do' AND d.kind = 'update'
    JOIN {schema}.change_sets l ON l.batch_id = b.batch_id AND l.direction <> 'do' AND l.kind = 'update' AND NOT l.acted @> d.acted
    WHERE b.execution_id = r.execution_id AND d.child_table IS NULL AND l.child_table IS NULL
) THEN EXISTS (
    SELECT FROM (
        SELECT DISTINCT ON (s.batch_id, u.key, a.name) s.direction
        FROM {batches} b JOIN {schema}.change_sets s ON s.batch_id = b.batch_id AND s.child_table IS NULL
        CROSS JOIN LATERAL (
            SELECT array_agg(k.part ORDER BY c.number) AS key
            FROM unnest(s.keys) WITH ORDINALITY AS c (parts, number)
            CROSS JOIN LATERAL unnest(c.parts::text[]) WITH ORDINALITY AS k (part, place) GROUP BY k.place
        ) AS u
        CROSS JOIN LATERAL unnest(s.acted) AS a (name)
        WHERE b.execution_id = r.execution_id
        ORDER BY s.batch_id, u.key, a.name, s.batch_version DESC
    ) newest WHERE direction <> 'undo'
) ELSE r.applied > (
    SELECT coalesce(sum(t.applied * t.sign), 0) FROM taken_back t WHERE t.execution_id = r.execution_id
) END
ORDER BY r.top DESC LIMIT 1
