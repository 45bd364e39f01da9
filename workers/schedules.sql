-- name: claim_due
-- Takes one schedule that is due and its row lock, which is the lease: it goes with the transaction. One that met a
-- fault waits for its time and lets the others go first, so that it does not hold them up; after ten seconds it has
-- its old place again. Only the database's clock counts.
SELECT schedule_id, version, status, due_at, at_time, cron, timezone, catch_up, frozen, actor, correlation_id, attempts,
    clock_timestamp() AS now
FROM {schedule_queue}
WHERE status = 'active' AND due_at <= clock_timestamp() AND available_at <= clock_timestamp()
ORDER BY attempts > 0 AND available_at > clock_timestamp() - interval '10 seconds', due_at
LIMIT 1
FOR UPDATE SKIP LOCKED

-- name: hold
-- Takes its row lock again, in a new transaction; no row when somebody was faster.
SELECT schedule_id, version, status, due_at, at_time, cron, timezone, catch_up, frozen, actor, correlation_id, attempts,
    clock_timestamp() AS now
FROM {schedule_queue}
WHERE schedule_id = %(schedule_id)s AND version = %(version)s
FOR UPDATE SKIP LOCKED

-- name: hold_to_steer
-- Waits for whoever fires it; not for ever, and never while the append lock is held.
SELECT schedule_id, version, status, due_at, at_time, cron, timezone, catch_up, frozen, actor, correlation_id, attempts,
    clock_timestamp() AS now
FROM {schedule_queue} WHERE schedule_id = %(schedule_id)s FOR UPDATE

-- name: postpone
-- After a fault that passes: later, and with a note of what it was. The caller holds the row.
UPDATE {schedule_queue} SET attempts = attempts + 1, last_error = %(error)s,
    available_at = clock_timestamp() + make_interval(secs => %(delay)s)
WHERE schedule_id = %(schedule_id)s

-- name: now
SELECT clock_timestamp() AS now

-- name: status
SELECT status FROM {schedules} WHERE schedule_id = %(schedule_id)s
