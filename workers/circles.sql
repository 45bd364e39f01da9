-- name: left
-- What of one group of a change set is still to be inserted, of the records between two, with a number of its own; and
-- whether the record that it went with is back.
{left} AS MATERIALIZED (
    SELECT q.*, row_number() OVER () AS n, (true {root_is_back}) AS rooted
    FROM ({planned}) q WHERE {from_lowest} AND {to_highest} AND (EXISTS (SELECT FROM {table} t WHERE {same_key})) IS FALSE
)

-- name: bound
-- Whether a record is on one side of another, of which the keys are given as they are listed; none is no bound.
(%({bound})s::text[] IS NULL OR ({roots}) {side} (
    SELECT {others} FROM (SELECT %({bound})s::text[] AS keys) o CROSS JOIN LATERAL unnest({arrays}) AS w ({key_names})
))

-- name: refused
-- The rows of a group that want for nothing and were refused alone. CASE keeps the list from being read for no row.
SELECT {group}, q.n FROM {left} q
WHERE CASE WHEN ({group}, q.n) IN (SELECT source, n FROM needs) THEN false ELSE ({own}) IN (
    SELECT {others} FROM {schema}.record_outcomes o CROSS JOIN LATERAL unnest({arrays}) AS w ({key_names})
    WHERE o.owner = %(owner)s AND o.outcome = 'failed' AND o.child_table IS NOT DISTINCT FROM %(child_table)s
) END

-- name: members
-- The rows of a group, by some of their columns.
SELECT {group} AS source, q.n, {columns} FROM {left} q

-- name: refers
-- Which rows of a group refer to one that is not there, and which row of the groups that would be, if any. IS FALSE
-- keeps the look at the other table from becoming a join, which would read all of it.
SELECT {group} AS source, q.n, o.source AS other, o.n AS m FROM {left} q LEFT JOIN {others} ON {same}
WHERE num_nulls({own}) = 0 AND (EXISTS (SELECT FROM {table} p WHERE {there})) IS FALSE

-- name: goes_with
-- Which records must come back for the rows of a group to do so.
SELECT {group}, q.n, o.source, o.n FROM {left} q LEFT JOIN {others} ON {same} WHERE NOT q.rooted

-- name: keep
-- Keeps those rows of a group that are in a circle, or hang on one, as they are about to become.
{kept} AS (
    INSERT INTO {schema}.change_sets (owner, part, batch_id, batch_version, undo_id, direction, kind, records,
        columns, types, acted, salt, keys, before, after, child_table, via)
    SELECT %(owner)s, %(part)s, %(batch_id)s, %(batch_version)s, %(undo_id)s, %(direction)s, 'insert', count(*),
        %(columns)s, %(types)s, %(acted)s, {schema}.salt(), {keys}, NULL, {after}, %(child_table)s, %(via)s
    FROM {left} q JOIN closed c ON c.source = {group} AND c.n = q.n
    HAVING count(*) > 0
    RETURNING records, {schema}.change_digest(change_sets) AS digest
)

-- name: choose
-- Finds the rows that want for nothing but each other, among those of some records. `lost` are those that want for a
-- row which does not come, those that were refused alone; and what wants for any of them.
WITH RECURSIVE {lefts},
needs (source, n, other, m) AS MATERIALIZED ({needs}),
lost (source, n) AS (
    SELECT source, n FROM needs WHERE other IS NULL
    UNION
    {refused}
    UNION
    SELECT d.source, d.n FROM needs d JOIN lost l ON l.source = d.other AND l.n = d.m
),
closed (source, n, {roots}) AS MATERIALIZED (
    SELECT source, n, {roots} FROM ({members}) a (source, n, {roots})
    WHERE (source, n) NOT IN (SELECT source, n FROM lost)
),
records ({roots}, place, half) AS MATERIALIZED (
    SELECT {roots}, row_number() OVER (ORDER BY {roots}), (count(*) OVER () + 1) / 2 FROM closed GROUP BY {roots}
),
{kept}
SELECT (SELECT {keys} FROM records WHERE place = half) AS middle,
    (SELECT {keys} FROM records WHERE place = half + 1 HAVING count(*) > 0) AS next, {results}

-- name: say_why
-- Records that are listed since they want for another row, with what was wrong before that.
WITH told AS (
    UPDATE {schema}.record_outcomes o SET sqlstate = r.sqlstate, constraint_name = r.constraint, message = r.message
    FROM json_to_recordset(%(refused)s::json) AS r (keys text[], sqlstate text, "constraint" text, message text)
    WHERE o.owner = %(owner)s AND o.keys = r.keys AND o.child_table IS NULL AND o.sqlstate = %(wanting)s
    RETURNING r.sqlstate
)
SELECT sqlstate, count(*) AS records FROM told GROUP BY sqlstate

-- name: insert
-- The rows of one part.
{inserted} AS (
    INSERT INTO {table} ({columns}) OVERRIDING SYSTEM VALUE
    SELECT {values} FROM {schema}.change_sets s CROSS JOIN LATERAL unnest({arrays}) AS u ({names})
    WHERE s.owner = %(owner)s AND s.part = {part}
)

-- name: insert_all
-- All of them by one statement: foreign keys are looked at when it ends, also those that cannot be deferred.
WITH {inserted} SELECT
