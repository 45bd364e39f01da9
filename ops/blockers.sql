-- name: blockers
-- Who holds the locks for which the ledger's sessions have waited for a second; of those at work on one job's table, as
-- soon as that job is recorded. A session of the ledger that waits itself is in nobody's way. Of a prepared
-- transaction the pid is 0.
WITH job AS (
    SELECT to_regclass(e.table_name)::oid AS relation FROM {executions} e
    WHERE e.execution_id = %(id)s OR e.execution_id = (SELECT u.execution_id FROM {undos} u WHERE u.undo_id = %(id)s)
),
waiting AS (
    SELECT a.pid, w.locktype FROM pg_stat_activity a JOIN pg_locks w ON w.pid = a.pid AND NOT w.granted
    WHERE a.datname = current_database() AND a.pid <> pg_backend_pid()
        AND (a.application_name LIKE 'action-ledger%%' OR a.application_name = coalesce(
            nullif(current_setting('action_ledger.others', true), ''), current_setting('application_name')))
        AND w.waitstart < clock_timestamp() - interval '1 second'
        AND (NOT EXISTS (SELECT FROM job) OR EXISTS (
            SELECT FROM pg_locks t JOIN job j ON j.relation = t.relation WHERE t.pid = a.pid AND t.granted
                AND t.database = (SELECT oid FROM pg_database WHERE datname = current_database())))
)
SELECT DISTINCT ON (h.pid) h.pid, b.application_name AS application, b.usename::text AS login, b.state,
    extract(epoch FROM clock_timestamp() - b.state_change)::float8 AS seconds,
    CASE WHEN w.locktype IN ('transactionid', 'tuple') THEN 'row' WHEN w.locktype = 'relation' THEN 'table' ELSE w.locktype END AS lock
FROM waiting w CROSS JOIN LATERAL unnest(pg_blocking_pids(w.pid)) AS h (pid)
LEFT JOIN pg_stat_activity b ON b.pid = h.pid
WHERE NOT EXISTS (SELECT FROM waiting o WHERE o.pid = h.pid)
ORDER BY h.pid, w.pid

-- name: unrecorded
-- Jobs that a process works on and looks on beside, of which nothing is recorded yet.
SELECT DISTINCT j.id FROM pg_stat_activity a CROSS JOIN LATERAL (SELECT substring(
    a.application_name FROM '^action-ledger run ([0-9a-f]{{8}}(?:-[0-9a-f]{{4}}){{3}}-[0-9a-f]{{12}})$')::uuid AS id) j
WHERE a.datname = current_database() AND j.id IS NOT NULL
    AND NOT EXISTS (SELECT FROM {executions} e WHERE e.execution_id = j.id)
    AND NOT EXISTS (SELECT FROM {undos} u WHERE u.undo_id = j.id)
ORDER BY j.id

-- name: looked_on
-- Whether a process that works on a job looks on beside it: see cli_lookout.py.
SELECT FROM pg_stat_activity WHERE datname = current_database() AND application_name = %(name)s LIMIT 1
