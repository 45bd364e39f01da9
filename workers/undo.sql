-- name: sources
-- The change sets that an undo, or the redo of one, would take back; and how many records each still stands for.
-- What was done last comes first: rows that refer to each other come back in the order in which that is possible.
-- A record counts where its newest image is: `superseded` says whether a later change set of the batch may hold it.
SELECT s.owner, s.part, s.batch_id, s.batch_version, s.direction, s.kind, s.records, s.columns, s.types, s.acted,
    b.number, b.version, b.status,
    EXISTS (SELECT FROM {schema}.change_sets l
        WHERE l.batch_id = s.batch_id AND l.batch_version > s.batch_version) AS superseded
FROM {schema}.change_sets s JOIN {batches} b ON b.batch_id = s.batch_id
JOIN {schema}.stored_events v ON v.originator_id = s.batch_id AND v.originator_version = s.batch_version
WHERE (b.execution_id = %(execution_id)s OR b.batch_id = %(batch_id)s)
    AND CASE WHEN %(of_undo)s::uuid IS NULL THEN s.direction IN ('do', 'redo') ELSE s.undo_id = %(of_undo)s END
    AND (%(numbers)s::integer[] IS NULL OR b.number = ANY(%(numbers)s))
ORDER BY v.notification_id DESC, s.part DESC

-- name: count_planned
-- How many records a source stands for.
WITH planned AS ({planned}) SELECT count(*) AS records FROM planned

-- name: count_conflicts
-- How many of them somebody changed since.
WITH planned AS ({planned})
SELECT count(*) AS records FROM planned q LEFT JOIN {table} t ON {located} WHERE {conflicting}

-- name: as_planned
-- Writes the keys that an undo was asked for as their execution planned them: 1.0 and 1.00 are one key and two texts.
UPDATE {schema}.key_sets c SET keys = p.keys, records = p.records
FROM (
    SELECT count(*) AS records, {gathered} AS keys FROM (
        SELECT {keys} FROM {schema}.key_sets s CROSS JOIN LATERAL unnest({arrays}) AS u ({names})
        WHERE s.execution_id = %(execution_id)s {is_chosen}
    ) p
) p
WHERE c.owner = %(chosen)s AND p.records > 0

-- name: expiry
-- Until when an execution can be undone, by the database's clock.
SELECT ended_at + make_interval(secs => undo_seconds) AS expires_at,
    ended_at + make_interval(secs => undo_seconds) < clock_timestamp() AS expired
FROM {executions} WHERE execution_id = %(execution_id)s

-- name: is_self_referencing
-- Whether rows of the table refer to rows of the same table.
SELECT EXISTS (SELECT FROM pg_constraint WHERE contype = 'f' AND conrelid = %(oid)s AND confrelid = %(oid)s) AS yes

-- name: excepted
-- The columns in which records did not come back as they had been: a trigger wrote them. An inner join, written as
-- a full one whose condition the planner cannot see through, so that it is hashed or merged: it takes both sides for
-- a few rows, and an inner join became a nested loop over a whole batch squared.
SELECT {differing} AS columns
FROM (
    SELECT x.* FROM {schema}.change_sets n CROSS JOIN LATERAL unnest({new_arrays}) AS x ({new_names})
    WHERE n.owner = %(owner)s AND n.part = %(part)s
) x FULL JOIN ({planned}) q ON {same_key}
WHERE num_nulls(x.k1, q.k1) = 0
