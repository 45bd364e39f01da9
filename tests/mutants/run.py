"""Takes one guard away at a time, runs the tests that must notice, and prints which of them did.

    python -m tests.mutants.run [--kind KIND ...] [--match TEXT] [--jobs N]

The tests run in this tree, against a copy of the four rooms with the guard taken away. First they run against a copy
with all guards, where they must pass. It exits with 1 when a guard can go without being missed.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from .epochs import EPOCHS
from .locks import LOCKS
from .mutant import Mutant
from .retries import RETRIES
from .second_looks import SECOND_LOOKS
from .unique_keys import mutants_without_a_key

ROOT = Path(__file__).parents[2]
ROOMS = ("domain", "projections", "workers", "ops")
EVERY = (*LOCKS, *EPOCHS, *RETRIES, *SECOND_LOOKS, *mutants_without_a_key(ROOT))
LONGEST = 900.0
"""Seconds for the tests of one mutant: one that hangs was noticed too."""
PASSED, FAILED = 0, 1
_FIRST = re.compile(r"^(?:FAILED|ERROR) \S+?::(\S+)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Found:
    """What came of one mutant: the test that noticed it, or None."""

    mutant: Mutant
    noticed_by: str | None


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the mutants that were asked for."""
    chosen, jobs = _read(arguments)
    console = Console()
    with Progress(console=console) as progress, ThreadPoolExecutor(jobs) as pool:
        task = progress.add_task("All guards in place", total=len(chosen) + 1)
        tests = {test for mutant in chosen for test in mutant.tests.split()}
        if said := failure(None, tests):
            console.print(f"With all guards in place this fails: {said}")
            return 2
        progress.update(task, advance=1, description="Mutants")
        found: list[Found] = []
        for one in pool.map(look, chosen):
            found.append(one)
            progress.advance(task)
    report(console, found)
    return int(any(one.noticed_by is None for one in found))


def look(mutant: Mutant) -> Found:
    """Run the tests that must notice one mutant."""
    return Found(mutant, failure(mutant, mutant.tests.split()))


def failure(mutant: Mutant | None, tests: Iterable[str]) -> str | None:
    """Run tests against a copy of the sources, and name the first that fails; None when all pass."""
    with tempfile.TemporaryDirectory(prefix="action-ledger-mutant-") as directory:
        package = Path(directory) / "action_ledger"
        for room in ROOMS:
            shutil.copytree(
                ROOT / room, package / room, ignore=shutil.ignore_patterns("__pycache__")
            )
        if mutant is not None:
            _mutate(package / mutant.file, mutant)
        command = [sys.executable, "-m", "pytest", "-q", "-x", "-n", "0", "-p", "no:cacheprovider"]
        try:
            done = subprocess.run(
                [*command, "-m", "crash or not crash", *sorted(tests)],
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": directory},
                capture_output=True,
                text=True,
                timeout=None if mutant is None else LONGEST,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return "it hangs"
    if done.returncode == PASSED:
        return None
    if done.returncode != FAILED:
        return f"pytest ended with {done.returncode}: {done.stdout[-500:]}{done.stderr[-500:]}"
    named = _FIRST.search(done.stdout)
    return named[1] if named else "it fails"


def _mutate(path: Path, mutant: Mutant) -> None:
    text = path.read_text()
    if text.count(mutant.was) != 1:
        message = (
            f"{mutant.file} has {text.count(mutant.was)} times what {mutant.guard!r} takes away"
        )
        raise LookupError(message)
    path.write_text(text.replace(mutant.was, mutant.becomes))


def report(console: Console, found: Sequence[Found]) -> None:
    """Print a row for each, and how many were noticed."""
    table = Table("kind", "guard that was taken away", "noticed by")
    for one in found:
        table.add_row(one.mutant.kind, one.mutant.guard, one.noticed_by or "[bold red]nobody")
    console.print(table)
    missed = [one for one in found if one.noticed_by is None]
    console.print(f"{len(found) - len(missed)} of {len(found)} were noticed.")


def _read(arguments: Sequence[str] | None) -> tuple[list[Mutant], int]:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--kind", nargs="+", choices=sorted({each.kind for each in EVERY}))
    parser.add_argument("--match", default="", help="a part of the guard's description")
    parser.add_argument("--jobs", type=int, default=2)
    told = parser.parse_args(arguments)
    chosen = [
        each
        for each in EVERY
        if (told.kind is None or each.kind in told.kind) and told.match in each.guard
    ]
    if not chosen:
        parser.error("there is no such guard")
    return chosen, told.jobs


if __name__ == "__main__":
    sys.exit(main())
