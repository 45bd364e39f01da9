"""What an export may be asked for, before any directory is looked at."""

import pytest
from pydantic import ValidationError

from action_ledger.domain.actions import BUILT_IN, Actions, ExportParameters, Reversibility


@pytest.mark.parametrize("path", ["a.csv", "a/b.csv", "/tmp/a.csv", "..a", "a..b/c", ".hidden"])  # noqa: S108
def test_paths_of_files(path: str) -> None:
    assert ExportParameters.model_validate({"path": path, "format": "csv"}).path == path


@pytest.mark.parametrize(
    "path", ["", "..", "../a", "a/../../b", "a/..", "a\0b", ".", "a/", "a/.", "/../x", "x" * 4001]
)
def test_paths_that_are_refused(path: str) -> None:
    with pytest.raises(ValidationError):
        ExportParameters.model_validate({"path": path, "format": "csv"})


def test_it_is_listed_with_the_others() -> None:
    action = Actions(BUILT_IN).get("export")
    assert action.reversibility is Reversibility.IRREVERSIBLE
    assert not action.destructive
