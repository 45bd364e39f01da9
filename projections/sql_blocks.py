"""Reads the ``.sql`` files of a room: named blocks of SQL with places for identifiers and for composed parts.

A block begins with ``-- name: something``; comment lines after it describe it. Identifiers and parts stand in
braces, as ``psycopg.sql`` formats them; values are parameters (``%(name)s``), always.
"""

import re
from collections.abc import Mapping
from importlib.resources import files
from types import MappingProxyType

from psycopg import sql

_HEAD = re.compile(r"^-- name: (\w+)\n((?:--.*\n)*)", re.MULTILINE)


def read_blocks(package: str, file: str) -> Mapping[str, sql.SQL]:
    """Give the blocks of ``file`` in ``package`` by name. The text is ours, shipped beside the code."""
    text = files(package).joinpath(file).read_text(encoding="utf-8")
    heads = list(_HEAD.finditer(text))
    ends = [head.start() for head in heads[1:]] + [len(text)]
    return MappingProxyType(
        {
            head[1]: trusted(text[head.end() : end].strip().rstrip(";"))
            for head, end in zip(heads, ends, strict=True)
        }
    )


class Fixed(sql.SQL):
    """SQL that was put together before: plain text, so that it can be compared, and kept by what it says."""

    def __init__(self, part: sql.Composable) -> None:
        super().__init__(part.as_string())  # pyright: ignore[reportArgumentType]  # made of trusted parts

    def __hash__(self) -> int:
        """Agree with the equality of parts of SQL, which is that of their text."""
        return hash(self.as_string())


def trusted(text: str) -> sql.SQL:
    """Take a text for SQL: our own files, or what the catalog and psycopg have quoted. Never a user's."""
    return sql.SQL(text)  # pyright: ignore[reportArgumentType]
