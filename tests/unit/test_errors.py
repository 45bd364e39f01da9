"""The tree of errors: as drawn, with unique codes, complete messages, JSON and pickles."""

import json
import pickle
import re
from dataclasses import MISSING, fields
from datetime import UTC, datetime
from uuid import UUID

import pytest
from typing_extensions import override

from action_ledger.domain import errors
from action_ledger.domain.errors import (
    ActionLedgerError,
    InvalidCommand,
    InvalidValue,
    UnknownColumn,
    shown,
)

SAMPLES = {
    "int": 3,
    "float": 1.5,
    "datetime": datetime(2026, 1, 2, tzinfo=UTC),
    "UUID | str": UUID(int=7),
    "tuple[str, ...]": ("one", "two"),
    "tuple[int, ...]": (3, 4),
}


def subclasses(root: type[ActionLedgerError]) -> list[type[ActionLedgerError]]:
    """All of ours below the root; a test's or a host's own do not count."""
    found = [
        child for child in root.__subclasses__() if child.__module__.startswith("action_ledger.")
    ]
    return [each for child in found for each in (child, *subclasses(child))]


ALL: list[type[ActionLedgerError]] = [ActionLedgerError, *subclasses(ActionLedgerError)]


def sample(error: type[ActionLedgerError]) -> ActionLedgerError:
    required = (field for field in fields(error) if field.default is MISSING)
    return error(
        **{field.name: SAMPLES.get(str(field.type), _type_sample(field.type)) for field in required}
    )


def _type_sample(annotation: object) -> object:
    name = annotation.__name__ if isinstance(annotation, type) else str(annotation)
    return SAMPLES.get(name, "x%s{y}" if name == "str" else UUID(int=7))


def drawn() -> dict[str, str]:
    """Each class's parent, as the docstring of the module draws it."""
    parents: dict[str, str] = {}
    path = ["ActionLedgerError"]
    for line in (errors.__doc__ or "").splitlines():
        if branch := re.fullmatch(r"((?:│   |    )*)[├└]── (\w+)", line):
            depth = len(branch[1]) // 4 + 1
            path[depth:] = [branch[2]]
            parents[branch[2]] = path[depth - 1]
    return parents


def test_the_drawn_tree_is_the_tree() -> None:
    assert drawn() == {error.__name__: error.__mro__[1].__name__ for error in ALL[1:]}


def test_all_are_exported() -> None:
    assert sorted(errors.__all__) == sorted([*(error.__name__ for error in ALL), "shown"])


def test_codes_are_unique_and_in_one_style() -> None:
    codes = [error.code for error in ALL]
    assert len(set(codes)) == len(codes)
    assert all(re.fullmatch(r"[a-z]+(_[a-z]+)*", code) for code in codes)


@pytest.mark.parametrize("error", ALL, ids=lambda error: error.__name__)
def test_messages_are_whole_and_survive_json_and_pickle(error: type[ActionLedgerError]) -> None:
    raised = sample(error)
    assert re.fullmatch(r"[A-Z].*[.?!]", str(raised))
    assert "None" not in str(raised)
    told = raised.to_dict()
    assert json.loads(json.dumps(told)) == told
    assert told["code"] == error.code
    assert set(raised.attributes) <= set(told)
    again = pickle.loads(pickle.dumps(raised))  # noqa: S301  # our own
    assert type(again) is error
    assert (str(again), again.attributes) == (str(raised), raised.attributes)


def test_hostile_attributes_are_text_and_nothing_else() -> None:
    error = UnknownColumn(table="{column}", column="%s {table}", suggestions=("{0}",))
    assert str(error) == "Table {column} has no column %s {table}. Did you mean {0}?"


def test_a_host_may_add_its_own() -> None:
    class OutOfBudget(InvalidCommand, code="out_of_budget", hint="Ask for more."):
        """The action costs {cost}."""

        cost: int

    assert OutOfBudget(cost=5).to_dict() == {
        "code": "out_of_budget",
        "message": "The action costs 5. Ask for more.",
        "cost": 5,
    }


def test_values_are_cut_and_never_break_the_message() -> None:
    class Broken:
        @override
        def __repr__(self) -> str:
            raise RuntimeError

    assert len(shown("x" * 1000)) == 80
    assert shown(Broken()) == "a Broken"
    assert shown(10**6000) == "a int"
    error = InvalidValue(
        value=shown("x"), detail="no", column="c", table="s.t", column_type="integer"
    )
    assert str(error) == "Value 'x' cannot be used for column c of s.t (integer): no."
