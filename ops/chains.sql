-- name: chain
SELECT * FROM {chains} WHERE chain_id = %(id)s

-- name: chains
-- The newest first.
SELECT * FROM {chains} WHERE (%(status)s::text IS NULL OR status = %(status)s)
ORDER BY requested_at DESC, chain_id DESC LIMIT %(limit)s

-- name: steps
-- The steps of a chain in their order, each with the counts of its execution.
SELECT s.*, e.total, e.applied, e.failed, e.skipped, e.pending, e.status AS execution_status
FROM {chain_steps} s LEFT JOIN {executions} e ON e.execution_id = s.execution_id
WHERE s.chain_id = %(id)s ORDER BY s.number

-- name: awaits
-- The execution or the undo that an open chain waits for, with the state of the execution.
SELECT q.awaits, q.status, e.status AS execution_status
FROM {chain_queue} q LEFT JOIN {executions} e ON e.execution_id = q.awaits WHERE q.chain_id = %(id)s

-- name: trying
-- A move that met a fault and will be tried again.
SELECT attempts, last_error, available_at FROM {chain_queue} WHERE chain_id = %(id)s AND attempts > 0

-- name: audit
-- Everything that a chain set in motion, in the order of events.
SELECT a.*, k.body AS contact_body FROM {audit} a JOIN {chains} c ON c.correlation_id = a.correlation_id
LEFT JOIN {schema}.actor_contacts k ON k.digest = a.contact
WHERE c.chain_id = %(id)s AND a.position > %(after)s ORDER BY a.position LIMIT %(limit)s

-- name: newest
SELECT chain_id AS id FROM {chains} ORDER BY requested_at DESC, chain_id DESC LIMIT 1

-- name: candidates
-- Chains whose id begins or ends with some text, a few at most.
SELECT chain_id AS id FROM {chains}
WHERE chain_id::text LIKE %(given)s || '%%' OR chain_id::text LIKE '%%' || %(given)s
ORDER BY requested_at DESC LIMIT %(limit)s
