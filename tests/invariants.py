"""What must be true of a ledger whatever happened to it: checked after every fault, read by plain SQL.

The letters are those of the design's promises. Nothing of the ledger's own reading code is used, but for
``verify``, which compares the views with their rebuild.
"""

import hashlib
import time
from collections import Counter
from collections.abc import Iterable
from typing import Any

from psycopg import Connection
from psycopg.rows import DictRow

from action_ledger.ops.ledger import Ledger
from tests.accounts import check_lists, check_records, check_sums, rows_of, view_of
from tests.actor_invariants import check_contacts
from tests.chain_invariants import check_chains
from tests.effect_invariants import check_effects
from tests.export_invariants import check_exports
from tests.images import newest_images, rows_now
from tests.lock_invariants import check_locks
from tests.schedule_invariants import check_schedules
from tests.splits import check_splits

PATIENCE = 5.0
"""Seconds that the server may take to notice that a killed process is gone."""

ENDS = (
    *("execution.completed", "execution.failed", "execution.cancelled", "execution.rolled_back"),
    *("undo.completed", "undo.failed"),
)


def check_invariants(
    connection: Connection[DictRow],
    *,
    ledger: Ledger | None = None,
    tables: Iterable[str] = (),
    touched: Iterable[str] = (),
    open_jobs: bool = False,
) -> None:
    """Check them all.

    ``tables`` are those whose rows must equal their newest images (I2), but for rows whose key, as text, is
    among ``touched``, which an outsider wrote. ``open_jobs`` says that some job has not ended on purpose.
    """
    check_streams(connection)
    check_closed(connection)
    check_one_effect_set(connection)
    check_digests(connection)
    check_contacts(connection)
    check_schedules(connection)
    check_chains(connection)
    check_records(connection)
    check_lists(connection)
    check_splits(connection)
    check_effects(connection)
    check_locks(connection)
    check_exports(connection, open_jobs=open_jobs)
    check_sums(connection)
    check_nothing_left(connection, open_jobs=open_jobs)
    for table in tables:
        check_images(connection, table, frozenset(touched))
    if ledger is not None:
        differing = [found for found in ledger.projections.verify() if not found.equal]
        assert not differing, f"I5: {differing}"


def check_streams(connection: Connection[DictRow]) -> None:
    """I3: versions from 1 without a gap. And positions are in the order of time and of versions."""
    broken = rows_of(
        connection,
        "SELECT originator_id, min(originator_version), max(originator_version), count(*)"
        " FROM {schema}.stored_events GROUP BY 1"
        " HAVING min(originator_version) <> 1 OR max(originator_version) <> count(*)",
    )
    assert not broken, f"I3: streams with gaps: {broken}"
    disordered = rows_of(
        connection,
        "SELECT * FROM (SELECT notification_id, recorded_at,"
        " lag(recorded_at) OVER (ORDER BY notification_id) AS earlier,"
        " originator_version, lag(originator_version) OVER (PARTITION BY originator_id"
        " ORDER BY notification_id) AS lower FROM {schema}.stored_events) e"
        " WHERE recorded_at < earlier OR originator_version <> coalesce(lower, 0) + 1",
    )
    assert not disordered, f"I4: positions out of order: {disordered}"


def check_closed(connection: Connection[DictRow]) -> None:
    """Nothing of an execution is done after the event that closed it, nor anything of an undo after its end."""
    late = rows_of(
        connection,
        "SELECT b.notification_id, b.topic FROM {schema}.stored_events e JOIN {schema}.stored_events b"
        " ON b.notification_id > e.notification_id AND b.topic IN ('batch.completed', 'batch.failed')"
        " AND convert_from(b.state, 'UTF8')::jsonb ->> 'execution_id' = e.originator_id::text"
        " WHERE e.topic IN ('execution.completed', 'execution.cancelled', 'execution.rollback_started',"
        "  'execution.failed')"
        " UNION ALL"
        " SELECT b.notification_id, b.topic FROM {schema}.stored_events e JOIN {schema}.stored_events b"
        " ON b.notification_id > e.notification_id"
        " AND b.topic IN ('batch.compensated', 'batch.compensation_failed')"
        " AND convert_from(b.state, 'UTF8')::jsonb ->> 'undo_id' = e.originator_id::text"
        " WHERE e.topic IN ('undo.completed', 'undo.failed')",
    )
    assert not late, f"after the end: {late}"


def check_one_effect_set(connection: Connection[DictRow]) -> None:
    """I1: one request an execution, one end a batch and a compensation, one end a job."""
    events = rows_of(
        connection,
        "SELECT originator_id, topic, convert_from(state, 'UTF8')::jsonb AS body FROM {schema}.stored_events",
    )
    once: Counter[tuple[str, Any]] = Counter()
    for event in events:
        topic, id_, body = event["topic"], event["originator_id"], event["body"]
        if topic in ENDS:
            once["end of the job", id_] += 1
        elif topic in ("batch.completed", "batch.failed", "batch.cancelled", "batch.split"):
            once["end of the batch", id_] += 1
        elif topic in ("batch.compensated", "batch.compensation_failed"):
            once["end of the compensation", body["compensation_id"]] += 1
        elif topic in (
            "execution.requested",
            "execution.planned",
            "undo.requested",
            "batch.planned",
        ):
            once[topic, id_] += 1
    twice = {what: count for what, count in once.items() if count > 1}
    assert not twice, f"I1: more than once: {twice}"
    orphans = rows_of(
        connection,
        "SELECT owner FROM {schema}.change_sets c WHERE NOT EXISTS ("
        " SELECT FROM {schema}.stored_events e WHERE e.topic IN ('batch.completed', 'batch.compensated')"
        " AND c.owner::text IN (e.originator_id::text, convert_from(e.state, 'UTF8')::jsonb ->> 'compensation_id'))",
    )
    assert not orphans, f"I1: change sets that no event tells of: {orphans}"


def check_digests(connection: Connection[DictRow]) -> None:
    """Key sets, change sets and outcomes are what their events fixed."""
    wrong = rows_of(
        connection,
        "SELECT e.originator_id FROM {schema}.stored_events e"
        " LEFT JOIN {schema}.key_sets k ON k.owner = e.originator_id"
        " WHERE e.topic = 'batch.planned' AND convert_from(e.state, 'UTF8')::jsonb ->> 'keys_digest'"
        " IS DISTINCT FROM {schema}.digest(k.salt, k.keys)",
    )
    assert not wrong, f"key sets altered or gone: {wrong}"
    orphans = rows_of(
        connection,
        "SELECT k.owner FROM {schema}.key_sets k WHERE NOT EXISTS (SELECT FROM {schema}.stored_events e"
        " WHERE e.originator_id = k.execution_id)",
    )
    assert not orphans, f"I1: key sets that no event tells of: {orphans}"
    told = rows_of(
        connection,
        "SELECT coalesce(body ->> 'compensation_id', originator_id::text) AS owner,"
        " body ->> 'change_digest' AS changes, body ->> 'outcomes_digest' AS outcomes FROM ("
        "  SELECT originator_id, convert_from(state, 'UTF8')::jsonb AS body FROM {schema}.stored_events"
        "  WHERE topic IN ('batch.completed', 'batch.failed', 'batch.cancelled', 'batch.compensated',"
        "   'batch.compensation_failed')) e",
    )
    kept = {
        str(row["owner"]): row["digests"]
        for row in rows_of(
            connection,
            "SELECT owner, array_agg({schema}.change_digest(c) ORDER BY part) AS digests"
            " FROM {schema}.change_sets c GROUP BY owner",
        )
    }
    listed = {
        str(row["owner"]): row["digest"]
        for row in rows_of(
            connection,
            "SELECT owner, {schema}.digest(''::bytea, array_agg({schema}.outcome_digest(o) ORDER BY part))"
            " AS digest FROM {schema}.record_outcomes o GROUP BY owner",
        )
    }
    for event in told:
        owner = event["owner"]
        assert event["changes"] == _joined(kept.pop(owner, [])), f"change set altered: {owner}"
        assert event["outcomes"] == listed.pop(owner, None), f"outcomes altered: {owner}"
    assert not kept, f"change sets that no event fixes: {kept}"
    assert not listed, f"outcomes that no event fixes: {listed}"


def _joined(digests: list[str]) -> str | None:
    if len(digests) <= 1:
        return digests[0] if digests else None
    return hashlib.sha256("".join(digests).encode()).hexdigest()


def check_nothing_left(connection: Connection[DictRow], *, open_jobs: bool = False) -> None:
    """I7: no queue row, lock, open transaction or temporary table is left by a job that has ended."""
    queue = rows_of(
        connection,
        "SELECT w.unit_id, w.kind, w.job_id FROM {schema}.work_queue w LEFT JOIN {executions} e ON e.execution_id = w.job_id"
        " LEFT JOIN {undos} u ON u.undo_id = w.job_id"
        " WHERE e.ended_at IS NOT NULL OR u.ended_at IS NOT NULL OR (e.execution_id IS NULL AND u.undo_id IS NULL)",
        executions=view_of(connection, "executions"),
        undos=view_of(connection, "undos"),
    )
    assert not queue, f"I7: queue rows left: {queue}"
    paces = rows_of(
        connection,
        "SELECT p.* FROM {schema}.paces p LEFT JOIN {executions} e ON e.execution_id = p.job_id"
        " WHERE e.execution_id IS NULL OR e.ended_at IS NOT NULL",
        executions=view_of(connection, "executions"),
    )
    assert not paces, f"I7: paces left: {paces}"
    if not open_jobs:
        still = rows_of(
            connection,
            "SELECT unit_id, kind, job_id, attempts, last_error FROM {schema}.work_queue",
        )
        assert not still, f"I7: work is left: {still}"
    deadline = time.monotonic() + PATIENCE
    while left := _left_in_sessions(connection):
        assert time.monotonic() < deadline, f"I7: {left}"
        time.sleep(0.05)


def _left_in_sessions(connection: Connection[DictRow]) -> list[DictRow]:
    return rows_of(
        connection,
        "SELECT 'lock' AS what, l.pid, coalesce(c.relname, l.locktype) AS name FROM pg_locks l"
        " LEFT JOIN pg_class c ON c.oid = l.relation"
        " JOIN pg_stat_activity a ON a.pid = l.pid AND a.application_name = 'action-ledger'"
        " WHERE l.pid <> pg_backend_pid() AND l.database = (SELECT oid FROM pg_database"
        "  WHERE datname = current_database())"
        " UNION ALL SELECT 'open transaction', pid, state FROM pg_stat_activity"
        " WHERE datname = current_database() AND application_name = 'action-ledger'"
        " AND state LIKE 'idle in transaction%'"
        " UNION ALL SELECT 'temporary table', 0, relname FROM pg_class"
        " WHERE relpersistence = 't' AND relkind = 'r'",
    )


def check_images(connection: Connection[DictRow], table: str, touched: frozenset[str]) -> None:
    """I2: a record that no outsider touched equals its newest after-image."""
    now = rows_now(connection, table)
    wrong: list[str] = []
    for key, image in newest_images(connection, table).items():
        if key[0] in touched:
            continue
        row = now.get(key)
        if image is None:
            if row is not None:
                wrong.append(f"{key} is there, and was deleted")
        elif row is None:
            wrong.append(f"{key} is gone")
        else:
            wrong += [
                f"{key}.{column} is {row[column]!r}, the ledger wrote {value!r}"
                for column, value in image.items()
                if row[column] != value
            ]
    assert not wrong, f"I2: {len(wrong)} differ: {wrong[:5]}"
