"""What an update may set a column to, besides a value: an expression over the columns of the same record.

Expressions are frozen pydantic models, JSON in and out; ``col`` builds them. They compute as PostgreSQL
does: null in, null out (except for ``coalesce``), and whole numbers divide to whole numbers.
"""

from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Self
from typing import Literal as OneOf
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, model_validator
from typing_extensions import TypeAliasType

from .errors import InvalidExpression
from .values import Literal, encode

ValueType = OneOf[
    "boolean",
    "integer",
    "bigint",
    "numeric",
    "double precision",
    "text",
    "date",
    "timestamp without time zone",
    "timestamp with time zone",
    "interval",
    "uuid",
    "bytea",
]
Operator = OneOf["add", "subtract", "multiply", "divide", "modulo"]
Function = OneOf["negate", "lower", "upper", "trim", "coalesce", "concat"]
ColumnName = Annotated[str, Field(min_length=1)]

INTEGER_BITS = 31
BIGINT_BITS = 63


class ExpressionNode(BaseModel):
    """What all nodes of expressions have in common."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ColumnReference(ExpressionNode):
    """The value of a column, as the record has it before the change."""

    kind: OneOf["column"] = "column"
    name: ColumnName


class Value(ExpressionNode):
    """A constant. Its type is PostgreSQL's for the Python type it came from; None lets the server infer it."""

    kind: OneOf["value"] = "value"
    value: Literal
    type: ValueType | None = None


class Arithmetic(ExpressionNode):
    """Two operands and what is done with them."""

    kind: OneOf["arithmetic"] = "arithmetic"
    op: Operator
    left: "Expression"
    right: "Expression"


class Call(ExpressionNode):
    """A function of one or more arguments."""

    kind: OneOf["call"] = "call"
    function: Function
    arguments: Annotated[tuple["Expression", ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _one_argument(self) -> Self:
        if len(self.arguments) > 1 and self.function not in ("coalesce", "concat"):
            raise ValueError(f"{self.function} takes one argument")
        return self


class Round(ExpressionNode):
    """A number rounded half away from zero to so many decimals; negative ones round to tens, hundreds, ..."""

    kind: OneOf["round"] = "round"
    argument: "Expression"
    digits: Annotated[int, Field(ge=-1000, le=1000)] = 0


Expression = TypeAliasType(
    "Expression",
    Annotated[ColumnReference | Value | Arithmetic | Call | Round, Field(discriminator="kind")],
)
for _node in (Arithmetic, Call, Round):
    _node.model_rebuild()

# What an update gives to a column: a value of the column's type, or an expression.
Assignment = TypeAliasType("Assignment", Expression | Literal)


def value_node(value: object, text_type: OneOf["text"] | None = None) -> Value:
    """Make a constant of a Python value; a ``str`` has no type of its own unless ``text_type`` gives it one.

    None is refused: arithmetic with null is null, which nobody means.
    """
    if value is None:
        raise InvalidExpression(
            detail="None is not a value to compute with; use coalesce() to replace nulls"
        )
    literal = encode(value)
    return Value(
        value=literal, type=_value_type(value) or (text_type if isinstance(literal, str) else None)
    )


def _value_type(value: object) -> ValueType | None:  # noqa: PLR0911  # a table that isinstance must walk
    match value:
        case bool():
            return "boolean"
        case int():
            return _integer_type(value)
        case float():
            return "double precision"
        case Decimal():
            return "numeric"
        case datetime():
            return (
                "timestamp without time zone"
                if value.tzinfo is None
                else "timestamp with time zone"
            )
        case date():
            return "date"
        case timedelta():
            return "interval"
        case UUID():
            return "uuid"
        case bytes() | bytearray() | memoryview():
            return "bytea"
        case _:
            return None


def _integer_type(value: int) -> ValueType:
    bits = (value if value >= 0 else ~value).bit_length()
    return "integer" if bits <= INTEGER_BITS else "bigint" if bits <= BIGINT_BITS else "numeric"


def columns_of(expression: Expression) -> frozenset[str]:
    """Give the names of the columns that the expression reads."""
    match expression:
        case ColumnReference():
            return frozenset({expression.name})
        case Value():
            return frozenset()
        case Arithmetic():
            return columns_of(expression.left) | columns_of(expression.right)
        case Call():
            return frozenset[str]().union(*map(columns_of, expression.arguments))
        case Round():
            return columns_of(expression.argument)


def is_lazy(expression: Expression) -> bool:
    """Say whether a part of it may not be computed for some records: ``coalesce`` stops at what is not null."""
    match expression:
        case ColumnReference() | Value():
            return False
        case Arithmetic():
            return is_lazy(expression.left) or is_lazy(expression.right)
        case Call():
            return expression.function == "coalesce" or any(map(is_lazy, expression.arguments))
        case Round():
            return is_lazy(expression.argument)
