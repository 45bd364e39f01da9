"""Keys of the caller's own: what is sent twice under one is one execution, from wherever; another body is refused."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from psycopg import Connection
from psycopg.rows import DictRow

from action_ledger.domain.columns import col
from action_ledger.domain.errors import CommandReused, ExecutionEnded, InvalidParameters
from action_ledger.ops import Ledger
from action_ledger.ops.builder import Request
from tests.command_line import CommandLine
from tests.integration.test_cli_processes import PROGRAM
from tests.invariants import check_invariants

THREADS = 16
PROCESSES = 3
BY = ("--by", "user:42")


def add_one(ledger: Ledger, *, below: int = 50, key: str = "order-7") -> Request:
    chosen = ledger.on("places").where(col("id") <= below)
    return chosen.update(score=col("score") + 1).by("user:1").once(key)


def total(connection: Connection[DictRow]) -> int:
    """By how much the scores are above what they were."""
    row = connection.execute("SELECT sum(score - id)::int AS added FROM places").fetchone()
    assert row is not None
    return int(row["added"])


@pytest.mark.fault(8)
@pytest.mark.parametrize("now", [True, False])
def test_one_key_from_sixteen_threads_is_one_execution(
    ledger: Ledger, connection: Connection[DictRow], places: str, *, now: bool
) -> None:
    assert places
    send = Request.run if now else Request.submit
    with ThreadPoolExecutor(THREADS) as pool:
        handles = list(pool.map(lambda _: send(add_one(ledger)), range(THREADS)))
    assert len({handle.id for handle in handles}) == 1
    handles[0].finish()
    assert total(connection) == 50
    assert len(ledger.executions()) == 1
    check_invariants(connection, ledger=ledger, tables=["places"])


@pytest.mark.slow
def test_one_key_from_several_processes_is_one_execution(
    database_url: str, connection: Connection[DictRow], ledger: Ledger, places: str
) -> None:
    assert places
    cli = CommandLine(database_url)
    words = ("run", "places", "update", "--all", "--set", "note=new", "--once", "nightly", "--json")
    started = [
        subprocess.Popen(
            [sys.executable, "-c", PROGRAM, *words, *BY],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=cli.process_environment(),
        )
        for _ in range(PROCESSES)
    ]  # fmt: skip
    said = [process.communicate(timeout=60) for process in started]
    assert [process.returncode for process in started] == [0] * PROCESSES, said
    (found,) = ledger.executions()
    assert (found.total, found.applied) == (100, 100)
    check_invariants(connection, ledger=ledger, tables=["places"])


def test_another_body_is_refused(ledger: Ledger, places: str) -> None:
    assert places
    add_one(ledger).run()
    with pytest.raises(CommandReused):
        add_one(ledger, below=49).run()
    with pytest.raises(CommandReused):
        add_one(ledger).by("user:2").run()
    assert add_one(ledger, key="order-8").run().progress().applied == 50


def test_a_key_is_for_a_command_of_any_kind(
    ledger: Ledger, connection: Connection[DictRow], places: str
) -> None:
    assert places
    execution = add_one(ledger).run()
    first, second = (execution.undo(by="user:2").once("undo-7").run() for _ in range(2))
    assert first.id == second.id
    assert total(connection) == 0
    with pytest.raises(CommandReused):
        execution.undo(by="user:2").once("order-7").run()
    scheduled = [
        add_one(ledger, key="each night").schedule(cron="0 3 * * *", timezone="UTC") for _ in "ab"
    ]
    assert scheduled[0].id == scheduled[1].id


def test_a_refused_command_leaves_its_key_to_the_next(ledger: Ledger, places: str) -> None:
    assert places
    with pytest.raises(InvalidParameters):
        ledger.on("places").all().update(id=1).by("user:1").once("k").run()
    assert add_one(ledger, key="k").run().status == "completed"


def test_it_is_taken_up_in_the_order_of_the_requests(ledger: Ledger, places: str) -> None:
    """An id that was made of the key alone would come anywhere among the others, or after all of them."""
    assert places
    asked = [add_one(ledger, key=f"k{n}").submit().id for n in range(8)]
    assert sorted(asked) == asked


def test_from_the_command_line(
    database_url: str, connection: Connection[DictRow], places: str
) -> None:
    assert places
    cli = CommandLine(database_url)
    run = ("run", "places", "update", "--keys", "1,2", "--set", "note=a", "--once", "k", "--json")
    first, second = cli(*run, *BY), cli(*run, *BY)
    assert first.json["id"] == second.json["id"]
    other = cli("run", "places", "update", "--keys", "1", "--set", "note=b", "--once", "k", *BY)
    assert (other.code, other.error) == (3, "command_reused")
    undo = ("undo", "last", "--once", "u", "--json", *BY)
    assert cli(*undo).json["id"] == cli(*undo).json["id"]
    paused = ("pause", "last", *BY)
    assert cli(*paused).error == ExecutionEnded.code
    events = connection.execute(
        "SELECT count(*) AS n FROM action_ledger.stored_events WHERE topic LIKE '%.requested'"
    ).fetchone()
    assert events == {"n": 2}


def test_whoever_looked_again_sends_the_same(
    ledger: Ledger, connection: Connection[DictRow], places: str
) -> None:
    """The token of a preview is no part of what is asked for; and a preview of the same has no key."""
    chosen = ledger.on(places).where(col("id") <= 50)
    request = chosen.update(score=col("score") + 1).by("user:1")
    sent = [request.once("order-7").confirm(request.preview().token).run() for _ in range(2)]
    assert sent[0].id == sent[1].id
    assert total(connection) == 50
