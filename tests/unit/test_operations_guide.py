"""The guide's table of settings is the settings: each variable, its default, and what it says."""

import inspect
import re
from pathlib import Path

from action_ledger.ops import settings as module
from action_ledger.ops.settings import Settings

GUIDE = Path(__file__).parents[2] / "docs" / "guide" / "operations.md"


def table() -> list[str]:
    """The rows as they have to stand in the guide; what a setting says is the text below it in the source."""
    source = inspect.getsource(module)
    found: list[str] = []
    for name, field in Settings.model_fields.items():
        alias = field.validation_alias or f"ACTION_LEDGER_{name.upper()}"
        said = re.search(rf'^    {name}: .*?(?:"""(.*?)""")', source, re.MULTILINE | re.DOTALL)
        assert said, name
        default = "" if field.default is None else f"`{field.default}`"
        found.append(f"| `{alias}` | {default} | {' '.join(said[1].split())} |")
    return found


def test_the_guide_lists_every_setting() -> None:
    rows = [line for line in GUIDE.read_text().splitlines() if line.startswith("| `ACTION_")]
    assert rows == table()
