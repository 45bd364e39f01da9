"""Record locks: none is left by an owner that has ended, and no record has two owners at any position."""

from psycopg import Connection, sql
from psycopg.rows import DictRow

from tests.accounts import rows_of, view_of


def check_locks(connection: Connection[DictRow]) -> None:
    """I7 and the promise of a lock, read from the events and the key sets alone."""
    left = rows_of(
        connection,
        "SELECT l.* FROM {locks} l LEFT JOIN {executions} e ON e.execution_id = l.owner_id"
        " LEFT JOIN {undos} u ON u.undo_id = l.owner_id"
        " WHERE e.ended_at IS NOT NULL OR u.ended_at IS NOT NULL OR (e.execution_id IS NULL AND u.undo_id IS NULL)",
        locks=view_of(connection, "locks", projection="locks"),
        executions=view_of(connection, "executions"),
        undos=view_of(connection, "undos"),
    )
    assert not left, f"I7: locks left: {left}"
    unended = rows_of(
        connection,
        "SELECT e.originator_id FROM {schema}.stored_events e WHERE e.topic = 'record_lock.acquired'"
        " AND NOT EXISTS (SELECT FROM {schema}.stored_events r WHERE r.originator_id = e.originator_id"
        "  AND r.topic IN ('record_lock.released', 'record_lock.broken'))"
        " AND NOT EXISTS (SELECT FROM {locks} l WHERE l.version >= e.originator_version AND l.owner_id::text IN ("
        "  convert_from(e.state, 'UTF8')::jsonb ->> 'execution_id', convert_from(e.state, 'UTF8')::jsonb ->> 'undo_id'))",
        locks=view_of(connection, "locks", projection="locks"),
    )
    assert not unended, f"I7: locks that nothing ended: {unended}"
    sizes = rows_of(connection, "SELECT DISTINCT cardinality(keys) AS n FROM {schema}.key_sets")
    for n in (row["n"] for row in sizes):
        shared = rows_of(
            connection,
            _SHARED,
            n=sql.Literal(n),
            names=sql.SQL(", ").join(sql.Identifier(f"k{i + 1}") for i in range(n)),
            keys=sql.SQL(", ").join(sql.SQL("s.keys[{}]::text[]").format(i + 1) for i in range(n)),
        )
        assert not shared, f"two owners of one record: {shared}"


_SHARED = """
WITH event AS MATERIALIZED (
    SELECT notification_id AS at, originator_id AS id, topic, convert_from(state, 'UTF8')::jsonb AS body
    FROM {schema}.stored_events
),
held AS (
    SELECT a.body ->> 'table' AS tab, (a.body ->> 'execution_id')::uuid AS execution_id, (a.body ->> 'undo_id')::uuid AS undo_id,
        a.at AS since, coalesce(z.at, 9223372036854775807) AS until
    FROM event a LEFT JOIN event z ON z.id = a.id AND z.topic IN ('record_lock.released', 'record_lock.broken')
    WHERE a.topic = 'record_lock.acquired'
),
-- What a lock is made of, what was changed under it or at once, and when.
part AS (
    SELECT h.tab, h.execution_id AS owner, greatest(h.since, p.at) AS since, h.until, s.keys
    FROM held h JOIN {schema}.key_sets s ON s.execution_id = h.execution_id AND NOT s.locked AND s.split_from IS NULL
    JOIN event p ON p.id = s.owner AND p.topic = 'batch.planned'
    WHERE h.undo_id IS NULL
    UNION ALL
    SELECT h.tab, h.undo_id, h.since, h.until, s.keys
    FROM held h JOIN {schema}.key_sets s ON s.execution_id = h.undo_id
    UNION ALL
    SELECT h.tab, h.undo_id, h.since, h.until, s.keys
    FROM held h JOIN event c ON c.topic = 'batch.compensation_planned' AND (c.body ->> 'undo_id')::uuid = h.undo_id
    JOIN {schema}.key_sets s ON s.owner = c.id
    WHERE NOT EXISTS (SELECT FROM {schema}.key_sets o WHERE o.execution_id = h.undo_id)
    UNION ALL
    SELECT p.body ->> 'table', (p.body ->> 'execution_id')::uuid, e.at, e.at, s.keys
    FROM {schema}.change_sets s JOIN event e ON e.id = s.batch_id AND e.topic = 'batch.completed'
    JOIN event p ON p.id = s.batch_id AND p.topic = 'batch.planned'
    WHERE s.direction = 'do'
),
record AS MATERIALIZED (
    SELECT s.tab, s.owner, s.since, s.until, ROW({names})::text AS key
    FROM part s CROSS JOIN LATERAL unnest({keys}) AS u ({names}) WHERE cardinality(s.keys) = {n}
)
SELECT DISTINCT a.tab, a.key, a.owner, b.owner AS other, a.since, b.since AS others
FROM record a JOIN record b ON b.tab = a.tab AND b.key = a.key
WHERE a.owner < b.owner AND a.since <= b.until AND b.since <= a.until LIMIT 5
"""
