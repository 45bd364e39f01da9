"""Looks up what a person names: an id by its beginning or end, or ``last``; and all that is known of it."""

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Literal, NamedTuple, Self
from uuid import UUID

from psycopg import sql
from pydantic import BaseModel, ConfigDict, Field

from action_ledger.domain.actions import Reversibility
from action_ledger.domain.actor import Actor
from action_ledger.domain.context import Context
from action_ledger.domain.errors import AmbiguousId, ExecutionNotFound
from action_ledger.projections.sql_blocks import read_blocks
from action_ledger.projections.store import Store, Transaction
from action_ledger.workers.retried import standing_retry
from action_ledger.workers.sources import SQL as WINDOW

from .views import ExecutionView, asked_by, read_standing

SQL = read_blocks("action_ledger.ops", "cli_lookup.sql")
READS = read_blocks("action_ledger.ops", "reads.sql")

LAST = "last"
SHOWN_MATCHES = 5
_PART_OF_ID = re.compile(r"[0-9a-f-]{1,36}")

Kind = Literal["execution", "undo", "redo"]


class Found(NamedTuple):
    """An execution, an undo or a redo, and the execution that it belongs to."""

    id: UUID
    kind: Kind
    execution_id: UUID


class UndoView(BaseModel):
    """One undo or redo as a list shows it. applied + failed + skipped + pending = total."""

    model_config = ConfigDict(frozen=True)

    id: UUID
    kind: Kind
    execution_id: UUID
    of_undo: UUID | None
    status: str
    actor: str
    asked_by: Actor
    contact_erased: bool
    policy: str
    columns: list[str] | None
    """Those that alone it was of; None for all."""
    only_batches: list[int] | None = Field(exclude=True)
    """The numbers of those that alone it was of; None for all."""
    by_keys: bool = Field(exclude=True)
    """Whether it was of records that were named."""
    total: int
    applied: int
    failed: int
    skipped: int
    pending: int
    batches: int
    batches_done: int
    error: str | None
    requested_at: datetime
    ended_at: datetime | None

    @classmethod
    def of(cls, row: dict[str, Any]) -> Self:
        """Make it from a row of the progress view."""
        names = cls.model_fields.keys() - {"id", "kind", "asked_by", "contact_erased"}
        kind: Kind = "undo" if row["of_undo"] is None else "redo"
        said = {name: row[name] for name in names}
        return cls(id=row["undo_id"], kind=kind, **said, **asked_by(row))


class OutcomeCount(BaseModel):
    """Records that were not changed for one reason."""

    model_config = ConfigDict(frozen=True)

    outcome: str
    reason: str
    sqlstate: str | None
    records: int


class Waiting(BaseModel):
    """Units that met a fault and will be tried again."""

    model_config = ConfigDict(frozen=True)

    units: int
    attempts: int | None
    error: str | None


class Details(BaseModel):
    """All that is known of one execution."""

    model_config = ConfigDict(frozen=True)

    execution: ExecutionView
    selection: dict[str, Any] | None
    parameters: dict[str, Any]
    reason: str | None
    context: Context | None
    preview_id: UUID | None
    """The preview that confirmed it."""
    undo_until: datetime | None
    """None while it has not ended, and for ever when it is irreversible."""
    undo_expired: bool
    reversible: bool
    of_its_kind: bool = Field(exclude=True)
    """Whether the action can never be undone; else it was this one execution that was asked for so."""
    outcomes: list[OutcomeCount]
    undos: list[UndoView]
    standing: dict[UUID, int]
    """By undo, how many records are taken back by it at the moment; what was done again does not count."""
    retried: UUID | None = Field(exclude=True)
    """The retry of what failed, while something of it stands."""
    gone_on: UUID | None = Field(exclude=True)
    """The retry of what was not processed, likewise."""
    waiting: Waiting

    @property
    def irreversible(self) -> str:
        """Say why it can never be undone."""
        if self.of_its_kind:
            return f"the action {self.execution.action} cannot be undone"
        return "it was asked for as irreversible"

    @property
    def redoable(self) -> list[UndoView]:
        """The undos that have ended and of which something still stands, oldest first."""
        return [undo for undo in self.undos if undo.ended_at and self.standing.get(undo.id)]


def find(store: Store, given: str, *, newest: Iterable[Kind] = ("execution",)) -> Found:
    """Find an id by its whole, its beginning, its end, or ``last``, which is the newest of some kinds.

    Raises:
        ExecutionNotFound: There is none.
        AmbiguousId: There are several.
    """
    with store.transaction() as transaction:
        row = find_row(transaction, SQL, given, kinds=list(newest))
    if row is None:
        raise ExecutionNotFound(execution_id=given)
    return Found(**row)


def find_row(
    transaction: Transaction, blocks: Mapping[str, sql.SQL], given: str, **of_newest: object
) -> dict[str, Any] | None:
    """Find the one row that an id means, by its whole, its beginning, its end, or ``last``.

    ``blocks`` has the queries ``newest``, which takes ``of_newest``, and ``candidates``. Raises AmbiguousId.
    """
    text = given.strip().lower()
    if text == LAST:
        rows = transaction.execute(blocks["newest"], of_newest).fetchall()
    elif _PART_OF_ID.fullmatch(text):
        values = {"given": text, "limit": SHOWN_MATCHES}
        rows = transaction.execute(blocks["candidates"], values).fetchall()
    else:
        rows = []
    if len(rows) > 1:
        raise AmbiguousId(given=given, matches=tuple(str(row["id"]) for row in rows))
    return rows[0] if rows else None


def read_details(store: Store, execution_id: UUID) -> Details:
    """Read all that is known of one execution, in one transaction. Raises ExecutionNotFound."""
    id_ = {"id": execution_id}
    owner = {"execution_id": execution_id, "undo_id": None}
    with store.transaction() as transaction:
        row = transaction.execute(READS["execution"], id_).fetchone()
        if row is None:
            raise ExecutionNotFound(execution_id=execution_id)
        stored = transaction.execute(SQL["request"], id_).fetchone()
        window = transaction.execute(WINDOW["expiry"], {"execution_id": execution_id}).fetchone()
        outcomes = transaction.execute(SQL["outcomes"], owner).fetchall()
        undos = transaction.execute(SQL["undos"], id_).fetchall()
        standing = read_standing(transaction, [execution_id])[execution_id]
        retried = standing_retry(transaction, execution_id, failed=True, not_processed=False)
        gone_on = standing_retry(transaction, execution_id, failed=False, not_processed=True)
        waiting = transaction.execute(SQL["waiting"], id_).fetchone()
    body: dict[str, Any] = stored["body"] if stored else {}
    return Details(
        execution=ExecutionView.of(row, undone=sum(standing.values())),
        selection=body.get("selection"),
        parameters=body.get("parameters", {}),
        reason=body.get("reason"),
        context=body.get("context"),
        preview_id=body.get("preview_id"),
        undo_until=window["expires_at"] if window else None,
        undo_expired=bool(window and window["expired"]),
        reversible=row["undo_seconds"] is not None,
        of_its_kind=body.get("reversibility") == Reversibility.IRREVERSIBLE,
        outcomes=[OutcomeCount(**count) for count in outcomes],
        undos=[UndoView.of(undo) for undo in undos],
        standing=standing,
        retried=retried,
        gone_on=gone_on,
        waiting=Waiting.model_validate(waiting),
    )


def redone_under(store: Store, key: str | None, execution_id: UUID) -> Found | None:
    """Find the undo that a redo of an execution, sent before under a key (``once``), applied again."""
    if key is None:
        return None
    with store.transaction() as transaction:
        values = {"key": key, "execution_id": execution_id}
        row = transaction.execute(SQL["redone_under"], values).fetchone()
    return None if row is None else Found(row["of_undo"], "undo", execution_id)


def taken_in(store: Store, undo_id: UUID) -> bool:
    """Say whether an undo or a redo is in the ledger."""
    with store.transaction() as transaction:
        return transaction.execute(SQL["undo"], {"id": undo_id}).fetchone() is not None


def read_undo(store: Store, undo_id: UUID) -> UndoView:
    """Read one undo or redo. Raises ExecutionNotFound."""
    with store.transaction() as transaction:
        row = transaction.execute(SQL["undo"], {"id": undo_id}).fetchone()
    if row is None:
        raise ExecutionNotFound(execution_id=undo_id)
    return UndoView.of(row)


def read_outcome_counts(
    store: Store, execution_id: UUID, undo_id: UUID | None
) -> list[OutcomeCount]:
    """Count the records that an execution, or one undo of it, left alone, by reason."""
    owner = {"execution_id": execution_id, "undo_id": undo_id}
    with store.transaction() as transaction:
        rows = transaction.execute(SQL["outcomes"], owner).fetchall()
    return [OutcomeCount(**row) for row in rows]


def read_size(store: Store) -> int:
    """Give the bytes that the ledger takes on disk."""
    with store.transaction() as transaction:
        row = transaction.execute(SQL["size"], {"schema_name": store.schema}).fetchone()
    return int(row["bytes"]) if row else 0
