DROP FUNCTION {schema}.effect_digest({schema}.effect_results);
DROP TABLE {schema}.effect_results;
ALTER TABLE {schema}.work_queue DROP COLUMN leased_epoch;
