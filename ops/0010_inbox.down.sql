-- Takes the inbox away, with the commands that are still in it, and the keys.
DROP TABLE {schema}.command_inbox;
DROP TABLE {schema}.command_keys;
