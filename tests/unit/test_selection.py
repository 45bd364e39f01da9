"""Selections: what ``col`` builds, what it refuses, and JSON there and back."""

import operator
import time
from collections.abc import Callable

import pytest
from hypothesis import given
from pydantic import TypeAdapter, ValidationError

from action_ledger.domain.columns import col
from action_ledger.domain.errors import InvalidExpression, InvalidValue
from action_ledger.domain.expression import Arithmetic, ColumnReference, Value
from action_ledger.domain.selection import (
    And,
    Between,
    Comparison,
    Everything,
    ExpressionComparison,
    Keys,
    Membership,
    Not,
    NullCheck,
    Or,
    Predicate,
    Selection,
    Where,
    columns_read,
    leaves,
)
from tests import predicates

PREDICATES: TypeAdapter[Predicate] = TypeAdapter(Predicate)
SELECTIONS: TypeAdapter[Selection] = TypeAdapter(Selection)

A, B = Comparison(column="a", op="eq", value=1), Comparison(column="b", op="gt", value="x")
A_PLUS_B = Arithmetic(op="add", left=ColumnReference(name="a"), right=ColumnReference(name="b"))


@pytest.mark.parametrize(
    ("built", "predicate"),
    [
        (col("a") == 1, A),
        (col("a") != 1, Comparison(column="a", op="ne", value=1)),
        (col("a") < 1, Comparison(column="a", op="lt", value=1)),
        (col("a") <= 1, Comparison(column="a", op="le", value=1)),
        (col("a") > 1, Comparison(column="a", op="gt", value=1)),
        (col("a") >= 1, Comparison(column="a", op="ge", value=1)),
        (1 < col("a"), Comparison(column="a", op="gt", value=1)),  # noqa: SIM300
        (col("a").like("x%"), Comparison(column="a", op="like", value="x%")),
        (col("a") == None, NullCheck(column="a")),  # noqa: E711
        (col("a") != None, NullCheck(column="a", negated=True)),  # noqa: E711
        (col("a").is_null(), NullCheck(column="a")),
        (col("a").is_not_null(), NullCheck(column="a", negated=True)),
        (col("a").in_({1}), Membership(column="a", values=(1,))),
        (col("a").in_(n for n in (1, 2)), Membership(column="a", values=(1, 2))),
        (col("a").in_([]), Membership(column="a", values=())),
        (col("a").not_in([1]), Membership(column="a", values=(1,), negated=True)),
        (col("a").between(1, 2.5), Between(column="a", low=1, high="2.5")),
        (A & B, And(terms=(A, B))),
        (A | B, Or(terms=(A, B))),
        (~A, Not(term=A)),
        (A & B & A, And(terms=(A, B, A))),
        (A & (B | A), And(terms=(A, Or(terms=(B, A))))),
        (
            (col("a") + col("b")) > 5,
            ExpressionComparison(left=A_PLUS_B, op="gt", right=Value(value=5, type="integer")),
        ),
        (
            col("a") == col("b"),
            ExpressionComparison(
                left=ColumnReference(name="a"), op="eq", right=ColumnReference(name="b")
            ),
        ),
        (
            col("a") < A_PLUS_B,
            ExpressionComparison(left=ColumnReference(name="a"), op="lt", right=A_PLUS_B),
        ),
    ],
)
def test_predicates_are_built_by_operators(built: Predicate, predicate: Predicate) -> None:
    assert built == predicate
    assert hash(built) == hash(predicate)
    assert PREDICATES.validate_json(built.model_dump_json()) == predicate


@given(predicates.predicates)
def test_predicates_come_back_from_json(predicate: Predicate) -> None:
    read = PREDICATES.validate_json(predicate.model_dump_json())
    assert read == predicate
    assert hash(read) == hash(predicate)
    assert columns_read(read) <= set(predicates.COLUMNS)


@pytest.mark.parametrize(
    "selection",
    [Everything(), Keys(), Keys(keys=()), Keys(keys=(1, "a", ("x", 2))), Where(predicate=A & ~B)],
)
def test_selections_come_back_from_json(selection: Selection) -> None:
    assert SELECTIONS.validate_json(selection.model_dump_json()) == selection
    assert SELECTIONS.validate_python(selection.model_dump()) == selection


CONDITIONS: dict[str, Callable[[], object]] = {
    "bool": lambda: bool(A),
    "not": lambda: operator.not_(A),
    "all": lambda: all([A, B]),
    "chained": lambda: 1 < col("a") < 3,
}


@pytest.mark.parametrize("condition", CONDITIONS.values(), ids=list(CONDITIONS))
def test_predicates_are_no_conditions_of_python(condition: Callable[[], object]) -> None:
    with pytest.raises(TypeError, match="Combine predicates with &") as raised:
        condition()
    assert "parentheses" in str(raised.value)


@pytest.mark.parametrize("other", [True, 5, "x", None, col("a")])
def test_predicates_combine_with_predicates_only(other: Predicate) -> None:
    with pytest.raises(TypeError, match="parentheses"):
        _ = A & other
    with pytest.raises(TypeError, match="parentheses"):
        _ = A | other


MISTAKES: dict[str, Callable[[], object]] = {
    "null in an order": lambda: col("a") < None,
    "null in in": lambda: col("a").in_([1, None]),
    "null in not in": lambda: col("a").not_in([None]),
    "a text for a list": lambda: col("a").in_("abc"),
    "null as a bound": lambda: col("a").between(None, 1),
    "an object": lambda: col("a") == object(),
    "NUL": lambda: col("a") == "\0",
}


@pytest.mark.parametrize("mistake", MISTAKES.values(), ids=list(MISTAKES))
def test_values_that_cannot_match_are_refused(mistake: Callable[[], object]) -> None:
    with pytest.raises(InvalidValue):
        mistake()


def test_columns_are_compared_by_operators_only() -> None:
    with pytest.raises(InvalidExpression, match="another column"):
        col("a").in_([col("b")])


@pytest.mark.parametrize(
    "text",
    [
        '{"kind": "comparison", "column": "a", "op": "eq", "value": null}',
        '{"kind": "comparison", "column": "a", "op": "eq"}',
        '{"kind": "comparison", "column": "", "op": "eq", "value": 1}',
        '{"kind": "comparison", "column": "a", "op": "=", "value": 1}',
        '{"kind": "comparison", "column": "a", "op": "eq", "value": 1.5}',
        '{"kind": "comparison", "column": "a", "op": "eq", "value": 1, "extra": 1}',
        '{"kind": "membership", "column": "a", "values": [null]}',
        '{"kind": "between", "column": "a", "low": 1, "high": null}',
        '{"kind": "and", "terms": []}',
        '{"kind": "or", "terms": []}',
        '{"kind": "sql", "text": "true"}',
        "true",
        "null",
    ],
)
def test_json_that_is_no_predicate_is_refused(text: str) -> None:
    with pytest.raises(ValidationError):
        PREDICATES.validate_json(text)


def test_null_is_no_key_and_nodes_are_frozen() -> None:
    with pytest.raises(ValidationError, match="never null"):
        Keys(keys=(None,))
    with pytest.raises(ValidationError, match="frozen"):
        setattr(A, "column", "b")  # noqa: B010  # type checkers know better


def test_a_long_chain_is_not_deep() -> None:
    chain: Predicate = A
    for _ in range(500):
        chain = chain | B
    assert isinstance(chain, Or)
    assert len(chain.terms) == 501
    assert PREDICATES.validate_json(chain.model_dump_json()) == chain


def test_a_long_chain_is_built_in_a_time_that_fits_its_length() -> None:
    started = time.process_time()
    predicate = col("a") == 0
    for n in range(1, 5_000):
        predicate = predicate | (col("a") == n)
    assert time.process_time() - started < 5, (
        "it took some thirty seconds when each step validated all"
    )
    assert len(list(leaves(predicate))) == 5_000
