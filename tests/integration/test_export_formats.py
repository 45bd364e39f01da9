"""Each format is read back with another library than wrote it, with hostile texts and exact numbers."""

import csv
import json
from base64 import b64decode
from decimal import Decimal
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import openpyxl
import pytest
from psycopg import Connection, sql
from psycopg.rows import DictRow
from pyarrow import parquet
from pypdf import PdfReader

from action_ledger.domain.columns import col
from action_ledger.ops import Ledger, Settings, open_ledger
from tests.every_type import EveryType

HOSTILE = (
    *(
        "=1+1",
        "+1",
        "-1",
        "@SUM(A1)",
        "\t=1",
        "\r=1",
        "\n=1",
        "\uff1d1",
        "plain",
        "",
        "a;=1",
        " =1",
    ),
    *(
        '"quoted"',
        "a,b",
        "line\nfeed\r\nend\r",
        "<&>\"'",
        "é 漢字 🎉",
        "\x01\x1f\x7f",
        "'=1",
        "\\N",
        "\\.",
    ),
)


@pytest.fixture
def texts(connection: Connection[DictRow]) -> str:
    """A table of texts that are dangerous to some format, each with numbers and nested values; the last all null."""
    connection.execute(
        "CREATE TABLE texts (id integer PRIMARY KEY, text text, big bigint, exact numeric(30,10), free numeric,"
        " real double precision, yes boolean, day date, at timestamptz, nested jsonb, raw json, blanks char(3))"
    )
    for number, text in enumerate(HOSTILE):
        connection.execute(
            "INSERT INTO texts VALUES (%s, %s, 9007199254740993, -12345678901234567890.0123456789, 1.50, -0.1, %s,"
            " '2024-02-29', '2024-02-29 12:00:00.25+02', %s, E'{\"a\": 1.00,\\n \"a\": [null]}', 'a')",
            [number, text, number % 2 == 0, json.dumps({"t": text})],
        )
    connection.execute("INSERT INTO texts (id) VALUES (%s)", [len(HOSTILE)])
    return "public.texts"


def exported(ledger: Ledger, table: str, path: Path, **options: Any) -> Path:
    request = ledger.on(table).all().export(path, **options).by("user:1").batch_size(4)
    execution = request.run()
    assert execution.status == "completed", (execution.error, list(execution.failures())[:1])
    assert execution.export().verify() == "equal"
    return path


def rows_of_csv(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def test_csv(ledger: Ledger, texts: str, tmp_path: Path) -> None:
    path = exported(ledger, texts, tmp_path / "a.csv")
    head, *rows = rows_of_csv(path)
    assert head[:3] == ["id", "text", "big"]
    assert [int(row[0]) for row in rows] == list(range(len(HOSTILE) + 1)), "in key order"
    for text, row in zip(HOSTILE, rows, strict=False):
        dangerous = text[:1] in tuple("=+-@\t\r\n\uff1d")
        assert row[1] == (f"'{text}" if dangerous and text else text)
        assert row[2:6] == ["9007199254740993", "-12345678901234567890.0123456789", "1.50", "-0.1"]
        assert row[7:9] == ["2024-02-29", "2024-02-29 10:00:00.25+00"]
        assert row[6] == ("true" if int(row[0]) % 2 == 0 else "false")
        assert json.loads(row[9]) == {"t": text}
        assert row[11] == "a  "
    raw = path.read_bytes().splitlines()
    assert raw[-1] == b"21,,,,,,,,,,,", "null is nothing"
    assert b'9,"",9007' in path.read_bytes(), "an empty text is two quotes"


def test_csv_as_it_is(ledger: Ledger, texts: str, tmp_path: Path) -> None:
    path = exported(
        ledger, texts, tmp_path / "a.csv", columns=["text", "id"], escape_formulas=False
    )
    head, *rows = rows_of_csv(path)
    assert head == ["text", "id"]
    assert [row[0] for row in rows[:-1]] == list(HOSTILE)


def test_names_of_columns_are_no_formulas_either(
    ledger: Ledger, connection: Connection[DictRow], tmp_path: Path
) -> None:
    connection.execute('CREATE TABLE odd (id int PRIMARY KEY, "=1+1" text, "a%b{c}" int)')
    connection.execute("INSERT INTO odd VALUES (1, 'x', 2)")
    assert rows_of_csv(exported(ledger, "odd", tmp_path / "a.csv")) == [
        ["id", "'=1+1", "a%b{c}"],
        ["1", "x", "2"],
    ]
    (record,) = json.loads(exported(ledger, "odd", tmp_path / "a.json").read_text())
    assert record == {"id": 1, "=1+1": "x", "a%b{c}": 2}


@pytest.mark.parametrize("form", ["json", "ndjson"])
def test_json(ledger: Ledger, texts: str, tmp_path: Path, form: str) -> None:
    text = exported(ledger, texts, tmp_path / f"a.{form}").read_text(encoding="utf-8")
    found: list[dict[str, Any]] = (
        json.loads(text, parse_float=Decimal)
        if form == "json"
        else [json.loads(line, parse_float=Decimal) for line in text.split("\n")[:-1]]
    )
    assert [record["text"] for record in found] == [*HOSTILE, None]
    record = found[0]
    assert list(record) == [
        *("id", "text", "big", "exact", "free", "real", "yes", "day", "at", "nested", "raw"),
        "blanks",
    ]
    assert record["big"] == 9007199254740993
    assert str(record["exact"]) == "-12345678901234567890.0123456789", "exact, as a number"
    assert str(record["free"]) == "1.50"
    assert record["yes"] is True
    assert record["at"] == "2024-02-29T10:00:00.25+00:00"
    assert record["nested"] == {"t": HOSTILE[0]}, "JSON is nested"
    assert record["raw"] == {"a": [None]}


def test_xml(ledger: Ledger, texts: str, tmp_path: Path) -> None:
    root = ET.parse(exported(ledger, texts, tmp_path / "a.xml")).getroot()  # noqa: S314 - our own file
    assert root.attrib == {"of": "public.texts"}
    found = [{field.get("name"): field for field in record} for record in root]
    for text, record in zip(HOSTILE, found, strict=False):
        field = record["text"]
        if field.get("encoding") == "base64":
            assert text == "\x01\x1f\x7f"
            assert field.text == "AR9/"
        else:
            assert (field.text or "") == text
        assert record["exact"].text == "-12345678901234567890.0123456789"
    assert found[-1]["text"].get("null") == "true"
    assert found[9]["text"].get("null") is None


def test_xlsx(ledger: Ledger, texts: str, tmp_path: Path) -> None:
    sheet = openpyxl.load_workbook(exported(ledger, texts, tmp_path / "a.xlsx")).active
    assert sheet is not None
    head, *rows = list(sheet.iter_rows())
    assert [cell.value for cell in head][:2] == ["id", "text"]
    for text, row in zip(HOSTILE, rows, strict=False):
        cell = row[1]
        assert cell.data_type in {"s", "inlineStr"}, "a text cell, and no formula"
        if text.isprintable() and text:
            assert cell.value == text
        assert row[0].data_type == "n"
        assert row[2].value == "9007199254740993", "more digits than a workbook keeps: a text"
        assert row[4].value == 1.5
        assert row[5].value == -0.1
        assert row[6].value is (row[0].value % 2 == 0)
        assert row[7].value == "2024-02-29"
    assert [cell.value for cell in rows[-1]] == [len(HOSTILE), *[None] * 11]


def test_parquet(ledger: Ledger, texts: str, tmp_path: Path) -> None:
    table = parquet.read_table(exported(ledger, texts, tmp_path / "a.parquet"))
    assert list(map(str, table.schema.types))[:9] == [
        *("int32", "string", "int64", "decimal128(30, 10)", "string", "double", "bool"),
        *("date32[day]", "timestamp[us, tz=UTC]"),
    ]
    found = table.to_pylist()
    assert [record["text"] for record in found] == [*HOSTILE, None]
    assert found[0]["exact"] == Decimal("-12345678901234567890.0123456789")
    assert found[0]["big"] == 9007199254740993
    assert str(found[0]["day"]) == "2024-02-29"


def test_parquet_refuses_what_it_cannot_hold(
    ledger: Ledger, texts: str, connection: Connection[DictRow], tmp_path: Path
) -> None:
    connection.execute("UPDATE texts SET day = 'infinity' WHERE id = 3")
    execution = ledger.on(texts).all().export(tmp_path / "a.parquet").by("user:1").run()
    assert (execution.status, execution.error) == ("failed", "unfit_value")
    assert not list(tmp_path.iterdir())


def test_pdf(ledger: Ledger, connection: Connection[DictRow], tmp_path: Path) -> None:
    connection.execute("CREATE TABLE pages (id int PRIMARY KEY, name text, long text)")
    connection.execute(
        "INSERT INTO pages SELECT i, 'Éva ' || i, repeat('wide ', 100) FROM generate_series(1, 120) i"
    )
    reader = PdfReader(exported(ledger, "pages", tmp_path / "a.pdf"))
    pages = [page.extract_text() for page in reader.pages]
    assert len(pages) > 2
    assert all("name" in page for page in pages), "the names stand on every page"
    text = "\n".join(pages)
    assert all(f"Éva {n}" in text for n in (1, 60, 120))
    assert "…" in text, "what is too wide is cut, and says so"
    assert "public.pages, page 2" in text


def test_pdf_in_a_font_of_ones_own(
    database_url: str, connection: Connection[DictRow], tmp_path: Path
) -> None:
    connection.execute("CREATE TABLE one (id int PRIMARY KEY, name text)")
    connection.execute("INSERT INTO one VALUES (1, 'x')")
    settings = Settings(export_font=tmp_path / "missing.ttf")
    with open_ledger(database_url, settings=settings) as ledger:
        execution = ledger.on("one").all().export(tmp_path / "a.pdf").by("user:1").run()
        assert (execution.status, execution.error) == ("failed", "export_failed")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("form", "nothing"),
    [
        ("csv", '"id","name"\n'),
        ("json", "[]\n"),
        ("ndjson", ""),
        (
            "xml",
            '<?xml version="1.0" encoding="UTF-8"?>\n<records of="public.places">\n</records>\n',
        ),
    ],
)
def test_no_records_are_a_file_too(
    ledger: Ledger, places: str, tmp_path: Path, form: str, nothing: str
) -> None:
    path = tmp_path / f"a.{form}"
    chosen = ledger.on(places).where(col("score") < 0)
    execution = chosen.export(path, columns=["id", "name"]).by("user:1").run()
    assert execution.status == "completed"
    assert path.read_text() == nothing
    assert execution.export().records == 0


@pytest.mark.parametrize("form", ["xlsx", "pdf", "parquet"])
def test_no_records_in_the_others(ledger: Ledger, places: str, tmp_path: Path, form: str) -> None:
    path = tmp_path / f"a.{form}"
    ledger.on(places).where(col("score") < 0).export(path).by("user:1").run()
    match form:
        case "xlsx":
            sheet = openpyxl.load_workbook(path).active
            assert sheet is not None
            assert sheet.max_row == 1
        case "pdf":
            assert "archive_reason" in PdfReader(path).pages[0].extract_text()
        case _:
            assert parquet.read_table(path).num_rows == 0


def test_every_type_is_written_as_its_text(
    ledger: Ledger, connection: Connection[DictRow], tmp_path: Path
) -> None:
    every = EveryType(connection)
    table = every.table.as_string()
    path = exported(
        ledger, table, tmp_path / "a.csv", columns=["id", *every.columns], escape_formulas=False
    )
    _, *rows = rows_of_csv(path)
    written = exported(ledger, table, tmp_path / "a.xml", columns=["id", *every.columns])
    root = ET.parse(written).getroot()  # noqa: S314 - our own file
    lines = exported(ledger, table, tmp_path / "a.ndjson").read_text(encoding="utf-8").split("\n")
    assert len(lines) - 1 == len(rows) == len(root) == every.rows + 1
    assert all(isinstance(json.loads(line), dict) for line in lines[:-1])
    for row, record, expected in zip(rows, root, texts_of(ledger, every), strict=True):
        assert row[1:] == [value or "" for value in expected.values()]
        for field, value in zip(list(record)[1:], expected.values(), strict=True):
            text = field.text or ""
            coded = field.get("encoding") == "base64"
            assert (b64decode(text).decode() if coded else text) == (value or ""), field.attrib
            assert (field.get("null") == "true") == (value is None)


def texts_of(ledger: Ledger, every: EveryType) -> list[dict[str, str | None]]:
    """Read every value by its type's output, but for those whose cast to text says more."""
    cast = {"one bool", "one xml"}
    columns = sql.SQL(", ").join(
        sql.SQL(
            "{0}::text AS {0}"
            if name in cast
            else "CASE WHEN {0} IS NOT NULL THEN concat({0}) END AS {0}"
        ).format(sql.Identifier(name))
        for name in every.columns
    )
    statement = sql.SQL("SELECT {} FROM {} ORDER BY id").format(columns, every.table)
    with ledger.store.transaction() as transaction:
        return transaction.cursor.execute(statement).fetchall()
