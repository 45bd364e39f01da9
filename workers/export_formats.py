"""The formats of exports: how each puts the parts of the batches together to one file, in constant memory."""

import csv
import io
import re
import shutil
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

from pydantic_core import from_json

from action_ledger.domain.actions import ExportFormat
from action_ledger.domain.errors import ExtraMissing

from .export_lines import FORMULA, Lines
from .export_place import BLOCK

_NOT_IN_XML = {*map(chr, range(32)), "\ufffe", "\uffff"} - set("\t\n\r")
"""Characters that XML 1.0 has no way to write."""
_RETURN = {"\r": "&#13;"}
"""A parser would take a bare one for a line feed."""


@dataclass(frozen=True, slots=True)
class Assembly:
    """What a file is put together from. ``alive`` is called again and again, and raises when that is to end."""

    whole: Path
    title: str
    columns: Sequence[str]
    types: Sequence[str]
    parts: Sequence[Path]
    alive: Callable[[], None]
    escape_formulas: bool
    font: Path | None

    def records(self) -> Iterator[list[str | None]]:
        """Read the records of parts that are arrays of texts."""
        for line in self.lines():
            yield from_json(line)

    def lines(self) -> Iterator[bytes]:
        """Read the lines of all parts, without their ends."""
        for part in self.parts:
            with part.open("rb", buffering=BLOCK) as file:
                for number, line in enumerate(file):
                    if number % 1_000 == 0:
                        self.alive()
                    yield line.rstrip(b"\n")


@dataclass(frozen=True, slots=True)
class Format:
    """One format. ``most`` is how many records a file of it may have; None is no limit of its own."""

    lines: Lines
    write: Callable[[Assembly], None]
    package: str | None = None
    extra: str | None = None
    most: int | None = None

    def require(self) -> None:
        """Raise ExtraMissing when the package that writes it is not installed."""
        if self.package and self.extra and find_spec(self.package) is None:
            purpose = f"an export of format {self.extra}"
            raise ExtraMissing(purpose=purpose, package=self.package, extra=self.extra)


def _csv(assembly: Assembly) -> None:
    """A line of names, then what the server wrote. Nothing at all is null, "" is an empty text."""
    names = assembly.columns
    if assembly.escape_formulas:
        names = [f"'{name}" if re.match(FORMULA, name) else name for name in names]
    head = io.StringIO()
    csv.writer(head, quoting=csv.QUOTE_ALL, lineterminator="\n").writerow(names)
    _copied(assembly, head.getvalue().encode())


def _ndjson(assembly: Assembly) -> None:
    _copied(assembly, b"")


def _copied(assembly: Assembly, head: bytes) -> None:
    with assembly.whole.open("wb") as whole:
        whole.write(head)
        for path in assembly.parts:
            assembly.alive()
            with path.open("rb") as part:
                shutil.copyfileobj(part, whole, BLOCK)


def _json(assembly: Assembly) -> None:
    with assembly.whole.open("wb", buffering=BLOCK) as whole:
        between = b"[\n"
        for line in assembly.lines():
            whole.write(between + line)
            between = b",\n"
        whole.write(b"[]\n" if between == b"[\n" else b"\n]\n")


def _xml(assembly: Assembly) -> None:
    heads = [f"<field{_attribute('name', name)}" for name in assembly.columns]
    with assembly.whole.open("w", encoding="utf-8", newline="\n", buffering=BLOCK) as whole:
        whole.write('<?xml version="1.0" encoding="UTF-8"?>\n')
        whole.write(f"<records{_attribute('of', assembly.title)}>\n")
        for record in assembly.records():
            fields = "".join(map(_field, heads, record))
            whole.write(f"<record>{fields}</record>\n")
        whole.write("</records>\n")


def _attribute(name: str, value: str) -> str:
    shown = "".join("\ufffd" if character in _NOT_IN_XML else character for character in value)
    return f" {name}={quoteattr(shown, _RETURN)}"


def _field(head: str, value: str | None) -> str:
    if value is None:
        return f'{head} null="true"/>'
    if value.isprintable() or _NOT_IN_XML.isdisjoint(value):
        return f"{head}>{escape(value, _RETURN)}</field>"
    return f'{head} encoding="base64">{b64encode(value.encode()).decode()}</field>'


def _xlsx(assembly: Assembly) -> None:
    from .export_xlsx import write_xlsx  # noqa: PLC0415 - the package is an extra

    write_xlsx(assembly)


def _pdf(assembly: Assembly) -> None:
    from .export_pdf import write_pdf  # noqa: PLC0415 - as above

    write_pdf(assembly)


def _parquet(assembly: Assembly) -> None:
    from .export_parquet import write_parquet  # noqa: PLC0415 - as above

    write_parquet(assembly)


FORMATS: Mapping[ExportFormat, Format] = {
    ExportFormat.CSV: Format("csv", _csv),
    ExportFormat.JSON: Format("objects", _json),
    ExportFormat.NDJSON: Format("objects", _ndjson),
    ExportFormat.XML: Format("texts", _xml),
    # A sheet has 1,048,576 rows, and the first has the names.
    ExportFormat.XLSX: Format("texts", _xlsx, "xlsxwriter", "xlsx", 1_048_575),
    # Its pages are held in memory until the last: about 35 MB for so many records.
    ExportFormat.PDF: Format("texts", _pdf, "reportlab", "pdf", 100_000),
    ExportFormat.PARQUET: Format("texts", _parquet, "pyarrow", "parquet"),
}
