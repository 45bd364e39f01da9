-- name: name_command
-- Gives a key its command's id, unless it has another already; and that id, in either case. Waits for whoever is
-- about to give the same key its id.
INSERT INTO {schema}.command_keys AS k (key, command_id) VALUES (%(key)s::text, %(command_id)s::uuid)
ON CONFLICT (key) DO UPDATE SET command_id = k.command_id
RETURNING k.command_id::text AS command_id

-- name: accept
-- Leaves a command in the inbox, in a transaction of the host's, and has the workers told at its COMMIT; gives the
-- fingerprint of what is there under its id. One that was rejected makes room for the next. Everything has its schema,
-- since the search_path is the host's.
WITH left_there AS (
    INSERT INTO {schema}.command_inbox AS i (command_id, subject, command, fingerprint, traceparent)
    VALUES (%(command_id)s::uuid, %(subject)s::uuid, %(command)s::jsonb, %(fingerprint)s::text, %(traceparent)s::text)
    ON CONFLICT (command_id) DO UPDATE SET command = excluded.command, fingerprint = excluded.fingerprint,
        traceparent = excluded.traceparent, accepted_at = excluded.accepted_at, attempts = 0,
        rejected_at = NULL, error = NULL, detail = NULL
    WHERE i.rejected_at IS NOT NULL
    RETURNING i.fingerprint
),
there AS (
    SELECT fingerprint FROM left_there
    UNION ALL
    SELECT fingerprint FROM {schema}.command_inbox WHERE command_id = %(command_id)s::uuid AND rejected_at IS NULL
)
SELECT fingerprint, pg_catalog.pg_notify(%(channel)s::text, %(payload)s::text) FROM there

-- name: waiting
-- A command of the inbox in the form of a row of the progress view, whose counts are all of nothing yet.
SELECT command_id, subject AS execution_id, CASE WHEN rejected_at IS NULL THEN 'accepted' ELSE 'rejected' END AS status,
    CASE WHEN rejected_at IS NOT NULL THEN error END AS error, detail, false AS total_final,
    0 AS total, 0 AS applied, 0 AS failed, 0 AS skipped, 0 AS pending, 0 AS batches, 0 AS batches_done,
    accepted_at AS requested_at, coalesce(rejected_at, accepted_at) AS updated_at, rejected_at AS ended_at,
    pg_catalog.clock_timestamp() AS now
FROM {schema}.command_inbox WHERE command_id = %(id)s::uuid

-- name: inbox
-- Commands that wait to be taken in, and those that were rejected; the newest first.
SELECT command_id, command ->> 'type' AS command, command ->> 'action' AS action, command -> 'resource' ->> 'table' AS table,
    subject, coalesce(command -> 'actor' ->> 'subject', command ->> 'actor') AS actor, CASE WHEN rejected_at IS NULL THEN 'accepted' ELSE 'rejected' END AS status,
    error, detail, attempts, accepted_at, rejected_at
FROM {schema}.command_inbox
WHERE NOT %(rejected)s OR rejected_at IS NOT NULL
ORDER BY ordinal DESC LIMIT %(limit)s
