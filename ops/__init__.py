"""What runs it: wiring, settings, database, migrations, command line, telemetry.

The names are imported when they are first asked for, so that the command line starts without them.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .handles import ExecutionHandle, UndoHandle
    from .ledger import Ledger, open_ledger
    from .schedule_handles import ScheduleHandle
    from .settings import Settings

__all__ = ["ExecutionHandle", "Ledger", "ScheduleHandle", "Settings", "UndoHandle", "open_ledger"]

_HOMES = {
    "ExecutionHandle": "handles",
    "Ledger": "ledger",
    "ScheduleHandle": "schedule_handles",
    "Settings": "settings",
    "UndoHandle": "handles",
    "open_ledger": "ledger",
}


def __getattr__(name: str) -> object:
    if name in _HOMES:
        return getattr(import_module(f".{_HOMES[name]}", __name__), name)
    raise AttributeError(f"module {__name__} has no attribute {name}")
