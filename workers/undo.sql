-- name: sources
-- The change sets that an undo, or the redo of one, would take back; and how many records each still stands for.
-- What was done last comes first: rows that refer to each other come back in the order in which that is possible.
-- A record counts where its newest image is: `superseded` says whether a later change set of the batch may hold it,
-- `partly` whether one may hold some of its columns only.
-- Children come after the records that they had gone along with, and in the order in which they were reached. Those
-- that come back with their parents, since the same foreign key takes them, are left out.
SELECT s.owner, s.part, s.batch_id, s.batch_version, s.direction, s.kind, s.records, s.columns, s.types, s.acted,
    b.number, b.version, b.status, s.child_table, s.via,
    EXISTS (SELECT FROM {schema}.change_sets l
        WHERE l.batch_id = s.batch_id AND l.batch_version > s.batch_version
            AND l.child_table IS NOT DISTINCT FROM s.child_table AND l.via IS NOT DISTINCT FROM s.via) AS superseded,
    s.kind = 'update' AND EXISTS (SELECT FROM {schema}.change_sets l
        WHERE l.batch_id = s.batch_id AND l.batch_version > s.batch_version AND l.kind = 'update' AND NOT l.acted @> s.acted
            AND l.child_table IS NOT DISTINCT FROM s.child_table AND l.via IS NOT DISTINCT FROM s.via) AS partly
FROM {schema}.change_sets s JOIN {batches} b ON b.batch_id = s.batch_id
JOIN {schema}.stored_events v ON v.originator_id = s.batch_id AND v.originator_version = s.batch_version
WHERE (b.execution_id = %(execution_id)s OR b.batch_id = %(batch_id)s)
    AND CASE WHEN %(of_undo)s::uuid IS NULL THEN s.direction IN ('do', 'redo') ELSE s.undo_id = %(of_undo)s END
    AND (%(numbers)s::integer[] IS NULL OR b.number = ANY(%(numbers)s))
    AND (s.child_table IS NULL OR (s.of_part IS NOT NULL AND (s.kind = 'delete' OR s.via IS NOT NULL)))
ORDER BY v.notification_id DESC, coalesce(s.of_part, s.part) DESC, s.part

-- name: count_planned
-- How many records a source stands for.
WITH planned AS ({planned}) SELECT count(*) AS records FROM planned

-- name: conflicts
-- How many of them somebody changed since, and the keys of the first.
WITH planned AS ({planned}),
conflicting AS (SELECT {keys} FROM planned q LEFT JOIN {table} t ON {located} WHERE {conflicting})
SELECT count(*) AS records,
    ARRAY(SELECT concat_ws(', ', {texts}) FROM conflicting ORDER BY {names} LIMIT %(show)s) AS sample
FROM conflicting

-- name: shares
-- The records of an update's change set by the columns in which they still stand for it: those that no later change set
-- of the batch acted on. `touched` says which of them somebody changed since; it is null for a row that is gone, or that was moved.
WITH planned AS ({planned}),
looked_at AS (SELECT q.place, ARRAY[{standing}] AS standing, {touched} AS touched FROM planned q {rows})
SELECT standing, touched, count(*) AS records, range_agg(int8range(place, place, '[]'))::text AS places
FROM looked_at WHERE true = ANY(standing) GROUP BY standing, touched ORDER BY min(place)

-- name: stands
-- Whether no later change set of the batch acted on a column of a record.
({key}) NOT IN (
    SELECT {others} FROM {schema}.change_sets l CROSS JOIN LATERAL unnest({arrays}) AS w ({key_names})
    WHERE l.batch_id = %(source_batch)s AND l.batch_version > %(source_version)s AND {column} = ANY(l.acted)
        AND l.child_table IS NULL
)

-- name: count_standing
-- How many records of a batch stand for a change in some column: its newest image was written by a do or a redo, or by
-- the undo that is redone. A record may stand in several change sets, each for another column.
SELECT count(DISTINCT ({key_names})) AS records FROM (
    SELECT DISTINCT ON ({key_names}, name) {key_names}, direction, undo_id FROM (
        SELECT {keys}, a.name, s.batch_version, s.direction, s.undo_id
        FROM {schema}.change_sets s CROSS JOIN LATERAL unnest({arrays}) AS u ({key_names})
        CROSS JOIN LATERAL unnest(s.acted) AS a (name)
        WHERE s.batch_id = %(source_batch)s AND s.child_table IS NULL
            AND (%(columns)s::text[] IS NULL OR a.name = ANY(%(columns)s)) {is_chosen}
    ) held ORDER BY {key_names}, name, batch_version DESC
) newest
WHERE CASE WHEN %(of_undo)s::uuid IS NULL THEN direction IN ('do', 'redo') ELSE undo_id = %(of_undo)s END

-- name: kept
-- The columns that a merge left as somebody had changed them, of the records that it brought back otherwise. IS TRUE
-- as in chosen.
WITH planned AS ({planned})
INSERT INTO {schema}.record_outcomes (owner, part, batch_id, execution_id, undo_id, outcome, reason, records, columns,
    salt, keys, recorded, current)
SELECT %(owner)s, %(part)s, %(batch_id)s, %(execution_id)s, %(undo_id)s, 'conflict', 'columns_changed_since', count(*),
    %(kept)s, {schema}.salt(), {keys}, {recorded}, {current}
FROM planned q JOIN {table} t ON {located}
WHERE (({key}) IN (
    SELECT {others} FROM {schema}.change_sets d CROSS JOIN LATERAL unnest({arrays}) AS w ({key_names})
    WHERE d.owner = %(owner)s AND d.part = ANY(%(parts)s)
)) IS TRUE
HAVING count(*) > 0

-- name: recount
-- What became of the records of a compensation that took columns of them back at a time: one is failed if any of it
-- was, applied if anything of it came back.
SELECT count(*) FILTER (WHERE applied AND NOT failed) AS applied, count(*) FILTER (WHERE failed) AS failed,
    count(*) FILTER (WHERE NOT applied AND NOT failed) AS skipped
FROM (
    SELECT bool_or(what = 'applied') AS applied, bool_or(what = 'failed') AS failed FROM (
        SELECT {keys}, 'applied' AS what
        FROM {schema}.change_sets s CROSS JOIN LATERAL unnest({arrays}) AS u ({key_names})
        WHERE s.owner = %(owner)s AND s.child_table IS NULL
        UNION ALL
        SELECT {keys}, s.outcome
        FROM {schema}.record_outcomes s CROSS JOIN LATERAL unnest({arrays}) AS u ({key_names})
        WHERE s.owner = %(owner)s AND s.child_table IS NULL
    ) ended GROUP BY {key_names}
) record

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

-- name: is_unique
-- Whether no two rows of the table may be the same in some of these columns, or in what an index makes of them.
SELECT EXISTS (
    SELECT FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attname = ANY(%(names)s)
    WHERE i.indrelid = %(oid)s AND (i.indisunique OR i.indisexclusion)
        AND (a.attnum = ANY(i.indkey) OR (i.indexprs IS NOT NULL AND EXISTS (
            SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = i.indexrelid
                AND d.refobjid = i.indrelid AND d.refobjsubid = a.attnum)))
) AS yes

-- name: foreign_keys
-- What rows of a table refer to.
SELECT n.nspname::text AS schema, c.relname::text AS table, (
    SELECT array_agg(ARRAY[a.attname::text, r.attname::text] ORDER BY part.place)
    FROM unnest(f.conkey, f.confkey) WITH ORDINALITY AS part (own, other, place)
    JOIN pg_attribute a ON a.attrelid = f.conrelid AND a.attnum = part.own
    JOIN pg_attribute r ON r.attrelid = f.confrelid AND r.attnum = part.other
) AS columns
FROM pg_constraint f JOIN pg_class c ON c.oid = f.confrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE f.contype = 'f' AND f.conparentid = 0 AND f.conrelid = %(oid)s

-- name: referred_is_there
-- Leaves out rows that refer to one which is not there (yet).
AND (num_nulls({own}) > 0 OR EXISTS (SELECT FROM {table} p WHERE {same}))

-- name: forget_outcomes
-- Of records that are looked at once more.
DELETE FROM {schema}.record_outcomes WHERE owner = %(owner)s

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

-- name: without_parent
-- Children of records that this compensation did not bring back stay behind with them: they are listed too.
INSERT INTO {schema}.record_outcomes (owner, part, batch_id, execution_id, undo_id, outcome, reason, records, salt, keys,
    child_table)
SELECT %(owner)s, %(part)s, %(batch_id)s, %(execution_id)s, %(undo_id)s, 'skipped', 'parent_not_restored', count(*),
    {schema}.salt(), {gathered}, %(child_table)s
FROM ({planned}) q
WHERE ({roots}) IN (
    SELECT {others} FROM {schema}.record_outcomes o CROSS JOIN LATERAL unnest({arrays}) AS w ({key_names})
    WHERE o.owner = %(owner)s AND o.child_table IS NULL
)
HAVING count(*) > 0
RETURNING records
