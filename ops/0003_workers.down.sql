ALTER TABLE {schema}.work_queue DROP COLUMN faults;
DROP TABLE {schema}.workers;
