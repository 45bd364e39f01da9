"""Followers: every event once and in order, behind the writers, past faults, and past what cannot be read."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import psycopg
import pytest
from psycopg import Connection, Cursor, sql
from psycopg.rows import DictRow

from action_ledger.ops import Ledger
from action_ledger.projections.follower import Follower, follow_alone
from action_ledger.projections.projection import Recorded
from tests.journal import Journal, append, status, story, tallies

WRITERS, STORIES = 8, 12


@pytest.mark.usefixtures("journal")
class TestOrder:
    def test_two_followers_take_in_what_eight_writers_append_once_and_in_order(
        self, ledger: Ledger, connection: Connection[DictRow], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("action_ledger.projections.follower.BLOCK", 7)
        told: dict[int, list[int]] = {0: [], 1: []}
        writing = threading.Event()
        writing.set()

        def follow(number: int) -> int:
            follower = Follower(
                ledger.store, Journal(lambda recorded: told[number].append(recorded.position))
            )
            taken = 0
            while writing.is_set() or status(ledger).lag:
                taken += follower.catch_up()
            return taken

        def write(_: int) -> None:
            for _ in range(STORIES):
                for event in story():
                    append(ledger.store, event)

        with ThreadPoolExecutor(2) as following, ThreadPoolExecutor(WRITERS) as writers:
            followers = [following.submit(follow, number) for number in told]
            list(writers.map(write, range(WRITERS)))
            writing.clear()
            taken = [each.result() for each in followers]
        assert sum(taken) == 3 * WRITERS * STORIES
        assert all(taken), "both of them got on"
        for positions in told.values():
            assert all(a < b for a, b in pairwise(positions)), (
                "nothing is folded twice, or too late"
            )
        assert set(tallies(connection).values()) == {3}

    def test_a_block_is_taken_in_once(self, ledger: Ledger) -> None:
        append(ledger.store, *story())
        follower = Follower(ledger.store, Journal())
        assert [follower._take() for _ in range(2)] == [3, 0]

    def test_a_block_that_reaches_further_is_no_second_reading(
        self, ledger: Ledger, connection: Connection[DictRow]
    ) -> None:
        """One follower is within its block while the head moves on, and another comes with a longer one."""
        append(ledger.store, *story())
        reached, go_on = threading.Event(), threading.Event()

        def hold(_: Recorded) -> None:
            reached.set()
            assert go_on.wait(5)

        with ThreadPoolExecutor(2) as pool:
            first = pool.submit(Follower(ledger.store, Journal(hold)).catch_up)
            assert reached.wait(5)
            append(ledger.store, *story())
            second = pool.submit(Follower(ledger.store, Journal()).catch_up)
            time.sleep(0.2)
            go_on.set()
            assert first.result() + second.result() == 6
        assert set(tallies(connection).values()) == {3}

    def test_writers_do_not_wait_for_a_follower(self, ledger: Ledger) -> None:
        append(ledger.store, *story())
        reached, go_on = threading.Event(), threading.Event()

        def hold(_: Recorded) -> None:
            reached.set()
            assert go_on.wait(20)

        with ThreadPoolExecutor(1) as pool:
            following = pool.submit(Follower(ledger.store, Journal(hold)).catch_up)
            assert reached.wait(5)
            started = time.monotonic()
            for _ in range(20):
                append(ledger.store, *story())
            waited = time.monotonic() - started
            assert not following.done()
            go_on.set()
            following.result()
        assert waited < 5, "twenty appends, behind nobody"

    def test_a_worker_follows_while_it_is_busy(
        self, ledger: Ledger, places: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("action_ledger.ops.service.FOLLOW_SECONDS", 0)
        execution = ledger.on(places).all().update(note="x").by("a").batch_size(1).submit()
        seen: list[int] = []

        def stop() -> bool:
            seen.append(status(ledger, "audit").position)
            return execution.progress().batches_done > 5

        ledger.work(stop)
        assert execution.status == "running"
        assert seen[-1] > 0
        execution.finish()
        ledger.catch_up()


class TestLag:
    def test_lag_counts_events(self, ledger: Ledger, connection: Connection[DictRow]) -> None:
        append(ledger.store, *story())
        assert (status(ledger, "audit").lag, status(ledger, "progress").lag) == (3, 0)
        assert ledger.catch_up() == 3
        assert status(ledger, "audit").lag == 0
        with ledger.store.rehearsal() as transaction:
            transaction.append(*story())
        append(ledger.store, *story())
        assert status(ledger, "audit").lag == 3, "positions that were rolled back are no events"
        assert ledger.catch_up() == 3
        head = connection.execute(
            "SELECT max(notification_id) AS head FROM action_ledger.stored_events"
        ).fetchone()
        found = status(ledger, "audit")
        assert head == {"head": found.head}
        assert (found.position, found.lag, found.parked) == (found.head, 0, 0)

    def test_status_is_one_look(self, ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
        """What is appended and followed between two of its statements is in none of its numbers."""
        append(ledger.store, *story())
        head = ledger.store.head

        def moving(cursor: Cursor[DictRow]) -> int:
            found = head(cursor)
            monkeypatch.setattr(ledger.store, "head", head)
            append(ledger.store, *story())
            ledger.catch_up()
            return found

        monkeypatch.setattr(ledger.store, "head", moving)
        found = status(ledger, "audit")
        assert (found.head, found.position, found.lag) == (3, 0, 3)
        assert status(ledger, "audit").lag == 0


@pytest.mark.usefixtures("journal")
class TestFaults:
    def test_a_fault_in_the_middle_leaves_nothing_and_is_made_up_for(
        self, ledger: Ledger, connection: Connection[DictRow], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("action_ledger.projections.follower.BLOCK", 4)
        append(ledger.store, *story(), *story(), *story())
        positions: list[int] = []

        def stop(recorded: Recorded) -> None:
            positions.append(recorded.position)
            if len(positions) == 6:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            Follower(ledger.store, Journal(stop)).catch_up()
        assert (status(ledger).position, status(ledger).lag) == (positions[3], 5)
        assert sum(tallies(connection).values()) == 4
        assert Follower(ledger.store, Journal()).catch_up() == 5
        assert set(tallies(connection).values()) == {3}

    def test_a_lost_session_is_made_up_for(
        self, ledger: Ledger, connection: Connection[DictRow]
    ) -> None:
        append(ledger.store, *story())

        def cut(_: Recorded) -> None:
            connection.execute(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
                " WHERE application_name = 'action-ledger' AND datname = current_database()"
            )

        with pytest.raises(psycopg.OperationalError):
            Follower(ledger.store, Journal(cut)).catch_up()
        assert status(ledger).parked == 0, "it is no event's fault"
        assert ledger.catch_up() > 0
        assert set(tallies(connection).values()) == {3}

    def test_one_that_falls_silent_is_ended_by_the_server(self, ledger: Ledger) -> None:
        """Frozen within a block it would keep every other follower from getting on."""
        with ledger.store.transaction() as transaction:
            follow_alone(ledger.store, transaction, Journal())
            shown = transaction.connection.execute("SHOW idle_in_transaction_session_timeout")
            assert shown.fetchone() == {"idle_in_transaction_session_timeout": "10s"}

    def test_a_passing_fault_parks_nobody(
        self, ledger: Ledger, connection: Connection[DictRow]
    ) -> None:
        append(ledger.store, *story())
        with ledger.store.transaction() as transaction:
            transaction.cursor.execute("LOCK action_ledger.view_tally_g1")
            connection.execute(
                sql.SQL("ALTER DATABASE {} SET lock_timeout = '50ms'").format(
                    sql.Identifier(connection.info.dbname)
                )
            )
            connection.execute(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE state = 'idle'"
                " AND application_name = 'action-ledger' AND datname = current_database()"
            )
            with pytest.raises(psycopg.errors.LockNotAvailable):
                Follower(ledger.store, Journal()).catch_up()
        assert status(ledger).parked == 0
        assert Follower(ledger.store, Journal()).catch_up() == 3
