"""The guide's table of errors is the tree: each code, the exit code it ends with, and what it says."""

import re
from pathlib import Path

from action_ledger.domain import errors
from action_ledger.domain.errors import ActionLedgerError
from action_ledger.ops.cli_exit_codes import ExitCode
from action_ledger.ops.cli_state import code_of

GUIDE = Path(__file__).parents[2] / "docs" / "guide" / "errors.md"
BASES = {"ActionLedgerError", "InvalidCommand", "Refused", "StoreError"}


def table() -> list[str]:
    """The rows as they have to stand in the guide."""
    tree = [name for name in errors.__all__ if name not in BASES | {"shown"}]
    return sorted(_row(getattr(errors, name)) for name in tree)


def _row(error: type[ActionLedgerError]) -> str:
    said = re.sub(r"\{(\w+)\}", r"*\1*", " ".join((error.__doc__ or "").split()))
    exit_code: ExitCode = code_of(error.__new__(error))
    return f"| `{error.code}` | `{error.__name__}` | {exit_code.value} | {said} |"


def test_the_guide_lists_every_error() -> None:
    rows = [line for line in GUIDE.read_text().splitlines() if re.match(r"\| `[a-z_]+` \|", line)]
    assert rows == table()
