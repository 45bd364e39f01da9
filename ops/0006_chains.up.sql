-- Chains: the queue of those that are open, and the views of all of them and of their steps. And hooks.

-- One row a chain that has not ended. Its lock is the lease of whoever moves or steers it, so it has no generations:
-- a rebuild reconciles it in place, as the work queue.
CREATE TABLE {schema}.chain_queue (
    chain_id uuid PRIMARY KEY,
    version bigint NOT NULL,
    status text NOT NULL CHECK (status IN ('running', 'paused', 'compensating')),
    -- The step that it is at; while it compensates, the newest that is not dealt with yet.
    step integer NOT NULL,
    -- The execution or the undo whose end moves it on; none when its next move can be made at once.
    awaits uuid,
    actor text NOT NULL,
    correlation_id uuid NOT NULL,
    -- Kept by the workers, not by events: how often it was tried, and when it may be tried again.
    attempts integer NOT NULL DEFAULT 0,
    available_at timestamptz NOT NULL DEFAULT '-infinity',
    last_error text
) WITH (fillfactor = 70);

CREATE TABLE {schema}.view_chains_g1 (
    chain_id uuid PRIMARY KEY,
    status text NOT NULL,
    version bigint NOT NULL,
    steps integer NOT NULL,
    step integer NOT NULL,
    completed integer NOT NULL,
    failed integer NOT NULL,
    kept_back bigint NOT NULL,
    error text,
    actor text NOT NULL,
    correlation_id uuid NOT NULL,
    requested_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    ended_at timestamptz
) WITH (fillfactor = 70);
CREATE INDEX view_chains_g1_requested ON {schema}.view_chains_g1 (requested_at);

CREATE TABLE {schema}.view_chain_steps_g1 (
    execution_id uuid PRIMARY KEY,
    chain_id uuid NOT NULL,
    number integer NOT NULL,
    action text NOT NULL,
    table_name text NOT NULL,
    on_failure text NOT NULL,
    status text NOT NULL,
    error text,
    undo_id uuid,
    started_at timestamptz,
    ended_at timestamptz
) WITH (fillfactor = 70);
CREATE INDEX view_chain_steps_g1_chain ON {schema}.view_chain_steps_g1 (chain_id, number);

-- One row for every hook that an execution, an undo or a chain has named. Reconciled in place too: what was
-- delivered is known here only.
CREATE TABLE {schema}.hook_deliveries (
    subscription_id uuid PRIMARY KEY,
    job_id uuid NOT NULL,
    kind text NOT NULL,
    event text NOT NULL,
    hook text NOT NULL,
    -- The newest position of which there is something to tell, and its time; none before.
    position bigint,
    happened_at timestamptz,
    -- Kept by the workers, not by events: up to which position it was told, and how that went.
    delivered bigint NOT NULL DEFAULT 0,
    attempts integer NOT NULL DEFAULT 0,
    available_at timestamptz NOT NULL DEFAULT '-infinity',
    last_error text,
    parked_at timestamptz
) WITH (fillfactor = 70);
CREATE INDEX hook_deliveries_due ON {schema}.hook_deliveries (available_at)
    WHERE position > delivered AND parked_at IS NULL;

INSERT INTO {schema}.projections (name, generation)
VALUES ('chain_queue', 1), ('chains', 1), ('hook_deliveries', 1);
