"""A mutant: the sources without one guard, and the tests that must notice."""

from dataclasses import dataclass

INTEGRATION, CRASH, UNIT = "tests/integration", "tests/crash", "tests/unit"


@dataclass(frozen=True, slots=True)
class Mutant:
    """One guard. ``was`` stands once in ``file``, and ``tests`` pass while it stands there."""

    kind: str
    guard: str
    file: str
    was: str
    becomes: str
    tests: str
