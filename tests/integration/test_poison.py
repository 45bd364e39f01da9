"""Poison: what cannot be read, folded or written parks its stream alone, and is told; a rebuild takes it in again."""

from uuid import uuid4

import pytest
from psycopg import Connection, sql
from psycopg.rows import DictRow

from action_ledger.ops import Ledger
from action_ledger.projections.follower import Follower
from action_ledger.projections.projection import Recorded
from action_ledger.projections.rows import Rows
from tests.journal import Journal, append, insert_by_hand, status, story, tallies


@pytest.mark.usefixtures("journal")
@pytest.mark.fault(14)
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
        assert ledger.catch_up() == 8
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

    def test_of_none_of_several_in_one_block_does_anything_stay(
        self, ledger: Ledger, connection: Connection[DictRow]
    ) -> None:
        """The second one is met only when the block is folded again without the first."""
        refused, other = [story() for _ in range(3)], story()
        append(ledger.store, *refused[0], *refused[1], *other, *refused[2])

        def refuse(recorded: Recorded) -> None:
            if recorded.event in [each[1] for each in refused]:
                raise LookupError

        Follower(ledger.store, Journal(refuse)).catch_up()
        expected = {each[0].originator_id: 1 for each in refused} | {other[0].originator_id: 3}
        assert tallies(connection) == expected
        assert status(ledger).parked == 3

    def test_rows_that_the_database_will_not_take_park_their_streams(
        self, ledger: Ledger, connection: Connection[DictRow], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        stories = [story() for _ in range(100)]
        refused = [each[0].originator_id for each in stories[33::40]]
        names = sql.SQL(", ").join(map(sql.Literal, refused))
        connection.execute(
            sql.SQL(
                "ALTER TABLE action_ledger.view_journal_g1 ADD CONSTRAINT refused"
                " CHECK (version <> 2 OR stream NOT IN ({}))"
            ).format(names)
        )
        append(ledger.store, *(event for each in stories for event in each))
        folded = 0
        project = Journal.project

        def counted(self: Journal, recorded: Recorded, rows: Rows) -> None:
            nonlocal folded
            folded += 1
            project(self, recorded, rows)

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
