-- Keys of the caller's own for commands, and the inbox for those that are sent in a transaction of the host's.

-- Which id a command has that was sent under a key, for ever: the first one that was sent under it.
CREATE TABLE {schema}.command_keys (
    key text PRIMARY KEY,
    command_id uuid NOT NULL
);

-- Commands on their way: written in a host's transaction, taken in by a worker after its COMMIT, and gone with that.
-- `subject` is the stream that a command begins or goes on with: of one subject they are taken in one after the other.
-- One that was rejected stays, with the reason.
CREATE TABLE {schema}.command_inbox (
    command_id uuid PRIMARY KEY,
    ordinal bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
    subject uuid NOT NULL,
    command jsonb NOT NULL,
    fingerprint text NOT NULL,
    traceparent text,
    accepted_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- Kept by the workers: how often it was tried, and when it may be tried again.
    attempts integer NOT NULL DEFAULT 0,
    available_at timestamptz NOT NULL DEFAULT '-infinity',
    rejected_at timestamptz,
    error text,
    detail text,
    CHECK ((rejected_at IS NULL) = (detail IS NULL))
);
CREATE INDEX command_inbox_waiting ON {schema}.command_inbox (ordinal) WHERE rejected_at IS NULL;
CREATE INDEX command_inbox_subject ON {schema}.command_inbox (subject, ordinal) WHERE rejected_at IS NULL;
