"""Locks on keys of every type, and of several tables."""

from collections.abc import Callable
from typing import Any

import pytest
from psycopg import Connection, sql
from psycopg.errors import FeatureNotSupported
from psycopg.rows import DictRow

from action_ledger.domain import col
from action_ledger.domain.errors import (
    RecordsLocked,
)
from action_ledger.ops import Ledger
from tests.integration.conftest import PLACES
from tests.invariants import check_invariants
from tests.locking import add_one, locks, planned

pytestmark = pytest.mark.usefixtures("places")


KEYS: dict[str, tuple[str, str, Callable[[int], Any]]] = {
    "uuid": ("id uuid", "id", lambda n: f"00000000-0000-0000-0000-{n * 7919 % 1000:012d}"),
    "text": ("id text", "id", lambda n: f"k{n}"),
    "c": ('id text COLLATE "C"', "id", lambda n: ("k" if n % 2 else "K") + str(n)),
    "two": ("id text, no int", "id, no", lambda n: (f"k{n % 7}", n)),
    "int first": ("no int, id text", "no, id", lambda n: (n // 10, f"k{n}")),
    "numeric": ("id numeric", "id", lambda n: n / 4),
    "date": ("id date", "id", lambda n: f"2020-{n % 12 + 1:02d}-{n // 12 + 1:02d}"),
}


class TestKeys:
    @pytest.mark.parametrize("name", KEYS)
    def test_of_every_type(
        self, ledger: Ledger, connection: Connection[DictRow], name: str
    ) -> None:
        columns, key, of = KEYS[name]
        connection.execute(
            f"CREATE TABLE things ({columns}, score int NOT NULL, PRIMARY KEY ({key}))".encode()
        )
        places = sql.SQL(", ").join([sql.Placeholder()] * (key.count(",") + 1))
        insert = sql.SQL("INSERT INTO things VALUES ({}, %s)").format(places)
        for n in range(100):
            made = of(n)
            connection.execute(insert, [*(made if isinstance(made, tuple) else (made,)), n])
        things = ledger.on("things")
        low = things.where(col("score") < 60).update(score=col("score") + 0).by("a").batch_size(9)
        first = planned(ledger, low)
        with pytest.raises(RecordsLocked) as refused:
            things.where(col("score") >= 50).delete(hard=True).by("b").batch_size(7).run()
        assert refused.value.records == (10,)
        with pytest.raises(RecordsLocked):
            things.keys([of(70), of(59)]).delete(hard=True).by("b").run()
        things.keys([of(70), of(60)]).delete(hard=True).by("b").run()
        rest = things.where(col("score") >= 50).update(score=0).by("b").batch_size(7)
        left = rest.on_locked("skip").run()
        assert (left.progress().applied, left.progress().skipped) == (38, 10)
        first.finish()
        check_invariants(connection, ledger=ledger)

    @pytest.mark.every_postgres
    def test_under_a_collation_that_takes_different_texts_for_equal(
        self, ledger: Ledger, connection: Connection[DictRow]
    ) -> None:
        try:
            connection.execute(
                "CREATE COLLATION blind (provider = icu, locale = 'und-u-ks-level2', deterministic = false)"
            )
        except FeatureNotSupported as error:
            pytest.skip(f"this server does not have it: {error}")
        connection.execute("CREATE TABLE things (id text COLLATE blind PRIMARY KEY, score int)")
        connection.execute("INSERT INTO things VALUES ('one', 1), ('two', 2), ('three', 3)")
        things = ledger.on("things")
        first = planned(
            ledger, things.where(col("score") < 3).update(score=9).by("a").batch_size(1)
        )
        with pytest.raises(RecordsLocked) as refused:
            things.keys(["TWO", "THREE"]).update(score=8).by("b").run()
        assert refused.value.records == (1,)
        first.finish()

    def test_tables_do_not_mix(self, ledger: Ledger, connection: Connection[DictRow]) -> None:
        connection.execute("CREATE TABLE things (id uuid PRIMARY KEY, score int)")
        connection.execute(
            "INSERT INTO things SELECT gen_random_uuid(), 1 FROM generate_series(1, 20)"
        )
        first = planned(ledger, add_one(ledger, 1, PLACES))
        planned(ledger, ledger.on("things").where(col("score") == 7).update(score=2).by("a"))
        second = planned(ledger, ledger.on("things").all().update(score=2).by("a").batch_size(5))
        with pytest.raises(RecordsLocked) as refused:
            ledger.on("things").all().update(score=2).by("a").batch_size(5).run()
        assert refused.value.owners == (str(second.id),)
        assert set(locks(ledger)) == {first.id, second.id}
