"""Who asks: subject and issuer, on whose behalf, and from where; the last apart from the events, until it is erased."""

import threading
from functools import partial
from typing import Any

import psycopg
import pytest
from psycopg import Connection
from psycopg.rows import DictRow
from pydantic import TypeAdapter, ValidationError
from uuid_utils.compat import uuid7

from action_ledger.domain.actor import Actor
from action_ledger.domain.any_command import AnyCommand
from action_ledger.domain.columns import col
from action_ledger.domain.commands import Command, PauseExecution
from action_ledger.domain.errors import (
    ActorMissing,
    ConfirmationInvalid,
    InvalidParameters,
    LimitReached,
    NotAuthorized,
)
from action_ledger.domain.policy import Phase
from action_ledger.ops import Ledger, Settings, open_ledger
from action_ledger.ops.builder import Request
from tests.command_line import CommandLine
from tests.invariants import check_invariants
from tests.worker_process import until

ALICE = Actor(
    subject="alice",
    issuer="https://idp",
    on_behalf_of="bob",
    address="10.0.0.7",
    agent="admin-ui/3",
)
SECRETS = ("10.0.0.7", "admin-ui")
COMMAND: TypeAdapter[AnyCommand] = TypeAdapter(AnyCommand)

pytestmark = pytest.mark.usefixtures("places")


def add_one(ledger: Ledger, by: Actor | str = ALICE) -> Request:
    return ledger.on("places").all().update(score=col("score") + 1).by(by).batch_size(20)


def everything_in_events(connection: Connection[DictRow]) -> str:
    rows = connection.execute(
        "SELECT convert_from(state, 'UTF8') AS s FROM action_ledger.stored_events"
    )
    return "".join(row["s"] for row in rows)


def contacts(connection: Connection[DictRow]) -> list[Any]:
    rows = connection.execute("SELECT body FROM action_ledger.actor_contacts ORDER BY body::text")
    return [row["body"] for row in rows]


def test_a_name_alone_is_a_subject() -> None:
    assert Actor.model_validate("alice") == Actor(subject="alice")
    assert Actor(subject="alice").model_dump_json() == '"alice"'
    command = PauseExecution(command_id=uuid7(), actor=ALICE, execution_id=uuid7())
    assert COMMAND.validate_json(command.model_dump_json()) == command
    plain = command.model_copy(update={"actor": Actor(subject="alice")})
    assert '"actor":"alice"' in plain.model_dump_json()
    assert COMMAND.validate_json(plain.model_dump_json()) == plain
    # From where it is sent does not make it another command; who sends it does.
    elsewhere = ALICE.model_copy(update={"address": "10.0.0.8", "agent": None})
    assert command.model_copy(update={"actor": elsewhere}).fingerprint == command.fingerprint
    assert plain.fingerprint != command.fingerprint
    with pytest.raises(ValidationError):
        Actor(subject="alice", address="10.0.\n0.7")


def test_the_ids_are_in_the_events_and_from_where_is_not(
    ledger: Ledger, connection: Connection[DictRow]
) -> None:
    execution = add_one(ledger).run()
    execution.undo(by=ALICE).run()
    add_one(ledger).submit().cancel(by=ALICE)
    add_one(ledger).then(add_one(ledger)).submit().cancel(by=ALICE)
    add_one(ledger).schedule(cron="0 3 * * *", timezone="UTC").pause(by=ALICE)
    add_one(ledger).preview()
    log = everything_in_events(connection)
    # In one place, where an erasure finds it: neither in the events nor in what requests said beside them.
    bodies = connection.execute("SELECT body::text AS b FROM action_ledger.request_bodies")
    for text in (log, *(row["b"] for row in bodies)):
        assert not [secret for secret in SECRETS if secret in text]
    assert '"issuer":"https://idp"' in log
    assert '"on_behalf_of":"bob"' in log
    assert len(contacts(connection)) == 9
    assert {str(body) for body in contacts(connection)} == {
        str({"agent": "admin-ui/3", "address": "10.0.0.7"})
    }
    (view,) = [view for view in ledger.executions() if view.id == execution.id]
    assert (view.actor, view.asked_by, view.contact_erased) == ("alice", ALICE, False)
    requested = ledger.audit(execution_id=execution.id)[0]
    assert requested.asked_by == ALICE
    assert ledger.verify_contacts().model_dump() == {
        "kept": 9, "erased": 0, "broken": 0, "broken_at": (),
    }  # fmt: skip
    check_invariants(connection, ledger=ledger, tables=["places"], open_jobs=True)


def test_nothing_more_is_said_of_a_plain_actor(
    ledger: Ledger, connection: Connection[DictRow]
) -> None:
    execution = add_one(ledger, "alice").run()
    log = everything_in_events(connection)
    assert not [name for name in ("issuer", "on_behalf_of", "contact") if f'"{name}"' in log]
    assert contacts(connection) == []
    assert ledger.executions()[0].asked_by == Actor(subject="alice")
    assert execution.status == "completed"


def test_erased_is_not_broken(ledger: Ledger, connection: Connection[DictRow]) -> None:
    execution = add_one(ledger).run()
    add_one(ledger, ALICE.model_copy(update={"issuer": None})).run()
    add_one(ledger, Actor(subject="carol", address="10.0.0.9")).run()
    before = everything_in_events(connection)
    assert ledger.erase_actor("alice", issuer="https://idp", by="dpo", reason="GDPR-17") == 1
    assert everything_in_events(connection).startswith(before)
    assert {body["address"] for body in contacts(connection)} == {"10.0.0.7", "10.0.0.9"}
    view = ledger.execution(execution.id)
    assert view.status == "completed"
    (seen,) = [one for one in ledger.executions() if one.id == execution.id]
    assert (seen.asked_by, seen.contact_erased) == (ALICE.identity, True)
    (done,) = [entry for entry in ledger.audit() if entry.topic == "erasure.done"]
    assert (done.actor, done.details) == (
        "dpo", {"whose": "alice", "issuer": "https://idp", "contacts": 1},
    )  # fmt: skip
    found = ledger.verify_contacts()
    assert (found.kept, found.erased, found.broken) == (2, 1, 0)
    # What she asks afterwards is kept anew.
    add_one(ledger).run()
    assert ledger.verify_contacts().kept == 3
    assert ledger.erase_actor("nobody", by="dpo") == 0
    check_invariants(connection, ledger=ledger, tables=["places"])


def test_who_erases_may_be_erased_with_it(ledger: Ledger) -> None:
    assert ledger.erase_actor("alice", issuer="https://idp", by=ALICE) == 1
    assert ledger.verify_contacts().erased == 1


@pytest.mark.parametrize(
    "harm",
    [
        'UPDATE action_ledger.actor_contacts SET body = \'{"address": "10.0.0.8"}\'',
        "UPDATE action_ledger.actor_contacts SET subject = 'mallory'",
        "DELETE FROM action_ledger.actor_contacts",
    ],
)
def test_what_nobody_recorded_is_broken(
    ledger: Ledger, connection: Connection[DictRow], harm: str
) -> None:
    assert ledger.erase_actor("alice", issuer="https://idp", by="dpo") == 0
    add_one(ledger).run()
    connection.execute(harm.encode())
    found = ledger.verify_contacts()
    assert (found.kept, found.erased, found.broken) == (0, 0, 1)
    assert [ledger.audit(after=at - 1)[0].topic for at in found.broken_at] == [
        "execution.requested"
    ]


def test_an_erasure_misses_nothing_that_was_recorded_before_it(
    ledger: Ledger, connection: Connection[DictRow], database_url: str
) -> None:
    """A command is on its way, with its contact data written but not committed, when the erasure looks first."""
    with psycopg.connect(database_url) as other:
        # It holds the append lock, as whoever is about to commit does.
        other.execute("LOCK TABLE action_ledger.stored_events IN EXCLUSIVE MODE")
        waiting = [
            threading.Thread(target=lambda: add_one(ledger).submit()),
            threading.Thread(
                target=lambda: ledger.erase_actor("alice", issuer="https://idp", by="dpo")
            ),
        ]
        for number, thread in enumerate(waiting, 1):
            thread.start()
            until(partial(are_waiting, connection, number), "the wait for the append lock")
        other.rollback()
    for thread in waiting:
        thread.join(20)
    assert contacts(connection) == []
    assert ledger.verify_contacts().erased == 1


def test_two_erasures_of_one_actor_do_not_block_each_other(
    database_url: str, connection: Connection[DictRow]
) -> None:
    """The second would have what the first wants to delete under the append lock, and wait for that lock."""
    with open_ledger(database_url) as ledger, psycopg.connect(database_url) as other:
        other.execute("LOCK TABLE action_ledger.stored_events IN EXCLUSIVE MODE")
        erasures = [
            threading.Thread(
                target=lambda: ledger.erase_actor("alice", issuer="https://idp", by="dpo")
            )
            for _ in range(2)
        ]
        erasures[0].start()
        until(partial(are_waiting, connection, 1), "the wait for the append lock")
        connection.execute(
            "INSERT INTO action_ledger.actor_contacts (digest, subject, issuer, salt, body)"
            " VALUES (repeat('0', 64), 'alice', 'https://idp', action_ledger.salt(), '{}')"
        )
        erasures[1].start()
        until(partial(wait_for_locks, connection, 2), "the wait of the second one")
        other.rollback()
        for thread in erasures:
            thread.join(20)
        assert [entry.topic for entry in ledger.audit()].count("erasure.done") == 2
    found = connection.execute(
        "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
    ).fetchone()
    assert found == {"deadlocks": 0}
    assert contacts(connection) == []


def wait_for_locks(connection: Connection[DictRow], number: int) -> bool:
    row = connection.execute(
        "SELECT count(*) AS n FROM pg_stat_activity"
        " WHERE datname = current_database() AND wait_event_type = 'Lock'"
    ).fetchone()
    return row is not None and row["n"] == number


def are_waiting(connection: Connection[DictRow], number: int) -> bool:
    row = connection.execute(
        "SELECT count(*) AS n FROM pg_locks WHERE NOT granted AND mode = 'ExclusiveLock'"
        " AND relation = 'action_ledger.stored_events'::regclass"
    ).fetchone()
    return row is not None and row["n"] == number


def test_it_reaches_the_inbox_too(
    ledger: Ledger, connection: Connection[DictRow], database_url: str
) -> None:
    with psycopg.connect(database_url) as host, host.transaction():
        add_one(ledger.within(host)).submit()
    in_inbox = "SELECT command::text AS c FROM action_ledger.command_inbox"
    (row,) = connection.execute(in_inbox)
    assert all(secret in row["c"] for secret in SECRETS)
    assert ledger.inbox.entries()[0].actor == "alice"
    ledger.erase_actor("alice", issuer="https://idp", by="dpo")
    (row,) = connection.execute(in_inbox)
    assert not any(secret in row["c"] for secret in SECRETS)
    assert ledger.inbox.take_in() == 1
    assert ledger.executions()[0].asked_by == ALICE.identity


def test_a_rejected_command_does_not_say_from_where(
    database_url: str, connection: Connection[DictRow]
) -> None:
    asked = iter([True, False])

    def authorize(*_: object) -> bool:
        return next(asked)

    with open_ledger(database_url, authorize=authorize) as ledger:
        with psycopg.connect(database_url) as host, host.transaction():
            sent = add_one(ledger.within(host)).submit()
        assert ledger.inbox.take_in() == 1
        assert sent.status == "rejected"
        (row,) = connection.execute("SELECT command FROM action_ledger.command_inbox")
        assert row["command"]["actor"] == {
            "subject": "alice", "issuer": "https://idp", "on_behalf_of": "bob",
        }  # fmt: skip
        (entry,) = ledger.audit()
        assert (entry.topic, entry.asked_by) == ("command.rejected", ALICE)
        assert ledger.verify_contacts().kept == 1


def test_the_host_is_given_all_of_the_actor_in_each_phase(database_url: str) -> None:
    seen: list[tuple[Phase, Actor]] = []

    def authorize(actor: Actor, command: Command, phase: Phase) -> bool:
        assert actor == command.actor
        seen.append((phase, actor))
        return actor.on_behalf_of == "bob"

    with open_ledger(database_url, authorize=authorize) as ledger:
        execution = add_one(ledger).run()
        execution.undo(by=ALICE).run()
        assert {actor for _, actor in seen} == {ALICE}
        assert {phase for phase, _ in seen} == {Phase.REQUEST, Phase.BATCH, Phase.UNDO}
        with pytest.raises(NotAuthorized, match="alice"):
            add_one(ledger, "alice").run()
        seen.clear()
        # A run of a schedule is asked about without contact data: nobody asks for it from anywhere.
        schedule = add_one(ledger).schedule(cron="0 3 * * *", timezone="UTC")
        schedule.run_now(by=ALICE)
        assert [actor for _, actor in seen] == [ALICE, ALICE, ALICE.identity]
        with pytest.raises(NotAuthorized):
            ledger.erase_actor("alice", by="mallory")


def test_limits_count_by_issuer_and_subject(database_url: str) -> None:
    settings = Settings.model_validate({"max_concurrent_executions": 1})
    with open_ledger(database_url, settings=settings) as ledger:
        add_one(ledger).submit()
        elsewhere = ALICE.model_copy(update={"address": "10.0.0.8", "on_behalf_of": "carol"})
        with pytest.raises(LimitReached):
            add_one(ledger, elsewhere).on_locked("wait").submit()
        for other in ("alice", Actor(subject="alice", issuer="https://other"), "anonymous"):
            request = add_one(ledger, other).on_locked("wait")
            request.submit()
            with pytest.raises(LimitReached):
                request.submit()


def test_a_token_is_its_actors_by_issuer_and_subject(ledger: Ledger) -> None:
    token = add_one(ledger).preview().token
    for other in ("alice", Actor(subject="alice", issuer="https://other")):
        with pytest.raises(ConfirmationInvalid):
            add_one(ledger, other).confirm(token).run()
    elsewhere = ALICE.model_copy(update={"address": "10.0.0.8"})
    assert add_one(ledger, elsewhere).confirm(token).run().status == "completed"


def test_wrong_actors(ledger: Ledger) -> None:
    with pytest.raises(ActorMissing):
        ledger.erase_actor("alice")
    with pytest.raises(InvalidParameters, match="whose"):
        ledger.erase_actor(" ", by="dpo")
    with pytest.raises(InvalidParameters, match="actor"):
        add_one(ledger, "a\0").run()


def test_on_the_command_line(database_url: str, ledger: Ledger) -> None:
    cli = CommandLine(database_url)
    asked = ("--by", "alice", "--on-behalf-of", "bob", "--issuer=https://idp")
    run = ("run", "places", "update", "--all", "--set", "note=x", *asked, "--json")
    id_ = cli(*run).json["id"]
    (view,) = ledger.executions()
    actor = view.asked_by
    assert (actor.subject, actor.issuer, actor.on_behalf_of) == ("alice", "https://idp", "bob")
    assert actor.agent is not None
    assert actor.agent.startswith("action-ledger/")
    told = f"alice of https://idp on behalf of bob from {actor.address}"
    assert told in cli("show", id_).out
    assert cli("show", id_, "--json").json["asked_by"] == actor.model_dump()
    assert cli("audit", "--json").json[0]["asked_by"] == actor.model_dump()
    assert told in " ".join(cli("audit").out.split())
    refused = cli("actors", "erase", "alice", "--by", "dpo")
    assert refused.code == 5
    erase = ("actors", "erase", "alice", "--of", "https://idp", "--by", "dpo", "--yes")
    assert cli(*erase, "--json").json["contacts"] == 1
    assert "(from where is erased)" in cli("show", id_).out
    verified = cli("actors", "verify")
    assert (verified.code, verified.out) == (0, "1 kept, 1 erased, 0 broken\n")
    with ledger.store.transaction() as transaction:
        transaction.cursor.execute("DELETE FROM action_ledger.actor_contacts")
    assert cli("actors", "verify").code == 1
    wrong = cli("run", "places", "update", "--all", "--set", "note=x", "--by", "a\tb")
    assert (wrong.code, wrong.error) == (2, "invalid_usage")
