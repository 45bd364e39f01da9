-- name: schedule
SELECT *, clock_timestamp() AS now FROM {schedules} WHERE schedule_id = %(id)s

-- name: schedules
-- The newest first.
SELECT * FROM {schedules} WHERE (%(status)s::text IS NULL OR status = %(status)s)
ORDER BY created_at DESC, schedule_id LIMIT %(limit)s

-- name: runs
-- What became of a schedule's occurrences, the newest first, with the state of each execution.
SELECT r.*, e.status AS execution_status, e.applied, e.failed, e.skipped, e.pending, e.total, e.error AS execution_error
FROM {schedule_runs} r LEFT JOIN {executions} e ON e.execution_id = r.execution_id
WHERE r.schedule_id = %(id)s ORDER BY r.position DESC LIMIT %(limit)s

-- name: next_due
-- The active schedules that are due first.
SELECT *, clock_timestamp() AS now FROM {schedules}
WHERE status = 'active' AND due_at IS NOT NULL AND (%(id)s::uuid IS NULL OR schedule_id = %(id)s)
ORDER BY due_at, schedule_id LIMIT %(limit)s

-- name: trying
-- A firing that met a fault and will be tried again.
SELECT attempts, last_error, available_at FROM {schedule_queue} WHERE schedule_id = %(id)s AND attempts > 0

-- name: newest
SELECT schedule_id AS id FROM {schedules} ORDER BY created_at DESC, schedule_id DESC LIMIT 1

-- name: candidates
-- Schedules whose id begins or ends with some text, a few at most.
SELECT schedule_id AS id FROM {schedules}
WHERE schedule_id::text LIKE %(given)s || '%%' OR schedule_id::text LIKE '%%' || %(given)s
ORDER BY created_at DESC LIMIT %(limit)s

-- name: reason
SELECT body ->> 'reason' AS reason FROM {schema}.request_bodies WHERE owner = %(id)s
