-- name: keys_of_batch
-- The planned keys number {lo} to {hi} of a batch, in key order, as q.
SELECT {keys}
FROM {schema}.key_sets s CROSS JOIN LATERAL unnest({slices}) AS u ({key_names})
WHERE s.owner = %(batch_id)s

-- name: at_once
-- The rows of the same keys, found by one walk along the key's index: a join begins anew for each of them.
{key} = ANY((SELECT ({array})[%(lo)s:%(hi)s] FROM {schema}.key_sets s WHERE s.owner = %(batch_id)s)::{type})

-- name: images_of_part
-- Records number lo to hi of a change set's part (of each, where there are several), with what was before and after, as q.
SELECT {values}
FROM {schema}.change_sets s CROSS JOIN LATERAL unnest({arrays}) WITH ORDINALITY AS u ({names}, n)
WHERE s.owner = %(source)s AND s.part = ANY(%(source_parts)s) AND u.n BETWEEN %(lo)s AND %(hi)s {restrictions}

-- name: not_superseded
-- Leaves out records that a later change set of the same batch holds: their newest image is there.
AND ({key}) NOT IN (
    SELECT {others} FROM {schema}.change_sets l CROSS JOIN LATERAL unnest({arrays}) AS w ({key_names})
    WHERE l.batch_id = %(source_batch)s AND l.batch_version > %(source_version)s
        AND l.child_table IS NOT DISTINCT FROM %(source_child)s AND l.via IS NOT DISTINCT FROM %(source_via)s
)

-- name: in_places
-- Leaves out all but the records at some places of the part.
AND u.n <@ %(places)s::int8multirange

-- name: parent_is_back
-- Children come back with the record that they went with: this leaves out those of records that have not.
AND (({roots}) IN (
    SELECT {others} FROM {schema}.change_sets l CROSS JOIN LATERAL unnest({arrays}) AS w ({key_names})
    WHERE l.batch_id = %(source_batch)s AND l.batch_version > %(source_version)s AND l.child_table IS NULL
)) IS TRUE

-- name: chosen
-- Leaves out records that the undo was not asked for. IS TRUE keeps it from becoming a join, which the planner
-- would do as a nested loop, as in missed.
AND (({key}) IN (
    SELECT {others} FROM {schema}.key_sets c CROSS JOIN LATERAL unnest({arrays}) AS w ({key_names})
    WHERE c.owner = %(chosen)s
)) IS TRUE

-- name: lock_rows
-- Takes the rows in key order, so that what is read next is what will be changed.
WITH planned AS ({planned})
SELECT FROM planned q JOIN {table} t ON {same_key} ORDER BY {key} FOR UPDATE OF t

-- name: found
-- For servers without RETURNING old: the rows as they are, read under their locks.
, found AS (SELECT q.*, {old} FROM planned q JOIN {table} t ON {same_key})

-- name: update
UPDATE {table} t SET {assignments} {source} WHERE {located} AND {match} RETURNING {returned}

-- name: delete
DELETE FROM {table} t {source} WHERE {located} AND {match} RETURNING {returned}

-- name: insert
INSERT INTO {table} AS t ({columns}) OVERRIDING SYSTEM VALUE
SELECT {values} FROM planned q WHERE NOT EXISTS (SELECT FROM {table} t WHERE {same_key})
RETURNING {returned}

-- name: write
-- Changes the rows, keeps what they were and have become, and gives back counts and the digest only.
WITH planned AS ({planned}) {found},
changed AS ({change}),
summary AS (SELECT count(*) AS records, {written} AS written, {keys} AS keys, {before} AS before, {after} AS after, {inexact} AS inexact
    FROM {changed}),
stored AS (
    INSERT INTO {schema}.change_sets (owner, part, batch_id, batch_version, undo_id, direction, kind, records,
        columns, types, acted, salt, keys, before, after, child_table, via)
    SELECT %(owner)s, %(part)s, %(batch_id)s, %(batch_version)s, %(undo_id)s, %(direction)s, %(kind)s, records,
        %(columns)s, %(types)s, %(acted)s, {schema}.salt(), keys, before, after, %(child_table)s, %(via)s
    FROM summary WHERE records > 0
    RETURNING {schema}.change_digest(change_sets) AS digest
)
SELECT summary.records, summary.written, summary.inexact, stored.digest FROM summary LEFT JOIN stored ON true

-- name: read_again
-- After triggers that fire behind the statement: what the rows of a part are in the end. A row that is gone by
-- then stays as it was recorded.
WITH found AS (
    SELECT {found}, u.n
    FROM {schema}.change_sets s CROSS JOIN LATERAL unnest({arrays}) WITH ORDINALITY AS u ({names}, n)
    LEFT JOIN {table} t ON {same_row}
    WHERE s.owner = %(owner)s AND s.part = %(part)s
),
summary AS (SELECT {after} AS after FROM found)
UPDATE {schema}.change_sets s SET after = summary.after FROM summary
WHERE s.owner = %(owner)s AND s.part = %(part)s AND s.after <> summary.after
RETURNING {schema}.change_digest(s) AS digest

-- name: missed
-- Planned records that were not changed, by the reason that can be seen now. NOT IN, which is always hashed: the
-- planner takes both sides for a few rows, and NOT EXISTS became a nested loop over a whole batch squared.
WITH planned AS ({planned}),
done AS (
    SELECT w.* FROM {schema}.change_sets d CROSS JOIN LATERAL unnest({arrays}) AS w ({key_names})
    WHERE d.owner = %(owner)s AND d.part = %(part)s
),
missed AS (
    SELECT q.*, {reason} AS reason {current}
    FROM planned q LEFT JOIN {table} t ON {located}
    WHERE ({planned_key}) NOT IN (SELECT {done_key} FROM done w)
)
INSERT INTO {schema}.record_outcomes (owner, part, batch_id, execution_id, undo_id, outcome, reason, records,
    columns, salt, keys, recorded, current, child_table)
SELECT %(owner)s, %(first_part)s + row_number() OVER (), %(batch_id)s, %(execution_id)s, %(undo_id)s,
    CASE WHEN reason IN ('changed_since', 'gone', 'taken') THEN 'conflict' ELSE 'skipped' END, reason, count(*),
    {columns}, {schema}.salt(), {keys}, {recorded}, {found_values}, %(child_table)s
FROM missed GROUP BY reason
RETURNING reason, records

-- name: failed
-- One record that the database would not take.
WITH planned AS ({planned})
INSERT INTO {schema}.record_outcomes (owner, part, batch_id, execution_id, undo_id, outcome, reason,
    sqlstate, constraint_name, message, records, salt, keys, child_table)
SELECT %(owner)s, %(first_part)s, %(batch_id)s, %(execution_id)s, %(undo_id)s, 'failed', 'refused_by_database',
    %(sqlstate)s, %(constraint)s, %(message)s, 1, {schema}.salt(), {keys}, %(child_table)s
FROM planned q

-- name: outcomes_digest
-- One digest over those of all outcomes of a batch or a compensation.
SELECT {schema}.digest(''::bytea, array_agg({schema}.outcome_digest(o) ORDER BY o.part)) AS digest
FROM {schema}.record_outcomes o WHERE o.owner = %(owner)s
