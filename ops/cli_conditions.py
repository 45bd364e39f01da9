"""Conditions as they are typed: ``country = FR``. Read strictly into a predicate, never passed on as text.

A condition is a column, one operator and its values. Several are joined with and; whatever else a predicate
can say is written as its JSON (``--where-json``). Nothing is guessed: what could be meant in two ways is an
error that says how to write it.
"""

import re
from collections.abc import Callable, Iterable

from action_ledger.domain.errors import InvalidCondition, shown
from action_ledger.domain.selection import (
    And,
    Between,
    Comparison,
    ComparisonOperator,
    Membership,
    NullCheck,
    Predicate,
)

SYMBOLS: dict[str, ComparisonOperator] = {
    "=": "eq",
    "!=": "ne",
    "<": "lt",
    "<=": "le",
    ">": "gt",
    ">=": "ge",
}
OPERATORS = (
    "=, !=, <, <=, >, >=, like, in (a, b), not in (a, b), between a and b, is null, is not null"
)

_SPACE = re.compile(r"\s*")
_COLUMN = re.compile(r'\s*(?:"((?:[^"]|"")+)"|([^\W\d][\w$]*))\s*')
_SYMBOL = re.compile(r"[=!<>]+")
_QUOTED = re.compile(r"'((?:[^']|'')*)'")
_WORD = r"""(?!(?:and|or|not)\b)[^\s'"(),;=<>!]+"""
_BARE = re.compile(rf"{_WORD}(?:[ \t]+{_WORD})*", re.IGNORECASE)
_QUOTE_IT = "put the value between single quotes, and write a quote inside of it twice"


class _Reader:
    """What is left of one condition."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._at = 0

    @property
    def rest(self) -> str:
        """What was not read yet."""
        return self.text[self._at :]

    def take(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        """Read on over a pattern, if it comes next."""
        if (match := pattern.match(self.text, self._at)) is not None:
            self._at = match.end()
        return match

    def takes(self, *words: str) -> bool:
        """Read on over words, if they come next, in capitals or not."""
        words_next = re.compile(r"\s*" + r"\s+".join(words) + r"(?![\w$])\s*", re.IGNORECASE)
        return self.take(words_next) is not None

    def space(self) -> None:
        """Read on over white space."""
        self.take(_SPACE)

    def mark(self, mark: str) -> bool:
        """Read on over a mark, if it comes next."""
        return self.take(re.compile(r"\s*" + re.escape(mark) + r"\s*")) is not None

    def wrong(self, detail: str) -> InvalidCondition:
        """Make the error that says what is wrong with the condition."""
        return InvalidCondition(condition=shown(self.text), detail=detail)


def parse_conditions(texts: Iterable[str]) -> Predicate | None:
    """Read conditions and join them with and; None when there are none. Raises InvalidCondition."""
    terms = [parse_condition(text) for text in texts]
    if len(terms) > 1:
        return And(terms=tuple(terms))
    return terms[0] if terms else None


def parse_condition(text: str) -> Predicate:
    """Read one condition. Raises InvalidCondition."""
    reader = _Reader(text)
    found = reader.take(_COLUMN)
    if found is None:
        raise reader.wrong('it does not begin with a column; write an unusual name as "Na me"')
    column = found[1].replace('""', '"') if found[1] is not None else found[2]
    predicate = _after_column(reader, column)
    reader.space()
    if reader.rest:
        raise reader.wrong(
            f"{shown(reader.rest)} is left over; join conditions by giving --where once for each, "
            f"or if it belongs to the value, {_QUOTE_IT}",
        )
    return predicate


def _after_column(reader: _Reader, column: str) -> Predicate:
    if (symbol := reader.take(_SYMBOL)) is not None:
        if symbol[0] not in SYMBOLS:
            raise reader.wrong(f"{symbol[0]} is not an operator; there are {OPERATORS}")
        return Comparison(column=column, op=SYMBOLS[symbol[0]], value=_value(reader))
    for words, read in _READERS.items():
        if reader.takes(*words):
            return read(reader, column)
    raise reader.wrong(f"no operator follows the column {column}; there are {OPERATORS}")


def _like(reader: _Reader, column: str) -> Predicate:
    return Comparison(column=column, op="like", value=_value(reader))


def _between(reader: _Reader, column: str) -> Predicate:
    low = _value(reader)
    if not reader.takes("and"):
        raise reader.wrong("between needs two values: between 1 and 5")
    return Between(column=column, low=low, high=_value(reader))


def _in(reader: _Reader, column: str) -> Predicate:
    return Membership(column=column, values=_list(reader))


def _not_in(reader: _Reader, column: str) -> Predicate:
    return Membership(column=column, values=_list(reader), negated=True)


_READERS: dict[tuple[str, ...], Callable[[_Reader, str], Predicate]] = {
    ("is", "null"): lambda _, column: NullCheck(column=column),
    ("is", "not", "null"): lambda _, column: NullCheck(column=column, negated=True),
    ("not", "in"): _not_in,
    ("in",): _in,
    ("between",): _between,
    ("like",): _like,
}


def _list(reader: _Reader) -> tuple[str, ...]:
    if not reader.mark("("):
        raise reader.wrong("in needs its values in parentheses: in (FR, DE)")
    values: list[str] = []
    if reader.mark(")"):
        return ()
    while True:
        values.append(_value(reader))
        if reader.mark(")"):
            return tuple(values)
        if not reader.mark(","):
            raise reader.wrong(
                "the values of in are separated by commas and end with a parenthesis"
            )


def _value(reader: _Reader) -> str:
    """Read a quoted value, or a bare one: words without quotes, commas, parentheses and operators."""
    reader.space()
    if (quoted := reader.take(_QUOTED)) is not None:
        return quoted[1].replace("''", "'")
    bare = reader.take(_BARE)
    if bare is None:
        raise reader.wrong(f"a value is missing, or has to be quoted: {_QUOTE_IT}")
    if bare[0].lower() == "null":
        raise reader.wrong(
            "nothing equals null; write is null, is not null, or 'null' for the text"
        )
    return bare[0]


def quoted(text: str) -> str:
    """Write a value so that it can be read again: bare where that works, quoted where it must be."""
    if _BARE.fullmatch(text) and text.lower() != "null":
        return text
    return "'" + text.replace("'", "''") + "'"


def column_text(name: str) -> str:
    """Write the name of a column so that it can be read again."""
    if (match := _COLUMN.fullmatch(name)) is not None and match[2] == name:
        return name
    return '"' + name.replace('"', '""') + '"'
