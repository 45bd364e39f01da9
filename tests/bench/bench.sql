-- name: create
-- The table that everything is done to: the width and the types of a common business table.
CREATE TABLE subject (
    id bigint PRIMARY KEY,
    name text NOT NULL,
    country text NOT NULL,
    status text NOT NULL,
    score integer NOT NULL,
    population integer NOT NULL,
    created_at timestamptz NOT NULL
)

-- name: empty
TRUNCATE subject

-- name: load
INSERT INTO subject
SELECT n, 'place number ' || n, (ARRAY['FR', 'DE', 'IT', 'ES'])[1 + n %% 4], 'active', n %% 1000, n %% 100000,
    timestamptz '2024-01-01 00:00+00' + make_interval(secs => n)
FROM generate_series(1, %(rows)s::bigint) n

-- name: vacuum_subject
VACUUM (FREEZE, ANALYZE) subject

-- name: vacuum_all
VACUUM (ANALYZE)

-- name: checkpoint
CHECKPOINT

-- name: bare
-- What all others are measured against: the one statement that somebody would write by hand.
UPDATE subject SET status = 'archived', score = score + 1

-- name: ledger_bytes
-- What the ledger takes on disk, its indexes included.
SELECT sum(pg_total_relation_size(c.oid)) AS bytes
FROM pg_class c WHERE c.relnamespace = %(schema)s::regnamespace AND c.relkind IN ('r', 'm')

-- name: create_audit
-- The usual audit trigger: a row of history for each row that changes, with the whole row before and after.
CREATE TABLE audit_log (
    id bigserial PRIMARY KEY,
    table_name text NOT NULL,
    operation text NOT NULL,
    actor text NOT NULL,
    changed_at timestamptz NOT NULL DEFAULT now(),
    old jsonb,
    new jsonb
);
CREATE FUNCTION audit() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO audit_log (table_name, operation, actor, old, new)
    VALUES (TG_TABLE_NAME, TG_OP, current_user, to_jsonb(OLD), to_jsonb(NEW));
    RETURN NULL;
END
$$;
CREATE TRIGGER audit AFTER UPDATE ON subject FOR EACH ROW EXECUTE FUNCTION audit()

-- name: drop_audit
DROP TRIGGER audit ON subject;
DROP FUNCTION audit();
DROP TABLE audit_log

-- name: audit_bytes
SELECT pg_total_relation_size('audit_log') AS bytes

-- name: create_predecessor
-- A snapshot of each record, and one row that counts.
CREATE TABLE IF NOT EXISTS snapshots (
    id bigserial PRIMARY KEY,
    execution_id bigint NOT NULL,
    record_id bigint NOT NULL,
    original jsonb NOT NULL,
    changed jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX IF NOT EXISTS snapshots_record ON snapshots (execution_id, record_id);
CREATE TABLE IF NOT EXISTS executions (
    id bigint PRIMARY KEY,
    processed bigint NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now()
);
TRUNCATE snapshots, executions;
INSERT INTO executions (id, processed) VALUES (1, 0)

-- name: predecessor_read
SELECT to_jsonb(subject)::text AS record, id FROM subject ORDER BY id LIMIT %(records)s

-- name: predecessor_snapshot
INSERT INTO snapshots (execution_id, record_id, original, changed)
VALUES (1, %(id)s, %(record)s, '["status", "score"]')

-- name: predecessor_update
UPDATE subject SET status = 'archived', score = score + 1 WHERE id = %(id)s

-- name: predecessor_count
UPDATE executions SET processed = processed + 1, updated_at = now() WHERE id = 1

-- name: create_stock
CREATE SCHEMA IF NOT EXISTS stock

-- name: count_events
SELECT count(*) AS events FROM action_ledger.stored_events

-- name: create_copying
-- Copies the one execution that there is, with its batches, under other ids. The views follow by a rebuild.
CREATE FUNCTION other(id uuid, copy integer) RETURNS uuid LANGUAGE sql IMMUTABLE
RETURN md5(id::text || copy)::uuid;
CREATE FUNCTION copy_execution(copies integer) RETURNS void LANGUAGE plpgsql SET search_path = action_ledger, public AS $$
DECLARE
    original uuid := (SELECT execution_id FROM view_executions_g1);
    head bigint := (SELECT max(notification_id) FROM stored_events);
BEGIN
    FOR copy IN 1..copies LOOP
        INSERT INTO stored_events (originator_id, originator_version, topic, state)
        SELECT other(originator_id, copy), originator_version, topic,
            convert_to(replace(convert_from(state, 'UTF8'), original::text, other(original, copy)::text), 'UTF8')
        FROM stored_events WHERE notification_id <= head ORDER BY notification_id;
        INSERT INTO key_sets (owner, execution_id, number, records, salt, keys, first_key, last_key)
        SELECT other(owner, copy), other(execution_id, copy), number, records, salt, keys, first_key, last_key
        FROM key_sets WHERE execution_id = original;
        INSERT INTO change_sets (owner, part, batch_id, batch_version, direction, kind, records, columns, types, acted,
            salt, keys, before, after)
        SELECT other(c.owner, copy), c.part, other(c.batch_id, copy), c.batch_version, c.direction, c.kind, c.records,
            c.columns, c.types, c.acted, c.salt, c.keys, c.before, c.after
        FROM change_sets c JOIN view_batches_g1 b USING (batch_id) WHERE b.execution_id = original;
    END LOOP;
END
$$

-- name: copy_execution
SELECT copy_execution(%(copies)s)
