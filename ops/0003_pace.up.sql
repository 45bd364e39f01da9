-- Kept by the workers: that the probe which may hold an execution back could not be asked, and by what kind of error.
ALTER TABLE {schema}.paces ADD COLUMN probe_error text;
