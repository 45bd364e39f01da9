-- The store: the event log, the bulk data that lies apart from it, and the register of projections.
-- The tables of the views themselves are made by projections, one generation at a time.

-- The library's recorder writes its events through this type.
CREATE TYPE {schema}.stored_event_uuid AS (
    originator_id uuid,
    originator_version bigint,
    topic text,
    state bytea
);

CREATE TABLE {schema}.stored_events (
    originator_id uuid NOT NULL,
    originator_version bigint NOT NULL CHECK (originator_version > 0),
    topic text NOT NULL,
    state bytea NOT NULL,
    notification_id bigserial,
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (originator_id, originator_version)
) WITH (autovacuum_vacuum_insert_scale_factor = 0.1, autovacuum_analyze_scale_factor = 0.02);

CREATE UNIQUE INDEX stored_events_notification_id_idx ON {schema}.stored_events (notification_id);

-- Immutable is a promise, so the server keeps it too.
CREATE FUNCTION {schema}.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'events are immutable: % on %.% is refused', TG_OP, TG_TABLE_SCHEMA, TG_TABLE_NAME
        USING ERRCODE = 'integrity_constraint_violation';
END
$$;

CREATE TRIGGER stored_events_immutable BEFORE UPDATE OR DELETE OR TRUNCATE ON {schema}.stored_events
    FOR EACH STATEMENT EXECUTE FUNCTION {schema}.refuse_change();
-- Also for sessions that replicate, which skip ordinary triggers.
ALTER TABLE {schema}.stored_events ENABLE ALWAYS TRIGGER stored_events_immutable;

CREATE TABLE {schema}.notification_tracking (
    application_name text PRIMARY KEY,
    notification_id bigint NOT NULL
);

-- SHA-256 over the salt and the fingerprints of the fields, so that no two different lists of fields can
-- be made to look alike; a field that is null has a fingerprint of its own.
CREATE FUNCTION {schema}.digest(salt bytea, fields text[]) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT encode(sha256(salt || coalesce(string_agg(
        CASE WHEN f IS NULL THEN '\x00'::bytea ELSE '\x01'::bytea || sha256(convert_to(f, 'UTF8')) END,
        ''::bytea ORDER BY n), ''::bytea)), 'hex')
    FROM unnest(fields) WITH ORDINALITY AS field (f, n)
$$;

-- 32 random bytes from the server's strong generator (two version 4 UUIDs).
CREATE FUNCTION {schema}.salt() RETURNS bytea
LANGUAGE sql VOLATILE PARALLEL SAFE AS $$
    SELECT uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())
$$;

-- A version 7 UUID (RFC 9562): 48 bits of Unix milliseconds, then random bits of a version 4 UUID.
CREATE FUNCTION {schema}.new_id() RETURNS uuid
LANGUAGE sql VOLATILE PARALLEL SAFE AS $$
    SELECT encode(set_bit(set_bit(
        overlay(uuid_send(gen_random_uuid()) PLACING
            substring(int8send(floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint) FROM 3) FROM 1 FOR 6),
        52, 1), 53, 1), 'hex')::uuid
$$;

-- What a request said that an event must not hold: literals, parameters, reason, context.
CREATE TABLE {schema}.request_bodies (
    owner uuid PRIMARY KEY,
    salt bytea NOT NULL,
    body jsonb NOT NULL
);

-- The keys of one batch (or of an undo's own choice of records): one array a key column, in key order, each
-- written as that array type's text. Compression would cost more than it saves: docs/decisions.
CREATE TABLE {schema}.key_sets (
    owner uuid PRIMARY KEY,
    execution_id uuid NOT NULL,
    number integer NOT NULL,
    records integer NOT NULL CHECK (records > 0),
    salt bytea NOT NULL,
    keys text[] NOT NULL,
    first_key text[] NOT NULL,
    last_key text[] NOT NULL
);
ALTER TABLE {schema}.key_sets ALTER COLUMN keys SET STORAGE EXTERNAL;
CREATE INDEX key_sets_execution ON {schema}.key_sets (execution_id, number);

-- What one batch, or one compensation of it, changed. `owner` is the batch or the compensation, `part` counts
-- the statements that it took. One array a column, as in key_sets. `keys` are the keys as they were planned.
CREATE TABLE {schema}.change_sets (
    owner uuid NOT NULL,
    part integer NOT NULL,
    batch_id uuid NOT NULL,
    batch_version bigint NOT NULL,
    undo_id uuid,
    direction text NOT NULL CHECK (direction IN ('do', 'undo', 'redo')),
    kind text NOT NULL CHECK (kind IN ('update', 'delete', 'insert')),
    records integer NOT NULL CHECK (records > 0),
    columns text[] NOT NULL,
    types text[] NOT NULL,
    acted text[] NOT NULL,
    salt bytea NOT NULL,
    keys text[] NOT NULL,
    before text[],
    after text[],
    PRIMARY KEY (owner, part)
);
ALTER TABLE {schema}.change_sets ALTER COLUMN keys SET STORAGE EXTERNAL,
    ALTER COLUMN before SET STORAGE EXTERNAL, ALTER COLUMN after SET STORAGE EXTERNAL;
CREATE INDEX change_sets_batch ON {schema}.change_sets (batch_id, batch_version);

-- Records that were not changed, with the reason; those with the same reason lie together. For a conflict,
-- `recorded` is what the ledger had written and `current` what was found, one array a column.
CREATE TABLE {schema}.record_outcomes (
    owner uuid NOT NULL,
    part integer NOT NULL,
    batch_id uuid NOT NULL,
    execution_id uuid NOT NULL,
    undo_id uuid,
    outcome text NOT NULL CHECK (outcome IN ('failed', 'skipped', 'conflict')),
    reason text NOT NULL,
    sqlstate text,
    constraint_name text,
    message text,
    records integer NOT NULL CHECK (records > 0),
    columns text[],
    salt bytea NOT NULL,
    keys text[] NOT NULL,
    recorded text[],
    current text[],
    PRIMARY KEY (owner, part)
);
CREATE INDEX record_outcomes_execution ON {schema}.record_outcomes (execution_id);

-- What the digests of bulk rows are over: everything in the row that says what was done. The counts keep one list
-- of fields from passing for another.
CREATE FUNCTION {schema}.change_digest(c {schema}.change_sets) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT {schema}.digest(c.salt,
        ARRAY[c.kind, cardinality(c.columns)::text, cardinality(c.acted)::text, cardinality(c.keys)::text]
        || c.columns || c.types || c.acted || c.keys || c.before || c.after)
$$;

CREATE FUNCTION {schema}.outcome_digest(o {schema}.record_outcomes) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT {schema}.digest(o.salt,
        ARRAY[o.outcome, o.reason, o.sqlstate, o.constraint_name, o.message,
            cardinality(o.columns)::text, cardinality(o.keys)::text]
        || o.columns || o.keys || o.recorded || o.current)
$$;

-- One row a projection: readers resolve the generation of its tables here, and a switch is an update of it.
CREATE TABLE {schema}.projections (
    name text PRIMARY KEY,
    generation integer NOT NULL,
    switched_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- Streams that a projection could not read on with; the others go on.
CREATE TABLE {schema}.parked_streams (
    projection text NOT NULL,
    originator_id uuid NOT NULL,
    position bigint NOT NULL,
    error text NOT NULL,
    parked_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (projection, originator_id)
);

-- The views. Their first generation is made here; a rebuild makes the next one LIKE it. The work queue has no
-- generations: it is reconciled in place, since its rows carry the locks of those who work on them.

CREATE TABLE {schema}.work_queue (
    unit_id uuid PRIMARY KEY,
    kind text NOT NULL CHECK (kind IN ('plan', 'batch', 'compensation')),
    job_id uuid NOT NULL,
    execution_id uuid NOT NULL,
    undo_id uuid,
    batch_id uuid,
    ordinal integer NOT NULL,
    records integer NOT NULL,
    serial boolean NOT NULL,
    -- Kept by the workers, not by events: how often it was tried, and when it may be tried again.
    attempts integer NOT NULL DEFAULT 0,
    available_at timestamptz NOT NULL DEFAULT '-infinity',
    last_error text
);
CREATE INDEX work_queue_order ON {schema}.work_queue (job_id, ordinal);

CREATE TABLE {schema}.view_executions_g1 (
    execution_id uuid PRIMARY KEY,
    status text NOT NULL,
    version bigint NOT NULL,
    action text NOT NULL,
    table_name text NOT NULL,
    selection text NOT NULL,
    actor text NOT NULL,
    correlation_id uuid NOT NULL,
    traceparent text,
    queue text NOT NULL,
    priority integer NOT NULL,
    planning text NOT NULL,
    frozen boolean NOT NULL,
    batch_size integer NOT NULL,
    undo_seconds integer,
    total bigint NOT NULL,
    applied bigint NOT NULL,
    failed bigint NOT NULL,
    skipped bigint NOT NULL,
    pending bigint NOT NULL,
    batches integer NOT NULL,
    batches_done integer NOT NULL,
    total_final boolean NOT NULL,
    error text,
    requested_at timestamptz NOT NULL,
    planned_at timestamptz,
    updated_at timestamptz NOT NULL,
    ended_at timestamptz
) WITH (fillfactor = 40);
CREATE INDEX view_executions_g1_requested ON {schema}.view_executions_g1 (requested_at);

CREATE TABLE {schema}.view_batches_g1 (
    batch_id uuid PRIMARY KEY,
    execution_id uuid NOT NULL,
    number integer NOT NULL,
    table_name text NOT NULL,
    status text NOT NULL,
    version bigint NOT NULL,
    records integer NOT NULL,
    applied integer NOT NULL,
    failed integer NOT NULL,
    skipped integer NOT NULL,
    keys_digest text NOT NULL,
    change_digest text,
    error text,
    updated_at timestamptz NOT NULL
) WITH (fillfactor = 70);
CREATE UNIQUE INDEX view_batches_g1_number ON {schema}.view_batches_g1 (execution_id, number);
CREATE INDEX view_batches_g1_table ON {schema}.view_batches_g1 (table_name);

CREATE TABLE {schema}.view_undos_g1 (
    undo_id uuid PRIMARY KEY,
    execution_id uuid NOT NULL,
    of_undo uuid,
    policy text NOT NULL,
    status text NOT NULL,
    version bigint NOT NULL,
    actor text NOT NULL,
    correlation_id uuid NOT NULL,
    traceparent text,
    queue text NOT NULL,
    priority integer NOT NULL,
    total bigint NOT NULL,
    applied bigint NOT NULL,
    failed bigint NOT NULL,
    skipped bigint NOT NULL,
    pending bigint NOT NULL,
    batches integer NOT NULL,
    batches_done integer NOT NULL,
    error text,
    requested_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    ended_at timestamptz
) WITH (fillfactor = 40);
CREATE INDEX view_undos_g1_execution ON {schema}.view_undos_g1 (execution_id);

CREATE TABLE {schema}.view_audit_g1 (
    position bigint PRIMARY KEY,
    recorded_at timestamptz NOT NULL,
    topic text NOT NULL,
    execution_id uuid NOT NULL,
    batch_id uuid,
    undo_id uuid,
    actor text NOT NULL,
    correlation_id uuid NOT NULL,
    details jsonb NOT NULL
);
CREATE INDEX view_audit_g1_execution ON {schema}.view_audit_g1 (execution_id, position);
CREATE INDEX view_audit_g1_actor ON {schema}.view_audit_g1 (actor, position);

INSERT INTO {schema}.projections (name, generation) VALUES ('work_queue', 1), ('progress', 1), ('audit', 1);
