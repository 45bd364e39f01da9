"""Who changed records after an execution, as far as it was the ledger itself: by name, with the keys."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from uuid import UUID

from action_ledger.domain.errors import InvalidCommand

from .cli_outcome_tables import keys_text
from .cli_terminal import clean
from .handles import ExecutionHandle
from .history import read_history
from .ledger import Ledger
from .outcomes import Outcome


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


def _stands(now: dict[str, str | None] | None, written: dict[str, str | None] | None) -> bool:
    """Say whether what is there now is what was written; None is no row."""
    if now is None or written is None:
        return now is written
    return all(written.get(name, value) == value for name, value in now.items())
