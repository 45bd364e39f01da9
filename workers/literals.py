"""Turns literals into parameters: text for PostgreSQL's input functions, and a cast to the column's type.

The cast is to the type without modifiers. A cast to ``varchar(3)`` would cut 'abcd' short, so that it
equals 'abc', and one to ``numeric(4,1)`` would round; without them a comparison is exact, and an
assignment goes through PostgreSQL's assignment cast, which refuses what is too long.
"""

from collections.abc import Iterable

from psycopg import sql

from action_ledger.domain.errors import CommandTooLarge, InvalidValue, shown
from action_ledger.domain.values import Json, Literal, json_text, plain

from .table import Column

MAX_PARAMETERS = 65_000
"""PostgreSQL takes 65,535 in a statement, and some are the statement's own."""


class Parameters:
    """The parameters of one statement: takes values, and hands out the placeholders that stand for them."""

    def __init__(self, prefix: str = "p") -> None:
        """Name them p0, p1, ...: with another prefix, two sets can serve one statement."""
        self.values: dict[str, object] = {}
        self._prefix = prefix

    def add(self, value: object) -> sql.Placeholder:
        """Keep a value, and give its placeholder. Raises CommandTooLarge when there are too many."""
        if len(self.values) == MAX_PARAMETERS:
            raise CommandTooLarge(detail=f"it has more than {MAX_PARAMETERS:,} values")
        name = f"{self._prefix}{len(self.values)}"
        self.values[name] = value
        return sql.Placeholder(name)


def compile_literal(literal: Literal, column: Column, parameters: Parameters) -> sql.Composable:
    """Give the parameter for a value of the column; raise InvalidValue when its form cannot fit the type."""
    return sql.SQL("{}::{}").format(
        parameters.add(literal_text(literal, column)), column.plain_type_sql
    )


def compile_list(
    literals: Iterable[Literal], column: Column, parameters: Parameters
) -> sql.Composable:
    """Give one array parameter for several values of a column that is not an array itself."""
    text = array_text([literal_text(literal, column) for literal in literals], column.delimiter)
    return sql.SQL("{}::{}[]").format(parameters.add(text), column.plain_type_sql)


def literal_text(literal: Literal, column: Column) -> str | None:
    """Give the input text of a value for a column; None for null."""
    try:
        return _text(literal, column)
    except InvalidValue as exc:
        raise InvalidValue(
            value=exc.value, detail=exc.detail, column=column.name, column_type=column.type
        ) from exc


def _text(literal: Literal, column: Column) -> str | None:
    match literal:
        case tuple() if column.is_array:
            return array_text(literal, column.delimiter)
        case tuple() if column.is_json:
            return _checked(json_text(literal))
        case tuple():
            raise InvalidValue(
                value=shown(plain(literal)), detail="it is a list, and the column is no array"
            )
        case Json() if literal.text.startswith("{") and not column.is_json:
            raise InvalidValue(
                value=literal.text, detail="it is an object, and the column is not JSON"
            )
        case _:
            return scalar_text(literal)


def scalar_text(literal: bool | int | str | Json | None) -> str | None:  # noqa: FBT001  # a value, not a switch
    """Give the input text of a single value, whatever the type; None for null."""
    match literal:
        case None:
            return None
        case bool():
            return "true" if literal else "false"
        case int():
            return str(literal)
        case Json():
            return _checked(literal.text)
        case str():
            return _checked(literal)


def array_text(items: Iterable[Literal], delimiter: str = ",") -> str:
    """Give the input text of an array; lists in the list are its further dimensions."""
    return "{" + delimiter.join(_element(item, delimiter) for item in items) + "}"


def _element(item: Literal, delimiter: str) -> str:
    if isinstance(item, tuple):
        return array_text(item, delimiter)
    text = scalar_text(item)
    if text is None:
        return "NULL"
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _checked(text: str) -> str:
    """Refuse what no PostgreSQL text can hold: a command read from JSON did not go through ``encode``."""
    if "\0" in text:
        raise InvalidValue(
            value=shown(text), detail="PostgreSQL text cannot hold the character NUL"
        )
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError as exc:
            raise InvalidValue(value=shown(text), detail="it is not valid Unicode") from exc
    return text
