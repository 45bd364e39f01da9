-- name: take_lease
-- The claim holds the row's lock. Only the database's clock says until when.
UPDATE {work_queue} SET leased_by = %(worker)s, leased_epoch = %(epoch)s, attempts = attempts + 1,
    leased_until = clock_timestamp() + make_interval(secs => %(seconds)s)
WHERE unit_id = %(unit_id)s

-- name: wait_a_little
-- A look at the records waits for the locks of others for a quarter of the lease: it is renewed in between.
SELECT set_config('lock_timeout', greatest(1, %(seconds)s::float8 * 250)::bigint::text, true)

-- name: renew_lease
-- Gives no row when another has it by now, or when the unit is done.
UPDATE {work_queue} w SET leased_until = clock_timestamp() + make_interval(secs => %(seconds)s)
WHERE w.unit_id = %(unit_id)s AND w.leased_by = %(worker)s AND w.leased_epoch = %(epoch)s
RETURNING (SELECT e.status FROM {executions} e WHERE e.execution_id = %(execution_id)s) AS status

-- name: release_lease
-- Lets others take it up later, without waiting for the lease to run out.
UPDATE {work_queue} SET leased_by = NULL, leased_until = NULL, leased_epoch = NULL, last_error = %(error)s,
    available_at = clock_timestamp() + make_interval(secs => %(delay)s)
WHERE unit_id = %(unit_id)s AND leased_by = %(worker)s AND leased_epoch = %(epoch)s

-- name: hold_lease
-- Keeps the lease from being taken until the end of the transaction. Waits for one who is about to take it, and
-- then sees that it has.
SELECT FROM {work_queue} w
WHERE w.unit_id = %(unit_id)s AND w.leased_by = %(worker)s AND w.leased_epoch = %(epoch)s
FOR UPDATE

-- name: standing
-- The batch's place in its stream, and whether its execution is still open; asked under the append lock.
SELECT b.version, b.epoch, b.status AS batch_status, e.status
FROM {batches} b JOIN {executions} e ON e.execution_id = b.execution_id
WHERE b.batch_id = %(batch_id)s

-- name: extent
-- How many records the batch was planned with, and in which lease something was kept last.
SELECT s.records, coalesce((SELECT max(r.epoch) FROM {schema}.effect_results r
    WHERE r.owner IN (%(batch_id)s, %(owner)s)), 0) AS fruitful
FROM {schema}.key_sets s WHERE s.owner = %(batch_id)s

-- name: page
-- Records of a batch that nothing is kept of yet, as they are now, and whether they still match.
SELECT q.position, q.key, NULL::jsonb AS result,
    CASE WHEN {key_column} IS NULL THEN 'vanished' WHEN {match} THEN NULL ELSE 'no_longer_matches' END AS reason {columns}
FROM (
    SELECT %(after)s::integer + u.n AS position, ARRAY[{key_names}] AS key
    FROM {schema}.key_sets s CROSS JOIN LATERAL unnest({slices}) WITH ORDINALITY AS u ({key_names}, n)
    WHERE s.owner = %(batch_id)s
) q LEFT JOIN {table} t ON {same_key}
WHERE NOT EXISTS (SELECT FROM {schema}.effect_results r WHERE r.owner = %(owner)s AND r.position = q.position)
ORDER BY q.position

-- name: compensation_page
-- Records that an effect was applied to and that were not compensated yet, with what was kept of the effect.
SELECT q.position, q.key, q.result, NULL AS reason {columns}
FROM {schema}.effect_results q LEFT JOIN {table} t ON {same_key}
WHERE q.owner = %(batch_id)s AND q.outcome = 'applied'
    AND q.position > %(after)s AND q.position <= %(after)s::integer + %(page)s {chosen}
    AND NOT EXISTS (SELECT FROM {schema}.effect_results r WHERE r.owner = %(owner)s AND r.position = q.position)
    AND NOT EXISTS (SELECT FROM {schema}.effect_results c
        WHERE c.batch_id = %(batch_id)s AND c.position = q.position AND c.undo_id IS NOT NULL AND c.outcome = 'applied')
ORDER BY q.position

-- name: compensable
-- The batches that an undo of an effect would compensate, and of how many records; what was done last comes first.
SELECT b.batch_id, b.version, count(*) AS records
FROM {batches} b JOIN {schema}.effect_results q ON q.owner = b.batch_id AND q.outcome = 'applied'
WHERE b.execution_id = %(execution_id)s AND (%(numbers)s::integer[] IS NULL OR b.number = ANY(%(numbers)s)) {chosen}
    AND (%(ever)s OR NOT EXISTS (SELECT FROM {schema}.effect_results c
        WHERE c.batch_id = q.batch_id AND c.position = q.position AND c.undo_id IS NOT NULL AND c.outcome = 'applied'))
GROUP BY b.batch_id, b.version, b.number ORDER BY b.number DESC, b.batch_id DESC

-- name: leased
-- Whether a batch of an execution is at work under a lease, or was when its worker died.
SELECT FROM {work_queue} w WHERE w.execution_id = %(execution_id)s AND w.undo_id IS NULL AND w.leased_by IS NOT NULL LIMIT 1

-- name: keep
-- Keeps what came of some records, if the lease is still the writer's: its row stays locked until the commit, so
-- whoever takes the next lease sees all that is kept. What is kept already stays as it is.
WITH mine AS (
    SELECT w.batch_id FROM {work_queue} w
    WHERE w.unit_id = %(unit_id)s AND w.leased_by = %(worker)s AND w.leased_epoch = %(epoch)s
    FOR UPDATE
),
kept AS (
    INSERT INTO {schema}.effect_results (owner, position, batch_id, undo_id, epoch, key, idempotency_key, outcome,
        reason, result, message, salt)
    SELECT %(unit_id)s, r.position, mine.batch_id, %(undo_id)s, %(epoch)s, r.key, r.idempotency_key, r.outcome,
        r.reason, r.result, r.message, {schema}.salt()
    FROM mine CROSS JOIN jsonb_to_recordset(%(answers)s::jsonb) AS r
        (position integer, key text[], idempotency_key uuid, outcome text, reason text, result jsonb, message text)
    ON CONFLICT DO NOTHING
    RETURNING outcome
)
SELECT (SELECT count(*) FROM mine) AS held, (SELECT count(*) FROM kept) AS kept,
    (SELECT e.status FROM {executions} e WHERE e.execution_id = %(execution_id)s) AS status

-- name: fail_rest
-- The records of a batch that nothing is kept of failed, for a reason that is no single record's.
INSERT INTO {schema}.effect_results (owner, position, batch_id, epoch, key, outcome, reason, message, salt)
SELECT s.owner, u.n, s.owner, %(epoch)s, array_agg(u.part ORDER BY u.i), 'failed', %(reason)s, %(message)s, {schema}.salt()
FROM (
    SELECT s.owner, c.i, x.part, x.n FROM {schema}.key_sets s
    CROSS JOIN LATERAL unnest(s.keys) WITH ORDINALITY AS c (texts, i)
    CROSS JOIN LATERAL unnest(c.texts::text[]) WITH ORDINALITY AS x (part, n)
    WHERE s.owner = %(batch_id)s
) u JOIN {schema}.key_sets s ON s.owner = u.owner
WHERE NOT EXISTS (SELECT FROM {schema}.effect_results r WHERE r.owner = u.owner AND r.position = u.n)
GROUP BY s.owner, u.n

-- name: fail_rest_of_compensation
-- The same for a compensation. Keys are compared as they are written: what an undo was asked for is written as it was
-- planned.
WITH chosen AS (
    SELECT array_agg(x.part ORDER BY c.i) AS key FROM {schema}.key_sets s
    CROSS JOIN LATERAL unnest(s.keys) WITH ORDINALITY AS c (texts, i)
    CROSS JOIN LATERAL unnest(c.texts::text[]) WITH ORDINALITY AS x (part, n)
    WHERE s.owner = %(undo_id)s GROUP BY x.n
)
INSERT INTO {schema}.effect_results (owner, position, batch_id, undo_id, epoch, key, outcome, reason, message, salt)
SELECT %(owner)s, q.position, q.batch_id, %(undo_id)s, %(epoch)s, q.key, 'failed', %(reason)s, %(message)s, {schema}.salt()
FROM {schema}.effect_results q
WHERE q.owner = %(batch_id)s AND q.outcome = 'applied'
    AND (NOT EXISTS (SELECT FROM chosen) OR q.key IN (SELECT key FROM chosen))
    AND NOT EXISTS (SELECT FROM {schema}.effect_results r WHERE r.owner = %(owner)s AND r.position = q.position)
    AND NOT EXISTS (SELECT FROM {schema}.effect_results c
        WHERE c.batch_id = %(batch_id)s AND c.position = q.position AND c.undo_id IS NOT NULL AND c.outcome = 'applied')

-- name: summary
-- What was kept of a batch or a compensation, counted, with one digest over all of it.
SELECT count(*) FILTER (WHERE r.outcome = 'applied') AS applied, count(*) FILTER (WHERE r.outcome = 'failed') AS failed,
    count(*) FILTER (WHERE r.outcome = 'skipped') AS skipped,
    {schema}.digest(''::bytea, array_agg({schema}.effect_digest(r) ORDER BY r.position)) AS digest
FROM {schema}.effect_results r WHERE r.owner = %(owner)s

-- name: list_outcomes
-- Lists the records that failed or were skipped where those of all actions are listed: those that met the same lie
-- together, one array a key column. What the database said is told as it is of any other record.
WITH told AS (
    SELECT r.outcome, r.reason, r.message, c.i, array_agg(c.part ORDER BY r.position)::text AS keys,
        count(*) AS records, min(r.position) AS first
    FROM {schema}.effect_results r CROSS JOIN LATERAL unnest(r.key) WITH ORDINALITY AS c (part, i)
    WHERE r.owner = %(owner)s AND r.outcome <> 'applied'
    GROUP BY r.outcome, r.reason, r.message, c.i
)
INSERT INTO {schema}.record_outcomes (owner, part, batch_id, execution_id, undo_id, outcome, reason, sqlstate,
    message, records, salt, keys)
SELECT %(owner)s, row_number() OVER (ORDER BY min(first)), %(batch_id)s, %(execution_id)s, %(undo_id)s, outcome,
    CASE WHEN reason ~ '^[0-9A-Z]{{5}}$' THEN 'refused_by_database' ELSE reason END,
    CASE WHEN reason ~ '^[0-9A-Z]{{5}}$' THEN reason END,
    message, max(records), {schema}.salt(), array_agg(keys ORDER BY i)
FROM told GROUP BY outcome, reason, message
