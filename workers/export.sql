-- name: keep_file
-- Where the file is to be, and its columns as they were when it was planned.
INSERT INTO {schema}.export_files (execution_id, target, columns, types)
VALUES (%(execution_id)s, %(target)s, %(columns)s, %(types)s)

-- name: file
SELECT target, columns, types FROM {schema}.export_files WHERE execution_id = %(execution_id)s

-- name: keys
-- The planned keys of a batch with their places, as q.
SELECT u.n, {keys} FROM {schema}.key_sets s
CROSS JOIN LATERAL unnest({arrays}) WITH ORDINALITY AS u ({key_names}, n)
WHERE s.owner = %(batch_id)s

-- name: part
-- The records of a batch in key order, one line each. Those that are gone or no longer match are listed instead: by
-- the same statement, so as one snapshot sees them.
COPY (
    WITH planned AS ({planned}),
    found AS MATERIALIZED (
        SELECT q.*, CASE WHEN {gone} IS NULL THEN 'vanished' WHEN {match} THEN NULL ELSE 'no_longer_matches' END AS reason,
            {fields}
        FROM planned q LEFT JOIN {table} t ON {same_key}
    ),
    missed AS (
        INSERT INTO {schema}.record_outcomes (owner, part, batch_id, execution_id, outcome, reason, records, salt, keys)
        SELECT %(batch_id)s, row_number() OVER (ORDER BY reason), %(batch_id)s, %(execution_id)s, 'skipped', reason, count(*),
            {schema}.salt(), {missed_keys}
        FROM found WHERE reason IS NOT NULL GROUP BY reason
    )
    SELECT {line} FROM found WHERE reason IS NULL ORDER BY n
) TO STDOUT ({options})

-- name: now
SELECT clock_timestamp() AS now

-- name: keep_part
INSERT INTO {schema}.export_parts (batch_id, execution_id, number, name, records, bytes, read_from)
VALUES (%(batch_id)s, %(execution_id)s, %(number)s, %(name)s, %(records)s, %(bytes)s, %(read_from)s)

-- name: parts
SELECT name, records, bytes, read_from, read_to FROM {schema}.export_parts
WHERE execution_id = %(execution_id)s ORDER BY number

-- name: execution
SELECT status, error, failed FROM {executions} WHERE execution_id = %(execution_id)s

-- name: batch_error
-- The error of the first batch that could not be read at all.
SELECT error FROM {batches} WHERE execution_id = %(execution_id)s AND status = 'failed' ORDER BY number LIMIT 1

-- name: body_digest
SELECT {schema}.digest(salt, ARRAY[body::text]) AS digest FROM {schema}.request_bodies WHERE owner = %(execution_id)s

-- name: left_over
-- Parts may still lie beside the file of an execution that has ended, and of which nobody works on anything.
SELECT f.target, x.status FROM {schema}.export_files f JOIN {exports} x ON x.execution_id = f.execution_id
WHERE f.execution_id = %(execution_id)s AND f.staged AND x.status <> 'requested'
    AND NOT EXISTS (SELECT FROM {work_queue} w WHERE w.execution_id = f.execution_id)

-- name: cleared
WITH parts AS (DELETE FROM {schema}.export_parts WHERE execution_id = %(execution_id)s)
UPDATE {schema}.export_files SET staged = false WHERE execution_id = %(execution_id)s

-- name: overdue
-- Files whose time is over, the oldest first. One that a later export has replaced says so.
SELECT x.execution_id, f.target, x.bytes, x.file_digest, x.written_at, EXISTS (
        SELECT FROM {schema}.export_files g JOIN {exports} y ON y.execution_id = g.execution_id
        WHERE g.target = f.target AND y.status = 'written' AND (y.written_at, y.export_id) > (x.written_at, x.export_id)
    ) AS replaced
FROM {exports} x JOIN {schema}.export_files f ON f.execution_id = x.execution_id
WHERE x.status = 'written' AND NOT f.staged AND x.written_at <= clock_timestamp() - make_interval(secs => %(seconds)s)
    AND x.execution_id <> ALL (%(leaving)s::uuid[])
ORDER BY x.written_at LIMIT %(limit)s

-- name: export
-- Under the append lock: the stream as it stands, and whom its request was by.
SELECT x.version, x.status, e.actor, e.correlation_id, e.traceparent
FROM {exports} x JOIN {executions} e ON e.execution_id = x.execution_id WHERE x.execution_id = %(execution_id)s

-- name: forget_file
DELETE FROM {schema}.export_files WHERE execution_id = %(execution_id)s
