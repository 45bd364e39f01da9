"""Writes a PDF: a table to be read by people, on landscape A4, with the names on every page."""

import errno
from collections.abc import Sequence
from itertools import chain, islice
from typing import Any, cast

from reportlab.lib import pagesizes
from reportlab.pdfbase import pdfmetrics, ttfonts
from reportlab.pdfgen import canvas

from .export_formats import Assembly

FONT, SIZE, LINE, MARGIN = "Vera.ttf", 7, 11, 30
"""The font comes with the package; the rest is in points."""
_SAMPLED = 100
"""Records by whose length the columns get their width."""
_NARROW, _WIDE = 5, 40
"""Characters that a column counts for, at least and at most."""
_metrics = cast("Any", pdfmetrics)


def write_pdf(assembly: Assembly) -> None:
    """Write it. A text that is wider than its column is cut, and ends in an ellipsis."""
    records = assembly.records()
    sample = list(islice(records, _SAMPLED))
    sheet = _Sheet(assembly, _widths(assembly.columns, sample))
    for record in chain(sample, records):
        sheet.add(["" if value is None else value for value in record])
    sheet.save()


def _widths(names: Sequence[str], sample: Sequence[Sequence[str | None]]) -> list[int]:
    longest = [
        max(len(value or "") for value in column) for column in zip(names, *sample, strict=True)
    ]
    return [min(max(length, _NARROW), _WIDE) for length in longest]


def _register(name: str, file: str) -> None:
    fonts = cast("Any", ttfonts)
    try:
        _metrics.registerFont(fonts.TTFont(name, file))
    except fonts.TTFError as error:
        raise OSError(errno.EINVAL, f"the font {file} cannot be read") from error


class _Sheet:
    """Pages of lines."""

    def __init__(self, assembly: Assembly, widths: Sequence[int]) -> None:
        self._assembly = assembly
        self._page = 0
        self._font = f"exported-{assembly.font or FONT}"
        _register(self._font, str(assembly.font or FONT))
        size = cast("Any", pagesizes).landscape(cast("Any", pagesizes).A4)
        self._width, self._height = size
        self._canvas: Any = cast("Any", canvas).Canvas(
            str(assembly.whole), pagesize=size, pageCompression=1
        )
        self._canvas.setTitle(assembly.title)
        share = (self._width - 2 * MARGIN) / sum(widths)
        self._widths = [width * share for width in widths]
        self._y = 0.0

    def add(self, values: Sequence[str]) -> None:
        if self._y < MARGIN + LINE:
            self._turn()
        self._line(values)

    def save(self) -> None:
        if not self._page:
            self._turn()
        self._canvas.showPage()
        self._canvas.save()

    def _turn(self) -> None:
        if self._page:
            self._canvas.showPage()
        self._page += 1
        self._canvas.setFont(self._font, SIZE)
        self._y = self._height - MARGIN
        self._canvas.drawString(MARGIN, MARGIN / 2, f"{self._assembly.title}, page {self._page:,}")
        self._line(self._assembly.columns)
        self._canvas.line(MARGIN, self._y + LINE / 2, self._width - MARGIN, self._y + LINE / 2)
        self._y -= LINE / 2

    def _line(self, values: Sequence[str]) -> None:
        x = float(MARGIN)
        for value, width in zip(values, self._widths, strict=True):
            self._canvas.drawString(x, self._y, self._fitted(value, width - SIZE / 2))
            x += width
        self._y -= LINE

    def _fitted(self, value: str, width: float) -> str:
        text = " ".join(value.split())
        shown = text[: int(width)]
        while shown and (taken := _metrics.stringWidth(shown, self._font, SIZE)) > width:
            shown = shown[: min(len(shown) - 1, int(len(shown) * width / taken))]
        return text if shown == text else f"{shown[:-1]}\N{HORIZONTAL ELLIPSIS}"
