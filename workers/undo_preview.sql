-- name: left
-- Why records were not taken back, or not as a whole, and how many.
SELECT o.outcome, o.reason, sum(o.records)::bigint AS records FROM {schema}.record_outcomes o
WHERE o.undo_id = %(id)s AND o.child_table IS NULL GROUP BY o.outcome, o.reason ORDER BY o.outcome, o.reason

-- name: restored
-- In how many records each column was taken back.
SELECT a.name, sum(s.records)::bigint AS records
FROM {schema}.change_sets s CROSS JOIN LATERAL unnest(s.acted) AS a (name)
WHERE s.undo_id = %(id)s AND s.child_table IS NULL AND s.kind = 'update' GROUP BY a.name

-- name: changed
-- In how many records that are in conflict somebody changed each column. Images of one column are told apart by text.
SELECT f.name, count(*) AS records
FROM {schema}.record_outcomes o CROSS JOIN LATERAL unnest(o.columns, o.recorded, o.current) AS f (name, recorded, current)
CROSS JOIN LATERAL unnest(f.recorded::text[], f.current::text[]) AS v (recorded, current)
WHERE o.undo_id = %(id)s AND o.child_table IS NULL AND o.reason IN ('changed_since', 'columns_changed_since')
    AND v.recorded IS DISTINCT FROM v.current
GROUP BY f.name

-- name: outcomes
-- The first records of each list of those with one outcome; of each column that is kept of them so many values.
SELECT o.reason, o.sqlstate, o.constraint_name AS constraint, o.message, o.child_table AS table, o.columns,
    ARRAY(SELECT (f.texts::text[])[1:%(show)s]::text FROM unnest(o.keys) WITH ORDINALITY AS f (texts, n) ORDER BY n) AS keys,
    ARRAY(SELECT (f.texts::text[])[1:%(show)s]::text FROM unnest(o.recorded) WITH ORDINALITY AS f (texts, n) ORDER BY n) AS recorded,
    ARRAY(SELECT (f.texts::text[])[1:%(show)s]::text FROM unnest(o.current) WITH ORDINALITY AS f (texts, n) ORDER BY n) AS current
FROM {schema}.record_outcomes o JOIN {batches} b ON b.batch_id = o.batch_id
WHERE o.undo_id = %(id)s AND o.outcome = %(outcome)s ORDER BY b.number, o.owner, o.part LIMIT %(show)s

-- name: changes
-- The first records of each part of what was taken back, before and after.
SELECT s.kind, s.columns,
    ARRAY(SELECT (f.texts::text[])[1:%(show)s]::text FROM unnest(s.keys) WITH ORDINALITY AS f (texts, n) ORDER BY n) AS keys,
    ARRAY(SELECT (f.texts::text[])[1:%(show)s]::text FROM unnest(s.before) WITH ORDINALITY AS f (texts, n) ORDER BY n) AS before,
    ARRAY(SELECT (f.texts::text[])[1:%(show)s]::text FROM unnest(s.after) WITH ORDINALITY AS f (texts, n) ORDER BY n) AS after
FROM {schema}.change_sets s JOIN {batches} b ON b.batch_id = s.batch_id
WHERE s.undo_id = %(id)s AND s.child_table IS NULL ORDER BY b.number, s.owner, s.part LIMIT %(show)s
