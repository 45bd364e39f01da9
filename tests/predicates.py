"""Random predicates and records, and what SQL's three-valued logic says of them, worked out in Python."""

import operator
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, assert_never

from hypothesis import strategies as st

from action_ledger.domain.expression import (
    Arithmetic,
    Call,
    ColumnReference,
    Expression,
    Round,
    Value,
)
from action_ledger.domain.selection import (
    And,
    Between,
    Comparison,
    ExpressionComparison,
    ExpressionOperator,
    Membership,
    Not,
    NullCheck,
    Or,
    Predicate,
)
from action_ledger.domain.values import Json, Literal

Record = Mapping[str, int | str | None]

NUMBERS = ("a", "b")
TEXTS = ('t "%(p0)s"', "select {}")
COLUMNS = NUMBERS + TEXTS

OPERATORS: tuple[ExpressionOperator, ...] = ("eq", "ne", "lt", "le", "gt", "ge")
COMPARE: Mapping[str, Callable[[Any, Any], bool]] = {
    "eq": operator.eq,
    "ne": operator.ne,
    "lt": operator.lt,
    "le": operator.le,
    "gt": operator.gt,
    "ge": operator.ge,
}
COMPUTE: Mapping[str, Callable[[int, int], int]] = {
    "add": operator.add,
    "subtract": operator.sub,
    "multiply": operator.mul,
}

# Few and small, so that predicates often hold; the texts are hostile.
numbers = st.integers(-3, 3)
texts = st.text(alphabet="aAbB'\"%_\\{}é😀\n ", max_size=3)
any_text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=10)
literals: st.SearchStrategy[Literal] = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        any_text,
        any_text.map(lambda text: Json(text=text)),
    ),
    lambda inner: st.lists(inner, max_size=3).map(tuple),
    max_leaves=5,
)
patterns = st.lists(
    st.sampled_from(["%", "_", "a", "A", "b", "B", "'", r"\%", r"\_", r"\\", "é"]), max_size=4
).map("".join)
records: st.SearchStrategy[Record] = st.fixed_dictionaries(
    {name: st.none() | numbers for name in NUMBERS} | {name: st.none() | texts for name in TEXTS}
)
fields = st.one_of(
    st.tuples(st.sampled_from(NUMBERS), st.just(numbers)),
    st.tuples(st.sampled_from(TEXTS), st.just(texts)),
)
expressions: st.SearchStrategy[Expression] = st.recursive(
    st.sampled_from(NUMBERS).map(lambda name: ColumnReference(name=name))
    | numbers.map(lambda number: Value(value=number, type="integer")),
    lambda inner: st.builds(
        Arithmetic, op=st.sampled_from(sorted(COMPUTE)), left=inner, right=inner
    ),
    max_leaves=4,
)


@st.composite
def leaves(draw: st.DrawFn) -> Predicate:
    name, values = draw(fields)
    match draw(
        st.sampled_from(["comparison", "membership", "between", "null", "like", "expression"])
    ):
        case "comparison":
            return Comparison(column=name, op=draw(st.sampled_from(OPERATORS)), value=draw(values))
        case "membership":
            members: list[Literal] = draw(st.lists(values, max_size=3))
            return Membership(column=name, values=tuple(members), negated=draw(st.booleans()))
        case "between":
            return Between(column=name, low=draw(values), high=draw(values))
        case "null":
            return NullCheck(column=name, negated=draw(st.booleans()))
        case "like":
            return Comparison(column=draw(st.sampled_from(TEXTS)), op="like", value=draw(patterns))
        case _:
            return ExpressionComparison(
                left=draw(expressions),
                op=draw(st.sampled_from(OPERATORS)),
                right=draw(expressions),
            )


def _terms(inner: st.SearchStrategy[Predicate]) -> st.SearchStrategy[tuple[Predicate, ...]]:
    return st.lists(inner, min_size=1, max_size=3).map(tuple)


predicates: st.SearchStrategy[Predicate] = st.recursive(
    leaves(),
    lambda inner: (
        st.builds(And, terms=_terms(inner))
        | st.builds(Or, terms=_terms(inner))
        | st.builds(Not, term=inner)
    ),
    max_leaves=6,
)


def holds(predicate: Predicate, record: Record) -> bool | None:  # noqa: PLR0911  # one return a node
    """Say whether the predicate is true, false or (None) unknown for the record."""
    match predicate:
        case And():
            return _every(holds(term, record) for term in predicate.terms)
        case Or():
            return _opposite(_every(_opposite(holds(term, record)) for term in predicate.terms))
        case Not():
            return _opposite(holds(predicate.term, record))
        case NullCheck():
            return (record[predicate.column] is None) is not predicate.negated
        case Comparison():
            return _compare(record[predicate.column], predicate.op, predicate.value)
        case ExpressionComparison():
            return _compare(
                compute(predicate.left, record), predicate.op, compute(predicate.right, record)
            )
        case Between():
            value = record[predicate.column]
            return _every(
                [_compare(value, "ge", predicate.low), _compare(value, "le", predicate.high)]
            )
        case Membership():
            return _among(predicate, record[predicate.column])
        case _:
            assert_never(predicate)


def compute(expression: Expression, record: Record) -> Any:
    """Give the value of an expression of the kinds that ``expressions`` draws."""
    match expression:
        case ColumnReference():
            return record[expression.name]
        case Value():
            return expression.value
        case Arithmetic():
            left, right = compute(expression.left, record), compute(expression.right, record)
            return None if left is None or right is None else COMPUTE[expression.op](left, right)
        case Call() | Round():
            raise NotImplementedError
        case _:
            assert_never(expression)


def _among(node: Membership, value: object) -> bool | None:
    if not node.values:
        return node.negated
    return None if value is None else (value in node.values) is not node.negated


def _compare(value: object, op: str, other: object) -> bool | None:
    if value is None or other is None:
        return None
    return _like(str(value), str(other)) if op == "like" else COMPARE[op](value, other)


def _like(text: str, pattern: str) -> bool:
    parts = [
        {"%": ".*", "_": "."}.get(part, re.escape(part.removeprefix("\\") or "\\"))
        for part in re.findall(r"\\.|[^\\]", pattern, re.DOTALL)
    ]
    return re.fullmatch("".join(parts), text, re.DOTALL) is not None


def _every(answers: Iterable[bool | None]) -> bool | None:
    given = list(answers)
    return False if False in given else None if None in given else True


def _opposite(answer: bool | None) -> bool | None:  # noqa: FBT001  # three-valued
    return None if answer is None else not answer
