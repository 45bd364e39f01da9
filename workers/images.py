"""Images: how column values are gathered into arrays, read back, and compared, bit for bit.

Each column of a batch is one array, written as that array type's text under pinned settings (see
``projections/store.sql``). A column that is itself an array, or whose cast to an array's text would lose
something, is gathered as text, element by element.
"""

from collections.abc import Iterable, Sequence
from itertools import count

from psycopg import sql

from .table import Column

TEXT_ARRAY = sql.SQL("text[]")

_VECTORS = frozenset({"int2vector", "oidvector"})
"""They count as arrays of numbers: an array of them would have one dimension more."""

_EXACT = frozenset({"smallint", "integer", "bigint", "uuid", "text", "character varying", "date"})


def is_exact(column: Column) -> bool:
    """Say whether values of a column that are equal are also the same, to the last bit."""
    return column.plain_type in _EXACT and column.collation is None


def _as_text(column: Column) -> bool:
    """Say whether a column is gathered as text.

    Arrays do not nest in arrays; unnest takes composite values apart; the output of xml drops its
    declaration, its cast to text keeps it; and where another character than a comma stands between values,
    nobody but the server can read the array.
    """
    type_ = column.plain_type
    return (
        column.is_array
        or column.is_composite
        or type_ == "xml"
        or type_ in _VECTORS
        or column.delimiter != ","
    )


def _number(column: Column) -> sql.SQL | None:
    """Give the type of the numbers that a column's values stand for in the catalog, if it is such a column.

    Their names are no images: that of a function may be the name of several, that of a table may go to another.
    """
    if not column.plain_type.startswith("reg"):
        return None
    return sql.SQL("oid[]") if column.is_array else sql.SQL("oid")


def element(column: Column, reference: sql.Composable) -> sql.Composable:
    """Give what is gathered of a column: the value, its number, or its text."""
    if (number := _number(column)) is not None:
        reference = sql.SQL("{}::{}").format(reference, number)
    if _as_text(column):
        return sql.SQL("{}::text").format(reference)
    return reference if number else undomained(column, reference)


def undomained(column: Column, reference: sql.Composable) -> sql.Composable:
    """Take a domain for the type below it: its arrays are those of that type."""
    return (
        sql.SQL("{}::{}").format(reference, column.plain_type_sql)
        if column.is_domain
        else reference
    )


def gathered(
    column: Column, reference: sql.Composable, order: sql.Composable | None = None
) -> sql.Composable:
    """Give a column of many records as one text."""
    ordered = sql.SQL(" ORDER BY {}").format(order) if order else sql.SQL("")
    return sql.SQL("array_agg({}{})::text").format(element(column, reference), ordered)


def array_type(column: Column) -> sql.Composable:
    """Give the type of the array that a column was gathered into."""
    if _as_text(column):
        return TEXT_ARRAY
    return sql.SQL("{}[]").format(_number(column) or column.plain_type_sql)


def value(column: Column, reference: sql.Composable) -> sql.Composable:
    """Read an element back as the column's own type, without its length: that is checked when it is assigned."""
    number = _number(column)
    if number and _as_text(column):
        reference = sql.SQL("{}::{}").format(reference, number)
    if number or _as_text(column):
        reference = sql.SQL("{}::{}").format(reference, column.plain_type_sql)
    if column.collation_sql is not None:
        reference = sql.SQL("({} COLLATE {})").format(reference, column.collation_sql)
    return reference


def numbered(prefix: str, count: int) -> list[sql.Identifier]:
    """Name columns of a query k1, k2, ... so that no column of the user's can be in the way."""
    return [sql.Identifier(f"{prefix}{n}") for n in range(1, count + 1)]


def aliases(relation: str, prefix: str, count: int) -> list[sql.Identifier]:
    """Name the same, qualified by the relation they belong to."""
    return [sql.Identifier(relation, f"{prefix}{n}") for n in range(1, count + 1)]


def decoded(relation: str, prefix: str, columns: Sequence[Column]) -> list[sql.Composable]:
    """Refer to unnested columns as values of their own types."""
    names = aliases(relation, prefix, len(columns))
    return [value(column, name) for column, name in zip(columns, names, strict=True)]


def unnested(
    field: str, columns: Iterable[Column], places: Iterable[int] | None = None
) -> list[sql.Composable]:
    """Give the arrays of a bulk field (``s.keys``, ``s.before``, ...), one a column, as arguments of unnest.

    ``places`` are theirs among what the field holds, where it holds more.
    """
    relation, name = field.split(".")
    return [
        sql.SQL("{}[{}]::{}").format(
            sql.Identifier(relation, name), sql.Literal(n), array_type(column)
        )
        for n, column in zip(places or count(1), columns, strict=False)
    ]


def equal(
    columns: Sequence[Column],
    left: Sequence[sql.Composable],
    right: Sequence[sql.Composable],
) -> sql.Composable:
    """Compare values of columns as images: the same bytes, or else the same pinned text.

    Never ``=``: it fails on json, xml and point, and takes 1.0 for 1.00. Text is looked at second since
    a value that went through text may differ in bytes that mean nothing (the sign of a NaN).
    """
    values = [
        [undomained(c, r) for c, r in zip(columns, side, strict=True)] for side in (left, right)
    ]
    return sql.SQL(
        "(record_image_eq(ROW({l}), ROW({r})) OR ROW({lt})::text = ROW({rt})::text)"
    ).format(
        l=listed(values[0]),
        r=listed(values[1]),
        lt=_texts(columns, values[0]),
        rt=_texts(columns, values[1]),
    )


def columns_of(relation: str, columns: Sequence[Column]) -> list[sql.Composable]:
    """Refer to columns of a table, or of ``old`` and ``new``, by their own names."""
    return [
        sql.SQL("{}.{}").format(sql.Identifier(relation), column.identifier) for column in columns
    ]


def same_key(left: Sequence[sql.Composable], right: Sequence[sql.Composable]) -> sql.Composable:
    """Join on the key; its columns have ``=``, since an index stands on them."""
    return conjunction(sql.SQL("{} = {}").format(a, b) for a, b in zip(left, right, strict=True))


def conjunction(terms: Iterable[sql.Composable]) -> sql.Composable:
    """Join terms with AND."""
    return sql.SQL(" AND ").join(terms)


def listed(parts: Iterable[sql.Composable]) -> sql.Composable:
    """Join parts with commas."""
    return sql.SQL(", ").join(parts)


def array_of(parts: Sequence[sql.Composable]) -> sql.Composable:
    """Make an array of texts."""
    return sql.SQL("ARRAY[{}]::text[]").format(listed(parts))


def _texts(columns: Sequence[Column], values: Sequence[sql.Composable]) -> sql.Composable:
    """Within a row each value is written by its type's output: a cast to text would cut the blanks of char(n)."""
    return listed(
        sql.SQL("{}::text").format(value_) if column.plain_type == "xml" else value_
        for column, value_ in zip(columns, values, strict=True)
    )
