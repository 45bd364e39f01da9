"""Which records an action runs on: a tree of frozen pydantic models, never text.

Predicates follow SQL's three-valued logic. Against a null, every comparison, membership, range and
pattern is neither true nor false but unknown, and stays so under ``~``; ``&`` and ``|`` weigh it as SQL
does. Only records for which the whole is true are selected. So ``col("x") != 5`` and ``~(col("x") == 5)``
both leave out the records whose x is null: add ``| col("x").is_null()`` where they are wanted.
``is_null()`` and ``is_not_null()`` are never unknown. ``in_([])`` is false and ``not_in([])`` true for
every record, also for nulls.
"""

from collections.abc import Iterator
from typing import Annotated, NoReturn, Self, cast
from typing import Literal as OneOf
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, model_validator
from typing_extensions import TypeAliasType

from .expression import ColumnName, Expression, columns_of
from .values import Literal

ComparisonOperator = OneOf["eq", "ne", "lt", "le", "gt", "ge", "like"]
ExpressionOperator = OneOf["eq", "ne", "lt", "le", "gt", "ge"]

NULL_NEVER_MATCHES = (
    "null equals nothing, so this would select nothing: use is_null() or is_not_null()"
)


def not_a_condition(thing: str) -> NoReturn:
    """Refuse the truth value that `and`, `or`, `not`, `in` and `a < b < c` ask of a predicate or column."""
    raise TypeError(
        f"{thing} has no truth value. Combine predicates with & (and), | (or) and ~ (not), each in "
        'parentheses: (col("a") == 1) & (col("b") > 2). Write a range as col("a").between(1, 5), '
        'and membership as col("a").in_([1, 2]).'
    )


class PredicateNode(BaseModel):
    """What all nodes of predicates have in common: how they combine."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def __and__(self, other: "Predicate") -> "And":
        """Both. What was validated is not validated again: a loop of n would else take n * n."""
        return And.model_construct(terms=(*_terms(And, self), *_terms(And, other)))

    def __or__(self, other: "Predicate") -> "Or":
        """At least one."""
        return Or.model_construct(terms=(*_terms(Or, self), *_terms(Or, other)))

    def __invert__(self) -> "Not":
        """The opposite, where the predicate is not unknown."""
        return Not(term=cast("Predicate", self))

    def __bool__(self) -> NoReturn:  # noqa: PLE0304
        """Refuse to be a condition of Python's own."""
        not_a_condition("A predicate")


class Comparison(PredicateNode):
    """A column against a value; ``like`` takes % for any text and _ for any one character."""

    kind: OneOf["comparison"] = "comparison"
    column: ColumnName
    op: ComparisonOperator
    value: Literal

    @model_validator(mode="after")
    def _no_null(self) -> Self:
        if self.value is None:
            raise ValueError(NULL_NEVER_MATCHES)
        return self


class ExpressionComparison(PredicateNode):
    """Two expressions over columns of the same record against each other."""

    kind: OneOf["expression_comparison"] = "expression_comparison"
    left: Expression
    op: ExpressionOperator
    right: Expression


class Membership(PredicateNode):
    """A column against a list of values."""

    kind: OneOf["membership"] = "membership"
    column: ColumnName
    values: tuple[Literal, ...]
    negated: bool = False

    @model_validator(mode="after")
    def _no_null(self) -> Self:
        if any(value is None for value in self.values):
            raise ValueError(NULL_NEVER_MATCHES)
        return self


class Between(PredicateNode):
    """A column within bounds that both belong to the range."""

    kind: OneOf["between"] = "between"
    column: ColumnName
    low: Literal
    high: Literal

    @model_validator(mode="after")
    def _no_null(self) -> Self:
        if self.low is None or self.high is None:
            raise ValueError(NULL_NEVER_MATCHES)
        return self


class NullCheck(PredicateNode):
    """Whether a column is null; with ``negated``, whether it is not. A composite value of nulls is not null."""

    kind: OneOf["null_check"] = "null_check"
    column: ColumnName
    negated: bool = False


class And(PredicateNode):
    """All of the terms. There is at least one: no terms would select every record unsaid."""

    kind: OneOf["and"] = "and"
    terms: Annotated[tuple["Predicate", ...], Field(min_length=1)]


class Or(PredicateNode):
    """At least one of the terms."""

    kind: OneOf["or"] = "or"
    terms: Annotated[tuple["Predicate", ...], Field(min_length=1)]


class Not(PredicateNode):
    """The opposite of the term; unknown stays unknown."""

    kind: OneOf["not"] = "not"
    term: "Predicate"


Leaf = Comparison | ExpressionComparison | Membership | Between | NullCheck
Predicate = TypeAliasType(
    "Predicate",
    Annotated[
        Comparison | ExpressionComparison | Membership | Between | NullCheck | And | Or | Not,
        Field(discriminator="kind"),
    ],
)
for _node in (And, Or, Not):
    _node.model_rebuild()


def _terms(kind: type[And | Or], predicate: object) -> tuple[Predicate, ...]:
    """Flatten a & b & c into one node, so that a predicate built in a loop is not as deep as it is long."""
    if not isinstance(predicate, PredicateNode):
        raise TypeError(
            f"& and | combine predicates, not {predicate!r}: is a pair of parentheses missing?"
        )
    return predicate.terms if isinstance(predicate, kind) else (cast("Predicate", predicate),)


def leaves(predicate: Predicate) -> Iterator[Leaf]:
    """Give the nodes that name columns, from left to right."""
    match predicate:
        case And() | Or():
            for term in predicate.terms:
                yield from leaves(term)
        case Not():
            yield from leaves(predicate.term)
        case _:
            yield predicate


def columns_read(predicate: Predicate) -> frozenset[str]:
    """Give the names of the columns that the predicate reads."""
    names: set[str] = set()
    for leaf in leaves(predicate):
        names |= (
            columns_of(leaf.left) | columns_of(leaf.right)
            if isinstance(leaf, ExpressionComparison)
            else {leaf.column}
        )
    return frozenset(names)


# A key: the value of its column, or for a key of several columns the tuple of their values, in key order.
KeyValue = Literal


class Where(BaseModel):
    """The records for which a predicate is true."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: OneOf["where"] = "where"
    predicate: Predicate


class Keys(BaseModel):
    """The records with these keys; none for an empty tuple. None says that the keys travel beside the command."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: OneOf["keys"] = "keys"
    keys: tuple[KeyValue, ...] | None = None

    @model_validator(mode="after")
    def _no_null(self) -> Self:
        if self.keys is not None and any(key is None for key in self.keys):
            message = "a key is never null"
            raise ValueError(message)
        return self


class Everything(BaseModel):
    """Every record of the table."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: OneOf["everything"] = "everything"


class Unfinished(BaseModel):
    """The records that another execution did not get done: those that failed, those not processed, or both.

    ``predicate`` is the one that they were chosen by then, and is repeated on the records as they now are; None
    where they were chosen by their keys, or all were.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: OneOf["unfinished"] = "unfinished"
    of: UUID
    failed: bool = True
    not_processed: bool = False
    predicate: Predicate | None = None

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        if not self.failed and not self.not_processed:
            message = "choose the failed records, those that were not processed, or both"
            raise ValueError(message)
        return self


Selection = TypeAliasType(
    "Selection", Annotated[Where | Keys | Everything | Unfinished, Field(discriminator="kind")]
)


def predicate_of(selection: Selection) -> Predicate | None:
    """Give the condition that a selection repeats on each record; None where there is none."""
    return selection.predicate if isinstance(selection, Where | Unfinished) else None
