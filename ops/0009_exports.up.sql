-- Exports: the unit of work that writes the file, where the files and their parts are, and the view of them all.

ALTER TABLE {schema}.work_queue DROP CONSTRAINT work_queue_kind_check;
ALTER TABLE {schema}.work_queue ADD CONSTRAINT work_queue_kind_check
    CHECK (kind IN ('plan', 'batch', 'compensation', 'export'));

-- Where a file is to be, with the columns that it has: state that the workers keep, not facts. A path may tell more
-- than an event should. A row goes when its file is cleaned; `staged` says that parts may lie beside the target.
CREATE TABLE {schema}.export_files (
    execution_id uuid PRIMARY KEY,
    target text NOT NULL,
    columns text[] NOT NULL,
    types text[] NOT NULL,
    staged boolean NOT NULL DEFAULT true
);
CREATE INDEX export_files_staged ON {schema}.export_files (execution_id) WHERE staged;
CREATE INDEX export_files_target ON {schema}.export_files (target);

-- The part of each batch, written in the transaction that completed it: of several files that attempts have left,
-- this is the one that counts.
CREATE TABLE {schema}.export_parts (
    batch_id uuid PRIMARY KEY,
    execution_id uuid NOT NULL,
    number integer NOT NULL,
    name text NOT NULL,
    records bigint NOT NULL,
    bytes bigint NOT NULL,
    read_from timestamptz NOT NULL,
    read_to timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX export_parts_execution ON {schema}.export_parts (execution_id, number);

CREATE TABLE {schema}.view_exports_g1 (
    export_id uuid PRIMARY KEY,
    execution_id uuid NOT NULL,
    status text NOT NULL,
    version bigint NOT NULL,
    format text NOT NULL,
    actor text NOT NULL,
    columns text[],
    records bigint,
    bytes bigint,
    file_digest text,
    body_digest text,
    read_from timestamptz,
    read_to timestamptz,
    error text,
    outcome text,
    requested_at timestamptz NOT NULL,
    written_at timestamptz,
    cleaned_at timestamptz
);
CREATE UNIQUE INDEX view_exports_g1_execution ON {schema}.view_exports_g1 (execution_id);
CREATE INDEX view_exports_g1_requested ON {schema}.view_exports_g1 (requested_at);
CREATE INDEX view_exports_g1_written ON {schema}.view_exports_g1 (written_at) WHERE status = 'written';

INSERT INTO {schema}.projections (name, generation) VALUES ('exports', 1);

-- Whether an execution's file is still to be written: it does not end before. In each generation that there is.
DO $$
DECLARE
    relation regclass;
BEGIN
    FOR relation IN
        SELECT c.oid FROM pg_catalog.pg_class AS c
        WHERE c.relnamespace = {schema_text}::regnamespace AND c.relkind = 'r' AND c.relname ~ '^view_executions_g[0-9]+$'
    LOOP
        EXECUTE pg_catalog.format('ALTER TABLE %s ADD COLUMN exporting boolean NOT NULL DEFAULT false', relation);
    END LOOP;
END
$$;
