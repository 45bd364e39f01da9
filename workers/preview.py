"""The preview: plans for real, in a transaction that is rolled back, so that its count is the planner's own."""

from collections.abc import Iterable

from psycopg import sql
from pydantic import BaseModel, ConfigDict

from action_ledger.domain.actions import Actions
from action_ledger.domain.commands import RequestExecution
from action_ledger.domain.errors import InvalidValue, shown
from action_ledger.domain.selection import KeyValue
from action_ledger.projections.store import Store, Transaction

from .compile import check_request, compile_request
from .cutter import SQL, Cut, Cutter
from .images import aliases, columns_of, listed, numbered, same_key
from .planned import planned_keys
from .planner import cut_selection, whole_size
from .request_body import body_of
from .table import Table, reference_of


class Preview(BaseModel):
    """What an action would be applied to.

    ``count`` counts keys that were given but are not in the table too: they would be skipped. ``sample`` are
    the first records in key order, with PostgreSQL's text of each value.
    """

    model_config = ConfigDict(frozen=True)

    action: str
    table: str
    count: int
    batches: int
    sample: list[dict[str, str | None]]


def preview(
    store: Store,
    actions: Actions,
    command: RequestExecution,
    *,
    keys: Iterable[KeyValue] | None,
    sample: int,
) -> Preview:
    """Plan and roll back. Raises what the command itself would raise."""
    if sample < 0:
        raise InvalidValue(value=shown(sample), detail="a sample has 0 records or more")
    with store.rehearsal() as transaction:
        body = body_of(command)
        compiled = compile_request(transaction, actions, body)
        table = compiled.change.table
        check_request(transaction, actions, compiled.request, table)
        size = whole_size(compiled.select, command.batch_size, command.adaptive)
        cutter = Cutter(transaction, table, command.command_id, size)
        cuts = cut_selection(cutter, compiled.select, command.selection, keys)
        return Preview(
            action=command.action,
            table=reference_of(table),
            count=sum(cut.records for cut in cuts),
            batches=len(cuts),
            sample=_sample(transaction, table, cuts, sample),
        )


def _sample(
    transaction: Transaction, table: Table, cuts: Iterable[Cut], size: int
) -> list[dict[str, str | None]]:
    """Read batch after batch until there are enough: of keys that were given, any may be missing."""
    names = numbered("c", len(table.columns))
    statement = transaction.compose(
        SQL["sample"],
        columns=listed(
            sql.SQL("{}::text AS {}").format(reference, name)
            for reference, name in zip(columns_of("t", table.columns), names, strict=True)
        ),
        planned=planned_keys(transaction, table),
        table=table.identifier,
        same_key=same_key(columns_of("t", table.key), aliases("q", "k", len(table.key))),
        key=listed(columns_of("t", table.key)),
    )
    found: list[dict[str, str | None]] = []
    for cut in cuts:
        if len(found) >= size:
            break
        values = {"batch_id": cut.owner, "lo": 1, "hi": cut.records, "size": size - len(found)}
        found += [
            {column.name: row[f"c{n}"] for n, column in enumerate(table.columns, 1)}
            for row in transaction.cursor.execute(statement, values)
        ]
    return found
