"""What runs it: wiring, settings, database, migrations, command line, telemetry.

The names are imported when they are first asked for, so that the command line starts without them.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .chain_handles import ChainHandle
    from .exports import ExportView
    from .handles import ExecutionHandle, UndoHandle
    from .ledger import Ledger
    from .opening import open_ledger
    from .plan import Plan
    from .roster import WorkerView
    from .schedule_handles import ScheduleHandle
    from .service import Service
    from .settings import Settings

__all__ = [
    "ChainHandle",
    "ExecutionHandle",
    "ExportView",
    "Ledger",
    "Plan",
    "ScheduleHandle",
    "Service",
    "Settings",
    "UndoHandle",
    "WorkerView",
    "open_ledger",
]

_HOMES = {
    "ChainHandle": "chain_handles",
    "ExecutionHandle": "handles",
    "ExportView": "exports",
    "Ledger": "ledger",
    "Plan": "plan",
    "Service": "service",
    "ScheduleHandle": "schedule_handles",
    "Settings": "settings",
    "UndoHandle": "handles",
    "WorkerView": "roster",
    "open_ledger": "opening",
}


def __getattr__(name: str) -> object:
    if name in _HOMES:
        return getattr(import_module(f".{_HOMES[name]}", __name__), name)
    raise AttributeError(f"module {__name__} has no attribute {name}")
