-- Effects outside of the database: what came of each call, and which lease may say so.

-- Kept by the workers, as the other two: the epoch of the lease. A lock on the row holds it still while one writes.
ALTER TABLE {schema}.work_queue ADD COLUMN leased_epoch integer;

-- What came of each record of a batch with an effect, or of a compensation of one (`owner`), as it came. `position` is
-- the record's place in the key set of its batch, from 1.
CREATE TABLE {schema}.effect_results (
    owner uuid NOT NULL,
    position integer NOT NULL CHECK (position > 0),
    batch_id uuid NOT NULL,
    undo_id uuid,
    epoch integer NOT NULL,
    key text[] NOT NULL,
    -- Null where nobody got as far as to call for it.
    idempotency_key uuid UNIQUE,
    outcome text NOT NULL CHECK (outcome IN ('applied', 'failed', 'skipped')),
    reason text,
    result jsonb,
    message text,
    salt bytea NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (owner, position),
    CHECK ((outcome = 'applied') = (reason IS NULL))
);
CREATE INDEX effect_results_compensated ON {schema}.effect_results (batch_id, position)
    WHERE undo_id IS NOT NULL AND outcome = 'applied';

CREATE FUNCTION {schema}.effect_digest(r {schema}.effect_results) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT {schema}.digest(r.salt,
        ARRAY[r.outcome, r.reason, r.message, r.result::text, r.idempotency_key::text, cardinality(r.key)::text] || r.key)
$$;
