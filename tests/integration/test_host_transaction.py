"""Commands in a transaction of the host's: they stand or fall with it, and become events once it has committed."""

import threading
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg import Connection, sql
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import DictRow, tuple_row

from action_ledger.domain import Parameters, record_action
from action_ledger.domain.columns import col
from action_ledger.domain.errors import (
    CommandReused,
    CommandTimedOut,
    ExecutionNotFound,
    InHostTransaction,
    InvalidValue,
    PermissionDenied,
)
from action_ledger.ops import Ledger, open_ledger
from action_ledger.ops.builder import Request
from action_ledger.ops.plan import Plan, worker_name
from action_ledger.ops.views import count_open
from tests.command_line import CommandLine
from tests.crash.harness import topics, until
from tests.integration.test_once import total
from tests.invariants import check_invariants
from tests.worker_process import worker

BY = ("--by", "user:42")


@pytest.fixture
def host(database_url: str, places: str) -> Generator[Connection[Any]]:
    """A connection of the host's, as psycopg opens it, with a table of the host's own."""
    assert places
    with psycopg.connect(database_url) as opened:
        opened.execute("CREATE TABLE orders (id int PRIMARY KEY)")
        opened.commit()
        yield opened
        opened.rollback()


def add_one(ledger: Ledger, *, below: int = 50) -> Request:
    chosen = ledger.on("places").where(col("id") <= below)
    return chosen.update(score=col("score") + 1).by("user:1")


def test_it_stands_with_the_hosts_writes(
    ledger: Ledger, connection: Connection[DictRow], host: Connection[Any]
) -> None:
    with host.transaction():
        host.execute("INSERT INTO orders VALUES (1)")
        execution = add_one(ledger.within(host)).submit()
        assert execution.status == "accepted"
        assert execution.progress().total == 0
        assert ledger.inbox.entries() == []
        assert ledger.inbox.take_in() == 0
    assert (execution.status, ledger.execution(execution.id).status) == ("accepted", "accepted")
    assert topics(connection) == {}
    assert ledger.inbox.take_in() == 1
    assert ledger.execution(execution.id).status == "requested"
    execution.finish()
    assert (execution.status, execution.rejection, total(connection)) == ("completed", None, 50)
    assert ledger.inbox.entries() == []
    assert topics(connection)["execution.requested"] == 1
    check_invariants(connection, ledger=ledger, tables=["places"])


def test_it_falls_with_them(
    ledger: Ledger, connection: Connection[DictRow], host: Connection[Any]
) -> None:
    host.execute("INSERT INTO orders VALUES (1)")
    execution = add_one(ledger.within(host)).once("order-1").submit()
    host.rollback()
    assert (ledger.inbox.take_in(), topics(connection)) == (0, {})
    with pytest.raises(ExecutionNotFound):
        _ = ledger.execution(execution.id).status
    again = add_one(ledger, below=7).once("order-1").run()
    assert (again.progress().applied, total(connection)) == (7, 7), "the key fell too"


def test_finish_takes_it_in(
    ledger: Ledger, connection: Connection[DictRow], host: Connection[Any]
) -> None:
    execution = add_one(ledger.within(host)).submit()
    with pytest.raises(InHostTransaction):
        execution.finish()
    host.commit()
    execution.finish(workers=2)
    assert (execution.status, total(connection)) == ("completed", 50)


def test_nothing_is_done_at_once(ledger: Ledger, host: Connection[Any]) -> None:
    done = add_one(ledger).run()
    inside = ledger.within(host)
    with pytest.raises(InHostTransaction):
        add_one(inside).run()
    with pytest.raises(InHostTransaction):
        inside.execution(done.id).undo(by="user:1").run()
    with pytest.raises(InHostTransaction):
        inside.on("places").keys(iter([1, 2])).update(score=0).by("user:1").submit()
    host.commit()
    assert ledger.inbox.entries() == []


def test_undo_and_steering_go_the_same_way(
    ledger: Ledger, connection: Connection[DictRow], host: Connection[Any]
) -> None:
    done = add_one(ledger).run()
    with host.transaction():
        inside = ledger.within(host)
        undo = inside.execution(done.id).undo(by="user:2").submit()
        cancelled = add_one(inside).submit()
        cancelled.pause(by="user:1")
        cancelled.cancel(by="user:1")
        assert undo.status == "accepted"
    assert ledger.inbox.take_in() == 4
    undo.finish()
    assert (undo.status, cancelled.status, total(connection)) == ("completed", "cancelled", 0)
    assert topics(connection)["execution.paused"] == 1
    check_invariants(connection, ledger=ledger, tables=["places"])


def test_of_one_execution_they_are_taken_in_one_after_the_other(
    ledger: Ledger, host: Connection[Any], database_url: str
) -> None:
    with host.transaction():
        execution = add_one(ledger.within(host)).submit()
        execution.cancel(by="user:1")
    with psycopg.connect(database_url) as other:
        # Somebody is at the request: its cancel is not to be tried before that is there.
        other.execute(
            "SELECT FROM action_ledger.command_inbox WHERE command_id = %s FOR UPDATE",
            [execution.id],
        )
        assert ledger.inbox.take_in() == 0
        other.rollback()
    assert ledger.inbox.take_in() == 2
    assert execution.status == "cancelled"


def test_what_turns_out_to_be_wrong_is_rejected_with_the_reason(
    ledger: Ledger, connection: Connection[DictRow], host: Connection[Any], database_url: str
) -> None:
    execution = add_one(ledger.within(host)).submit()
    execution.cancel(by="user:1")
    host.commit()
    connection.execute("ALTER TABLE places RENAME score TO points")
    assert ledger.inbox.take_in() == 2
    assert ledger.inbox.take_in() == 0, "not tried for ever"
    assert (execution.status, execution.error) == ("rejected", "unknown_column")
    assert "score" in (execution.rejection or "")
    execution.wait(timeout=1)
    execution.finish()
    assert topics(connection) == {"command.rejected": 2}
    events = ledger.audit(execution_id=execution.id)
    assert [entry.details["error"] for entry in events] == ["unknown_column", "execution_not_found"]
    cli = CommandLine(database_url)
    listed = cli("inbox", "--rejected", "--json").json
    assert [row["error"] for row in listed] == ["execution_not_found", "unknown_column"]
    shown = cli("show", str(execution.id)[:13])
    assert (shown.code, "rejected" in shown.out, "score" in shown.out) == (0, True, True), shown
    assert cli("show", str(execution.id), "--json").json["status"] == "rejected"
    assert "rejected" in cli("inbox").out
    connection.execute("ALTER TABLE places RENAME points TO score")
    check_invariants(connection, ledger=ledger, tables=["places"])


def test_one_key_in_several_transactions_is_one_execution(
    ledger: Ledger, connection: Connection[DictRow], host: Connection[Any]
) -> None:
    ids = set()
    for _ in range(3):
        ids.add(add_one(ledger.within(host)).once("k").submit().id)
        host.commit()
    assert len(ids) == 1
    with pytest.raises(CommandReused):
        add_one(ledger.within(host), below=7).once("k").submit()
    host.rollback()
    ledger.inbox.take_in()
    for below, error in ((50, None), (7, "command_reused"), (50, None)):
        ids.add(add_one(ledger.within(host), below=below).once("k").submit().id)
        host.commit()
        assert ledger.inbox.take_in() == 1
        assert [entry.error for entry in ledger.inbox.entries()] == ([error] if error else [])
    assert len(ids) == 1
    ledger.execution(*ids).finish()
    assert total(connection) == 50
    assert topics(connection)["execution.requested"] == 1


def test_a_key_that_an_open_transaction_has_is_not_waited_for_for_ever(
    ledger: Ledger, host: Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("action_ledger.ops.intake.KEY_WAIT_MS", 100)
    execution = add_one(ledger.within(host)).once("k").submit()
    with ThreadPoolExecutor(1) as pool:
        sent = pool.submit(lambda: add_one(ledger).once("k").submit())
        wait([sent], timeout=20)
        host.commit()
    with pytest.raises(CommandTimedOut):
        sent.result()
    assert add_one(ledger).once("k").submit().id == execution.id


def test_a_command_that_is_in_the_ledger_already_is_not_taken_in_again(
    ledger: Ledger, connection: Connection[DictRow], host: Connection[Any]
) -> None:
    command = add_one(ledger).command()
    ledger.within(host).handle(command)
    host.commit()
    ledger.handle(command, now=True)
    other = (
        add_one(ledger, below=7)
        .command()
        .model_copy(update={"command_id": add_one(ledger).run().id})
    )
    ledger.within(host).handle(other)
    host.commit()
    assert ledger.inbox.take_in() == 2
    assert total(connection) == 100
    assert [entry.error for entry in ledger.inbox.entries()] == ["command_reused"]


@pytest.mark.parametrize("how", ["search_path", "autocommit", "row factory", "repeatable read"])
def test_whatever_the_hosts_connection_is_like(
    ledger: Ledger, connection: Connection[DictRow], host: Connection[Any], how: str
) -> None:
    match how:
        case "search_path":
            # With functions and tables of the host's own under the names that the ledger uses.
            host.execute("CREATE SCHEMA trap")
            host.execute("CREATE TABLE trap.command_inbox (command_id text)")
            host.execute(
                "CREATE FUNCTION trap.pg_notify(text, text) RETURNS void LANGUAGE plpgsql AS"
                " $$ BEGIN RAISE 'the wrong one'; END $$"
            )
            host.execute("SET search_path = trap, pg_catalog")
            host.commit()
        case "autocommit":
            host.autocommit = True
        case "row factory":
            host.row_factory = tuple_row
        case _:
            host.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
    execution = add_one(ledger.within(host)).once("k").submit()
    assert execution.status == "accepted"
    if how == "autocommit":
        assert len(ledger.inbox.entries()) == 1, "it is its own transaction"
    host.commit()
    execution.finish()
    assert total(connection) == 50


def test_a_role_of_the_hosts_needs_two_rights_and_no_more(
    ledger: Ledger, connection: Connection[DictRow], host: Connection[Any], database_url: str
) -> None:
    role = sql.Identifier(f"host_{conninfo_to_dict(database_url)['dbname']}")
    connection.execute(sql.SQL("CREATE ROLE {}").format(role))
    try:
        connection.execute(sql.SQL("GRANT INSERT ON orders TO {}").format(role))
        host.execute(sql.SQL("SET ROLE {}").format(role))
        host.execute("INSERT INTO orders VALUES (1)")
        with pytest.raises(PermissionDenied, match="GRANT USAGE ON SCHEMA action_ledger"):
            add_one(ledger.within(host)).once("k").submit()
        host.execute("INSERT INTO orders VALUES (2)")  # the host's transaction is as it was
        host.commit()
        connection.execute(
            sql.SQL(
                "GRANT USAGE ON SCHEMA action_ledger TO {0}; GRANT SELECT, INSERT, UPDATE"
                " ON action_ledger.command_inbox, action_ledger.command_keys TO {0}"
            ).format(role)
        )
        execution = add_one(ledger.within(host)).once("k").submit()
        assert execution.status == "accepted"
        host.commit()
        execution.finish()
        assert total(connection) == 50
    finally:
        host.rollback()
        host.execute("RESET ROLE")
        host.commit()
        connection.execute(sql.SQL("DROP OWNED BY {}").format(role))
        connection.execute(sql.SQL("DROP ROLE {}").format(role))


def test_the_append_lock_is_never_the_hosts(
    ledger: Ledger, connection: Connection[DictRow], host: Connection[Any]
) -> None:
    add_one(ledger.within(host)).submit()
    held = connection.execute(
        "SELECT mode FROM pg_locks WHERE relation = 'action_ledger.stored_events'::regclass AND granted"
    ).fetchall()
    assert held == []
    assert add_one(ledger, below=7).run().status == "completed", "others go on meanwhile"
    host.rollback()


def test_workers_hear_of_it_at_the_commit(ledger: Ledger, host: Connection[Any]) -> None:
    """The poll is an hour away, so what tells them is the NOTIFY of the host's own transaction."""
    patient = ledger.settings.model_copy(update={"poll_seconds": 3600.0, "lease_seconds": 3600.0})
    ledger.settings = patient
    service = ledger.service(Plan(name=worker_name()))
    thread = threading.Thread(target=service.run)
    thread.start()
    try:
        until(lambda: [worker for worker in ledger.workers() if worker.state == "idle"], "a worker")
        execution = add_one(ledger.within(host)).submit()
        host.commit()
        until(lambda: ledger.execution(execution.id).status == "completed", "the execution")
    finally:
        service.stop()
        thread.join()


def test_taken_in_while_it_is_looked_for(
    ledger: Ledger, host: Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not in the ledger at the first look, and not in the inbox at the second."""
    execution = add_one(ledger.within(host)).submit()
    host.commit()
    row = ledger.inbox.row

    def taken_before(command_id: UUID) -> Any:
        assert ledger.inbox.take_in() == 1
        return row(command_id)

    monkeypatch.setattr(ledger.inbox, "row", taken_before)
    assert ledger.execution(execution.id).status == "requested"


def test_a_worker_that_ends_when_all_is_done_takes_them_in_first(
    ledger: Ledger, host: Connection[Any], database_url: str
) -> None:
    execution = add_one(ledger.within(host)).submit()
    host.commit()
    assert count_open(ledger.store, None, ledger.actions) == 1
    said = CommandLine(database_url)("worker", "--until-idle")
    assert said.code == 0, said
    assert execution.status == "completed"


def test_what_is_no_connection(ledger: Ledger, host: Connection[Any]) -> None:
    with pytest.raises(InvalidValue):
        ledger.within("postgresql://localhost")  # type: ignore[arg-type]
    inside = ledger.within(host)
    inside.close()
    assert add_one(ledger).run().status == "completed", "the ledger is open still"


def test_what_was_rejected_is_forgotten_when_its_time_is_over(
    ledger: Ledger, connection: Connection[DictRow], host: Connection[Any], database_url: str
) -> None:
    sent = [add_one(ledger.within(host)).submit() for _ in range(3)]
    host.commit()
    connection.execute("ALTER TABLE places RENAME score TO points")
    ledger.inbox.take_in()
    assert {one.status for one in sent} == {"rejected"}
    connection.execute("ALTER TABLE places RENAME points TO score")
    old = [sent[0].id, sent[2].id]
    connection.execute(
        "UPDATE action_ledger.command_inbox SET rejected_at = now() - interval '31 days'"
        " WHERE command_id = ANY(%s)",
        [old],
    )
    with worker(database_url):
        until(lambda: len(ledger.inbox.entries()) == 1, "the end of what is old")
    assert [one.command_id for one in ledger.inbox.entries()] == [sent[1].id]
    with worker(database_url, rejected_retention_days=0.000001):
        until(lambda: ledger.inbox.entries() == [], "the end of the other one")
    rejected = [entry for entry in ledger.audit() if entry.topic == "command.rejected"]
    assert {entry.execution_id for entry in rejected} == {one.id for one in sent}


def test_an_action_that_the_worker_does_not_know_waits_for_one_that_does(
    database_url: str, host: Connection[Any]
) -> None:
    """Whatever runs it: an execution, a schedule, a run of it out of turn, or a step of a chain."""

    @record_action
    def mark(record: Any, parameters: Parameters) -> Any:
        """Give each record the same note."""
        return {"note": str(parameters) and record and "marked"}

    with open_ledger(database_url) as stranger, open_ledger(database_url, actions=[mark]) as ledger:
        sender = ledger.within(host)

        def marked() -> Request:
            return sender.on("places").all().apply("mark").by("user:1")

        marked().submit()
        schedule = marked().schedule(cron="0 3 * * *", timezone="UTC")
        add_one(sender).then(marked()).submit()
        host.commit()
        stranger.inbox.take_in()
        assert stranger.inbox.take_in() == 0, "each is put off"
        waiting = [(entry.status, entry.error) for entry in stranger.inbox.entries()]
        assert waiting == [("accepted", "unknown_action")] * 2 + [("accepted", None)]
        assert count_open(stranger.store, None, stranger.actions) == 0, "it need not stay for them"
        assert taken_later(ledger, host) == 3
        schedule.run_now(by="user:1")
        host.commit()
        stranger.inbox.take_in()
        assert [entry.status for entry in stranger.inbox.entries()] == ["accepted"]
        assert taken_later(ledger, host) == 1
        assert ledger.inbox.entries() == []


def taken_later(ledger: Ledger, connection: Connection[Any]) -> int:
    """Take in what was put off, as if its time had come; give the number of commands."""
    connection.execute("UPDATE action_ledger.command_inbox SET available_at = '-infinity'")
    connection.commit()
    return ledger.inbox.take_in()


def test_what_was_rejected_can_be_sent_again(
    ledger: Ledger, connection: Connection[DictRow], host: Connection[Any]
) -> None:
    def send() -> Any:
        execution = add_one(ledger.within(host)).once("k").submit()
        host.commit()
        ledger.inbox.take_in()
        return execution

    connection.execute("ALTER TABLE places RENAME score TO points")
    first = send()
    assert first.status == "rejected"
    connection.execute("ALTER TABLE places RENAME points TO score")
    again = send()
    assert (again.id, again.status) == (first.id, "requested")
    again.finish()
    assert total(connection) == 50
