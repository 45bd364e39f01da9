"""What must be true of schedules whatever happened; a part of ``invariants``."""

import hashlib
from typing import LiteralString

from psycopg import Connection, sql
from psycopg.rows import DictRow

SCHEMA = "action_ledger"


def check_schedules(connection: Connection[DictRow]) -> None:
    """Each occurrence came to one end; what was fired was requested, and what a schedule caused it has fired."""
    twice = _rows(
        connection,
        "SELECT id, what, occurrence FROM (SELECT originator_id AS id, topic,"
        "  convert_from(state, 'UTF8')::jsonb ->> 'occurrence' AS occurrence,"
        "  CASE WHEN topic IN ('schedule.cancelled', 'schedule.ended') THEN 'end'"
        "   WHEN topic IN ('schedule.fired', 'schedule.failed_to_fire') THEN 'occurrence'"
        "   WHEN topic = 'schedule.created' THEN 'creation' END AS what FROM {schema}.stored_events) e"
        " WHERE what IS NOT NULL GROUP BY id, what, occurrence HAVING count(*) > 1",
    )
    assert not twice, f"I1: more than once: {twice}"
    torn = _rows(
        connection,
        "WITH events AS (SELECT originator_id AS id, topic, convert_from(state, 'UTF8')::jsonb AS body"
        "  FROM {schema}.stored_events),"
        " fired AS (SELECT (body ->> 'execution_id')::uuid AS id FROM events WHERE topic = 'schedule.fired'),"
        " caused AS (SELECT r.id FROM events r JOIN events f ON f.topic = 'schedule.created'"
        "  AND r.body #>> '{{metadata,correlation_id}}' = f.body #>> '{{metadata,correlation_id}}'"
        "  WHERE r.topic = 'execution.requested')"
        " (TABLE fired EXCEPT TABLE caused) UNION ALL (TABLE caused EXCEPT TABLE fired)",
    )
    assert not torn, f"I1: fired without a request, or requested and not fired: {torn}"
    left = _rows(
        connection,
        "SELECT schedule_id FROM {schema}.schedule_queue q JOIN {schema}.stored_events e"
        " ON e.originator_id = q.schedule_id AND e.topic IN ('schedule.cancelled', 'schedule.ended')",
    )
    assert not left, f"I7: closed schedules in the queue: {left}"
    altered = _rows(
        connection,
        "SELECT e.originator_id FROM {schema}.stored_events e JOIN {schema}.request_bodies b"
        " ON b.owner = e.originator_id WHERE convert_from(e.state, 'UTF8')::jsonb ->> 'body_digest'"
        " <> {schema}.digest(b.salt, ARRAY[b.body::text])",
    )
    assert not altered, f"bodies altered: {altered}"
    frozen = _rows(
        connection,
        "SELECT e.originator_id AS id, convert_from(e.state, 'UTF8')::jsonb ->> 'keys_digest' AS digest,"
        " (SELECT array_agg({schema}.digest(k.salt, k.keys) ORDER BY number) FROM {schema}.key_sets k"
        "  WHERE k.execution_id = e.originator_id) AS digests FROM {schema}.stored_events e"
        " WHERE e.topic = 'schedule.created'",
    )
    for row in frozen:
        joined = hashlib.sha256("".join(row["digests"] or ()).encode()).hexdigest()
        assert row["digest"] in {joined, None}, f"frozen selection altered: {row['id']}"


def _rows(connection: Connection[DictRow], text: LiteralString) -> list[DictRow]:
    return connection.execute(sql.SQL(text).format(schema=sql.Identifier(SCHEMA))).fetchall()
