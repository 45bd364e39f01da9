"""Whether an undo can be of some columns alone: records that were changed where they are can, nothing else."""

from collections.abc import Sequence

from action_ledger.domain.commands import RequestUndo
from action_ledger.domain.errors import ColumnsNotUndoable

from .sources import Source
from .table import Table


def check_columns(command: RequestUndo, table: Table, sources: Sequence[Source]) -> None:
    """Look at the columns that a command names, if it does.

    Raises:
        UnknownColumn: The table has none of that name.
        ColumnsNotUndoable: The execution did not change it, or cannot be taken back column by column.
    """
    if command.columns is None:
        return
    for name in command.columns:
        table.column(name)
    if (reason := _reason(command.columns, table, sources)) is not None:
        raise ColumnsNotUndoable(
            execution_id=command.execution_id, columns=", ".join(command.columns), reason=reason
        )


def refuse_columns(command: RequestUndo, reason: str) -> None:
    """Refuse a command that names columns of what has none. Raises ColumnsNotUndoable."""
    if command.columns is not None:
        raise ColumnsNotUndoable(
            execution_id=command.execution_id, columns=", ".join(command.columns), reason=reason
        )


def _reason(columns: Sequence[str], table: Table, sources: Sequence[Source]) -> str | None:
    kinds = {source.kind for source in sources if source.child_table is None}
    if "delete" in kinds:
        return "it deleted the rows, and a row comes back as a whole"
    if "insert" in kinds:
        return "it inserted the rows, and they go as a whole"
    if any(source.child_table is not None for source in sources):
        return "rows of other tables went along with it"
    acted = list(dict.fromkeys(name for source in sources for name in source.acted))
    written = tuple(column for column in table.columns if column.name in acted)
    if {*written, *table.computed_from(written)} & set(table.key):
        return "it changed the keys, by which its records are found"
    unchanged = [name for name in columns if name not in acted]
    if unchanged:
        return f"it changed {', '.join(acted)}, and not {', '.join(unchanged)}"
    return None
