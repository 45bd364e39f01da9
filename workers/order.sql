-- name: direction
-- Whether a change moves keys up, down, or both ways.
WITH planned AS ({planned})
SELECT count(*) FILTER (WHERE ({new}) > ({old})) AS up, count(*) FILTER (WHERE ({new}) < ({old})) AS down
FROM planned q JOIN {table} t ON {same_key} WHERE {match}

-- name: ordered
-- Planned records in the order of their keys. A subquery that is sorted keeps its order as the outer side of a loop.
SELECT p.* FROM ({planned}) p ORDER BY {order}

-- name: settings
-- For the ordered statement the planned records are looped over, and their rows looked up by key: no other plan is in
-- the order of the records. Reads what the planner may do before, sets it, and sets it back.
SELECT {settings}
