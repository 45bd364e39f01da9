-- name: keys_digest
-- One digest over the keys of a plan, in their order: without a salt, and the same however they are cut into batches.
WITH cut AS (
    SELECT keys, sum(records) OVER (ORDER BY number) - records AS preceding
    FROM {schema}.key_sets WHERE execution_id = %(execution_id)s AND split_from IS NULL
),
record AS (
    SELECT preceding + n AS place, {key_names} FROM cut CROSS JOIN LATERAL unnest({arrays}) WITH ORDINALITY AS u ({key_names}, n)
),
chunk AS (
    SELECT div(place - 1, 4096) AS number, {schema}.digest(''::bytea, ARRAY[{texts}]) AS digest FROM record GROUP BY 1
)
SELECT {schema}.digest(''::bytea, coalesce(array_agg(digest ORDER BY number), '{{}}')) AS digest FROM chunk

-- name: take
-- Holds off others that want to use a preview, until the end of the transaction. What they did is seen afterwards.
SELECT FROM {schema}.request_bodies WHERE owner = %(id)s FOR UPDATE

-- name: preview
SELECT convert_from(e.state, 'UTF8')::jsonb AS made,
    clock_timestamp() > e.recorded_at + make_interval(secs => %(ttl)s) AS expired,
    EXISTS (SELECT FROM {schema}.stored_events u WHERE u.originator_id = e.originator_id AND u.originator_version > 1) AS used
FROM {schema}.stored_events e
WHERE e.originator_id = %(id)s AND e.originator_version = 1 AND e.topic = 'preview.made'

-- name: is_first
-- Whether an actor has had none of some actions run yet.
SELECT NOT EXISTS (SELECT FROM {executions} WHERE actor = %(actor)s
    AND issuer IS NOT DISTINCT FROM %(issuer)s AND action = ANY(%(actions)s)) AS first

-- name: more_than
-- Whether there are more records than a number; it looks no further.
SELECT count(*) > %(above)s AS more FROM (SELECT FROM {table} t WHERE {match} LIMIT %(above)s + 1) AS counted

-- name: skipped
SELECT reason, sum(records)::bigint AS records FROM {schema}.record_outcomes
WHERE execution_id = %(id)s AND outcome = 'skipped' GROUP BY reason ORDER BY reason

-- name: failures
SELECT o.keys, o.sqlstate, o.constraint_name, o.message
FROM {schema}.record_outcomes o JOIN {schema}.key_sets k ON k.owner = o.batch_id
WHERE o.execution_id = %(id)s AND o.outcome = 'failed' ORDER BY k.number, o.part LIMIT %(limit)s

-- name: changes
-- The first records of each part of a change set, before and after; rows of other tables that went along are not meant.
SELECT s.kind, {keys} AS keys, {before} AS before, {after} AS after
FROM {schema}.change_sets s JOIN {schema}.key_sets k ON k.owner = s.batch_id
WHERE k.execution_id = %(id)s AND s.child_table IS NULL ORDER BY k.number, s.part LIMIT %(limit)s

-- name: change_bytes
SELECT coalesce(sum(pg_column_size(s.keys) + coalesce(pg_column_size(s.before), 0) + coalesce(pg_column_size(s.after), 0)), 0)::bigint
    AS bytes
FROM {schema}.change_sets s JOIN {schema}.key_sets k ON k.owner = s.batch_id WHERE k.execution_id = %(id)s

-- name: counts_writes
SELECT current_setting('track_counts')::boolean AS counts

-- name: written
-- How many rows of which tables this session has written lately, as the server counts them.
-- Foreign keys and triggers count too. `own` are the table of the action and its partitions.
SELECT s.relid::bigint AS oid, quote_ident(s.schemaname) || '.' || quote_ident(s.relname) AS table,
    s.n_tup_ins AS inserted, s.n_tup_upd AS updated, s.n_tup_del AS deleted,
    s.relid = %(table)s::oid OR s.relid IN (SELECT relid FROM pg_partition_tree(%(table)s::oid::regclass)) AS own
FROM pg_stat_xact_user_tables s
WHERE s.schemaname <> %(ledger)s AND s.n_tup_ins + s.n_tup_upd + s.n_tup_del > 0

-- name: locked
-- How many records of a slice of a batch others hold.
SELECT (SELECT count(*) FROM ({planned}) q JOIN {table} t ON {same_key})
    - (SELECT count(*) FROM (SELECT FROM ({planned}) q JOIN {table} t ON {same_key} FOR UPDATE OF t SKIP LOCKED) AS free) AS records

-- name: holders
-- Sessions that have written to a table, or locked rows of it, and whose transaction is still open.
SELECT DISTINCT a.pid, a.application_name AS application, a.usename::text AS login, a.state, a.xact_start AS since
FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
WHERE l.relation = %(table)s::oid AND l.granted AND l.mode NOT IN ('AccessShareLock') AND a.pid <> pg_backend_pid()
    AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
ORDER BY since
