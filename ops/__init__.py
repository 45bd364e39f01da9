"""What runs it: wiring, settings, database, migrations, command line, telemetry."""

from .handles import ExecutionHandle, UndoHandle
from .ledger import Ledger, open_ledger
from .settings import Settings

__all__ = ["ExecutionHandle", "Ledger", "Settings", "UndoHandle", "open_ledger"]
