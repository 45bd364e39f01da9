"""Values and column expressions: what Python gives, and JSON there and back."""

import enum
import operator
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from ipaddress import ip_address, ip_network
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from pydantic import TypeAdapter, ValidationError

from action_ledger.domain.columns import Operand, assignment, col
from action_ledger.domain.errors import InvalidExpression, InvalidValue
from action_ledger.domain.expression import (
    Arithmetic,
    Assignment,
    Call,
    ColumnReference,
    Expression,
    ExpressionNode,
    Round,
    Value,
    columns_of,
)
from action_ledger.domain.values import Json, Literal, encode, json_text
from tests import predicates

LITERALS: TypeAdapter[Literal] = TypeAdapter(Literal)
ASSIGNMENTS: TypeAdapter[Assignment] = TypeAdapter(Assignment)


class Colour(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


class Name(str):
    __slots__ = ()


@pytest.mark.parametrize(
    ("value", "literal"),
    [
        (None, None),
        (True, True),
        (10**40, 10**40),
        ("it's", "it's"),
        (Name("x"), "x"),
        (Colour.RED, "red"),
        (Level.HIGH, 3),
        (1.0, "1.0"),
        (1e-300, "1e-300"),
        (float("nan"), "NaN"),
        (float("-inf"), "-Infinity"),
        (Decimal("1.10"), "1.10"),
        (Decimal("sNaN"), "NaN"),
        (Decimal("Infinity"), "Infinity"),
        (date(2020, 1, 31), "2020-01-31"),
        (datetime(2020, 1, 31, 5, 6, 7, 8), "2020-01-31 05:06:07.000008"),  # noqa: DTZ001
        (datetime(2020, 1, 31, tzinfo=UTC), "2020-01-31 00:00:00+00:00"),
        (time(1, 2, tzinfo=timezone(timedelta(hours=-3))), "01:02:00-03:00"),
        (timedelta(seconds=-1), "-0 days -1 seconds -0 microseconds"),
        (timedelta(days=2, microseconds=3), "+2 days +0 seconds +3 microseconds"),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (b"\x00'", r"\x0027"),
        (memoryview(b"\xff"), r"\xff"),
        (ip_address("::1"), "::1"),
        (ip_network("10.0.0.0/8"), "10.0.0.0/8"),
        ([1, [None, "x"]], (1, (None, "x"))),
        ([1.5], (Json(text="1.5"),)),
        (
            {"a": [Decimal("1.10"), None, date(2020, 1, 1)]},
            Json(text='{"a": [1.10, null, "2020-01-01"]}'),
        ),
    ],
)
def test_values_become_literals(value: object, literal: Literal) -> None:
    encoded = encode(value)
    assert encoded == literal
    assert type(encoded) is type(literal)
    read = LITERALS.validate_json(LITERALS.dump_json(encoded))
    assert read == encoded
    assert type(read) is type(encoded)


def _nested() -> list[Any]:
    inner: list[Any] = []
    inner.append(inner)
    return inner


NO_TEXT: dict[str, object] = {
    "a set": {1},
    "an object": object(),
    "NUL": "\0",
    "a lone surrogate": "\ud800",
    "NUL in a list": ["\0"],
    "NUL in JSON": {"a": "\0"},
    "a key that is no text": {1: 2},
    "NaN in JSON": {"a": float("nan")},
    "a huge integer": 10**6000,
    "a list in itself": _nested(),
    "a list in itself in JSON": {"a": _nested()},
}


@pytest.mark.parametrize("value", NO_TEXT.values(), ids=list(NO_TEXT))
def test_values_without_exact_text_are_refused(value: object) -> None:
    with pytest.raises(InvalidValue):
        encode(value)


@given(predicates.literals)
def test_literals_come_back_from_json(literal: Literal) -> None:
    read = LITERALS.validate_json(LITERALS.dump_json(literal))
    assert read == literal
    assert repr(read) == repr(literal)
    assert hash(read) == hash(literal)


@pytest.mark.parametrize(
    "value",
    [1.0, b"x", {"a": 1}, {"kind": "json", "text": 1}, {"kind": "json", "text": "", "x": 1}],
)
def test_json_that_is_no_literal_is_refused(value: object) -> None:
    with pytest.raises(ValidationError):
        LITERALS.validate_python(value)


def test_json_text_keeps_numbers_and_objects() -> None:
    assert (
        json_text(encode([1, 1.5, {"a": 1}, None, True, "x"]))
        == '[1, 1.5, {"a": 1}, null, true, "x"]'
    )
    with pytest.raises(InvalidValue):
        json_text(encode([float("inf")]))


A, B = ColumnReference(name="a"), ColumnReference(name="b")
ONE = Value(value=1, type="integer")


@pytest.mark.parametrize(
    ("built", "expression"),
    [
        (col("a") + 1, Arithmetic(op="add", left=A, right=ONE)),
        (1 + col("a"), Arithmetic(op="add", left=ONE, right=A)),
        (col("a") - col("b"), Arithmetic(op="subtract", left=A, right=B)),
        (1 - col("a"), Arithmetic(op="subtract", left=ONE, right=A)),
        (col("a") * 1, Arithmetic(op="multiply", left=A, right=ONE)),
        (1 * col("a"), Arithmetic(op="multiply", left=ONE, right=A)),
        (col("a") / 1, Arithmetic(op="divide", left=A, right=ONE)),
        (1 / col("a"), Arithmetic(op="divide", left=ONE, right=A)),
        (col("a") % 1, Arithmetic(op="modulo", left=A, right=ONE)),
        (1 % col("a"), Arithmetic(op="modulo", left=ONE, right=A)),
        (-col("a"), Call(function="negate", arguments=(A,))),
        (col("a").lower(), Call(function="lower", arguments=(A,))),
        (col("a").upper(), Call(function="upper", arguments=(A,))),
        (col("a").trim(), Call(function="trim", arguments=(A,))),
        (
            col("a").coalesce(1, "x"),
            Call(function="coalesce", arguments=(A, ONE, Value(value="x"))),
        ),
        (
            col("a").concat("x", col("b"), ["y"]),
            Call(
                function="concat",
                arguments=(A, Value(value="x", type="text"), B, Value(value=("y",))),
            ),
        ),
        (col("a").round(2), Round(argument=A, digits=2)),
        (col("a") + ONE, Arithmetic(op="add", left=A, right=ONE)),
    ],
)
def test_expressions_are_built_by_operators(built: Operand, expression: Expression) -> None:
    assert assignment(built) == expression
    read = ASSIGNMENTS.validate_json(ASSIGNMENTS.dump_json(expression))
    assert read == expression
    assert hash(read) == hash(expression)


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (True, "boolean"),
        (2**31 - 1, "integer"),
        (-(2**31), "integer"),
        (2**31, "bigint"),
        (-(2**63), "bigint"),
        (2**63, "numeric"),
        (1.5, "double precision"),
        (Decimal(1), "numeric"),
        (date(2020, 1, 1), "date"),
        (datetime(2020, 1, 1), "timestamp without time zone"),  # noqa: DTZ001
        (datetime(2020, 1, 1, tzinfo=UTC), "timestamp with time zone"),
        (timedelta(1), "interval"),
        (UUID(int=1), "uuid"),
        (b"", "bytea"),
        ("x", None),
    ],
)
def test_constants_have_the_type_that_python_gave_them(value: object, kind: str | None) -> None:
    node = assignment(col("a") + value)
    assert isinstance(node, Arithmetic)
    assert isinstance(node.right, Value)
    assert node.right.type == kind


@pytest.mark.parametrize("value", [None, True, 1, "x", [1, [None, {"a": 1.5}]], {"a": 1}, 1.5])
def test_assigned_values_are_literals(value: object) -> None:
    literal = assignment(value)
    read = ASSIGNMENTS.validate_json(ASSIGNMENTS.dump_json(literal))
    assert (read, type(read)) == (literal, type(literal))


@given(predicates.expressions)
def test_expressions_come_back_from_json(expression: Expression) -> None:
    assert ASSIGNMENTS.validate_json(ASSIGNMENTS.dump_json(expression)) == expression


def test_columns_of_an_expression() -> None:
    built = assignment((col("a") + 1).coalesce(col("b")).round() * -col("c"))
    assert isinstance(built, ExpressionNode)
    assert columns_of(built) == {"a", "b", "c"}


MISTAKES: dict[str, Callable[[], object]] = {
    "null in arithmetic": lambda: col("a") + None,
    "null in coalesce": lambda: col("a").coalesce(None),
    "null against an expression": lambda: (col("a") + 1) == None,  # noqa: E711
    "a column as a bound": lambda: col("a").between(1, col("b")),
    "no name": lambda: col(""),
}


@pytest.mark.parametrize("mistake", MISTAKES.values(), ids=list(MISTAKES))
def test_mistakes_are_told(mistake: Callable[[], object]) -> None:
    with pytest.raises(InvalidExpression):
        mistake()


def test_functions_of_one_argument_take_one() -> None:
    with pytest.raises(ValidationError):
        Call(function="lower", arguments=(A, B))


def test_columns_are_neither_keys_nor_lists_nor_conditions() -> None:
    with pytest.raises(TypeError, match="unhashable"):
        hash(col("a"))
    with pytest.raises(TypeError, match="stands for the value of each record"):
        list(col("a"))
    with pytest.raises(TypeError, match="in_"):
        operator.contains(col("a"), 5)
    with pytest.raises(TypeError, match="&"):
        bool(col("a"))
    assert repr(col("a")) == "Column(ColumnReference(kind='column', name='a'))"
