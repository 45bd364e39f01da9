-- name: key_width
-- How many columns the keys of a batch have.
SELECT cardinality(keys) AS columns FROM {schema}.key_sets WHERE owner = %(batch_id)s

-- name: batch
-- All records of a batch as failed, for one reason: its key set is the list of them.
INSERT INTO {schema}.record_outcomes (owner, part, batch_id, execution_id, outcome, reason, sqlstate,
    constraint_name, message, records, salt, keys)
SELECT owner, 1, owner, execution_id, 'failed', %(reason)s, %(sqlstate)s, %(constraint)s, %(message)s, records,
    {schema}.salt(), keys
FROM {schema}.key_sets WHERE owner = %(batch_id)s
RETURNING {schema}.digest(''::bytea, ARRAY[{schema}.outcome_digest(record_outcomes)]) AS digest

-- name: compensation
-- All records that a compensation was to bring back, as failed: those whose newest change set in the batch is one
-- that it takes back, and of them the chosen ones, if some were. Keys are compared as they are written, which is
-- the same in every change set of a batch: so it can be said of a table that is gone, or has another key.
WITH newest AS (
    SELECT DISTINCT ON ({keys}) {keys}, s.part, u.n, s.direction, s.undo_id
    FROM {schema}.change_sets s CROSS JOIN LATERAL unnest({arrays}) WITH ORDINALITY AS u ({names}, n)
    WHERE s.batch_id = %(batch_id)s AND s.child_table IS NULL
    ORDER BY {keys}, s.batch_version DESC
),
chosen AS (
    SELECT {names} FROM {schema}.key_sets s CROSS JOIN LATERAL unnest({arrays}) AS u ({names})
    WHERE s.owner = %(undo_id)s
),
planned AS (
    SELECT count(*) AS records, {gathered} AS keys FROM newest u
    WHERE CASE WHEN %(of_undo)s::uuid IS NULL THEN direction IN ('do', 'redo') ELSE undo_id = %(of_undo)s END
        AND (NOT EXISTS (SELECT FROM chosen) OR ({keys}) IN (SELECT {names} FROM chosen))
)
INSERT INTO {schema}.record_outcomes (owner, part, batch_id, execution_id, undo_id, outcome, reason, sqlstate,
    constraint_name, message, records, salt, keys)
SELECT %(owner)s, 1, %(batch_id)s, %(execution_id)s, %(undo_id)s, 'failed', %(reason)s, %(sqlstate)s,
    %(constraint)s, %(message)s, records, {schema}.salt(), keys
FROM planned WHERE records > 0
RETURNING {schema}.digest(''::bytea, ARRAY[{schema}.outcome_digest(record_outcomes)]) AS digest
