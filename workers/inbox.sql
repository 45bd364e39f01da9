-- name: claim
-- The oldest command that nobody is at, and its row lock, which goes with the transaction. Of one subject only the
-- oldest is taken: a cancel must not come before what it cancels, and that may be in other hands still.
SELECT i.command_id, i.command, i.traceparent, i.attempts + 1 AS attempt
FROM {schema}.command_inbox i
WHERE i.rejected_at IS NULL AND i.available_at <= clock_timestamp()
    AND (i.command ->> 'action' IS NULL OR i.command ->> 'action' = ANY(%(actions)s::text[]))
    AND NOT EXISTS (SELECT FROM {schema}.command_inbox o
        WHERE o.subject = i.subject AND o.ordinal < i.ordinal AND o.rejected_at IS NULL)
ORDER BY i.ordinal LIMIT 1 FOR UPDATE OF i SKIP LOCKED

-- name: hold
-- The row lock once more, in a new transaction; nothing when it is done, or in other hands.
SELECT FROM {schema}.command_inbox WHERE command_id = %(command_id)s AND rejected_at IS NULL FOR UPDATE SKIP LOCKED

-- name: take_out
DELETE FROM {schema}.command_inbox WHERE command_id = %(command_id)s

-- name: postpone
-- After a fault that passes: later, and with a note of what it was.
UPDATE {schema}.command_inbox SET attempts = attempts + 1, error = %(error)s,
    available_at = clock_timestamp() + make_interval(secs => %(delay)s)
WHERE command_id = %(command_id)s

-- name: reject
-- From where it was asked is apart by now, as with what is in the ledger.
UPDATE {schema}.command_inbox SET rejected_at = clock_timestamp(), error = %(error)s, detail = %(detail)s,
    command = CASE jsonb_typeof(command -> 'actor') WHEN 'object'
        THEN command #- '{{actor,address}}' #- '{{actor,agent}}' ELSE command END
WHERE command_id = %(command_id)s

-- name: forget_rejected
DELETE FROM {schema}.command_inbox WHERE rejected_at <= clock_timestamp() - make_interval(secs => %(seconds)s)
