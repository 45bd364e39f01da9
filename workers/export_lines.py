"""How the server writes a record as one line: of CSV, as a JSON object, or as a JSON array of texts."""

from collections.abc import Sequence
from typing import Literal

from psycopg import sql

from .images import listed, numbered
from .table import Column

Lines = Literal["csv", "objects", "texts"]

_NUMBERS = ("smallint", "integer", "bigint", "numeric", "real", "double precision", "money")
_PLAIN = frozenset(
    (
        *_NUMBERS,
        *("boolean", "uuid", "bytea", "date", "interval"),
        *("timestamp without time zone", "timestamp with time zone"),
        *("time without time zone", "time with time zone"),
    )
)
"""Types whose texts hold nothing of anybody's own: in CSV they need no quotes, and can be no formula."""
FORMULA = "[=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20]"
"""What a text begins with that a spreadsheet may take for a formula; the last four are the full-width forms."""


_CAST_TO_ANOTHER = frozenset({"character", "bpchar", "inet", "cidr"})
"""Types whose cast to text is another text than their output: blanks cut off, a mask put on."""


def recorded_type(column: Column) -> str:
    """Give the type by which a column's values are written: that below a domain, else with its modifiers."""
    return column.plain_type if column.is_domain else column.type


class LinesOf:
    """The parts of the statement that writes lines of some columns, which it knows as c1, c2, ..."""

    def __init__(self, lines: Lines, columns: Sequence[Column], *, escape: bool) -> None:
        """``escape`` puts an apostrophe before a text of CSV that may be taken for a formula."""
        self._lines: Lines = lines
        self._columns = columns
        self._names = numbered("c", len(columns))
        self._escape = escape

    @property
    def fields(self) -> sql.Composable:
        """Read the columns of the row ``t``: as they are for JSON, else as text."""
        return listed(
            sql.SQL("{} AS {}").format(
                sql.SQL("t.{}").format(column.identifier)
                if self._lines == "objects"
                else _text(column),
                name,
            )
            for column, name in zip(self._columns, self._names, strict=True)
        )

    @property
    def line(self) -> sql.Composable:
        """Write one line. A raw line feed in JSON is a blank between values, never in one."""
        match self._lines:
            case "csv":
                return listed(map(self._csv_field, self._columns, self._names))
            case "objects":
                values = listed(
                    sql.SQL("{} AS {}").format(name, column.identifier)
                    for column, name in zip(self._columns, self._names, strict=True)
                )
                return sql.SQL(
                    "(SELECT translate(row_to_json(r)::text, E'\\n\\r', '  ') FROM (SELECT {}) AS r)"
                ).format(values)
            case "texts":
                return sql.SQL("array_to_json(ARRAY[{}])").format(listed(self._names))

    @property
    def options(self) -> sql.Composable:
        """Say how COPY writes it. JSON has no control characters, so lines of it are never quoted."""
        if self._lines != "csv":
            return sql.SQL("FORMAT csv, ENCODING 'UTF8', QUOTE E'\\x01', DELIMITER E'\\x02'")
        texts = [
            name
            for column, name in zip(self._columns, self._names, strict=True)
            if column.plain_type not in _PLAIN
        ]
        quoted = sql.SQL(", FORCE_QUOTE ({})").format(listed(texts)) if texts else sql.SQL("")
        return sql.SQL("FORMAT csv, ENCODING 'UTF8'{}").format(quoted)

    def _csv_field(self, column: Column, name: sql.Identifier) -> sql.Composable:
        if not self._escape or column.plain_type in _PLAIN:
            return name
        return sql.SQL(
            "CASE WHEN {name} ~ {formula} THEN '''' || {name} ELSE {name} END AS {name}"
        ).format(name=name, formula=sql.Literal("^" + FORMULA))


def _text(column: Column) -> sql.Composable:
    """Write a value as text: true and false by their names, and all else as it is put out."""
    reference = sql.SQL("t.{}").format(column.identifier)
    if column.plain_type not in _CAST_TO_ANOTHER:
        return sql.SQL("{}::text").format(reference)
    return sql.SQL("CASE WHEN {0} IS NOT NULL THEN concat({0}) END").format(reference)
