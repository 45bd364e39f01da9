ALTER TABLE {schema}.paces DROP COLUMN probe_error;
