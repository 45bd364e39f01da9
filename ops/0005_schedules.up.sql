-- Schedules: the queue of those that are open, and the views of all of them and of their runs.

-- One row a schedule that has not ended. Its lock is the lease of whoever fires or steers it, so it has no
-- generations: a rebuild reconciles it in place, as the work queue.
CREATE TABLE {schema}.schedule_queue (
    schedule_id uuid PRIMARY KEY,
    version bigint NOT NULL,
    status text NOT NULL CHECK (status IN ('active', 'paused')),
    -- The next occurrence, or the oldest that has not run. None where the end comes with the next event.
    due_at timestamptz,
    at_time timestamptz,
    cron text,
    timezone text NOT NULL,
    catch_up text NOT NULL,
    frozen boolean NOT NULL,
    actor text NOT NULL,
    correlation_id uuid NOT NULL,
    -- Kept by the workers, not by events: how often it was tried, and when it may be tried again.
    attempts integer NOT NULL DEFAULT 0,
    available_at timestamptz NOT NULL DEFAULT '-infinity',
    last_error text
) WITH (fillfactor = 70);
CREATE INDEX schedule_queue_due ON {schema}.schedule_queue (due_at) WHERE status = 'active';

CREATE TABLE {schema}.view_schedules_g1 (
    schedule_id uuid PRIMARY KEY,
    status text NOT NULL,
    version bigint NOT NULL,
    action text NOT NULL,
    table_name text NOT NULL,
    selection text NOT NULL,
    records bigint,
    actor text NOT NULL,
    correlation_id uuid NOT NULL,
    queue text NOT NULL,
    priority integer NOT NULL,
    at_time timestamptz,
    cron text,
    timezone text NOT NULL,
    catch_up text NOT NULL,
    due_at timestamptz,
    fired bigint NOT NULL,
    missed bigint NOT NULL,
    failed bigint NOT NULL,
    last_error text,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    ended_at timestamptz
) WITH (fillfactor = 70);
CREATE INDEX view_schedules_g1_created ON {schema}.view_schedules_g1 (created_at);
CREATE INDEX view_schedules_g1_due ON {schema}.view_schedules_g1 (due_at) WHERE status = 'active';

-- What became of each occurrence: one row for one that ran or was refused, and one for a row of missed ones.
CREATE TABLE {schema}.view_schedule_runs_g1 (
    position bigint PRIMARY KEY,
    schedule_id uuid NOT NULL,
    outcome text NOT NULL,
    occurrence timestamptz NOT NULL,
    last_occurrence timestamptz NOT NULL,
    occurrences bigint NOT NULL,
    execution_id uuid,
    manual boolean NOT NULL,
    error text,
    recorded_at timestamptz NOT NULL
);
CREATE INDEX view_schedule_runs_g1_schedule ON {schema}.view_schedule_runs_g1 (schedule_id, position);

INSERT INTO {schema}.projections (name, generation) VALUES ('schedule_queue', 1), ('schedules', 1);
