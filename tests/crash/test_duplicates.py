"""The same command twice: taken in once, whatever came in between; another command under its id is refused."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from psycopg import Connection
from psycopg.rows import DictRow
from uuid_utils.compat import uuid7

from action_ledger.domain.columns import col
from action_ledger.domain.commands import RequestExecution
from action_ledger.domain.errors import (
    AlreadyUndone,
    CommandReused,
    InvalidCommand,
    UndoInProgress,
)
from action_ledger.ops import Ledger, open_ledger
from action_ledger.ops.builder import Request
from tests.crash.harness import make_places, scores, topics
from tests.invariants import check_invariants

THREADS = 16

pytestmark = pytest.mark.fault(8)


def add_one(ledger: Ledger, records: int = 100) -> Request:
    request = ledger.on("places").where(col("id") <= records).update(score=col("score") + 1)
    return request.by("user:1").batch_size(10)


@pytest.mark.parametrize("now", [False, True])
def test_twice(database_url: str, connection: Connection[DictRow], *, now: bool) -> None:
    make_places(connection, 200)
    with open_ledger(database_url) as ledger:
        command = add_one(ledger).command()
        assert ledger.handle(command, now=now) == command.command_id
        assert ledger.handle(command, now=now) == command.command_id
        ledger.worker().finish(command.command_id)
        assert ledger.handle(command, now=now) == command.command_id
        assert scores(connection) == {0: 100, 1: 100}
        assert topics(connection)["execution.requested"] == 1
        check_invariants(connection, ledger=ledger, tables=["places"])


def test_after_its_table_is_gone(database_url: str, connection: Connection[DictRow]) -> None:
    """It was done: what has become of the table since is no reason to deny it."""
    make_places(connection, 200)
    with open_ledger(database_url) as ledger:
        command = add_one(ledger).command()
        ledger.handle(command, now=True)
        ledger.worker().finish(command.command_id)
        connection.execute("DROP TABLE places")
        assert ledger.handle(command, now=True) == command.command_id
        with pytest.raises(InvalidCommand):
            ledger.handle(command.model_copy(update={"command_id": uuid7()}), now=True)


def test_undo_twice(database_url: str, connection: Connection[DictRow]) -> None:
    make_places(connection, 200)
    with open_ledger(database_url) as ledger:
        execution = add_one(ledger).run()
        command = execution.undo(by="user:2").command()
        assert ledger.handle(command) == command.command_id
        assert ledger.handle(command) == command.command_id, "while it is under way"
        ledger.worker().finish(command.command_id)
        assert ledger.handle(command) == command.command_id, "when it is done"
        with pytest.raises(AlreadyUndone):
            execution.undo(by="user:2").run()
        assert scores(connection) == {0: 200}
        assert topics(connection)["undo.requested"] == 1
        check_invariants(connection, ledger=ledger, tables=["places"])


def at_once(act: Callable[[], Any]) -> list[Any]:
    with ThreadPoolExecutor(THREADS) as pool:
        return [future.result() for future in [pool.submit(act) for _ in range(THREADS)]]


@pytest.mark.parametrize("now", [False, True])
def test_sixteen_at_once(database_url: str, connection: Connection[DictRow], *, now: bool) -> None:
    make_places(connection, 200)
    with open_ledger(database_url) as ledger:
        command = add_one(ledger).command()
        assert at_once(lambda: ledger.handle(command, now=now)) == [command.command_id] * THREADS
        ledger.worker().finish(command.command_id)
        assert scores(connection) == {0: 100, 1: 100}
        undo = ledger.execution(command.command_id).undo(by="user:2").command()
        assert at_once(lambda: ledger.handle(undo)) == [undo.command_id] * THREADS
        ledger.worker().finish(undo.command_id)
        assert scores(connection) == {0: 200}
        counted = topics(connection)
        assert counted["execution.requested"] == counted["undo.requested"] == 1
        check_invariants(connection, ledger=ledger, tables=["places"])


def test_sixteen_undos_at_once(database_url: str, connection: Connection[DictRow]) -> None:
    """Different commands for the same: one is taken in, the others are told so."""
    make_places(connection, 200)
    with open_ledger(database_url) as ledger:
        execution = add_one(ledger).run()

        def undo() -> bool:
            try:
                execution.undo(by="user:2").run()
            except (AlreadyUndone, UndoInProgress):
                return False
            return True

        assert sum(at_once(undo)) == 1
        assert scores(connection) == {0: 200}
        check_invariants(connection, ledger=ledger, tables=["places"])


OTHERS: dict[str, Callable[[Ledger], Request]] = {
    "selection": lambda ledger: add_one(ledger, 50),
    "reason": lambda ledger: add_one(ledger).by("user:1", reason="another"),
    "actor": lambda ledger: add_one(ledger).by("user:2"),
    "batch size": lambda ledger: add_one(ledger).batch_size(20),
    "irreversible": lambda ledger: add_one(ledger).irreversible(),
    "keys": lambda ledger: ledger.on("places").keys([7]).update(score=0).by("user:1"),
}


@pytest.mark.parametrize("what", OTHERS)
def test_another_command_under_the_same_id(
    database_url: str, connection: Connection[DictRow], what: str
) -> None:
    make_places(connection, 200)
    with open_ledger(database_url) as ledger:
        command = add_one(ledger).command()
        ledger.handle(command)
        reused = (
            OTHERS[what](ledger).command().model_copy(update={"command_id": command.command_id})
        )
        with pytest.raises(CommandReused):
            ledger.handle(reused)
        ledger.worker().finish(command.command_id)
        assert scores(connection) == {0: 100, 1: 100}
        check_invariants(connection, ledger=ledger, tables=["places"])


def test_other_keys_under_the_same_id(database_url: str, connection: Connection[DictRow]) -> None:
    make_places(connection, 200)
    with open_ledger(database_url) as ledger:

        def keys(*keys: int) -> RequestExecution:
            return ledger.on("places").keys(list(keys)).update(score=0).by("user:1").command()

        command = keys(1, 2, 3)
        ledger.handle(command)
        with pytest.raises(CommandReused):
            ledger.handle(keys(4, 5, 6).model_copy(update={"command_id": command.command_id}))


def test_an_undo_under_the_id_of_an_execution(
    database_url: str, connection: Connection[DictRow]
) -> None:
    make_places(connection, 200)
    with open_ledger(database_url) as ledger:
        execution = add_one(ledger).run()
        reused = execution.undo(by="u").command().model_copy(update={"command_id": execution.id})
        with pytest.raises(CommandReused):
            ledger.handle(reused)
        other = add_one(ledger, 50).run()
        undo = execution.undo(by="user:2").command()
        ledger.handle(undo)
        with pytest.raises(CommandReused):
            ledger.handle(
                other.undo(by="u").command().model_copy(update={"command_id": undo.command_id})
            )
        ledger.worker().finish(undo.command_id)
        check_invariants(connection, ledger=ledger, tables=["places"])
