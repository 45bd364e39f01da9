-- name: direction
-- Whether a change moves keys up, down, or both ways.
WITH planned AS ({planned})
SELECT count(*) FILTER (WHERE ({new}) > ({old})) AS up, count(*) FILTER (WHERE ({new}) < ({old})) AS down
FROM planned q JOIN {table} t ON {same_key} WHERE {match}

-- name: ordered
-- Planned records in the order of their keys. A subquery that is sorted keeps its order as the outer side of a loop.
SELECT p.* FROM ({planned}) p ORDER BY {order}

-- name: not_put_there
-- Leaves out rows that have their key from this change: they are not those of records that had it before. A row that
-- kept its key may be written once more, in other columns.
AND ({key}) NOT IN (
    SELECT {has} FROM {schema}.change_sets d CROSS JOIN LATERAL unnest({arrays}) AS w ({names})
    WHERE d.owner = %(owner)s AND d.child_table IS NULL AND ROW({has}) IS DISTINCT FROM ROW({had})
)

-- name: settings
-- For the ordered statement the planned records are looped over, and their rows looked up by key: no other plan is in
-- the order of the records. Reads what the planner may do before, sets it, and sets it back.
SELECT {settings}
