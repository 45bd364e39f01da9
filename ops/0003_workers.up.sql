-- The workers that are there: what each says of itself, again and again. State, not facts: docs/decisions/0022.
-- Unlogged, so that an idle worker writes nothing to the log of the server. After a crash of the server it is
-- empty, and each worker that lives is in it again with its next heartbeat.
CREATE UNLOGGED TABLE {schema}.workers (
    worker_id uuid PRIMARY KEY,
    name text NOT NULL,
    host text NOT NULL,
    pid integer NOT NULL,
    version text NOT NULL,
    -- In the order of their precedence; null is every queue.
    queues text[],
    concurrency integer NOT NULL,
    state text NOT NULL CHECK (state IN ('starting', 'working', 'idle', 'stopping')),
    lease_seconds double precision NOT NULL,
    units_done bigint NOT NULL,
    -- One object a unit in hand: thread, kind, unit, execution, undo, number, seconds (as of the heartbeat).
    units jsonb NOT NULL,
    started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    heartbeat_at timestamptz NOT NULL DEFAULT clock_timestamp()
) WITH (fillfactor = 50);

-- How many of a unit's tries ended by a fault of its own rather than by others in its way. Kept by the workers.
ALTER TABLE {schema}.work_queue ADD COLUMN faults integer NOT NULL DEFAULT 0;
