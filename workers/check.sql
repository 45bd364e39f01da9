-- name: explain_select
-- Parses and plans a condition; reads nothing.
EXPLAIN SELECT FROM {table} AS t WHERE {condition};

-- name: explain_update
-- Parses and plans assignments, with the assignment casts and their lengths; changes nothing and fires no
-- trigger, also none of the statement.
EXPLAIN UPDATE {table} AS t SET {settings} WHERE {condition} AND FALSE;

-- name: cast
-- Evaluates the constraints of a domain on a value.
SELECT {value}::{type} AS value;
