"""What tests of record locks share: overlapping executions on the places, and who has what of them."""

from typing import Any

from psycopg import Connection
from psycopg.rows import DictRow

from action_ledger.domain import col
from action_ledger.ops import ExecutionHandle, Ledger
from action_ledger.ops.builder import Request

SIZE = 10


def add_one(ledger: Ledger, lo: int, hi: int) -> Request:
    chosen = (col("id") >= lo) & (col("id") <= hi)
    request = ledger.on("places").where(chosen).update(score=col("score") + 1000)
    return request.by("user:1").batch_size(SIZE)


def planned(ledger: Ledger, request: Request) -> ExecutionHandle:
    execution = request.submit()
    ledger.worker().step(execution.id)
    return execution


def locks(ledger: Ledger) -> dict[Any, tuple[str, int]]:
    return {
        view.undo_id or view.execution_id: (view.status, view.records) for view in ledger.locks()
    }


def skipped(execution: ExecutionHandle) -> dict[int, tuple[str, str | None]]:
    return {int(one.key[0]): (one.reason, one.message) for one in execution.skipped()}


def scores(connection: Connection[DictRow]) -> dict[int, int]:
    rows = connection.execute(
        "SELECT id, score - id AS added FROM places WHERE score <> id"
    ).fetchall()
    return {row["id"]: row["added"] for row in rows}
