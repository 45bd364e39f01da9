"""What must be true of chains whatever happened; a part of ``invariants``."""

from psycopg import Connection
from psycopg.rows import DictRow

from tests.accounts import rows_of


def check_chains(connection: Connection[DictRow]) -> None:
    """Each step was begun once and ended once; what a chain says it asked for is there, and nothing else of it is."""
    twice = rows_of(
        connection,
        "SELECT originator_id, topic, convert_from(state, 'UTF8')::jsonb ->> 'step' AS step"
        " FROM {schema}.stored_events WHERE topic IN ('chain.requested', 'chain.step_started',"
        "  'chain.step_refused', 'chain.step_ended') GROUP BY 1, 2, 3 HAVING count(*) > 1",
    )
    assert not twice, f"I1: more than once: {twice}"
    torn = rows_of(
        connection,
        "WITH events AS (SELECT originator_id AS id, topic, convert_from(state, 'UTF8')::jsonb AS body"
        "  FROM {schema}.stored_events),"
        " said AS (SELECT (body ->> 'execution_id')::uuid AS id FROM events WHERE topic = 'chain.step_started'"
        "  UNION ALL SELECT (body ->> 'undo_id')::uuid FROM events WHERE topic = 'chain.step_compensating'),"
        " asked AS (SELECT r.id FROM events r JOIN events f ON f.topic = 'chain.requested'"
        "  AND r.body #>> '{{metadata,correlation_id}}' = f.id::text"
        "  WHERE r.topic IN ('execution.requested', 'undo.requested'))"
        " (TABLE said EXCEPT ALL TABLE asked) UNION ALL (TABLE asked EXCEPT ALL TABLE said)",
    )
    assert not torn, f"I1: said and not asked for, or asked for and not said: {torn}"
    left = rows_of(
        connection,
        "SELECT q.chain_id, e.topic FROM {schema}.chain_queue q CROSS JOIN LATERAL ("
        " SELECT topic FROM {schema}.stored_events e WHERE e.originator_id = q.chain_id"
        " ORDER BY originator_version DESC LIMIT 1) e"
        " WHERE e.topic IN ('chain.completed', 'chain.failed', 'chain.cancelled', 'chain.compensated')",
    )
    assert not left, f"I7: chains in the queue that have ended: {left}"
