-- name: take_turn
SELECT {schema}.take_turn(%(relation)s::oid, %(table)s) AS taken

-- name: lock
-- An owner's lock, as it stands.
SELECT version, status, place FROM {locks} WHERE owner_id = %(owner)s

-- name: claimed
-- The key sets that a lock is made of. An undo's are those of the batches that it takes back, or of its own choice.
SELECT c.owner, c.number, c.first_key, c.last_key FROM {schema}.key_sets c
WHERE c.execution_id = l.keys_of AND NOT c.locked AND CASE
    WHEN l.undo_id IS NULL THEN c.split_from IS NULL
    WHEN l.undo_id = l.keys_of THEN true
    ELSE EXISTS (SELECT FROM {schema}.change_sets d WHERE d.batch_id = c.owner)
        AND NOT EXISTS (SELECT FROM {schema}.request_bodies r WHERE r.owner = l.undo_id
            AND jsonb_typeof(r.body -> 'batches') = 'array' AND NOT r.body -> 'batches' @> to_jsonb(c.number))
END

-- name: contested
-- What others have of the records that are wanted: `place` names the lock. Key sets are compared by their ranges first,
-- then key by key. Whoever waits and came later has nothing yet. Steps are kept apart, so that keys of other tables are
-- never read as keys of this one; and there is no join of keys, which would be a nested loop over two batches.
own AS MATERIALIZED (
    SELECT c.* FROM (VALUES (%(undo_id)s::uuid, %(keys_of)s::uuid)) AS l (undo_id, keys_of) CROSS JOIN LATERAL ({claimed}) c
    WHERE c.number > %(after)s
),
other AS MATERIALIZED (
    SELECT c.*, l.place FROM {locks} l CROSS JOIN LATERAL ({claimed}) c
    WHERE l.table_name = %(table)s AND l.owner_id <> %(owner)s
        AND (l.status = 'held' OR %(place)s::bigint IS NULL OR l.place < %(place)s)
),
pair AS MATERIALIZED (
    SELECT own.owner AS wanted, own.number, other.owner AS had, other.place
    FROM own JOIN other ON {overlap}
),
piece AS MATERIALIZED (
    SELECT s.keys, p.number, NULL::bigint AS place
    FROM (SELECT DISTINCT wanted, number FROM pair) p JOIN {schema}.key_sets s ON s.owner = p.wanted
    UNION ALL
    SELECT s.keys, NULL, p.place
    FROM (SELECT DISTINCT had, place FROM pair) p JOIN {schema}.key_sets s ON s.owner = p.had
),
marked AS MATERIALIZED (
    SELECT {names}, max(number) AS number, min(place) AS place FROM (
        SELECT {keys}, s.number, s.place FROM piece s CROSS JOIN LATERAL unnest({arrays}) AS u ({names})
    ) k
    GROUP BY {names} HAVING max(number) IS NOT NULL
)

-- name: contenders
-- Who has how many of them, with a few keys.
WITH {contested},
counted AS (SELECT place, count(*) AS records FROM marked WHERE place IS NOT NULL GROUP BY place)
SELECT l.owner_id AS owner, l.execution_id, c.records,
    ARRAY(SELECT concat_ws(', ', {texts}) FROM marked m WHERE m.place = c.place ORDER BY {names} LIMIT 3) AS sample
FROM counted c JOIN {locks} l ON l.place = c.place
ORDER BY c.records DESC, c.place LIMIT %(most)s

-- name: set_apart
-- Cuts batches with records that others have in two of one number: what is free, and what is not, each such record
-- listed as skipped. Both keep the range of the whole, so that a streaming plan knows where it stands.
WITH {contested},
part AS (
    SELECT number, place IS NOT NULL AS locked, count(*) AS records, {gathered} FROM marked
    WHERE number IN (SELECT number FROM marked WHERE place IS NOT NULL) GROUP BY 1, 2
),
gone AS (
    DELETE FROM {schema}.key_sets s USING part p
    WHERE s.execution_id = %(owner)s AND s.number = p.number AND p.locked AND s.split_from IS NULL
    RETURNING s.number, s.first_key, s.last_key
),
made AS (
    INSERT INTO {schema}.key_sets (owner, execution_id, number, records, salt, keys, first_key, last_key, locked)
    SELECT {schema}.new_id(), %(owner)s, number, p.records, {schema}.salt(), {whole}, g.first_key, g.last_key, p.locked
    FROM part p JOIN gone g USING (number)
    RETURNING owner, number, locked
),
listed AS (SELECT number, place, count(*) AS records, {gathered} FROM marked WHERE place IS NOT NULL GROUP BY 1, 2)
INSERT INTO {schema}.record_outcomes (owner, part, batch_id, execution_id, outcome, reason, message, records, salt, keys)
SELECT m.owner, row_number() OVER (PARTITION BY m.owner ORDER BY o.place), m.owner, %(owner)s, 'skipped', 'locked',
    CASE WHEN l.undo_id IS NULL THEN 'execution ' ELSE 'undo ' END || l.owner_id, o.records, {schema}.salt(), {whole}
FROM listed o JOIN made m ON m.number = o.number AND m.locked JOIN {locks} l ON l.place = o.place

-- name: forget_claim
-- What an execution had cut that never came to its turn.
DELETE FROM {schema}.key_sets WHERE execution_id = %(execution_id)s
