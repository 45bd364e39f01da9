-- name: claim
-- Takes one chain that can be moved on, and its row lock, which is the lease: it goes with the transaction. It can be
-- when it waits for nothing, or when what it waits for has ended. One that met a fault lets the others go first; after
-- ten seconds it has its old place again.
SELECT q.chain_id, q.version, q.status, q.step, q.awaits, q.actor, q.correlation_id, q.attempts
FROM {chain_queue} q
WHERE q.status <> 'paused' AND q.available_at <= clock_timestamp()
    AND (%(chain_id)s::uuid IS NULL OR q.chain_id = %(chain_id)s)
    AND (q.awaits IS NULL
        OR EXISTS (SELECT FROM {executions} e WHERE e.execution_id = q.awaits AND e.ended_at IS NOT NULL)
        OR EXISTS (SELECT FROM {undos} u WHERE u.undo_id = q.awaits AND u.ended_at IS NOT NULL))
ORDER BY q.attempts > 0 AND q.available_at > clock_timestamp() - interval '10 seconds', q.chain_id
LIMIT 1
FOR UPDATE OF q SKIP LOCKED

-- name: hold
-- Takes its row lock again, in a new transaction; no row when somebody was faster.
SELECT chain_id, version, status, step, awaits, actor, correlation_id, attempts
FROM {chain_queue}
WHERE chain_id = %(chain_id)s AND version = %(version)s
FOR UPDATE SKIP LOCKED

-- name: hold_to_steer
-- Waits for whoever moves it on; not for ever, and never while the append lock is held.
SELECT chain_id, version, status, step, awaits, actor, correlation_id, attempts
FROM {chain_queue} WHERE chain_id = %(chain_id)s FOR UPDATE

-- name: postpone
-- After a fault that passes: later, and with a note of what it was. The caller holds the row.
UPDATE {chain_queue} SET attempts = attempts + 1, last_error = %(error)s,
    available_at = clock_timestamp() + make_interval(secs => %(delay)s)
WHERE chain_id = %(chain_id)s

-- name: chain
SELECT chain_id, status, version, step, correlation_id FROM {chains} WHERE chain_id = %(chain_id)s
