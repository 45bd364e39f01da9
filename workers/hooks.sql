-- name: claim
-- Takes one delivery that is due and whose hook this process knows, for as long as the lease says. At its last try it
-- is set aside at once, so that one that ends every process that tries it does not go on for ever. Without an error it
-- is being called, and with one it waits.
UPDATE {hook_deliveries} d SET attempts = d.attempts + 1, last_error = NULL,
    available_at = clock_timestamp() + make_interval(secs => %(lease)s),
    parked_at = CASE WHEN d.attempts + 1 >= %(tries)s THEN clock_timestamp() END
FROM (
    SELECT subscription_id FROM {hook_deliveries}
    WHERE position > delivered AND parked_at IS NULL AND available_at <= clock_timestamp()
        AND hook = ANY(%(hooks)s::text[])
    ORDER BY available_at, position LIMIT 1
    FOR UPDATE SKIP LOCKED
) AS due
WHERE d.subscription_id = due.subscription_id
RETURNING d.subscription_id, d.job_id, d.kind, d.event, d.hook, d.position, d.happened_at, d.attempts

-- name: told
-- It was told up to a position; news that came meanwhile waits for a while. A later call may have got further.
UPDATE {hook_deliveries} SET delivered = %(position)s, attempts = 0, last_error = NULL, parked_at = NULL,
    available_at = clock_timestamp() + make_interval(secs => %(pause)s)
WHERE subscription_id = %(subscription_id)s AND delivered < %(position)s

-- name: failed
-- Again later, unless another has taken it up since.
UPDATE {hook_deliveries} SET last_error = %(error)s,
    available_at = clock_timestamp() + make_interval(secs => %(delay)s)
WHERE subscription_id = %(subscription_id)s AND attempts = %(attempts)s

-- name: due_in
-- In how many seconds the next delivery is due whose hook this process knows; null for none.
SELECT extract(epoch FROM min(available_at) - clock_timestamp())::float8 AS seconds
FROM {hook_deliveries} WHERE position > delivered AND parked_at IS NULL AND hook = ANY(%(hooks)s::text[])

-- name: execution
SELECT execution_id, actor, status, error, total, applied, failed, skipped
FROM {executions} WHERE execution_id = %(job_id)s

-- name: undo
SELECT execution_id, actor, status, error, total, applied, failed, skipped FROM {undos} WHERE undo_id = %(job_id)s

-- name: chain
-- With the records of all of its executions together.
SELECT NULL::uuid AS execution_id, c.actor, c.status, c.error, coalesce(sum(e.total), 0)::bigint AS total,
    coalesce(sum(e.applied), 0)::bigint AS applied, coalesce(sum(e.failed), 0)::bigint AS failed,
    coalesce(sum(e.skipped), 0)::bigint AS skipped
FROM {chains} c LEFT JOIN {chain_steps} s ON s.chain_id = c.chain_id
    LEFT JOIN {executions} e ON e.execution_id = s.execution_id
WHERE c.chain_id = %(job_id)s GROUP BY c.chain_id, c.actor, c.status, c.error
