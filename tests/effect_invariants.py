"""What must be true of effects whatever happened: epochs, what was kept under them, and the events that fix it."""

from typing import LiteralString

from psycopg import Connection, sql
from psycopg.rows import DictRow

SCHEMA = "action_ledger"
BODY = "convert_from(e.state, 'UTF8')::jsonb"


def check_effects(connection: Connection[DictRow]) -> None:
    """I1 and I7 for effects."""
    check_epochs(connection)
    check_kept(connection)
    check_fixed(connection)


def check_epochs(connection: Connection[DictRow]) -> None:
    """Leases of a batch are counted from 1 without a gap, and the queue knows the newest."""
    broken = _rows(
        connection,
        "SELECT originator_id, array_agg(epoch ORDER BY version) FROM (SELECT e.originator_id,"
        " e.originator_version AS version, ({body} ->> 'epoch')::integer AS epoch,"
        " row_number() OVER (PARTITION BY e.originator_id ORDER BY e.originator_version) AS n"
        " FROM {schema}.stored_events e WHERE e.topic IN ('batch.started', 'batch.compensation_started')) s"
        " WHERE epoch <> n GROUP BY 1",
    )
    assert not broken, f"I1: epochs out of order: {broken}"
    stale = _rows(
        connection,
        "SELECT w.* FROM {schema}.work_queue w WHERE w.leased_epoch IS NOT NULL AND w.leased_epoch <> (SELECT"
        " max(({body} ->> 'epoch')::integer) FROM {schema}.stored_events e WHERE e.originator_id = w.batch_id"
        " AND e.topic IN ('batch.started', 'batch.compensation_started'))",
    )
    assert not stale, f"I7: leases that were never taken: {stale}"


def check_kept(connection: Connection[DictRow]) -> None:
    """A record is counted once, under an epoch that was taken, of a unit that is at work or has ended."""
    twice = _rows(
        connection,
        "SELECT idempotency_key, count(*) FROM {schema}.effect_results WHERE idempotency_key IS NOT NULL"
        " GROUP BY 1 HAVING count(*) > 1",
    )
    assert not twice, f"I1: counted twice: {twice}"
    untaken = _rows(
        connection,
        "SELECT r.* FROM {schema}.effect_results r WHERE NOT EXISTS (SELECT FROM {schema}.stored_events e"
        " WHERE e.originator_id = r.batch_id AND ({body} ->> 'epoch')::integer = r.epoch"
        " AND e.topic = CASE WHEN r.undo_id IS NULL THEN 'batch.started' ELSE 'batch.compensation_started' END)",
    )
    assert not untaken, f"I1: kept without a lease: {untaken}"
    orphans = _rows(
        connection,
        "SELECT DISTINCT r.owner FROM {schema}.effect_results r WHERE NOT EXISTS (SELECT FROM {schema}.work_queue w"
        " WHERE w.unit_id = r.owner) AND NOT EXISTS (SELECT FROM {schema}.stored_events e"
        " WHERE e.originator_id = r.batch_id AND e.topic IN ('batch.completed', 'batch.cancelled',"
        "  'batch.compensated', 'batch.compensation_failed')"
        " AND coalesce({body} ->> 'compensation_id', e.originator_id::text) = r.owner::text)",
    )
    assert not orphans, f"I1: effects that no event tells of: {orphans}"


def check_fixed(connection: Connection[DictRow]) -> None:
    """What was kept is what the event says that ended the unit: in number, and by its digest."""
    wrong = _rows(
        connection,
        "SELECT * FROM (SELECT e.originator_id, e.topic, {body} ->> 'effects_digest' AS said,"
        " {body} -> 'tally' AS tally, k.* FROM {schema}.stored_events e,"
        " LATERAL (SELECT CASE WHEN count(*) > 0 THEN {schema}.digest(''::bytea,"
        "   array_agg({schema}.effect_digest(r) ORDER BY r.position)) END AS digest,"
        "  count(*) FILTER (WHERE outcome = 'applied') AS applied, count(*) FILTER (WHERE outcome = 'failed') AS failed,"
        "  count(*) FILTER (WHERE outcome = 'skipped') AS skipped"
        "  FROM {schema}.effect_results r WHERE r.owner::text ="
        "   coalesce({body} ->> 'compensation_id', e.originator_id::text)) k"
        " WHERE e.topic IN ('batch.completed', 'batch.cancelled', 'batch.compensated', 'batch.compensation_failed')) x"
        " WHERE said IS DISTINCT FROM digest OR (said IS NOT NULL AND ((tally ->> 'applied')::bigint <> applied"
        "  OR (tally ->> 'failed')::bigint <> failed OR (tally ->> 'skipped')::bigint <> skipped))",
    )
    assert not wrong, f"I1: effects are not what their event says: {wrong}"


def _rows(connection: Connection[DictRow], text: LiteralString) -> list[DictRow]:
    statement = sql.SQL(text).format(schema=sql.Identifier(SCHEMA), body=sql.SQL(BODY))
    return connection.execute(statement).fetchall()
