-- Captured children: rows of other tables that a change reached through foreign keys lie beside what it changed.

-- `child_table` is the table of captured children, null for the records of the execution itself; `of_part` is the part
-- whose records they belong to, and `roots` the key of that record for each of them. `via` names the foreign key that
-- set columns of theirs, null where they follow their parents.
ALTER TABLE {schema}.change_sets ADD COLUMN child_table text, ADD COLUMN via text, ADD COLUMN of_part integer,
    ADD COLUMN roots text[];
ALTER TABLE {schema}.change_sets ALTER COLUMN roots SET STORAGE EXTERNAL;
CREATE INDEX change_sets_children ON {schema}.change_sets (child_table) WHERE child_table IS NOT NULL;

ALTER TABLE {schema}.record_outcomes ADD COLUMN child_table text;

-- Of what is no child's the digests stay as they were.
CREATE OR REPLACE FUNCTION {schema}.change_digest(c {schema}.change_sets) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT {schema}.digest(c.salt,
        ARRAY[c.kind, cardinality(c.columns)::text, cardinality(c.acted)::text, cardinality(c.keys)::text]
        || c.columns || c.types || c.acted || c.keys || c.before || c.after
        || CASE WHEN c.child_table IS NOT NULL THEN ARRAY[c.child_table, c.via, c.of_part::text] || c.roots END)
$$;

CREATE OR REPLACE FUNCTION {schema}.outcome_digest(o {schema}.record_outcomes) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT {schema}.digest(o.salt,
        ARRAY[o.outcome, o.reason, o.sqlstate, o.constraint_name, o.message,
            cardinality(o.columns)::text, cardinality(o.keys)::text]
        || o.columns || o.keys || o.recorded || o.current
        || CASE WHEN o.child_table IS NOT NULL THEN ARRAY[o.child_table] END)
$$;
