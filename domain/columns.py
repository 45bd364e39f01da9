"""``col``: how selections and expressions are written in Python.

These are plain objects that build the models of ``selection`` and ``expression``; the models keep their
own ``==`` and ``hash``. ``col("a") == 1`` is a predicate, so columns cannot be keys of a dict or set.
"""

from collections.abc import Iterable
from typing import NoReturn

from pydantic import ValidationError
from typing_extensions import override

from .errors import InvalidExpression, InvalidValue, shown
from .expression import (
    Arithmetic,
    Assignment,
    Call,
    ColumnReference,
    Expression,
    ExpressionNode,
    Function,
    Operator,
    Round,
    Value,
    value_node,
)
from .selection import (
    NULL_NEVER_MATCHES,
    Between,
    Comparison,
    ExpressionComparison,
    ExpressionOperator,
    Membership,
    NullCheck,
    Predicate,
    not_a_condition,
)
from .values import Literal, encode


class Operand:
    """Something computed from the columns of a record: compute further with it, compare it, or assign it."""

    __slots__ = ("expression",)

    expression: Expression

    def __init__(self, expression: Expression) -> None:
        """Wrap an expression."""
        self.expression = expression

    def __add__(self, other: object) -> "Operand":
        """Add a number; add a ``timedelta`` to a time."""
        return self._with("add", other)

    def __radd__(self, other: object) -> "Operand":
        """Add to a constant."""
        return self._to("add", other)

    def __sub__(self, other: object) -> "Operand":
        """Subtract a number, or a ``timedelta`` from a time."""
        return self._with("subtract", other)

    def __rsub__(self, other: object) -> "Operand":
        """Subtract from a constant."""
        return self._to("subtract", other)

    def __mul__(self, other: object) -> "Operand":
        """Multiply."""
        return self._with("multiply", other)

    def __rmul__(self, other: object) -> "Operand":
        """Multiply a constant."""
        return self._to("multiply", other)

    def __truediv__(self, other: object) -> "Operand":
        """Divide as PostgreSQL does: a whole number by a whole number gives a whole number."""
        return self._with("divide", other)

    def __rtruediv__(self, other: object) -> "Operand":
        """Divide a constant."""
        return self._to("divide", other)

    def __mod__(self, other: object) -> "Operand":
        """Give the remainder of a division; it has the sign of the dividend, unlike in Python."""
        return self._with("modulo", other)

    def __rmod__(self, other: object) -> "Operand":
        """Give the remainder of a constant."""
        return self._to("modulo", other)

    def __neg__(self) -> "Operand":
        """Change the sign."""
        return self._call("negate")

    def concat(self, *others: object) -> "Operand":
        """Append texts; also elements or lists to an array, and an object to jsonb. Null if any part is null."""
        return self._call("concat", *(_node(other, text=True) for other in others))

    def lower(self) -> "Operand":
        """Give the text in lower case."""
        return self._call("lower")

    def upper(self) -> "Operand":
        """Give the text in upper case."""
        return self._call("upper")

    def trim(self) -> "Operand":
        """Give the text without spaces at either end."""
        return self._call("trim")

    def coalesce(self, *others: object) -> "Operand":
        """Give the first of these that is not null."""
        return self._call("coalesce", *map(_node, others))

    def round(self, digits: int = 0) -> "Operand":
        """Round half away from zero to so many decimals."""
        return Operand(Round(argument=self.expression, digits=digits))

    def __eq__(self, other: object) -> Predicate:  # type: ignore[override]  # a predicate is what == is for here
        """Compare for equality; with None, ask for null."""
        return self._compare("eq", other)

    def __ne__(self, other: object) -> Predicate:  # type: ignore[override]  # as for ==
        """Compare for difference; with None, ask for not null."""
        return self._compare("ne", other)

    def __lt__(self, other: object) -> Predicate:
        """Compare: less than."""
        return self._compare("lt", other)

    def __le__(self, other: object) -> Predicate:
        """Compare: at most."""
        return self._compare("le", other)

    def __gt__(self, other: object) -> Predicate:
        """Compare: greater than."""
        return self._compare("gt", other)

    def __ge__(self, other: object) -> Predicate:
        """Compare: at least."""
        return self._compare("ge", other)

    __hash__ = None  # type: ignore[assignment]  # == does not say whether two of them are the same

    def __bool__(self) -> NoReturn:  # noqa: PLE0304
        """Refuse to be a condition of Python's own."""
        not_a_condition("A column")

    def __contains__(self, item: object) -> bool:
        """Refuse ``in``, whose answer Python would turn into True or False."""
        not_a_condition("A column")

    def __iter__(self) -> NoReturn:
        """Refuse to be taken for a list of values."""
        message = "a column cannot be iterated over: it stands for the value of each record"
        raise TypeError(message)

    @override
    def __repr__(self) -> str:
        """Show the expression."""
        return f"{type(self).__name__}({self.expression!r})"

    def _with(self, op: Operator, other: object) -> "Operand":
        return Operand(Arithmetic(op=op, left=self.expression, right=_node(other)))

    def _to(self, op: Operator, other: object) -> "Operand":
        return Operand(Arithmetic(op=op, left=_node(other), right=self.expression))

    def _call(self, function: Function, *others: Expression) -> "Operand":
        return Operand(Call(function=function, arguments=(self.expression, *others)))

    def _compare(self, op: ExpressionOperator, other: object) -> Predicate:
        if other is None:
            raise InvalidExpression(
                detail="only a column can be compared with None; coalesce() replaces nulls"
            )
        return ExpressionComparison(left=self.expression, op=op, right=_node(other))


class Column(Operand):
    """A column of the table, by its exact name."""

    __slots__ = ("name",)

    name: str

    def __init__(self, name: str) -> None:
        """Name a column."""
        if not name:
            raise InvalidExpression(detail="a column needs a name")
        try:
            reference = ColumnReference(name=name)
        except ValidationError as error:
            detail = f"{shown(name)} cannot be the name of a column"
            raise InvalidExpression(detail=detail) from error
        super().__init__(reference)
        self.name = name

    def in_(self, values: Iterable[object]) -> Membership:
        """Be one of the values; an empty list matches nothing."""
        return Membership(column=self.name, values=self._values(values))

    def not_in(self, values: Iterable[object]) -> Membership:
        """Be none of the values; an empty list matches everything."""
        return Membership(column=self.name, values=self._values(values), negated=True)

    def between(self, low: object, high: object) -> Between:
        """Be within bounds that both belong to the range."""
        return Between(column=self.name, low=self._value(low), high=self._value(high))

    def like(self, pattern: str) -> Comparison:
        r"""Match a pattern: % is any text, _ any character, and \ before either takes it as it is."""
        return Comparison(column=self.name, op="like", value=self._value(pattern))

    def is_null(self) -> NullCheck:
        """Have no value."""
        return NullCheck(column=self.name)

    def is_not_null(self) -> NullCheck:
        """Have a value."""
        return NullCheck(column=self.name, negated=True)

    @override
    def _compare(self, op: ExpressionOperator, other: object) -> Predicate:
        if other is None and op in ("eq", "ne"):
            return NullCheck(column=self.name, negated=op == "ne")
        if isinstance(other, Operand | ExpressionNode):
            return super()._compare(op, other)
        return Comparison(column=self.name, op=op, value=self._value(other))

    def _values(self, values: Iterable[object]) -> tuple[Literal, ...]:
        if isinstance(values, str | bytes):
            raise InvalidValue(
                value=shown(values),
                detail="it is one value, and a list is needed",
                column=self.name,
            )
        return tuple(self._value(value) for value in values)

    def _value(self, value: object) -> Literal:
        if value is None:
            raise InvalidValue(value="None", detail=NULL_NEVER_MATCHES, column=self.name)
        if isinstance(value, Operand | ExpressionNode):
            detail = (
                f"column {self.name} can be compared with another column by == != < <= > >= only"
            )
            raise InvalidExpression(detail=detail, column=self.name)
        return encode(value)


def col(name: str) -> Column:
    """Name a column of the table, exactly as it is spelled there, to compare it or compute with it."""
    return Column(name)


def assignment(value: object) -> Assignment:
    """Turn what ``update(column=value)`` was given into its model: an expression, or a literal."""
    match value:
        case Operand():
            return value.expression
        case ColumnReference() | Value() | Arithmetic() | Call() | Round():
            return value
        case _:
            return encode(value)


def _node(value: object, *, text: bool = False) -> Expression:
    match value:
        case Operand():
            return value.expression
        case ColumnReference() | Value() | Arithmetic() | Call() | Round():
            return value
        case _:
            return value_node(value, "text" if text and isinstance(value, str) else None)
