"""Values as commands carry them: JSON in and out, and text that PostgreSQL's input functions read exactly.

A literal does not know the type of its column. It becomes a parameter, cast to that type, when the
command is compiled: so every type works through its input text, and no value is ever part of a statement.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
)
from math import isnan
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias, cast
from typing import Literal as OneOf
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Strict
from typing_extensions import TypeAliasType

from .errors import InvalidValue, shown

# Python refuses to print larger integers (sys.int_info.default_max_str_digits), and JSON to read them.
MAX_INTEGER_BITS = 14_000
MAX_DEPTH = 100
MAX_TEXT = 32 * 1024 * 1024
"""Characters of one value, and of all that one command says. What the server could take is longer, but not by far."""


class Json(BaseModel):
    """JSON text that stays JSON inside a list: an object, or a number that is not an int.

    A list may go to an array column or to a JSON column. As an element of an array a number is its
    text; as part of a JSON document it must not turn into a string.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: OneOf["json"] = "json"
    text: str


# Strict, for a union would otherwise read 1.0 as 1 and b"x" as "x".
Boolean = Annotated[bool, Strict()]
Integer = Annotated[int, Strict()]
Text = Annotated[str, Strict()]
if TYPE_CHECKING:  # pyright loses the type of the other form's recursion in modules that import it
    Literal: TypeAlias = "Boolean | Integer | Text | Json | tuple[Literal, ...] | None"
else:
    Literal = TypeAliasType(
        "Literal", "Boolean | Integer | Text | Json | tuple[Literal, ...] | None"
    )


def encode(value: object) -> Literal:
    """Turn a Python value into a literal; raise InvalidValue for what has no exact text.

    A ``datetime`` without time zone is read in UTC by a column that has one. A ``str`` is the input text
    of its column whatever the type: ``"[1,5)"`` for a range, ``'{"a": 1}'`` for JSON.
    """
    return _encode(value, depth=0)


def _encode(value: object, depth: int) -> Literal:  # noqa: PLR0911  # one return a type
    if depth > MAX_DEPTH:
        raise InvalidValue(value=shown(value), detail="it is nested too deeply, or contains itself")
    match value:
        case None | bool() | Json():
            return value
        case Enum():
            return _encode(value.value, depth)
        case int():
            return _integer(value)
        case str():
            return _text(value)
        case Mapping():
            return Json(text=_json(cast("Mapping[object, object]", value), depth))
        case list() | tuple():
            items = cast("Iterable[object]", value)
            return tuple(_element(item, depth + 1) for item in items)
        case _:
            return _as_text(value)


def _element(value: object, depth: int) -> Literal:
    literal = _encode(value, depth)
    return (
        Json(text=literal)
        if isinstance(value, float | Decimal) and isinstance(literal, str)
        else literal
    )


def _integer(value: int) -> int:
    if value.bit_length() > MAX_INTEGER_BITS:
        raise InvalidValue(value="an integer", detail="it has too many digits")
    return int(value)


def _check_length(characters: int) -> None:
    """Refuse a value that is too long, before anything is made of it."""
    if characters > MAX_TEXT:
        detail = f"it has {characters:,} characters, and {MAX_TEXT:,} is the most"
        raise InvalidValue(value="a text", detail=detail)


def _text(value: str) -> str:
    _check_length(len(value))
    try:
        value.encode()
    except UnicodeEncodeError as exc:
        raise InvalidValue(
            value=shown(value), detail="it is not valid Unicode (a lone surrogate)"
        ) from exc
    if "\0" in value:
        raise InvalidValue(
            value=shown(value), detail="PostgreSQL text cannot hold the character NUL"
        )
    return str(value)


def _number(value: float | Decimal) -> str:
    if value.is_nan() if isinstance(value, Decimal) else isnan(value):
        return "NaN"
    if value in (float("inf"), float("-inf")):
        return "Infinity" if value > 0 else "-Infinity"
    return repr(float(value)) if isinstance(value, float) else str(value)


def _interval(value: timedelta) -> str:
    # Each field has its sign: under IntervalStyle sql_standard a leading minus would count for all of them.
    # The sign is the whole's, as in -1 second; timedelta itself keeps that as -1 day and 86,399 seconds.
    sign, size = ("-", -value) if value < timedelta(0) else ("+", value)
    return f"{sign}{size.days} days {sign}{size.seconds} seconds {sign}{size.microseconds} microseconds"


def _bytea(value: bytes | bytearray | memoryview) -> str:
    _check_length(2 * memoryview(value).nbytes)
    return "\\x" + value.hex()


# In this order: datetime is a date.
TEXTS: tuple[tuple[tuple[type, ...], Callable[[Any], str]], ...] = (
    ((float, Decimal), _number),
    ((datetime,), lambda value: value.isoformat(sep=" ")),
    ((date, time), lambda value: value.isoformat()),
    ((timedelta,), _interval),
    ((bytes, bytearray, memoryview), _bytea),
    ((UUID, IPv4Address, IPv6Address, IPv4Interface, IPv6Interface, IPv4Network, IPv6Network), str),
)


def _as_text(value: object) -> str:
    for types, text in TEXTS:
        if isinstance(value, types):
            return text(value)
    raise InvalidValue(
        value=shown(value),
        detail=f"a {type(value).__name__} has no PostgreSQL text here; give its input text as a str",
    )


def _json(value: object, depth: int) -> str:
    """Give JSON text; numbers keep every digit, and dates and the like become strings."""
    if depth > MAX_DEPTH:
        raise InvalidValue(value=shown(value), detail="it is nested too deeply, or contains itself")
    match value:
        case Json():
            return value.text
        case Mapping():
            items = cast("Mapping[object, object]", value).items()
            return (
                "{"
                + ", ".join(f"{_json_key(key)}: {_json(item, depth + 1)}" for key, item in items)
                + "}"
            )
        case list() | tuple():
            return (
                "["
                + ", ".join(_json(item, depth + 1) for item in cast("Iterable[object]", value))
                + "]"
            )
        case float() | Decimal():
            return _json_number(value)
        case _:
            return json.dumps(_encode(value, depth), ensure_ascii=False)


def _json_key(key: object) -> str:
    if not isinstance(key, str):
        raise InvalidValue(value=shown(key), detail="the keys of a JSON object are texts")
    return json.dumps(_text(key), ensure_ascii=False)


def _json_number(value: float | Decimal) -> str:
    text = _number(value)
    if text.endswith(("NaN", "Infinity")):
        raise InvalidValue(value=shown(value), detail="JSON has no such number")
    return text


def json_text(literal: Literal) -> str:
    """Give the JSON text of a literal inside a JSON column: a list becomes an array, a text in it a string."""
    if isinstance(literal, Json) and literal.text in ("NaN", "Infinity", "-Infinity"):
        raise InvalidValue(value=literal.text, detail="JSON has no such number")
    if isinstance(literal, tuple):
        return "[" + ", ".join(json_text(item) for item in literal) + "]"
    return _json(literal, depth=0)


def plain(literal: Literal) -> object:
    """Give a literal as Python and its JSON show it, for messages: lists as lists, JSON as its text."""
    match literal:
        case tuple():
            return [plain(item) for item in literal]
        case Json():
            return literal.text
        case _:
            return literal
