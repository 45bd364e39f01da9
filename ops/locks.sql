-- name: locks
-- Who has or awaits which records, in the order in which they came.
SELECT l.*, coalesce(u.status, e.status) AS owner_status
FROM {locks} l JOIN {executions} e ON e.execution_id = l.execution_id LEFT JOIN {undos} u ON u.undo_id = l.undo_id
ORDER BY l.place
