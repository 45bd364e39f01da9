"""What must be true of a ledger whatever happened to it: checked after every fault, read by plain SQL.

The letters are those of the design's promises. Nothing of the ledger's own reading code is used, but for
``verify``, which compares the views with their rebuild.
"""

import hashlib
import time
from collections import Counter
from collections.abc import Iterable
from typing import Any, LiteralString

from psycopg import Connection, sql
from psycopg.rows import DictRow

from action_ledger.ops.ledger import Ledger
from tests.images import newest_images, rows_now
from tests.schedule_invariants import check_schedules

SCHEMA = "action_ledger"
PATIENCE = 5.0
"""Seconds that the server may take to notice that a killed process is gone."""

ENDS = ("execution.completed", "execution.failed", "undo.completed", "undo.rejected")


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
    check_one_effect_set(connection)
    check_digests(connection)
    check_schedules(connection)
    check_records(connection)
    check_sums(connection)
    check_nothing_left(connection, open_jobs=open_jobs)
    for table in tables:
        check_images(connection, table, frozenset(touched))
    if ledger is not None:
        differing = [found for found in ledger.projections.verify() if not found.equal]
        assert not differing, f"I5: {differing}"


def check_streams(connection: Connection[DictRow]) -> None:
    """I3: versions from 1 without a gap. And positions are in the order of time and of versions."""
    broken = _rows(
        connection,
        "SELECT originator_id, min(originator_version), max(originator_version), count(*)"
        " FROM {schema}.stored_events GROUP BY 1"
        " HAVING min(originator_version) <> 1 OR max(originator_version) <> count(*)",
    )
    assert not broken, f"I3: streams with gaps: {broken}"
    disordered = _rows(
        connection,
        "SELECT * FROM (SELECT notification_id, recorded_at,"
        " lag(recorded_at) OVER (ORDER BY notification_id) AS earlier,"
        " originator_version, lag(originator_version) OVER (PARTITION BY originator_id"
        " ORDER BY notification_id) AS lower FROM {schema}.stored_events) e"
        " WHERE recorded_at < earlier OR originator_version <> coalesce(lower, 0) + 1",
    )
    assert not disordered, f"I4: positions out of order: {disordered}"


def check_one_effect_set(connection: Connection[DictRow]) -> None:
    """I1: one request an execution, one end a batch and a compensation, one end a job."""
    events = _rows(
        connection,
        "SELECT originator_id, topic, convert_from(state, 'UTF8')::jsonb AS body FROM {schema}.stored_events",
    )
    once: Counter[tuple[str, Any]] = Counter()
    for event in events:
        topic, id_, body = event["topic"], event["originator_id"], event["body"]
        if topic in ENDS:
            once["end of the job", id_] += 1
        elif topic in ("batch.completed", "batch.failed"):
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
    orphans = _rows(
        connection,
        "SELECT owner FROM {schema}.change_sets c WHERE NOT EXISTS ("
        " SELECT FROM {schema}.stored_events e WHERE e.topic IN ('batch.completed', 'batch.compensated')"
        " AND c.owner::text IN (e.originator_id::text, convert_from(e.state, 'UTF8')::jsonb ->> 'compensation_id'))",
    )
    assert not orphans, f"I1: change sets that no event tells of: {orphans}"


def check_digests(connection: Connection[DictRow]) -> None:
    """Key sets, change sets and outcomes are what their events fixed."""
    wrong = _rows(
        connection,
        "SELECT k.owner FROM {schema}.stored_events e JOIN {schema}.key_sets k ON k.owner = e.originator_id"
        " WHERE e.topic = 'batch.planned' AND convert_from(e.state, 'UTF8')::jsonb ->> 'keys_digest'"
        " <> {schema}.digest(k.salt, k.keys)",
    )
    assert not wrong, f"key sets altered: {wrong}"
    told = _rows(
        connection,
        "SELECT coalesce(body ->> 'compensation_id', originator_id::text) AS owner,"
        " body ->> 'change_digest' AS changes, body ->> 'outcomes_digest' AS outcomes FROM ("
        "  SELECT originator_id, convert_from(state, 'UTF8')::jsonb AS body FROM {schema}.stored_events"
        "  WHERE topic IN ('batch.completed', 'batch.compensated')) e",
    )
    kept = {
        str(row["owner"]): row["digests"]
        for row in _rows(
            connection,
            "SELECT owner, array_agg({schema}.change_digest(c) ORDER BY part) AS digests"
            " FROM {schema}.change_sets c GROUP BY owner",
        )
    }
    listed = {
        str(row["owner"]): row["digest"]
        for row in _rows(
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


def check_records(connection: Connection[DictRow]) -> None:
    """I8, record by record: a planned record is planned once, and came to one end, in its own batch."""
    sizes = _rows(connection, "SELECT DISTINCT cardinality(keys) AS n FROM {schema}.key_sets")
    for n in (row["n"] for row in sizes):
        keys = sql.SQL(", ").join(sql.SQL("s.keys[{}]::text[]").format(i + 1) for i in range(n))
        names = sql.SQL(", ").join(sql.Identifier(f"k{i + 1}") for i in range(n))
        twice = _rows(
            connection,
            "SELECT execution_id, {names}, count(*) FROM {schema}.key_sets s, unnest({keys}) AS u ({names})"
            " WHERE s.execution_id <> s.owner AND EXISTS (SELECT FROM {schema}.stored_events e"
            "   WHERE e.originator_id = s.owner AND e.topic = 'batch.planned')"
            " GROUP BY execution_id, {names} HAVING count(*) > 1 LIMIT 5",
            keys=keys,
            names=names,
        )
        assert not twice, f"I8: records planned twice: {twice}"
        astray = _rows(
            connection,
            "WITH planned AS (SELECT s.owner AS batch_id, {names} FROM {schema}.key_sets s,"
            "   unnest({keys}) AS u ({names}) WHERE EXISTS (SELECT FROM {schema}.stored_events e"
            "   WHERE e.originator_id = s.owner AND e.topic = 'batch.completed')),"
            " ended AS (SELECT s.owner AS batch_id, {names} FROM {schema}.change_sets s,"
            "   unnest({keys}) AS u ({names}) WHERE s.direction = 'do' AND cardinality(s.keys) = {n}"
            "  UNION ALL SELECT s.owner, {names} FROM {schema}.record_outcomes s,"
            "   unnest({keys}) AS u ({names}) WHERE s.undo_id IS NULL AND cardinality(s.keys) = {n})"
            " (TABLE planned EXCEPT ALL TABLE ended) UNION ALL (TABLE ended EXCEPT ALL TABLE planned) LIMIT 5",
            keys=keys,
            names=names,
            n=sql.Literal(n),
        )
        assert not astray, f"I8: records without an end, or with two: {astray}"


def check_sums(connection: Connection[DictRow]) -> None:
    """I8, in numbers: the four add up to the total, and each is what lies in the bulk data."""
    for view, key in (("executions", "execution_id"), ("undos", "undo_id")):
        wrong = _rows(
            connection,
            "SELECT * FROM {view} WHERE applied + failed + skipped + pending <> total"
            " OR least(applied, failed, skipped, pending) < 0 OR (ended_at IS NOT NULL AND pending <> 0)"
            " OR batches_done > batches OR (ended_at IS NOT NULL AND batches_done <> batches)",
            view=view_of(connection, view),
        )
        assert not wrong, f"I8: {view} do not add up: {wrong}"
        where = sql.SQL("s.undo_id IS NULL AND b.execution_id = v.execution_id")
        if view == "undos":
            where = sql.SQL("s.undo_id = v.undo_id")
        wrong = _rows(
            connection,
            "SELECT v.{key}, v.applied, v.failed, v.skipped, c.applied AS kept, o.failed AS listed,"
            " o.skipped AS passed, f.records AS sunk FROM {view} v,"
            " LATERAL (SELECT coalesce(sum(s.records), 0) AS applied FROM {schema}.change_sets s"
            "  JOIN {batches} b USING (batch_id) WHERE {where}) c,"
            " LATERAL (SELECT coalesce(sum(s.records) FILTER (WHERE s.outcome = 'failed'), 0) AS failed,"
            "  coalesce(sum(s.records) FILTER (WHERE s.outcome <> 'failed'), 0) AS skipped"
            "  FROM {schema}.record_outcomes s JOIN {batches} b USING (batch_id) WHERE {where}) o,"
            " LATERAL (SELECT coalesce(sum((convert_from(e.state, 'UTF8')::jsonb -> 'tally' ->> 'failed')::bigint), 0)"
            "  AS records FROM {schema}.stored_events e WHERE e.topic = {topic}"
            "  AND convert_from(e.state, 'UTF8')::jsonb ->> {key_text} = v.{key}::text) f"
            " WHERE v.applied <> c.applied OR v.failed <> o.failed + f.records OR v.skipped <> o.skipped",
            key=sql.Identifier(key),
            key_text=sql.Literal(key),
            topic=sql.Literal(
                "batch.failed" if view == "executions" else "batch.compensation_failed"
            ),
            view=view_of(connection, view),
            batches=view_of(connection, "batches"),
            where=where,
        )
        assert not wrong, f"I8: {view} are not what their batches say: {wrong}"


def check_nothing_left(connection: Connection[DictRow], *, open_jobs: bool = False) -> None:
    """I7: no queue row, lock, open transaction or temporary table is left by a job that has ended."""
    queue = _rows(
        connection,
        "SELECT w.* FROM {schema}.work_queue w LEFT JOIN {executions} e ON e.execution_id = w.job_id"
        " LEFT JOIN {undos} u ON u.undo_id = w.job_id"
        " WHERE e.ended_at IS NOT NULL OR u.ended_at IS NOT NULL OR (e.execution_id IS NULL AND u.undo_id IS NULL)",
        executions=view_of(connection, "executions"),
        undos=view_of(connection, "undos"),
    )
    assert not queue, f"I7: queue rows left: {queue}"
    if not open_jobs:
        still = _rows(connection, "SELECT * FROM {schema}.work_queue")
        assert not still, f"I7: work is left: {still}"
    deadline = time.monotonic() + PATIENCE
    while left := _left_in_sessions(connection):
        assert time.monotonic() < deadline, f"I7: {left}"
        time.sleep(0.05)


def _left_in_sessions(connection: Connection[DictRow]) -> list[DictRow]:
    return _rows(
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


def view_of(connection: Connection[DictRow], table: str) -> sql.Identifier:
    """Name the live generation of one of the progress view's tables."""
    row = connection.execute(
        sql.SQL("SELECT generation FROM {}.projections WHERE name = 'progress'").format(
            sql.Identifier(SCHEMA)
        )
    ).fetchone()
    assert row is not None
    return sql.Identifier(SCHEMA, f"view_{table}_g{row['generation']}")


def _rows(
    connection: Connection[DictRow], text: LiteralString, **parts: sql.Composable
) -> list[DictRow]:
    statement = sql.SQL(text).format(schema=sql.Identifier(SCHEMA), **parts)
    return connection.execute(statement).fetchall()
