"""What must be true of chains whatever happened; a part of ``invariants``."""

from uuid import UUID

from psycopg import Connection
from psycopg.rows import DictRow

from action_ledger.domain.chain import step_id, step_undo_id
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
    said, asked = _said(connection), _asked(connection)
    assert said == asked, f"I1: said and not asked for, or asked for and not said: {said ^ asked}"
    left = rows_of(
        connection,
        "SELECT q.chain_id, e.topic FROM {schema}.chain_queue q CROSS JOIN LATERAL ("
        " SELECT topic FROM {schema}.stored_events e WHERE e.originator_id = q.chain_id"
        " ORDER BY originator_version DESC LIMIT 1) e"
        " WHERE e.topic IN ('chain.completed', 'chain.failed', 'chain.cancelled', 'chain.compensated')",
    )
    assert not left, f"I7: chains in the queue that have ended: {left}"


def _said(connection: Connection[DictRow]) -> set[UUID]:
    """Give the executions and undos that chains say they asked for."""
    rows = rows_of(
        connection,
        "SELECT coalesce(body ->> 'undo_id', body ->> 'execution_id')::uuid AS id FROM ("
        " SELECT convert_from(state, 'UTF8')::jsonb AS body FROM {schema}.stored_events"
        " WHERE topic IN ('chain.step_started', 'chain.step_compensating')) e",
    )
    return {row["id"] for row in rows}


def _asked(connection: Connection[DictRow]) -> set[UUID]:
    """Give those that were asked for under a name that only a chain gives: others can be asked for by anybody."""
    chains = rows_of(
        connection,
        "SELECT originator_id AS id, max(originator_version) AS version, max(jsonb_array_length("
        "  convert_from(state, 'UTF8')::jsonb -> 'steps')) FILTER (WHERE topic = 'chain.requested') AS steps"
        " FROM {schema}.stored_events WHERE topic LIKE 'chain.%' GROUP BY 1",
    )
    names = {
        name
        for chain in chains
        for step in range(1, chain["steps"] + 1)
        for name in (
            step_id(chain["id"], step),
            *(step_undo_id(chain["id"], step, at) for at in range(chain["version"] + 1)),
        )
    }
    rows = rows_of(
        connection,
        "SELECT originator_id AS id FROM {schema}.stored_events"
        " WHERE topic IN ('execution.requested', 'undo.requested')",
    )
    return names & {row["id"] for row in rows}
