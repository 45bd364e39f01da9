"""Every mutant still finds the guard that it takes away, so that `make mutants` does not end in the middle."""

from pathlib import Path

import pytest

from tests.mutants.mutant import Mutant
from tests.mutants.run import EVERY, ROOT


@pytest.mark.parametrize("mutant", EVERY, ids=lambda mutant: f"{mutant.kind}-{mutant.guard}")
def test_it_can_be_made(mutant: Mutant) -> None:
    assert mutant.was != mutant.becomes
    assert (ROOT / mutant.file).read_text().count(mutant.was) == 1
    for test in mutant.tests.split():
        assert (ROOT / Path(test)).is_file(), test
