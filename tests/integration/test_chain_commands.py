"""Commands of chains: what is wrong with one is said at once, and JSON says it all."""

from collections.abc import Generator

import pytest
from psycopg import Connection
from psycopg.rows import DictRow
from pydantic import TypeAdapter

from action_ledger.domain import AnyCommand
from action_ledger.domain.errors import (
    ActorMissing,
    CommandReused,
    InvalidChain,
    InvalidParameters,
    InvalidValue,
    StepNotCompensable,
    UnknownColumn,
)
from action_ledger.ops import Ledger
from tests.chains import RECORDS, add_one, added, break_third, make_tables, states, three

COMMANDS: TypeAdapter[AnyCommand] = TypeAdapter(AnyCommand)


@pytest.fixture(autouse=True)
def tables(connection: Connection[DictRow]) -> None:
    make_tables(connection)


def test_as_json_and_twice(ledger: Ledger) -> None:
    command = three(ledger).notify(complete="told").command()
    again = COMMANDS.validate_json(COMMANDS.dump_json(command))
    assert again == command
    assert ledger.handle(command) == ledger.handle(again) == command.command_id
    chain = ledger.chain(command.command_id)
    assert [one.event.TOPIC for one in chain.events()] == ["chain.requested"]
    with pytest.raises(CommandReused):
        ledger.handle(command.model_copy(update={"reason": "another"}))


class TestRefused:
    """What is wrong is said at once, and leaves nothing."""

    @pytest.fixture(autouse=True)
    def nothing_is_left(self, connection: Connection[DictRow]) -> Generator[None]:
        yield
        row = connection.execute(
            "SELECT (SELECT count(*) FROM action_ledger.stored_events)"
            " + (SELECT count(*) FROM action_ledger.request_bodies)"
            " + (SELECT count(*) FROM action_ledger.key_sets) AS n"
        ).fetchone()
        assert row == {"n": 0}

    def test_any_step(self, ledger: Ledger) -> None:
        wrong = ledger.on("third").all().update(nothing=1)
        with pytest.raises(UnknownColumn):
            add_one(ledger, "first").then(wrong).by("user:1").submit()

    def test_keys_that_are_none(self, ledger: Ledger) -> None:
        wrong = ledger.on("third").keys(["x"]).update(note="x")
        with pytest.raises(InvalidValue):
            add_one(ledger, "first").then(wrong).by("user:1").submit()

    def test_keys_that_are_streamed(self, ledger: Ledger) -> None:
        streamed = ledger.on("third").keys(iter([1])).update(note="x")
        with pytest.raises(InvalidChain, match="list"):
            add_one(ledger, "first").then(streamed).by("user:1").submit()

    def test_nobody(self, ledger: Ledger) -> None:
        with pytest.raises(ActorMissing):
            add_one(ledger, "first").then(add_one(ledger, "second")).submit()

    def test_two_actors(self, ledger: Ledger) -> None:
        other = add_one(ledger, "second").by("user:2")
        with pytest.raises(InvalidParameters, match="actors"):
            add_one(ledger, "first").then(other).by("user:1").submit()

    def test_another_policy(self, ledger: Ledger) -> None:
        with pytest.raises(InvalidParameters):
            three(ledger).on_failure("panic").submit()

    def test_a_step_that_could_not_be_compensated(self, ledger: Ledger) -> None:
        gone = add_one(ledger, "first").irreversible()
        with pytest.raises(StepNotCompensable) as caught:
            gone.then(add_one(ledger, "second")).by("user:1").submit()
        assert (caught.value.step, caught.value.later) == (1, 2)


class TestIrreversible:
    def test_last_or_before_those_that_do_not_compensate(self, ledger: Ledger) -> None:
        gone = add_one(ledger, "second").irreversible()
        chain = add_one(ledger, "first").then(gone).by("user:1")
        assert chain.run().status == "completed"
        assert chain.then(add_one(ledger, "third"), on_failure="stop").run().status == "completed"

    def test_allowed_it_stays_and_is_counted(
        self, ledger: Ledger, connection: Connection[DictRow]
    ) -> None:
        break_third(connection)
        gone = add_one(ledger, "second").irreversible()
        request = add_one(ledger, "first").then(gone).then(add_one(ledger, "third"))
        chain = request.allow_irreversible().by("user:1").run()
        assert (chain.status, chain.view().kept_back) == ("compensated", RECORDS)
        assert states(chain) == ["compensated", "kept", "failed"]
        assert chain.steps()[1].error == "not_reversible"
        assert added(connection) == [[0], [1], [0]]
