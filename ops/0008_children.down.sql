-- Takes captured children away, and with them the way back for those rows.
DELETE FROM {schema}.change_sets WHERE child_table IS NOT NULL;
DELETE FROM {schema}.record_outcomes WHERE child_table IS NOT NULL;

CREATE OR REPLACE FUNCTION {schema}.change_digest(c {schema}.change_sets) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT {schema}.digest(c.salt,
        ARRAY[c.kind, cardinality(c.columns)::text, cardinality(c.acted)::text, cardinality(c.keys)::text]
        || c.columns || c.types || c.acted || c.keys || c.before || c.after)
$$;

CREATE OR REPLACE FUNCTION {schema}.outcome_digest(o {schema}.record_outcomes) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT {schema}.digest(o.salt,
        ARRAY[o.outcome, o.reason, o.sqlstate, o.constraint_name, o.message,
            cardinality(o.columns)::text, cardinality(o.keys)::text]
        || o.columns || o.keys || o.recorded || o.current)
$$;

ALTER TABLE {schema}.record_outcomes DROP COLUMN child_table;
DROP INDEX {schema}.change_sets_children;
ALTER TABLE {schema}.change_sets DROP COLUMN child_table, DROP COLUMN via, DROP COLUMN of_part, DROP COLUMN roots;
