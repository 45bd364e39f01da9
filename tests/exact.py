"""Tables as they are, bit for bit: dumps to compare before and after, in text and in PostgreSQL's binary form."""

from dataclasses import dataclass
from typing import LiteralString

from psycopg import Connection, sql
from psycopg.rows import DictRow

NO_BINARY = ("aclitem", "aclitem[]")
"""Types whose values have no binary form to send: these are dumped as text."""


@dataclass(frozen=True)
class Dump:
    """Two dumps of one table, both in key order."""

    text: list[str]
    binary: bytes


def run(connection: Connection[DictRow], *statements: LiteralString) -> None:
    """Run statements without parameters, in which % is only a per cent sign."""
    for statement in statements:
        connection.execute(statement, prepare=False)


def dump(
    connection: Connection[DictRow], table: sql.Composable, *, leaving_out: tuple[str, ...] = ()
) -> Dump:
    """Dump a table in the order of its key, under settings that are the same for every dump.

    ``leaving_out`` names columns that are not compared.
    """
    with connection.transaction():
        for name, value in (("TimeZone", "UTC"), ("DateStyle", "ISO"), ("extra_float_digits", "1")):
            connection.execute("SELECT set_config(%s, %s, true)", (name, value))
        rows = connection.execute(
            "SELECT a.attname AS name, format_type(a.atttypid, -1) AS type,"
            " array_position(i.indkey::int2[], a.attnum) AS place FROM pg_attribute a"
            " LEFT JOIN pg_index i ON i.indrelid = a.attrelid AND i.indisprimary"
            " WHERE a.attrelid = %s::regclass AND a.attnum > 0 AND NOT a.attisdropped"
            " AND a.attname <> ALL(%s) ORDER BY a.attnum",
            [table.as_string(connection), list(leaving_out)],
        ).fetchall()
        # Sorted by the key's text: nothing but the same order for both dumps is asked of it.
        key = sql.SQL(", ").join(
            sql.SQL('{}::text COLLATE "C"').format(sql.Identifier(row["name"]))
            for row in rows
            if row["place"] is not None
        )
        columns = [sql.Identifier(row["name"]) for row in rows]
        sendable = [
            sql.SQL("{}::text").format(column) if row["type"] in NO_BINARY else column
            for row, column in zip(rows, columns, strict=True)
        ]
        text = connection.execute(
            sql.SQL("SELECT ROW({})::text AS row FROM {} ORDER BY {}").format(
                sql.SQL(", ").join(columns), table, key
            )
        ).fetchall()
        with connection.cursor().copy(
            sql.SQL("COPY (SELECT {} FROM {} ORDER BY {}) TO STDOUT (FORMAT binary)").format(
                sql.SQL(", ").join(sendable), table, key
            )
        ) as copy:
            binary = b"".join(bytes(block) for block in copy)
    return Dump([row["row"] for row in text], binary)


def dump_rows(
    connection: Connection[DictRow],
    table: sql.Composable,
    number: str,
    *,
    leaving_out: tuple[str, ...] = (),
) -> dict[int, tuple[str, bytes]]:
    """Dump each row by its number, in text and in binary form: for a dump of some rows only."""
    with connection.transaction():
        for name, value in (("TimeZone", "UTC"), ("DateStyle", "ISO"), ("extra_float_digits", "1")):
            connection.execute("SELECT set_config(%s, %s, true)", (name, value))
        columns = connection.execute(
            "SELECT attname AS name, format_type(atttypid, -1) AS type FROM pg_attribute"
            " WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped AND attname <> ALL(%s)"
            " ORDER BY attnum",
            [table.as_string(connection), list(leaving_out)],
        ).fetchall()
        names = [sql.Identifier(row["name"]) for row in columns]
        sendable = [
            sql.SQL("{}::text").format(name) if row["type"] in NO_BINARY else name
            for row, name in zip(columns, names, strict=True)
        ]
        rows = connection.execute(
            sql.SQL(
                "SELECT {} AS number, ROW({})::text AS text, record_send(ROW({})) AS binary FROM {}"
            ).format(
                sql.Identifier(number),
                sql.SQL(", ").join(names),
                sql.SQL(", ").join(sendable),
                table,
            )
        ).fetchall()
    return {row["number"]: (row["text"], bytes(row["binary"])) for row in rows}
