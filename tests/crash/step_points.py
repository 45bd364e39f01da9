"""All step points there are, as the sources have them: a new one without a case fails a test."""

import re
from pathlib import Path

from action_ledger.projections import steps as home

ROOT = Path(home.__file__).resolve().parents[1]
KINDS = ("plan", "batch", "compensation", "export")
NEVER = frozenset({"plan.applied", "plan.appended", "export.applied", "export.appended"})
"""What the names with a unit's kind in them would give, where nothing of that kind comes by."""
CALL = re.compile(r"""\breached\(f?"([^"]+)"\)""")


def in_sources() -> set[str]:
    """Read the names of the points out of the sources, those with a unit's kind once for each kind."""
    files = [*(ROOT / "workers").glob("*.py"), *(ROOT / "projections").glob("*.py")]
    found = {name for file in files for name in CALL.findall(file.read_text(encoding="utf-8"))}
    plain = {name for name in found if "{" not in name}
    made = {name.replace("{unit.kind}", kind) for name in found - plain for kind in KINDS} - NEVER
    return plain | made
