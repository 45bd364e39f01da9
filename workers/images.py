"""Images: how column values are gathered into arrays, read back, and compared, bit for bit.

Each column of a batch is one array, written as that array type's text under pinned settings (see
``projections/store.sql``). A column that is itself an array, or whose cast to an array's text would lose
something, is gathered as text, element by element.
"""

from collections.abc import Iterable, Sequence

from psycopg import sql

from .catalog import Column

TEXT_ARRAY = sql.SQL("text[]")


def _as_text(column: Column) -> bool:
    """Arrays do not nest in arrays; the output of xml drops its declaration, its cast to text keeps it."""
    return column.is_array or column.plain_type == "xml"


def element(column: Column, reference: sql.Composable) -> sql.Composable:
    """Give what is gathered of a column: the value, or its text."""
    if _as_text(column):
        return sql.SQL("{}::text").format(reference)
    return undomained(column, reference)


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
    return TEXT_ARRAY if _as_text(column) else sql.SQL("{}[]").format(column.plain_type_sql)


def value(column: Column, reference: sql.Composable) -> sql.Composable:
    """Read an element back as the column's own type, without its length: that is checked when it is assigned."""
    return (
        sql.SQL("{}::{}").format(reference, column.plain_type_sql)
        if _as_text(column)
        else reference
    )


def numbered(prefix: str, count: int) -> list[sql.Identifier]:
    """Name columns of a query k1, k2, ... so that no column of the user's can be in the way."""
    return [sql.Identifier(f"{prefix}{n}") for n in range(1, count + 1)]


def aliases(relation: str, prefix: str, count: int) -> list[sql.Identifier]:
    """Name the same, qualified by the relation they belong to."""
    return [sql.Identifier(relation, f"{prefix}{n}") for n in range(1, count + 1)]


def unnested(field: str, columns: Sequence[Column]) -> list[sql.Composable]:
    """Give the arrays of a bulk field (``s.keys``, ``s.before``, ...), one a column, as arguments of unnest."""
    relation, name = field.split(".")
    return [
        sql.SQL("{}[{}]::{}").format(
            sql.Identifier(relation, name), sql.Literal(n), array_type(column)
        )
        for n, column in enumerate(columns, 1)
    ]


def equal(left: Sequence[sql.Composable], right: Sequence[sql.Composable]) -> sql.Composable:
    """Compare as images: the same bytes, or else the same pinned text.

    Never ``=``: it fails on json, xml and point, and takes 1.0 for 1.00. Text is looked at second since
    a value that went through text may differ in bytes that mean nothing (the sign of a NaN).
    """
    return sql.SQL(
        "(record_image_eq(ROW({l}), ROW({r})) OR record_image_eq(ROW({lt}), ROW({rt})))"
    ).format(
        l=sql.SQL(", ").join(left),
        r=sql.SQL(", ").join(right),
        lt=_texts(left),
        rt=_texts(right),
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


def _texts(references: Sequence[sql.Composable]) -> sql.Composable:
    return listed(sql.SQL("{}::text").format(reference) for reference in references)
