"""Writes a Parquet file, typed, one row group after the other."""

import re
from collections.abc import Callable
from typing import Any, cast

import pyarrow as pa
from pyarrow import compute, parquet

from action_ledger.domain.errors import UnfitValue

from .export_formats import Assembly

ROW_GROUP = 20_000
"""Records in memory at a time."""
_arrow = cast("Any", pa)
Arrow = Any
"""What the package gives has no types."""
_DECIMAL = re.compile(r"numeric\((\d+),(\d+)\)")
_MOST_DIGITS = 38
_TYPES: dict[str, Callable[[], Arrow]] = {
    "smallint": _arrow.int16,
    "integer": _arrow.int32,
    "bigint": _arrow.int64,
    "real": _arrow.float32,
    "double precision": _arrow.float64,
    "boolean": _arrow.bool_,
    "date": _arrow.date32,
    "timestamp without time zone": lambda: _arrow.timestamp("us"),
    "timestamp with time zone": lambda: _arrow.timestamp("us", tz="UTC"),
}


def write_parquet(assembly: Assembly) -> None:
    """Write it. A type that Parquet does not have is a column of texts.

    Raises UnfitValue for a value that Parquet's own type does not have, such as the date ``infinity``.
    """
    types = [_type_of(type_) for type_ in assembly.types]
    schema = _arrow.schema(
        [_arrow.field(name, type_) for name, type_ in zip(assembly.columns, types, strict=True)]
    )
    with cast("Any", parquet).ParquetWriter(str(assembly.whole), schema) as writer:
        columns: list[list[str | None]] = [[] for _ in types]
        for record in assembly.records():
            for column, value in zip(columns, record, strict=True):
                column.append(value)
            if len(columns[0]) == ROW_GROUP:
                writer.write_table(_group(assembly, columns, types, schema))
                columns = [[] for _ in types]
        writer.write_table(_group(assembly, columns, types, schema))


def _group(
    assembly: Assembly, columns: list[list[str | None]], types: list[Arrow], schema: Arrow
) -> Arrow:
    arrays = [
        _array(assembly.columns[n], values, type_)
        for n, (values, type_) in enumerate(zip(columns, types, strict=True))
    ]
    return _arrow.Table.from_arrays(arrays, schema=schema)


def _array(name: str, values: list[str | None], type_: Arrow) -> Arrow:
    texts = _arrow.array(values, _arrow.string())
    try:
        return cast("Any", compute).cast(texts, type_)
    except _arrow.ArrowInvalid as error:
        detail = f"one is no {type_}"
        raise UnfitValue(column=name, format="parquet", detail=detail) from error


def _type_of(type_: str) -> Arrow:
    decimal = _DECIMAL.fullmatch(type_)
    if decimal and int(decimal[1]) <= _MOST_DIGITS:
        return _arrow.decimal128(int(decimal[1]), int(decimal[2]))
    plain = re.sub(r"\(\d+\)", "", type_)
    kind = _TYPES.get(plain)
    return _arrow.string() if kind is None else kind()
