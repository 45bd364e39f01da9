-- name: cut
-- Cuts the selected keys into key sets of one size, in key order, and never lets a key out of the server.
WITH selected AS ({selected}),
numbered AS (SELECT {key_names}, {slice} AS slice FROM selected),
cut AS (SELECT slice, count(*) AS records, {arrays} FROM numbered GROUP BY slice)
INSERT INTO {schema}.key_sets (owner, execution_id, number, records, salt, keys, first_key, last_key)
SELECT coalesce(%(owner)s::uuid, {schema}.new_id()), %(execution_id)s, %(offset)s + slice + 1, records, {schema}.salt(), {keys},
    {first_key}, {last_key}
FROM cut
RETURNING owner, number, records, {schema}.digest(salt, keys) AS digest

-- name: slice
-- Which key set a key falls into. A page is one.
(row_number() OVER (ORDER BY {key_names}) - 1) / %(batch_size)s

-- name: matching
-- The keys of the rows that the predicate holds for.
SELECT {key} FROM {table} t WHERE {match}

-- name: page
-- The next page of them, in key order.
SELECT {key} FROM {table} t WHERE {match} AND {beyond} ORDER BY {plain_key} LIMIT %(batch_size)s

-- name: beyond
-- Rows beyond a key.
({plain_key}) > ({last})

-- name: listed
-- Keys that were given, each once.
SELECT DISTINCT {keys} FROM unnest({arrays}) AS u ({key_names})

-- name: unfinished
-- Keys of the records that another execution did not get done, each once.
SELECT DISTINCT {keys}
FROM (
    SELECT o.keys, NULL::uuid AS batch_id FROM {schema}.record_outcomes o
    WHERE %(failed)s AND o.execution_id = %(of)s AND o.undo_id IS NULL AND o.outcome = 'failed'
    UNION ALL
    SELECT k.keys, b.batch_id FROM {batches} b JOIN {schema}.key_sets k ON k.owner = b.batch_id
    WHERE %(not_processed)s AND b.execution_id = %(of)s AND b.status <> 'split'
        AND b.records > b.applied + b.failed + b.skipped
) AS s CROSS JOIN LATERAL unnest({arrays}) WITH ORDINALITY AS u ({key_names}, n)
-- Of a batch that was cancelled while it was at work on an effect, some were done.
WHERE NOT EXISTS (SELECT FROM {schema}.effect_results r WHERE r.owner = s.batch_id AND r.position = u.n)

-- name: staging
-- Keys that are streamed in wait here for the cut; it goes with the transaction.
CREATE TEMPORARY TABLE action_ledger_keys ON COMMIT DROP AS SELECT {key} FROM {table} t LIMIT 0

-- name: stage
COPY pg_temp.action_ledger_keys ({key_names}) FROM STDIN

-- name: staged
SELECT DISTINCT {key_names} FROM pg_temp.action_ledger_keys

-- name: last_planned
-- Where a streaming plan stands: the number and the last key of its newest batch.
SELECT number, last_key FROM {schema}.key_sets WHERE execution_id = %(execution_id)s AND split_from IS NULL ORDER BY number DESC LIMIT 1

-- name: digests
-- The digests of all key sets of an execution, in the order of their batches.
SELECT number, records, {schema}.digest(salt, keys) AS digest
FROM {schema}.key_sets WHERE execution_id = %(execution_id)s AND split_from IS NULL ORDER BY number, locked

-- name: taken
-- The key sets of an execution after a batch, as they were cut and, where others had some, set apart.
SELECT owner, number, records, locked, {schema}.digest(salt, keys) AS digest
FROM {schema}.key_sets WHERE execution_id = %(execution_id)s AND split_from IS NULL AND number > %(after)s
ORDER BY number, locked

-- name: forget_taken
-- What an execution that waits had cut: it is cut anew when its turn comes, or not at all.
DELETE FROM {schema}.key_sets WHERE execution_id = %(execution_id)s

-- name: save_body
INSERT INTO {schema}.request_bodies (owner, salt, body) VALUES (%(owner)s, {schema}.salt(), %(body)s::jsonb)
RETURNING {schema}.digest(salt, ARRAY[body::text]) AS digest

-- name: read_body
SELECT body FROM {schema}.request_bodies WHERE owner = %(owner)s

-- name: sample
-- The first planned records as they are now, column by column as text.
SELECT {columns} FROM ({planned}) q JOIN {table} t ON {same_key} ORDER BY {key} LIMIT %(size)s

-- name: copied
-- The key sets of a frozen selection, once more for one of its executions. No key leaves the server.
INSERT INTO {schema}.key_sets (owner, execution_id, number, records, salt, keys, first_key, last_key)
SELECT {schema}.new_id(), %(execution_id)s, number, records, {schema}.salt(), keys, first_key, last_key
FROM {schema}.key_sets WHERE execution_id = %(source)s ORDER BY number
RETURNING owner, number, records, {schema}.digest(salt, keys) AS digest
