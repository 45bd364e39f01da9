"""The keys that let a row be there only once. Most stand behind a lock that would do alone: a second guard, for the last resort."""

import pytest
from psycopg import Connection, errors
from psycopg.rows import DictRow

from action_ledger.ops import Ledger

KEYS = {
    "actor_contacts": {"digest"},
    "chain_queue": {"chain_id"},
    "change_sets": {"owner, part"},
    "command_inbox": {"command_id"},
    "command_keys": {"key"},
    "effect_results": {"owner, position", "idempotency_key"},
    "export_files": {"execution_id"},
    "export_parts": {"batch_id"},
    "hook_deliveries": {"subscription_id"},
    "key_sets": {"owner"},
    "notification_tracking": {"application_name"},
    "paces": {"job_id"},
    "parked_streams": {"projection, originator_id"},
    "projections": {"name"},
    "record_outcomes": {"owner, part"},
    "request_bodies": {"owner"},
    "schedule_queue": {"schedule_id"},
    "stored_events": {"originator_id, originator_version", "notification_id"},
    "view_audit_g1": {"position"},
    "view_batches_g1": {"batch_id"},
    "view_chain_steps_g1": {"execution_id"},
    "view_chains_g1": {"chain_id"},
    "view_executions_g1": {"execution_id"},
    "view_exports_g1": {"export_id", "execution_id"},
    "view_locks_g1": {"owner_id"},
    "view_schedule_runs_g1": {"position"},
    "view_schedules_g1": {"schedule_id"},
    "view_undos_g1": {"undo_id"},
    "work_queue": {"unit_id"},
    "workers": {"worker_id"},
}


def unique_keys(connection: Connection[DictRow]) -> set[tuple[str, str]]:
    """Read the columns of each unique index of the ledger that holds for all rows, at once."""
    rows = connection.execute(
        "SELECT c.relname AS name, (SELECT string_agg(a.attname, ', ' ORDER BY k.n)"
        "  FROM unnest(i.indkey) WITH ORDINALITY AS k (number, n)"
        "  JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.number) AS columns"
        " FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid"
        " WHERE c.relnamespace = 'action_ledger'::regnamespace"
        " AND i.indisunique AND i.indisvalid AND i.indimmediate AND i.indpred IS NULL"
    ).fetchall()
    return {(row["name"], row["columns"]) for row in rows}


def test_none_is_missing(connection: Connection[DictRow]) -> None:
    wanted = {(table, key) for table, keys in KEYS.items() for key in keys}
    assert wanted - unique_keys(connection) == set()


def test_none_is_left_out(connection: Connection[DictRow]) -> None:
    """A key of a later migration belongs into the list, or nobody would miss it."""
    listed = {(table, key) for table, keys in KEYS.items() for key in keys}
    assert unique_keys(connection) - listed - {("schema_migrations", "version")} == set()


def test_a_rebuilt_view_has_them_too(ledger: Ledger, connection: Connection[DictRow]) -> None:
    before = unique_keys(connection)
    ledger.projections.rebuild(["progress", "audit", "schedules", "chains", "locks", "exports"])
    made = unique_keys(connection) - before
    assert {(table.replace("_g2", "_g1"), key) for table, key in made} == {
        (table, key) for table, key in before if table.startswith("view_")
    }


def test_a_position_is_given_once(
    ledger: Ledger, places: str, connection: Connection[DictRow]
) -> None:
    """A sequence that was set back, as by a restore that forgot it, is an error and not a second history."""
    request = ledger.on(places).keys([1]).update(note="x").by("user:1")
    request.submit()
    connection.execute(
        "SELECT setval(pg_get_serial_sequence('action_ledger.stored_events', 'notification_id'), 1, false)"
    )
    before = connection.execute("SELECT * FROM action_ledger.stored_events").fetchall()
    with ledger.store.transaction() as transaction:
        event = ledger.store.read_stream(transaction.cursor, before[0]["originator_id"])[0].event
        again = event.model_copy(update={"originator_version": len(before) + 7})
        with pytest.raises(errors.UniqueViolation):
            transaction.append(again)
    assert connection.execute("SELECT * FROM action_ledger.stored_events").fetchall() == before
