"""Mutants without one of the unique keys that the migrations make."""

import re
from pathlib import Path

from .mutant import INTEGRATION, Mutant

_TABLE = re.compile(
    r"^CREATE (?:UNLOGGED )?TABLE \{schema\}\.(\w+) \(\n.*?^\)", re.MULTILINE | re.DOTALL
)
_INDEX = re.compile(r"^CREATE UNIQUE INDEX (\w+)", re.MULTILINE)
_OF_TABLE = re.compile(r"^ +(?:PRIMARY KEY|UNIQUE) \(([^)]*)\)", re.MULTILINE)
_OF_COLUMN = re.compile(r"^ +(\w+) \w+(?: \w+)*? (PRIMARY KEY|UNIQUE)", re.MULTILINE)

_GIVEN_UP = frozenset({"view_batches_g1_number"})
"""Keys that a later migration gave up: the parts of a batch that was split share its number."""


def mutants_without_a_key(root: Path) -> list[Mutant]:
    """Read the migrations, and give one mutant for each key that they make."""
    found: list[Mutant] = []
    for path in sorted((root / "ops").glob("*.up.sql")):
        text = path.read_text()
        file = str(path.relative_to(root))
        for table in _TABLE.finditer(text):
            whole = table[0]
            for key in _OF_TABLE.finditer(whole):
                without = whole[: key.start()] + "    CHECK (true)" + whole[key.end() :]
                found.append(_mutant(f"{table[1]} ({key[1]})", file, whole, without))
            for key in _OF_COLUMN.finditer(whole):
                without = whole[: key.start(2)] + whole[key.end(2) :]
                found.append(_mutant(f"{table[1]} ({key[1]})", file, whole, without))
        for index in _INDEX.finditer(text):
            if index[1] in _GIVEN_UP:
                continue
            without = index[0].replace("UNIQUE ", "")
            found.append(_mutant(index[1], file, index[0], without))
    return found


def _mutant(guard: str, file: str, was: str, becomes: str) -> Mutant:
    return Mutant("unique key", guard, file, was, becomes, f"{INTEGRATION}/test_unique_keys.py")
