"""The preview: says what the run would do, and leaves no trace but the event that says somebody looked."""

from collections.abc import Callable

import pytest
from psycopg import Connection
from psycopg.rows import DictRow

from action_ledger.domain import col
from action_ledger.domain.errors import ActorMissing, InvalidValue, IrreversibleCascade
from action_ledger.ops import Ledger
from action_ledger.ops.builder import Request
from tests.dump import dump_table
from tests.integration.conftest import PLACES
from tests.previews import dump_but_previews, made

CHAINS: dict[str, Callable[[Ledger, str], Request]] = {
    "where": lambda ledger, table: (
        ledger.on(table).where(col("country") == "FR").update(score=col("score") + 1)
    ),
    "nothing": lambda ledger, table: ledger.on(table).where(col("id") < 0).update(note="x"),
    "all": lambda ledger, table: ledger.on(table).all().archive("old"),
    "keys": lambda ledger, table: ledger.on(table).keys([3, 1, 500, 3]).update(note="x"),
    "streamed": lambda ledger, table: ledger.on(table).keys(range(50, 150)).delete(),
    "streaming": lambda ledger, table: ledger.on(table).all().update(note="y").streaming(),
    "marked": lambda ledger, table: ledger.on(table).all().restore(),
    "hard": lambda ledger, table: ledger.on(table).where(col("id") > 90).delete(hard=True),
}


def test_the_preview_counts_what_the_run_counts_and_writes_nothing(
    ledger: Ledger, places: str, connection: Connection[DictRow], subtests: pytest.Subtests
) -> None:
    for name, chain in CHAINS.items():
        asked = chain(ledger, places).by("user:1", reason="secret").batch_size(7)
        with subtests.test(name):
            before = dump_but_previews(connection), dump_table(connection, places)
            shown = asked.preview()
            assert (dump_but_previews(connection), dump_table(connection, places)) == before
            progress = asked.run().progress()
            (event, *_) = reversed(made(connection))
            assert (event["id"], event["records"]) == (shown.id, shown.count)
            assert (shown.count, shown.batches) == (progress.total, progress.batches)
            assert (shown.action, shown.table) == (asked.command().action, places)


def test_the_sample_are_the_first_records_in_key_order(
    ledger: Ledger, places: str, connection: Connection[DictRow]
) -> None:
    asked = ledger.on(places).where(col("country") == "FR").update(note="x").by("a")
    for request in (asked, asked.batch_size(3)):
        sample = request.preview(10).sample
        assert [record["id"] for record in sample] == [str(n) for n in range(2, 22, 2)]
        assert sample[0] == {
            "id": "2",
            "name": "place 2",
            "country": "FR",
            "score": "2",
            "note": None,
            "deleted_at": None,
            "archived_at": None,
            "archive_reason": None,
        }
    given = ledger.on(places).keys([900, 7, 901, 5]).update(note="x").by("a").batch_size(1)
    assert [record["id"] for record in given.preview(10).sample] == ["5", "7"]
    connection.execute("UPDATE places SET note = 'fresh' WHERE id = 5")
    assert given.preview(1).sample[0]["note"] == "fresh"


def test_samples_of_any_size(ledger: Ledger, places: str) -> None:
    asked = ledger.on(places).all().update(note="x").by("a").batch_size(30)
    sizes = {0: 0, 1: 1, 30: 30, 31: 31, PLACES: PLACES, 10**6: PLACES, 2**40: PLACES}
    for size, expected in sizes.items():
        shown = asked.preview(size)
        assert (len(shown.sample), shown.count) == (expected, PLACES), size
    with pytest.raises(InvalidValue):
        asked.preview(-1)


def test_a_preview_raises_what_the_run_would_raise(
    ledger: Ledger, places: str, connection: Connection[DictRow]
) -> None:
    connection.execute("CREATE TABLE visits (place bigint REFERENCES places ON DELETE CASCADE)")
    wrong: list[tuple[Request, type[Exception]]] = [
        (ledger.on(places).all().delete(hard=True).by("a"), IrreversibleCascade),
        (ledger.on(places).all().update(score="x").by("a"), InvalidValue),
        (ledger.on(places).all().update(score=1), ActorMissing),
    ]
    before = dump_but_previews(connection)
    for request, error in wrong:
        with pytest.raises(error):
            request.preview()
        with pytest.raises(error):
            request.run()
    assert dump_but_previews(connection) == before
