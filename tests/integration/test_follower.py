"""Followers: every event once and in order, behind the writers, past faults, and past what cannot be read."""

import threading
import time
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg import Connection, Cursor
from psycopg.rows import DictRow

from action_ledger.ops import Ledger
from action_ledger.projections.audit import Audit
from action_ledger.projections.follower import Follower
from action_ledger.projections.projection import Projection, Recorded
from action_ledger.projections.register import ProjectionStatus
from tests.journal import Journal, append, insert_by_hand, install, story

WRITERS, STORIES = 8, 12


@pytest.fixture
def journal(ledger: Ledger, connection: Connection[DictRow]) -> Generator[None]:
    """The ledger follows with the journal too, and it must have taken in all that is not parked."""
    install(connection)
    ledger.store.followed = (Audit(), Journal())
    yield
    parked = "SELECT FROM action_ledger.parked_streams k WHERE k.originator_id = e.originator_id"
    missing = connection.execute(
        "SELECT e.notification_id FROM action_ledger.stored_events e"
        " FULL JOIN action_ledger.view_journal_g1 j ON j.position = e.notification_id"
        " AND j.stream = e.originator_id AND j.version = e.originator_version AND j.topic = e.topic"
        f" WHERE (e IS NULL OR j IS NULL) AND NOT EXISTS ({parked} AND k.position <= e.notification_id)"
    ).fetchall()
    assert not missing or status(ledger).generation > 1


def status(ledger: Ledger, name: str = "journal") -> ProjectionStatus:
    return next(each for each in ledger.projections.status() if each.name == name)


def tallies(connection: Connection[DictRow]) -> dict[UUID, int]:
    rows = connection.execute("SELECT stream, events FROM action_ledger.view_tally_g1").fetchall()
    return {row["stream"]: row["events"] for row in rows}


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
        monkeypatch.setattr("action_ledger.ops.ledger.FOLLOW_SECONDS", 0)
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

    def test_a_passing_fault_parks_nobody(
        self, ledger: Ledger, connection: Connection[DictRow]
    ) -> None:
        append(ledger.store, *story())
        with ledger.store.transaction() as transaction:
            transaction.cursor.execute("LOCK action_ledger.view_tally_g1")
            connection.execute(f"ALTER DATABASE {connection.info.dbname} SET lock_timeout = '50ms'")
            connection.execute(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE state = 'idle'"
                " AND application_name = 'action-ledger' AND datname = current_database()"
            )
            with pytest.raises(psycopg.errors.LockNotAvailable):
                Follower(ledger.store, Journal()).catch_up()
        assert status(ledger).parked == 0
        assert Follower(ledger.store, Journal()).catch_up() == 3


@pytest.mark.usefixtures("journal")
class TestPoison:
    @pytest.mark.parametrize(
        ("topic", "state"),
        [
            ("execution.exploded", "{}"),
            ("execution.requested", "{no json"),
            ("execution.requested", "[]"),
            ("execution.requested", '{"action": 1, "secret": "hunter2"}'),
            ("execution.requested", ""),
        ],
        ids=["unknown topic", "bad json", "no object", "other fields", "nothing"],
    )
    def test_what_cannot_be_read_parks_its_stream_alone(
        self, ledger: Ledger, connection: Connection[DictRow], topic: str, state: str
    ) -> None:
        poison = uuid4()
        before, after = story(), story()
        append(ledger.store, *before, after[0])
        insert_by_hand(connection, poison, topic, state)
        append(ledger.store, *after[1:])
        insert_by_hand(connection, poison, "execution.completed", "{}", version=2)
        assert ledger.catch_up() == 2 * 8
        for name in ("audit", "journal"):
            found = status(ledger, name)
            assert (found.parked, found.lag) == (1, 0)
        assert tallies(connection) == {before[0].originator_id: 3, after[0].originator_id: 3}
        assert len(ledger.audit()) == 6
        rows = connection.execute("SELECT * FROM action_ledger.parked_streams").fetchall()
        assert {(row["projection"], row["originator_id"]) for row in rows} == {
            ("audit", poison),
            ("journal", poison),
        }
        assert all("hunter2" not in row["error"] for row in rows)
        append(ledger.store, *story())
        ledger.catch_up()
        assert len(ledger.audit()) == 9

    def test_a_projection_that_raises_parks_the_stream_from_there_on(
        self, ledger: Ledger, connection: Connection[DictRow]
    ) -> None:
        refused, others = story(), [story() for _ in range(3)]
        append(ledger.store, *others[0], *refused[:2], *others[1])

        def refuse(recorded: Recorded) -> None:
            if recorded.event == refused[1]:
                message = "no such thing"
                raise LookupError(message)

        follower = Follower(ledger.store, Journal(refuse))
        assert follower.catch_up() == 8
        append(ledger.store, refused[2], *others[2])
        assert follower.catch_up() == 4
        expected = {each[0].originator_id: 3 for each in others} | {refused[0].originator_id: 1}
        assert tallies(connection) == expected, (
            "what it had begun to write of the event is not there"
        )
        assert status(ledger).parked == 1
        row = connection.execute("SELECT error FROM action_ledger.parked_streams").fetchone()
        assert row == {"error": "LookupError: no such thing"}
        rebuilt = ledger.projections.rebuild(["journal"])[0]
        assert (rebuilt.events, status(ledger).parked, status(ledger).lag) == (12, 0, 0)
        assert ledger.projections.verify(["journal"])[0].equal

    def test_rows_that_the_database_will_not_take_park_their_streams(
        self, ledger: Ledger, connection: Connection[DictRow], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        stories = [story() for _ in range(100)]
        refused = [each[0].originator_id for each in stories[33::40]]
        names = ", ".join(f"'{id_}'" for id_ in refused)
        connection.execute(
            "ALTER TABLE action_ledger.view_journal_g1 ADD CONSTRAINT refused"
            f" CHECK (version <> 2 OR stream NOT IN ({names}))"
        )
        append(ledger.store, *(event for each in stories for event in each))
        folded = 0
        project = Journal.project

        def counted(self: Projection, recorded: Recorded, rows: object) -> None:
            nonlocal folded
            folded += 1
            project(self, recorded, rows)  # type: ignore[arg-type]

        monkeypatch.setattr(Journal, "project", counted)
        assert Follower(ledger.store, Journal()).catch_up() == 300
        assert folded < 300 * 12, "they are found by halving"
        expected = {each[0].originator_id: 3 for each in stories}
        expected |= dict.fromkeys(refused, 1)
        assert tallies(connection) == expected
        assert status(ledger).parked == len(refused) == 2
        connection.execute("ALTER TABLE action_ledger.view_journal_g1 DROP CONSTRAINT refused")
        ledger.projections.rebuild(["journal"])
        assert status(ledger).parked == 0
        assert ledger.projections.verify(["journal"])[0].equal
