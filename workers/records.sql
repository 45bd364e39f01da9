-- name: locked_page
-- Records number {lo} to {hi} of a batch, in key order, as they are under the locks that this takes: those that an
-- update takes, so that nobody writes them, and rows that refer to them can still be inserted. A row that waited for
-- another writer is judged and given as that left it. What does not come is gone.
SELECT q.position, q.key, {match} AS matches, {columns}
FROM (
    SELECT %(lo)s::integer - 1 + u.n AS position, ARRAY[{key_names}] AS key
    FROM {schema}.key_sets s CROSS JOIN LATERAL unnest({slices}) WITH ORDINALITY AS u ({key_names}, n)
    WHERE s.owner = %(batch_id)s
) q JOIN {table} t ON {same_key}
ORDER BY q.position FOR NO KEY UPDATE OF t

-- name: planned_page
-- The keys number lo to hi of a batch.
SELECT %(lo)s::integer - 1 + u.n AS position, ARRAY[{key_names}] AS key
FROM {schema}.key_sets s CROSS JOIN LATERAL unnest({slices}) WITH ORDINALITY AS u ({key_names}, n)
WHERE s.owner = %(batch_id)s

-- name: changed_records
-- Records number lo to hi of those that a function changed in the same columns, with what these become, as q.
SELECT {values} FROM unnest({slices}) AS u ({names})

-- name: keep_unchanged
-- Lists the records of a page that were not changed. Those that met the same lie together, one array a key column.
WITH told AS (
    SELECT r.outcome, r.reason, r.message, c.i, array_agg(c.part ORDER BY r.position)::text AS keys,
        count(*) AS records, min(r.position) AS first
    FROM jsonb_to_recordset(%(unchanged)s::jsonb) AS r
        (position integer, key text[], outcome text, reason text, message text)
    CROSS JOIN LATERAL unnest(r.key) WITH ORDINALITY AS c (part, i)
    GROUP BY r.outcome, r.reason, r.message, c.i
)
INSERT INTO {schema}.record_outcomes (owner, part, batch_id, execution_id, outcome, reason, message, records, salt, keys)
SELECT %(owner)s, %(first_part)s + row_number() OVER (ORDER BY min(first)), %(batch_id)s, %(execution_id)s, outcome,
    reason, message, max(records), {schema}.salt(), array_agg(keys ORDER BY i)
FROM told GROUP BY outcome, reason, message

-- name: allow_silence
-- Lets the transaction be idle for so much longer, where it is limited at all; gives what the limit was.
WITH was AS MATERIALIZED (SELECT current_setting('idle_in_transaction_session_timeout') AS limit)
SELECT was.limit, set_config('idle_in_transaction_session_timeout', CASE WHEN was.limit = '0' THEN '0'
    ELSE ceil(extract(epoch FROM was.limit::interval) * 1000 + %(milliseconds)s)::bigint::text END, true)
FROM was

-- name: end_silence
-- Sets the limit back.
SELECT set_config('idle_in_transaction_session_timeout', %(limit)s, true)
