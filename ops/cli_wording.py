"""Selections and parameters in words, as people read them. A condition can be typed again as it is shown."""

import json
from collections.abc import Mapping
from typing import Any, assert_never

from pydantic import TypeAdapter

from action_ledger.domain.actions import BUILT_IN, UpdateParameters
from action_ledger.domain.expression import (
    Arithmetic,
    Assignment,
    Call,
    ColumnReference,
    Expression,
    Operator,
    Round,
    Value,
)
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
    Unfinished,
    Where,
)
from action_ledger.domain.values import Literal, plain

from .cli_conditions import SYMBOLS, column_text, quoted

_WRITTEN = {name: symbol for symbol, name in SYMBOLS.items()} | {"like": "like"}
_ARITHMETIC: dict[Operator, str] = {
    "add": "+",
    "subtract": "-",
    "multiply": "*",
    "divide": "/",
    "modulo": "%",
}
_SELECTION: TypeAdapter[Selection] = TypeAdapter(Selection)
_UPDATE = next(action.name for action in BUILT_IN if action.parameters is UpdateParameters)


def selection_text(selection: Selection) -> str:
    """Say which records were chosen."""
    match selection:
        case Where():
            return predicate_text(selection.predicate)
        case Keys():
            return "the given keys"
        case Everything():
            return "every record"
        case Unfinished():
            kinds = {"failed": selection.failed, "not processed": selection.not_processed}
            wanted = " or ".join(kind for kind, chosen in kinds.items() if chosen)
            return f"what execution {selection.of} left {wanted}"
        case _:
            assert_never(selection)


def stored_selection_text(stored: object) -> str:
    """Say it of a selection as its JSON was stored."""
    return selection_text(_SELECTION.validate_python(stored))


def predicate_text(predicate: Predicate) -> str:  # noqa: PLR0911  # one return a kind
    """Write a predicate; what the command line takes as a condition is written as it takes it."""
    match predicate:
        case Comparison():
            return f"{column_text(predicate.column)} {_WRITTEN[predicate.op]} {_value(predicate.value)}"
        case ExpressionComparison():
            left, right = expression_text(predicate.left), expression_text(predicate.right)
            return f"{left} {_WRITTEN[predicate.op]} {right}"
        case Membership():
            values = ", ".join(map(_value, predicate.values))
            word = "not in" if predicate.negated else "in"
            return f"{column_text(predicate.column)} {word} ({values})"
        case Between():
            low, high = _value(predicate.low), _value(predicate.high)
            return f"{column_text(predicate.column)} between {low} and {high}"
        case NullCheck():
            word = "is not null" if predicate.negated else "is null"
            return f"{column_text(predicate.column)} {word}"
        case And():
            return " and ".join(map(_term, predicate.terms))
        case Or():
            return " or ".join(map(_term, predicate.terms))
        case Not():
            return f"not ({predicate_text(predicate.term)})"
        case _:
            assert_never(predicate)


def expression_text(expression: Expression) -> str:
    """Write an expression much as SQL does."""
    match expression:
        case ColumnReference():
            return column_text(expression.name)
        case Value():
            return _constant(expression.value)
        case Arithmetic():
            left, right = _operand(expression.left), _operand(expression.right)
            return f"{left} {_ARITHMETIC[expression.op]} {right}"
        case Call():
            return f"{expression.function}({', '.join(map(expression_text, expression.arguments))})"
        case Round():
            return f"round({expression_text(expression.argument)}, {expression.digits})"
        case _:
            assert_never(expression)


def parameters_text(action: str, parameters: Mapping[str, Any]) -> str:
    """Say what an action was told, one assignment after the other for an update."""
    if action == _UPDATE:
        values = UpdateParameters.model_validate(parameters).values
        return ", ".join(f"{column_text(name)} = {_assigned(v)}" for name, v in values.items())
    return ", ".join(
        name if value is True else f"{name}: {_constant(value)}"
        for name, value in parameters.items()
        if value is not None and value is not False
    )


def _assigned(value: Assignment) -> str:
    match value:
        case ColumnReference() | Value() | Arithmetic() | Call() | Round():
            return expression_text(value)
        case _:
            return _constant(value)


def _term(predicate: Predicate) -> str:
    text = predicate_text(predicate)
    return f"({text})" if isinstance(predicate, And | Or) else text


def _operand(expression: Expression) -> str:
    text = expression_text(expression)
    return f"({text})" if isinstance(expression, Arithmetic) else text


def _value(literal: Literal) -> str:
    """Write a value of a condition, which is text whatever its type is."""
    return quoted(_plain_text(literal))


def _constant(literal: object) -> str:
    """Write a constant, with its quotes where it is a text."""
    if isinstance(literal, str):
        return "'" + literal.replace("'", "''") + "'"
    return "null" if literal is None else _plain_text(literal)


def _plain_text(literal: Any) -> str:  # noqa: ANN401 - a literal, or a value that came from JSON
    value = plain(literal)
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
