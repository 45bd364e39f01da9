"""Who changed records after an execution, as far as it was the ledger itself: by name, with the keys."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from uuid import UUID

from action_ledger.domain.errors import InvalidCommand

from .cli_outcome_tables import keys_text
from .cli_terminal import ago, clean, many
from .handles import ExecutionHandle
from .history import read_history
from .later import LaterChange, read_later
from .ledger import Ledger
from .outcomes import Outcome

SHOWN = 5


def later_changes(
    ledger: Ledger, execution_id: UUID, conflicts: Iterable[Outcome]
) -> Iterator[str]:
    """Say which executions wrote what stands now in records that are in conflict; for a few records."""
    execution = ExecutionHandle(ledger, execution_id)
    table, whose = execution.row()["table_name"], execution.context
    found: defaultdict[tuple[UUID, str], list[tuple[str, ...]]] = defaultdict(list)
    for one in conflicts:
        try:
            history = read_history(
                ledger.store,
                one.table or table,
                one.key[0] if len(one.key) == 1 else one.key,
                whose,
            )
        except InvalidCommand:  # the table is another by now, or gone
            return
        if not history or history[-1].execution_id == execution_id:
            continue
        last = history[-1]
        if _stands(one.current, last.after):
            what = f"{last.action} by {clean(last.actor)}"
            what = what if last.direction == "do" else f"{last.direction} of {what}"
            found[last.execution_id, what].append(one.key)
    for (id_, what), keys in found.items():
        yield f"Written since by execution {id_}, {what}: {clean(keys_text(keys))}"


def later_than(
    ledger: Ledger, execution_id: UUID, undo_id: UUID | None = None
) -> list[LaterChange]:
    """Give what wrote to the same records after an execution, or an undo of it; nothing where the table is gone."""
    try:
        return read_later(ledger.store, execution_id=execution_id, undo_id=undo_id)
    except InvalidCommand:
        return []


def later_lines(later: Sequence[LaterChange]) -> Iterator[str]:
    """Name what wrote to the same records later, the newest first, a few."""
    if not later:
        return
    rest = f", the newest {SHOWN} of {len(later):,}" if len(later) > SHOWN else ""
    yield f"\nLater on the same records{rest}"
    for one in [*reversed(later)][:SHOWN]:
        what = one.action if one.direction == "do" else f"{one.direction} of {one.action}"
        yield (
            f"  execution {one.execution_id}, {what} by {clean(one.actor)}, {ago(one.recorded_at)}: "
            f"{many(one.records, 'record')} of these"
        )


def _stands(now: dict[str, str | None] | None, written: dict[str, str | None] | None) -> bool:
    """Say whether what is there now is what was written; None is no row."""
    if now is None or written is None:
        return now is written
    return all(written.get(name, value) == value for name, value in now.items())
