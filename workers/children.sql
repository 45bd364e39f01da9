-- name: records_of
-- The rows that a change is about to take, as p: what others refer to (c), and the key of the record (r).
SELECT {referenced}, {roots} FROM ({planned}) q JOIN {table} t ON {located} WHERE {match}

-- name: rows_of_parts
-- The same of children that were captured before, as they were.
SELECT {referenced}, {roots}
FROM {schema}.change_sets s CROSS JOIN LATERAL unnest({arrays}) AS u ({names})
WHERE s.owner = %(owner)s AND s.part = ANY(%(parts)s)

-- name: lock_children
-- Takes the rows that refer to them, in key order. Nobody can add one any more: the parents are locked.
SELECT FROM ({parents}) p JOIN {table} t ON {refers} ORDER BY {key} FOR UPDATE OF t

-- name: capture_children
-- Keeps those rows as they are now, with what was committed while their locks were waited for: this statement has a
-- snapshot of its own. What is kept already is not kept twice: so circles come to an end.
WITH found AS (
    SELECT DISTINCT ON ({key}) {columns} FROM ({parents}) p JOIN {table} t ON {refers} {besides} ORDER BY {key}
),
summary AS (SELECT count(*) AS records, {keys} AS keys, {before} AS before, {roots} AS roots FROM found)
INSERT INTO {schema}.change_sets (owner, part, batch_id, batch_version, undo_id, direction, kind, records, columns,
    types, acted, salt, keys, before, after, child_table, via, of_part, roots)
SELECT %(owner)s, %(part)s, %(batch_id)s, %(batch_version)s, %(undo_id)s, %(direction)s, %(kind)s, records, %(columns)s,
    %(types)s, %(acted)s, {schema}.salt(), keys, before, {after}, %(child)s, %(via)s, %(of_part)s, roots
FROM summary WHERE records > 0
RETURNING records, {schema}.change_digest(change_sets) AS digest

-- name: not_captured
-- Leaves out rows that go anyway.
AND ({key}) NOT IN (
    SELECT {others} FROM {schema}.change_sets d CROSS JOIN LATERAL unnest({arrays}) AS w ({names})
    WHERE d.owner = %(owner)s AND d.of_part = %(of_part)s AND d.child_table = %(child)s AND d.kind = 'delete'
)

-- name: not_planned
-- Leaves out the records themselves.
AND ({key}) NOT IN (SELECT {planned_key} FROM ({planned}) q JOIN {table} t ON {located} WHERE {match})

-- name: still_there
-- How many rows of a part are in the table: those that were not deleted after all, or that did come back.
SELECT count(*) AS records
FROM {schema}.change_sets s CROSS JOIN LATERAL unnest({arrays}) AS u ({names}) JOIN {table} t ON {same_key}
WHERE s.owner = %(owner)s AND s.part = %(part)s

-- name: tuples
-- How many rows of each table this transaction has deleted and updated so far, whoever asked: foreign keys too.
-- None where the server does not count: then no table that is reached has triggers or policies.
SELECT n, pg_catalog.pg_stat_get_xact_tuples_deleted(oid) AS deleted, pg_catalog.pg_stat_get_xact_tuples_updated(oid) AS updated
FROM unnest(%(oids)s::oid[]) WITH ORDINALITY AS u (oid, n) WHERE current_setting('track_counts')::boolean ORDER BY n

-- name: untold
-- A table of which more may go than can be seen, where the server does not count what goes: its triggers may do more
-- than the foreign keys, and foreign keys take rows along that its policies hide.
SELECT c.oid::regclass::text AS name, CASE WHEN c.relrowsecurity THEN 'row-level security' ELSE 'triggers' END AS what
FROM pg_class c
WHERE NOT current_setting('track_counts')::boolean AND c.oid = ANY(%(oids)s) AND (c.relrowsecurity OR EXISTS (
    SELECT FROM pg_trigger g WHERE g.tgrelid = c.oid AND NOT g.tgisinternal AND g.tgenabled <> 'D'))
ORDER BY c.oid LIMIT 1
