"""What must be true of exports whatever happened: one end each, a manifest that is the sum of its batches, no parts."""

from typing import LiteralString

from psycopg import Connection, sql
from psycopg.rows import DictRow

SCHEMA = "action_ledger"
EVENTS: LiteralString = (
    "SELECT originator_id, topic, (body ->> 'execution_id')::uuid AS execution_id, body FROM ("
    " SELECT originator_id, topic, convert_from(state, 'UTF8')::jsonb AS body FROM {schema}.stored_events) e"
)


def check_exports(connection: Connection[DictRow], *, open_jobs: bool) -> None:
    """I1, I7 and I8 for exports."""
    twice = _rows(
        connection,
        "SELECT execution_id, count(*) FROM (" + EVENTS + ") e WHERE topic IN"
        " ('export.written', 'export.failed', 'export.cancelled') GROUP BY 1 HAVING count(*) > 1",
    )
    assert not twice, f"I1: exports with two ends: {twice}"
    wrong = _rows(
        connection,
        "SELECT w.execution_id, w.body ->> 'records' AS told, b.applied FROM (" + EVENTS + ") w,"
        " LATERAL (SELECT coalesce(sum((b.body -> 'tally' ->> 'applied')::bigint), 0) AS applied FROM ("
        + EVENTS
        + ") b WHERE b.topic = 'batch.completed' AND b.execution_id = w.execution_id) b"
        " WHERE w.topic = 'export.written' AND (w.body ->> 'records')::bigint <> b.applied",
    )
    assert not wrong, f"I8: manifests that are not the sum of their batches: {wrong}"
    early = _rows(
        connection,
        "SELECT r.execution_id FROM ("
        + EVENTS
        + ") r WHERE r.topic = 'export.requested' AND EXISTS ("
        " SELECT FROM {schema}.stored_events e WHERE e.originator_id = r.execution_id"
        "  AND e.topic = 'execution.completed')"
        " AND NOT EXISTS (SELECT FROM {schema}.stored_events e WHERE e.originator_id = r.originator_id"
        "  AND e.topic = 'export.written')",
    )
    assert not early, f"I1: completed without a file: {early}"
    if not open_jobs:
        parts = _rows(connection, "SELECT * FROM {schema}.export_files WHERE staged")
        assert not parts, f"I7: parts are left: {parts}"


def _rows(connection: Connection[DictRow], query: LiteralString) -> list[DictRow]:
    statement = sql.SQL(query).format(schema=sql.Identifier(SCHEMA))
    return connection.execute(statement).fetchall()
