"""The table of what undo is tried on, as the fixtures ``items`` and ``done`` make it, and what it comes to."""

from psycopg import sql

from action_ledger.ops.handles import UndoHandle

TABLE = sql.Identifier("public", "items")
NAME = "public.items"


def numbers(undo: UndoHandle) -> tuple[int, int, int]:
    """Give how many records came back, were skipped and failed."""
    counts = undo.progress()
    return counts.applied, counts.skipped, counts.failed
