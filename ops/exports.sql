-- name: exports
SELECT x.*, x.file_digest AS sha256, e.table_name AS table, f.target AS path
FROM {exports} x JOIN {executions} e ON e.execution_id = x.execution_id
LEFT JOIN {schema}.export_files f ON f.execution_id = x.execution_id
ORDER BY x.requested_at DESC, x.export_id LIMIT %(limit)s

-- name: export
SELECT x.*, x.file_digest AS sha256, e.table_name AS table, f.target AS path
FROM {exports} x JOIN {executions} e ON e.execution_id = x.execution_id
LEFT JOIN {schema}.export_files f ON f.execution_id = x.execution_id
WHERE x.execution_id = %(execution_id)s

-- name: export_at
-- The newest that was written to a path.
SELECT x.*, x.file_digest AS sha256, e.table_name AS table, f.target AS path
FROM {schema}.export_files f JOIN {exports} x ON x.execution_id = f.execution_id
JOIN {executions} e ON e.execution_id = x.execution_id
WHERE f.target = %(target)s AND x.status = 'written' ORDER BY x.written_at DESC LIMIT 1
