"""Stores that are not as they should be: unmigrated, out of reach, in another schema, with sessions that ended."""

import time

import psycopg
import pytest
from psycopg import Connection, IsolationLevel
from psycopg.errors import IdleInTransactionSessionTimeout
from psycopg.rows import DictRow

from action_ledger.domain.errors import ActionLedgerError, StoreNotMigrated, StoreUnavailable
from action_ledger.ops import Ledger, Settings, open_ledger
from action_ledger.ops.migrations import migrate
from tests.dump import says


class TestStores:
    def test_an_unmigrated_server(self, empty_database_url: str) -> None:
        with pytest.raises(StoreNotMigrated) as caught:
            open_ledger(empty_database_url)
        assert says(caught.value) == "store_not_migrated"
        assert "action-ledger migrate" in str(caught.value)
        with psycopg.connect(empty_database_url, autocommit=True) as connection:
            row = connection.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
                " AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
            ).fetchone()
            assert row == (0,), "the pool was left open"
            row = connection.execute(
                "SELECT count(*) FROM pg_namespace WHERE nspname = 'action_ledger'"
            ).fetchone()
            assert row == (0,)

    @pytest.mark.parametrize(
        "url",
        [
            "postgresql://user:hunter2@127.0.0.1:1/nowhere",
            "host=/nowhere/at/all password=hunter2 dbname=x",
            "postgres;hunter2",
        ],
    )
    def test_an_unreachable_server(self, url: str) -> None:
        settings = Settings.model_validate({"pool_timeout_seconds": 0.3})
        with pytest.raises(StoreUnavailable) as caught:
            open_ledger(url, settings=settings)
        assert says(caught.value) == "store_unavailable"
        assert "hunter2" not in str(caught.value)

    def test_sessions_that_the_server_ended_are_replaced_unseen(
        self, ledger: Ledger, places: str, connection: Connection[DictRow]
    ) -> None:
        execution = ledger.on(places).keys([1]).update(note="x").by("a").run()
        for _ in range(2):
            connection.execute(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
                " WHERE datname = current_database() AND application_name = 'action-ledger'"
            )
            assert execution.status == "completed"
            assert ledger.history(places, 1)
            assert ledger.on(places).keys([2]).update(note="x").by("a").run().status == "completed"

    @pytest.mark.parametrize("default", ["repeatable read", "serializable"])
    def test_transactions_see_what_was_committed_before_each_statement(
        self, database_url: str, connection: Connection[DictRow], default: str
    ) -> None:
        """Whatever the database's default: what is read after a lock must not be older than the lock."""
        connection.execute(
            f"ALTER DATABASE {connection.info.dbname}"
            f" SET default_transaction_isolation = '{default}'".encode()
        )
        one = Settings.model_validate({"pool_min_size": 1, "pool_max_size": 1})
        with open_ledger(database_url, settings=one) as ledger:
            for level in (None, IsolationLevel.REPEATABLE_READ, None):
                wanted = {} if level is None else {"isolation": level}
                with ledger.store.transaction(**wanted) as transaction:
                    row = transaction.connection.execute("SHOW transaction_isolation").fetchone()
                shown = "read committed" if level is None else "repeatable read"
                assert row == {"transaction_isolation": shown}

    def test_who_falls_silent_under_the_append_lock_is_ended(self, ledger: Ledger) -> None:
        """Not so right after a pipeline of psycopg's, at whose end the server forgets the time-out."""
        with ledger.store.transaction(silence=0.3) as transaction:
            transaction.lock()
            time.sleep(1)
            with pytest.raises(IdleInTransactionSessionTimeout):
                transaction.connection.execute("SELECT")

    def test_the_tables_of_a_ledger_in_another_schema_are_its_own_too(
        self, empty_database_url: str
    ) -> None:
        with psycopg.connect(empty_database_url, autocommit=True) as connection:
            migrate(connection, "books")
        settings = Settings.model_validate({"db_schema": "books"})
        with open_ledger(empty_database_url, settings=settings) as ledger:
            with pytest.raises(ActionLedgerError) as caught:
                ledger.on("books.request_bodies").all().update(body="{}").by("a").run()
            assert caught.value.code == "unsupported_table"
