"""The images that a ledger keeps, put together to the newest of each record, and the rows to compare them with."""

from collections.abc import Iterable
from typing import LiteralString
from uuid import UUID

from psycopg import Connection, sql
from psycopg.adapt import Transformer
from psycopg.pq import Format
from psycopg.rows import DictRow

Key = tuple[str | None, ...]
Image = dict[str, str | None]

TEXT_ARRAY = 1009
PINNED = {
    "DateStyle": "ISO",
    "IntervalStyle": "postgres",
    "TimeZone": "UTC",
    "extra_float_digits": "1",
    "bytea_output": "hex",
    "lc_monetary": "C",
}


def newest_images(connection: Connection[DictRow], table: str) -> dict[Key, Image | None]:
    """Give, for each record that was ever changed, what the ledger last knew of it; None for a deleted one."""
    names = [name for name, is_key, _, _ in _columns(connection, table) if is_key]
    rows = connection.execute(
        sql.SQL(
            "SELECT c.batch_id, c.columns, c.kind, c.keys, c.after FROM action_ledger.change_sets c"
            " JOIN action_ledger.stored_events p"
            "  ON p.originator_id = c.batch_id AND p.topic = 'batch.planned'"
            " JOIN action_ledger.stored_events e"
            "  ON e.originator_id = c.batch_id AND e.originator_version = c.batch_version"
            " WHERE to_regclass(coalesce(c.child_table, convert_from(p.state, 'UTF8')::jsonb ->> 'table'))"
            "  = %s::regclass ORDER BY e.notification_id, c.part"
        ),
        [table],
    ).fetchall()
    newest: dict[Key, Image | None] = {}
    # A record goes by the key under which its batch planned it, wherever the change moved it.
    places: dict[tuple[UUID, Key], Key] = {}
    for row in rows:
        after = _arrays(connection, row["after"] or ())
        for n, key in enumerate(zip(*_arrays(connection, row["keys"]), strict=True)):
            place = places.get((row["batch_id"], key), key)
            if row["kind"] == "delete":
                newest[place] = None
                continue
            image = {name: values[n] for name, values in zip(row["columns"], after, strict=True)}
            before = newest.pop(place, None)
            moved = tuple(image.get(name, part) for name, part in zip(names, key, strict=True))
            places[row["batch_id"], key] = moved
            newest[moved] = {**(before or {}), **image}
    return newest


def rows_now(connection: Connection[DictRow], table: str) -> dict[Key, Image]:
    """Read every row of a table, each value as the text that an image of it would be, by its key."""
    columns = _columns(connection, table)
    # An image is an element of its type's array; what is an array itself, or xml, is kept as text.
    values = [
        sql.SQL("{0}{1}::text AS {0}" if plain else "(ARRAY[{0}{1}]::text)::text[] AS {0}").format(
            sql.Identifier(name), sql.SQL(number)
        )
        for name, _, plain, number in columns
    ]
    with connection.transaction():
        for name, value in PINNED.items():
            connection.execute("SELECT set_config(%s, %s, true)", (name, value))
        rows = connection.execute(
            sql.SQL("SELECT {} FROM {}").format(
                sql.SQL(", ").join(values), sql.Identifier(*table.split("."))
            )
        ).fetchall()
    images = [
        {name: row[name] if plain else row[name][0] for name, _, plain, _ in columns}
        for row in rows
    ]
    return {
        tuple(image[name] for name, is_key, _, _ in columns if is_key): image for image in images
    }


def _columns(
    connection: Connection[DictRow], table: str
) -> list[tuple[str, bool, bool, LiteralString]]:
    """Give (name, whether it is of the key, whether images keep it as plain text, the cast to what is kept).

    The key comes first and in order. Of what is a name for a number in the catalog, the number is kept.
    """
    rows = connection.execute(
        "SELECT a.attname AS name, coalesce(a.attnum = ANY(i.indkey), false) AS is_key,"
        " t.typcategory = 'A' OR t.typname = 'xml' OR t.typdelim <> ',' AS plain, t.typcategory = 'A' AS many,"
        " t.typnamespace = 'pg_catalog'::regnamespace AND coalesce(e.typname, t.typname) LIKE 'reg%%' AS numbered"
        " FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid LEFT JOIN pg_type e ON e.typarray = t.oid"
        " LEFT JOIN pg_index i ON i.indrelid = a.attrelid AND i.indisprimary"
        " WHERE a.attrelid = %s::regclass AND a.attnum > 0 AND NOT a.attisdropped"
        " ORDER BY array_position(i.indkey::int2[], a.attnum), a.attnum",
        [table],
    ).fetchall()
    return [
        (
            row["name"],
            row["is_key"],
            row["plain"],
            "" if not row["numbered"] else "::oid[]" if row["many"] else "::oid",
        )
        for row in rows
    ]


def _arrays(connection: Connection[DictRow], texts: Iterable[str]) -> list[list[str | None]]:
    loader = Transformer(connection).get_loader(TEXT_ARRAY, Format.TEXT)
    return [loader.load(text.encode()) for text in texts]
