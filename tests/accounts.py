"""I8: each planned record is in exactly one list, and each list has as many records as its counter says."""

from collections import defaultdict
from typing import LiteralString

from psycopg import Connection, sql
from psycopg.rows import DictRow

SCHEMA = "action_ledger"
SHARED: LiteralString = (
    "(SELECT owner FROM (SELECT owner, acted, child_table FROM {schema}.change_sets"
    "   UNION ALL SELECT owner, columns, child_table FROM {schema}.record_outcomes"
    "   WHERE undo_id IS NOT NULL AND columns IS NOT NULL AND reason <> 'columns_changed_since') part"
    " WHERE child_table IS NULL GROUP BY owner HAVING count(DISTINCT acted) > 1)"
)
"""Compensations that took records back in some columns at a time: these may hold a record more than once."""
EXPORTS: LiteralString = (
    "(SELECT (convert_from(x.state, 'UTF8')::jsonb ->> 'execution_id')::uuid"
    " FROM {schema}.stored_events x WHERE x.topic = 'export.requested')"
)
"""Executions that change nothing: what they applied lies in their file. See ``export_invariants``."""


def check_records(connection: Connection[DictRow]) -> None:
    """I8, record by record: a planned record is planned once, and came to one end, in its own batch."""
    sizes = rows_of(connection, "SELECT DISTINCT cardinality(keys) AS n FROM {schema}.key_sets")
    for n in (row["n"] for row in sizes):
        keys = sql.SQL(", ").join(sql.SQL("s.keys[{}]::text[]").format(i + 1) for i in range(n))
        names = sql.SQL(", ").join(sql.Identifier(f"k{i + 1}") for i in range(n))
        twice = rows_of(
            connection,
            "SELECT execution_id, {names}, count(*) FROM {schema}.key_sets s, unnest({keys}) AS u ({names})"
            " WHERE cardinality(s.keys) = {n} AND s.execution_id <> s.owner AND EXISTS (SELECT FROM {schema}.stored_events e"
            "   WHERE e.originator_id = s.owner AND e.topic = 'batch.planned')"
            " AND NOT EXISTS (SELECT FROM {schema}.stored_events e"
            "   WHERE e.originator_id = s.owner AND e.topic = 'batch.split')"
            " GROUP BY execution_id, {names} HAVING count(*) > 1 LIMIT 5",
            keys=keys,
            names=names,
            n=sql.Literal(n),
        )
        assert not twice, f"I8: records planned twice: {twice}"
        astray = rows_of(
            connection,
            "WITH planned AS (SELECT s.owner AS batch_id, {names} FROM {schema}.key_sets s,"
            "   unnest({keys}) AS u ({names}) WHERE EXISTS (SELECT FROM {schema}.stored_events e"
            "   WHERE e.originator_id = s.owner AND e.topic IN ('batch.completed', 'batch.failed'))"
            "   AND cardinality(s.keys) = {n} AND s.execution_id NOT IN " + EXPORTS + "),"
            " ended AS (SELECT s.owner AS batch_id, {names} FROM {schema}.change_sets s,"
            "   unnest({keys}) AS u ({names}) WHERE s.direction = 'do' AND s.child_table IS NULL"
            "   AND cardinality(s.keys) = {n}"
            "  UNION ALL SELECT s.owner, {names} FROM {schema}.record_outcomes s,"
            "   unnest({keys}) AS u ({names}) WHERE s.undo_id IS NULL AND s.child_table IS NULL AND cardinality(s.keys) = {n}"
            "    AND s.execution_id NOT IN "
            + EXPORTS
            + " AND NOT EXISTS (SELECT FROM {schema}.stored_events e WHERE e.originator_id = s.owner"
            "     AND e.topic = 'batch.cancelled')"
            "  UNION ALL SELECT s.owner, {effected} FROM {schema}.effect_results s"
            "   WHERE s.undo_id IS NULL AND s.outcome = 'applied' AND cardinality(s.key) = {n}"
            "    AND EXISTS (SELECT FROM {schema}.stored_events e WHERE e.originator_id = s.owner"
            "     AND e.topic = 'batch.completed'))"
            " (TABLE planned EXCEPT ALL TABLE ended) UNION ALL (TABLE ended EXCEPT ALL TABLE planned) LIMIT 5",
            keys=keys,
            names=names,
            n=sql.Literal(n),
            effected=sql.SQL(", ").join(sql.SQL("s.key[{}]").format(i + 1) for i in range(n)),
        )
        assert not astray, f"I8: records without an end, or with two: {astray}"
        twice = rows_of(
            connection,
            "SELECT undo_id, batch_id, {names}, count(*) FROM ("
            "  SELECT s.undo_id, s.batch_id, s.child_table, s.via, {names} FROM {schema}.change_sets s,"
            "   unnest({keys}) AS u ({names}) WHERE cardinality(s.keys) = {n} AND s.owner NOT IN "
            + SHARED
            + "  UNION ALL SELECT s.undo_id, s.batch_id, s.child_table, NULL, {names} FROM {schema}.record_outcomes s,"
            "   unnest({keys}) AS u ({names}) WHERE cardinality(s.keys) = {n} AND s.child_table IS NULL"
            "    AND s.reason <> 'columns_changed_since' AND s.owner NOT IN " + SHARED + ") ended"
            " WHERE undo_id IS NOT NULL GROUP BY undo_id, batch_id, child_table, via, {names}"
            " HAVING count(*) > 1 LIMIT 5",
            keys=keys,
            names=names,
            n=sql.Literal(n),
        )
        assert not twice, f"I8: records of an undo with two ends: {twice}"
    lists = rows_of(
        connection,
        "SELECT owner, records FROM {schema}.change_sets c"
        " WHERE records <> cardinality(keys[1]::text[])"
        " UNION ALL SELECT owner, records FROM {schema}.record_outcomes o"
        " WHERE records <> cardinality(keys[1]::text[])",
    )
    assert not lists, f"I8: lists of another length than they say: {lists}"


def check_lists(connection: Connection[DictRow]) -> None:
    """I8, batch by batch: each list has as many records as the tally of the event says, and so have all together."""
    wrong = rows_of(
        connection,
        "WITH said AS (SELECT coalesce(body ->> 'compensation_id', originator_id::text) AS owner, topic,"
        "   (body -> 'tally' ->> 'applied')::bigint AS applied, (body -> 'tally' ->> 'failed')::bigint AS failed,"
        "   (body -> 'tally' ->> 'skipped')::bigint AS skipped FROM ("
        "    SELECT originator_id, topic, convert_from(state, 'UTF8')::jsonb AS body FROM {schema}.stored_events"
        "    WHERE topic IN ('batch.completed', 'batch.failed', 'batch.compensated',"
        "     'batch.compensation_failed')) e),"
        " planned AS (SELECT coalesce(body ->> 'compensation_id', originator_id::text) AS owner,"
        "   (body ->> 'records')::bigint AS records FROM ("
        "    SELECT originator_id, convert_from(state, 'UTF8')::jsonb AS body FROM {schema}.stored_events"
        "    WHERE topic IN ('batch.planned', 'batch.compensation_planned')) e),"
        " changed AS (SELECT owner::text, sum(records) AS applied FROM ("
        "   SELECT owner, records FROM {schema}.change_sets WHERE child_table IS NULL"
        "   UNION ALL SELECT owner, 1 FROM {schema}.effect_results WHERE outcome = 'applied'"
        "   UNION ALL SELECT k.owner, s.applied FROM said s JOIN {schema}.key_sets k ON k.owner::text = s.owner"
        "    WHERE k.execution_id IN " + EXPORTS + ") c GROUP BY 1),"
        " left_out AS (SELECT owner::text, sum(records) FILTER (WHERE outcome = 'failed') AS failed,"
        "   sum(records) FILTER (WHERE outcome <> 'failed') AS skipped FROM {schema}.record_outcomes"
        "   WHERE child_table IS NULL AND reason <> 'columns_changed_since' GROUP BY 1)"
        " SELECT s.*, p.records AS planned, c.applied AS changed, o.failed AS listed, o.skipped AS passed FROM said s"
        " LEFT JOIN planned p USING (owner) LEFT JOIN changed c USING (owner) LEFT JOIN left_out o USING (owner)"
        " WHERE (s.applied, s.failed, s.skipped)"
        "   IS DISTINCT FROM (coalesce(c.applied, 0), coalesce(o.failed, 0), coalesce(o.skipped, 0))"
        "  OR s.applied + s.failed + s.skipped IS DISTINCT FROM p.records",
    )
    shared = _recounted(connection)
    for row in wrong:
        said = tuple(row[name] for name in ("applied", "failed", "skipped"))
        assert said == shared.get(row["owner"]), f"I8: a tally that is not what is listed: {row}"
        assert sum(said) == row["planned"], f"I8: not as many as were planned: {row}"


def _recounted(connection: Connection[DictRow]) -> dict[str, tuple[int, int, int]]:
    """Count the records of compensations by columns: failed if any of it was, applied if anything came back."""
    ends: defaultdict[tuple[str, tuple[str, ...]], set[str]] = defaultdict(set)
    for row in rows_of(
        connection,
        "SELECT s.owner::text, part, what, array_agg(e.value ORDER BY k.i) AS key FROM ("
        "  SELECT owner, part, keys, 'applied' AS what FROM {schema}.change_sets WHERE child_table IS NULL"
        "  UNION ALL SELECT owner, part, keys, outcome FROM {schema}.record_outcomes WHERE child_table IS NULL) s"
        " CROSS JOIN LATERAL unnest(s.keys) WITH ORDINALITY k (texts, i)"
        " CROSS JOIN LATERAL unnest(k.texts::text[]) WITH ORDINALITY e (value, n)"
        " WHERE s.owner IN " + SHARED + " GROUP BY s.owner, part, what, e.n",
    ):
        ends[row["owner"], tuple(row["key"])].add(row["what"])
    counts: dict[str, tuple[int, int, int]] = {}
    for (owner, _), what in ends.items():
        applied, failed, skipped = counts.get(owner, (0, 0, 0))
        if "failed" in what:
            failed += 1
        elif "applied" in what:
            applied += 1
        else:
            skipped += 1
        counts[owner] = applied, failed, skipped
    return counts


def check_sums(connection: Connection[DictRow]) -> None:
    """I8, in numbers: the four add up to the total, and each is what lies in the bulk data."""
    for view, key in (("executions", "execution_id"), ("undos", "undo_id")):
        wrong = rows_of(
            connection,
            "SELECT * FROM {view} WHERE applied + failed + skipped + pending <> total"
            " OR least(applied, failed, skipped, pending) < 0 OR (status = 'completed' AND pending <> 0)"
            " OR batches_done > batches OR (ended_at IS NOT NULL AND batches_done <> batches)",
            view=view_of(connection, view),
        )
        assert not wrong, f"I8: {view} do not add up: {wrong}"
        where = sql.SQL("s.undo_id IS NULL AND b.execution_id = v.execution_id")
        if view == "undos":
            where = sql.SQL("s.undo_id = v.undo_id")
        wrong = rows_of(
            connection,
            "SELECT v.{key}, v.applied, v.failed, v.skipped, c.applied AS kept, o.failed AS listed,"
            " o.skipped AS passed FROM {view} v,"
            " LATERAL (SELECT coalesce(sum(s.records), 0) + (SELECT count(*) FROM {schema}.effect_results s"
            "   JOIN {batches} b USING (batch_id) WHERE s.outcome = 'applied' AND {where} AND NOT EXISTS ("
            "    SELECT FROM {schema}.work_queue w WHERE w.unit_id = s.owner)) AS applied"
            "  FROM {schema}.change_sets s JOIN {batches} b USING (batch_id) WHERE s.child_table IS NULL AND {where}) c,"
            " LATERAL (SELECT coalesce(sum(s.records) FILTER (WHERE s.outcome = 'failed'), 0) AS failed,"
            "  coalesce(sum(s.records) FILTER (WHERE s.outcome <> 'failed'), 0) AS skipped"
            "  FROM {schema}.record_outcomes s JOIN {batches} b USING (batch_id) WHERE s.child_table IS NULL"
            "   AND s.reason <> 'columns_changed_since' AND {where}) o"
            " WHERE NOT EXISTS (SELECT FROM {schema}.change_sets s JOIN {batches} b USING (batch_id)"
            "  WHERE {where} AND s.owner IN "
            + SHARED
            + ") AND ((v.applied <> c.applied AND v.execution_id NOT IN "
            + EXPORTS
            + ") OR v.failed <> o.failed OR v.skipped <> o.skipped)",
            key=sql.Identifier(key),
            view=view_of(connection, view),
            batches=view_of(connection, "batches"),
            where=where,
        )
        assert not wrong, f"I8: {view} are not what their batches say: {wrong}"


def view_of(
    connection: Connection[DictRow], table: str, *, projection: str = "progress"
) -> sql.Identifier:
    """Name the live generation of one of a view's tables."""
    row = connection.execute(
        sql.SQL("SELECT generation FROM {}.projections WHERE name = {}").format(
            sql.Identifier(SCHEMA), sql.Literal(projection)
        )
    ).fetchone()
    assert row is not None
    return sql.Identifier(SCHEMA, f"view_{table}_g{row['generation']}")


def rows_of(
    connection: Connection[DictRow], text: LiteralString, **parts: sql.Composable
) -> list[DictRow]:
    statement = sql.SQL(text).format(schema=sql.Identifier(SCHEMA), **parts)
    return connection.execute(statement).fetchall()
