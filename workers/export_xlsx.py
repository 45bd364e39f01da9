"""Writes a workbook: one sheet, row by row, so that one row is in memory at a time."""

import math
from typing import Any, cast

import xlsxwriter
from xlsxwriter.exceptions import FileCreateError

from action_ledger.domain.errors import UnfitValue

from .export_formats import Assembly

MOST_CHARACTERS = 32_767
"""Of one cell."""
EXACT_DIGITS = 15
"""So many decimal digits a number in a workbook keeps; one that has more is written as text."""
_FLOATS = ("real", "double precision")
_NUMBERS = ("smallint", "integer", "bigint", "numeric")


def write_xlsx(assembly: Assembly) -> None:
    """Write it. Texts are text cells, which no program takes for formulas; null is no cell at all.

    Raises UnfitValue for a text that is too long for a cell.
    """
    book = cast("Any", xlsxwriter).Workbook(
        str(assembly.whole),
        {"constant_memory": True, "tmpdir": str(assembly.whole.parent), "use_zip64": True},
    )
    sheet = book.add_worksheet("records")
    sheet.freeze_panes(1, 0)
    bold = book.add_format({"bold": True})
    for place, name in enumerate(assembly.columns):
        sheet.write_string(0, place, name, bold)
    kinds = [kind.partition("(")[0] for kind in assembly.types]
    for row, record in enumerate(assembly.records(), 1):
        for place, (kind, value) in enumerate(zip(kinds, record, strict=True)):
            if value is None:
                continue
            if kind == "boolean":
                sheet.write_boolean(row, place, value == "true")
            elif _is_number(kind, value):
                sheet.write_number(row, place, float(value))
            elif len(value.encode("utf-16-le")) // 2 > MOST_CHARACTERS:
                raise UnfitValue(
                    column=assembly.columns[place],
                    format="xlsx",
                    detail=f"a cell has at most {MOST_CHARACTERS:,} characters",
                )
            else:
                sheet.write_string(row, place, value)
    try:
        book.close()
    except FileCreateError as error:
        raise OSError(*error.args) from error


def _is_number(kind: str, value: str) -> bool:
    """Say whether a value is a number that a workbook keeps to the last digit."""
    if kind in _FLOATS:
        return math.isfinite(float(value))
    if kind not in _NUMBERS or not value.lstrip("-")[:1].isdigit():
        return False
    return len(value.lstrip("-0.").replace(".", "")) <= EXACT_DIGITS
